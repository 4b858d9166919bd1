//! Periods against worked examples and a naive oracle.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn zone(name: &str) -> Timezones {
    Timezones::fixed(parse_timezone(name).unwrap())
}

fn starts(calendar: &BillingCalendar, from: &str, periods: usize) -> Vec<String> {
    let mut instant = at(from);
    let mut seen = Vec::new();
    for _ in 0..periods {
        let period = calendar.period_containing(instant);
        seen.push(period.start.to_string());
        instant = period.end;
    }
    seen
}

#[test]
fn an_anniversary_on_the_31st_does_not_drift_after_a_short_month() {
    let calendar =
        BillingCalendar::new(Interval::Monthly, BillingTime::Anniversary, at("2026-01-31T15:00:00Z"), zone("UTC"));
    let wanted =
        ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"].map(|day| format!("{day}T00:00:00Z"));
    assert_eq!(starts(&calendar, "2026-01-31T15:00:00Z", 5), wanted);
}

#[test]
fn a_yearly_anniversary_of_29_february_returns_to_it() {
    let calendar =
        BillingCalendar::new(Interval::Yearly, BillingTime::Anniversary, at("2024-02-29T00:00:00Z"), zone("UTC"));
    let wanted =
        ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"].map(|day| format!("{day}T00:00:00Z"));
    assert_eq!(starts(&calendar, "2024-03-01T00:00:00Z", 5), wanted);
}

#[test]
fn calendar_periods_begin_on_monday_on_the_first_and_on_1_january() {
    let start = |interval| {
        let calendar = BillingCalendar::new(interval, BillingTime::Calendar, at("2026-08-20T10:00:00Z"), zone("UTC"));
        let period = calendar.period_containing(at("2026-08-20T10:00:00Z"));
        (period.start.to_string()[..10].to_owned(), period.end.to_string()[..10].to_owned())
    };
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(start(Interval::Weekly), pair("2026-08-17", "2026-08-24"));
    assert_eq!(start(Interval::Monthly), pair("2026-08-01", "2026-09-01"));
    assert_eq!(start(Interval::Quarterly), pair("2026-07-01", "2026-10-01"));
    assert_eq!(start(Interval::Semiannual), pair("2026-07-01", "2027-01-01"));
    assert_eq!(start(Interval::Yearly), pair("2026-01-01", "2027-01-01"));
}

#[test]
fn a_local_month_has_its_own_midnights_and_a_day_of_23_or_25_hours() {
    let calendar = BillingCalendar::new(
        Interval::Monthly,
        BillingTime::Calendar,
        at("2026-03-05T00:00:00Z"),
        zone("Europe/Paris"),
    );
    let march = calendar.period_containing(at("2026-03-05T00:00:00Z"));
    assert_eq!((march.start, march.end), (at("2026-02-28T23:00:00Z"), at("2026-03-31T22:00:00Z")));
    assert_eq!(march.days(), 31);
    assert_eq!(march.end.0 - march.start.0, (31 * 24 - 1) * 3600 * MICROS_PER_SECOND);
}

#[test]
fn the_zone_in_force_when_a_period_begins_decides_where_it_ends() {
    let zones = Timezones::parse(&[
        (at("2025-12-01T00:00:00Z"), "America/New_York".into()),
        (at("2026-02-10T00:00:00Z"), "Asia/Tokyo".into()),
    ]);
    let calendar =
        BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, at("2026-01-05T00:00:00Z"), zones.unwrap());
    let wanted = [
        "2026-01-01T05:00:00Z", // New York
        "2026-02-01T05:00:00Z", // New York: in force when January began
        "2026-03-01T05:00:00Z", // New York: in force when February began
        "2026-03-31T15:00:00Z", // Tokyo
    ];
    assert_eq!(starts(&calendar, "2026-01-05T00:00:00Z", 4), wanted);
}

#[test]
fn touched_days_count_whole_and_never_exceed_the_period() {
    let calendar = BillingCalendar::new(
        Interval::Monthly,
        BillingTime::Anniversary,
        at("2023-09-05T00:00:00Z"),
        zone("Europe/Paris"),
    );
    let period = calendar.period_containing(at("2023-09-05T00:00:00Z"));
    let touched = period.proration(at("2023-09-05T00:00:00Z"), at("2023-09-06T00:00:00Z"));
    assert_eq!(touched, Proration { days: 2, of: 30 });
    assert_eq!(
        period.proration(at("2020-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z")),
        Proration { days: 30, of: 30 }
    );
    assert_eq!(period.proration(period.end, at("2030-01-01T00:00:00Z")).days, 0);
}

#[test]
fn a_day_that_ends_where_the_span_ends_is_the_last_one_touched() {
    let calendar =
        BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, at("2026-03-05T00:00:00Z"), zone("Asia/Tokyo"));
    let march = calendar.period_containing(at("2026-03-05T00:00:00Z"));
    let midnight = at("2026-03-10T15:00:00Z");
    assert_eq!(march.proration(at("2026-03-09T15:00:00Z"), midnight).days, 1);
    assert_eq!(march.proration(at("2026-03-09T15:00:00Z"), Timestamp(midnight.0 + 1)).days, 2);
}

#[test]
fn a_period_holds_its_first_instant_and_not_its_end() {
    let calendar =
        BillingCalendar::new(Interval::Weekly, BillingTime::Calendar, at("2026-03-05T00:00:00Z"), zone("UTC"));
    let week = calendar.period_containing(at("2026-03-05T00:00:00Z"));
    let before = |instant: Timestamp| Timestamp(instant.0 - 1);
    let held = [before(week.start), week.start, before(week.end), week.end].map(|instant| week.contains(instant));
    assert_eq!(held, [false, true, true, false]);
}

#[test]
fn a_zone_that_changes_between_midnight_in_utc_and_midnight_there_is_in_force_when_the_period_begins() {
    let zones = Timezones::parse(&[
        (at("2025-12-01T00:00:00Z"), "America/New_York".into()),
        (at("2026-02-01T03:00:00Z"), "Asia/Tokyo".into()),
    ]);
    let calendar =
        BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, at("2026-01-05T00:00:00Z"), zones.unwrap());
    let wanted = [
        "2026-01-01T05:00:00Z", // New York
        "2026-02-01T05:00:00Z", // New York: in force when January began
        "2026-02-28T15:00:00Z", // Tokyo: in force for two hours when February began
    ];
    assert_eq!(starts(&calendar, "2026-01-05T00:00:00Z", 3), wanted);
}

#[test]
fn a_subscription_that_starts_with_a_new_zone_has_no_sliver_before_its_first_period() {
    let zones = Timezones::parse(&[
        (at("2026-01-01T00:00:00Z"), "America/New_York".into()),
        (at("2026-03-01T02:00:00Z"), "Asia/Tokyo".into()),
    ])
    .unwrap();
    let started = at("2026-03-01T03:00:00Z");
    let calendar = BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, started, zones);
    let first = calendar.period_containing(started);
    assert_eq!((first.start, first.end), (at("2026-02-28T15:00:00Z"), at("2026-03-31T15:00:00Z")));
}

#[test]
fn periods_ending_in_a_span_are_those_after_its_start_up_to_and_with_its_end() {
    let calendar =
        BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, at("2026-01-10T00:00:00Z"), zone("UTC"));
    let ends = |from: &str, until: &str| -> Vec<String> {
        calendar
            .periods_ending_in(at(from), at(until))
            .iter()
            .map(|period| period.end.to_string()[..10].to_owned())
            .collect()
    };
    assert_eq!(ends("2026-01-10T00:00:00Z", "2026-04-01T00:00:00Z"), ["2026-02-01", "2026-03-01", "2026-04-01"]);
    assert_eq!(ends("2026-02-01T00:00:00Z", "2026-03-31T23:59:59.999999Z"), ["2026-03-01"]);
    assert!(ends("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z").is_empty());
}

fn any_interval() -> impl Strategy<Value = Interval> {
    prop_oneof![
        Just(Interval::Weekly),
        Just(Interval::Monthly),
        Just(Interval::Quarterly),
        Just(Interval::Semiannual),
        Just(Interval::Yearly),
    ]
}

const FIFTY_YEARS: i64 = 50 * 365 * 86_400 * MICROS_PER_SECOND;
/// 1990-01-01.
const FROM: i64 = 631_152_000 * MICROS_PER_SECOND;

fn any_instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (FROM..FROM + FIFTY_YEARS).prop_map(Timestamp),
        // Near midnights, where boundaries are.
        (0..50 * 365_i64, -26 * 3600..26 * 3600_i64)
            .prop_map(|(day, second)| Timestamp(FROM + (day * 86_400 + second) * MICROS_PER_SECOND)),
    ]
}

fn any_zones() -> impl Strategy<Value = Timezones> {
    prop::collection::vec((any_instant(), 0..chrono_tz::TZ_VARIANTS.len()), 1..4).prop_map(|list| {
        let named: Vec<_> =
            list.iter().map(|(from, zone)| (*from, chrono_tz::TZ_VARIANTS[*zone].name().to_owned())).collect();
        Timezones::parse(&named).unwrap()
    })
}

/// The date of boundary `number`, the slow way: count months one by one, then take the day or the month's last.
fn naive_boundary_date(interval: Interval, anchor: NaiveDate, number: i64) -> NaiveDate {
    let months = match interval {
        Interval::Weekly => return anchor + TimeDelta::days(7 * number),
        Interval::Monthly => number,
        Interval::Quarterly => 3 * number,
        Interval::Semiannual => 6 * number,
        Interval::Yearly => 12 * number,
    };
    let month = i64::from(anchor.year()) * 12 + i64::from(anchor.month0()) + months;
    let (year, month0) = (i32::try_from(month.div_euclid(12)).unwrap(), u32::try_from(month.rem_euclid(12)).unwrap());
    (1..=anchor.day()).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month0 + 1, day)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn periods_tile_time(interval in any_interval(), anniversary: bool, started in any_instant(), zones in any_zones(), seen in any_instant()) {
        let billing_time = if anniversary { BillingTime::Anniversary } else { BillingTime::Calendar };
        let calendar = BillingCalendar::new(interval, billing_time, started, zones);
        let period = calendar.period_containing(seen);
        prop_assert!(period.contains(seen));
        prop_assert!(period.days() >= 6 && period.first_day < period.end_day);
        prop_assert_eq!(calendar.period_containing(period.start), period);
        prop_assert_eq!(calendar.period_containing(Timestamp(period.end.0 - 1)), period);
        let next = calendar.period_containing(period.end);
        prop_assert_eq!((next.start, next.first_day), (period.end, period.end_day));
        let before = calendar.previous(&period);
        prop_assert_eq!((before.end, before.end_day), (period.start, period.first_day));
        prop_assert_eq!(calendar.periods_ending_in(before.start, next.end), vec![before, period, next]);
    }

    #[test]
    fn boundaries_are_those_of_a_naive_walk_from_the_start(interval in any_interval(), anniversary: bool, started in any_instant(), zones in any_zones()) {
        let billing_time = if anniversary { BillingTime::Anniversary } else { BillingTime::Calendar };
        let calendar = BillingCalendar::new(interval, billing_time, started, zones.clone());
        let mut zone = zones.at(started);
        let anchor = calendar.period_containing(started).first_day;
        let mut start = day_start(zone, anchor);
        prop_assert!(start <= started);
        for number in 1..30 {
            let end = day_start(zone, naive_boundary_date(interval, anchor, number));
            let period = calendar.period_containing(start.max(started));
            prop_assert_eq!((period.start, period.end, period.zone), (start, end, zone));
            (start, zone) = (end, zones.at(end));
        }
    }

    #[test]
    fn shares_cut_at_a_local_midnight_add_up_to_the_whole(interval in any_interval(), started in any_instant(), zones in any_zones(), cut in 1_i64..400) {
        let calendar = BillingCalendar::new(interval, BillingTime::Anniversary, started, zones);
        let period = calendar.period_containing(started);
        let day = period.first_day + TimeDelta::days(cut % i64::from(period.days()));
        let (one, two) = (period.proration_by_days(period.first_day, day), period.proration_by_days(day, period.end_day));
        prop_assert_eq!(one.days + two.days, period.days());
        let midnight = day_start(period.zone, day).clamp(period.start, period.end);
        prop_assert_eq!(period.proration(period.start, period.end), Proration { days: period.days(), of: period.days() });
        let touched = period.proration(period.start, midnight).days + period.proration(midnight, period.end).days;
        prop_assert!(touched == period.days() || touched == period.days() + 1);
    }
}

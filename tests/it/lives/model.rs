//! What a life owes, by days, months and multiplication.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Cents a month, and whether they are due as it begins.
pub const PLANS: [(i64, bool); 3] = [(3_100, false), (6_200, false), (4_650, true)];
/// Cents of a call (at the end of the period), and of a ping (as it is accepted).
const CALL: i64 = 10;
const PING: i64 = 7;
pub const ADD_ON: i64 = 500;

/// Kind or metric, subscription, start of the stretch: how often and how much, fees of 0 left out.
pub type Owed = BTreeMap<(String, String, DateTime<Utc>), Vec<i64>>;

/// A subscription from its start to its end.
#[derive(Clone, Debug)]
pub struct Stay {
    pub id: String,
    pub external_id: String,
    pub plan: usize,
    pub from: DateTime<Utc>,
    /// When it ended, and whether another plan went on.
    pub to: Option<(DateTime<Utc>, bool)>,
    /// When, and how many calls; each with one ping.
    pub uses: Vec<(DateTime<Utc>, i64)>,
    /// Its usage as it was compared with thresholds last.
    pub look: super::thresholds::Look,
}

/// Taxes of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taxes {
    None,
    /// One, of the organization.
    Organization,
    /// Two of the customer, and another one of plan 1, which counts there instead of them.
    CustomerAndPlan,
}

/// Rates, in ten-millionths.
pub const VAT: i128 = 1_900_000;
pub const CITY: i128 = 500_000;
pub const LEVY: i128 = 88_755;

impl Taxes {
    /// All rates together of a fee of this plan, or of none.
    pub fn rate(self, plan: Option<usize>) -> i128 {
        match (self, plan) {
            (Taxes::None, _) => 0,
            (Taxes::Organization, _) => VAT,
            (Taxes::CustomerAndPlan, Some(1)) => LEVY,
            (Taxes::CustomerAndPlan, _) => VAT + CITY,
        }
    }
}

/// A line of an invoice.
#[derive(Clone, Debug)]
pub struct Line {
    pub cents: i64,
    /// Of its taxes together, in ten-millionths.
    pub rate: i128,
    /// Its share of coupons as it was answered.
    pub share: String,
}

/// A decimal text in units of 10⁻¹⁸, what is beyond cut off.
fn attos(text: &str) -> i128 {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{places:0<18.18}").parse().unwrap()
}

/// A sum in units of 10⁻²⁵ to whole units: what shares lost beyond their last digit is mended before the half is looked for.
fn whole(exact: i128) -> i64 {
    let mended = (exact + 5 * 10_i128.pow(12)) / 10_i128.pow(13);
    i64::try_from((mended * 2 + 10_i128.pow(12)) / (2 * 10_i128.pow(12))).unwrap()
}

/// Σ of (cents − share) × rate, rounded once.
pub fn tax_on(lines: &[Line]) -> i64 {
    let left = |line: &Line| i128::from(line.cents) * 10_i128.pow(18) - attos(&line.share);
    whole(lines.iter().map(|line| left(line) * line.rate).sum())
}

/// Σ of shares.
pub fn shares_of(lines: &[Line]) -> i64 {
    whole(lines.iter().map(|line| attos(&line.share) * 10_i128.pow(7)).sum())
}

/// Percent of the coupon of a life.
pub const COUPON: i64 = 10;

/// What the coupon takes off.
pub fn discount(subtotal: i64) -> i64 {
    half_up(subtotal * COUPON, 100)
}

/// What happens to the wallet of a life, in the order in which it happens.
#[derive(Clone, Debug)]
pub enum WalletStep {
    Granted(i64),
    /// An invoice of which so much was due before wallets took so much.
    Issued {
        due: i64,
        taken: i64,
    },
    /// A voided invoice that had taken so much.
    Voided(i64),
}

/// What is left; or what an invoice took where something else was there to take.
pub fn balance_after(steps: &[WalletStep]) -> Result<i64, String> {
    let mut balance = 0;
    for step in steps {
        match step {
            WalletStep::Granted(cents) | WalletStep::Voided(cents) => balance += cents,
            WalletStep::Issued { due, taken } => {
                if *taken != balance.min(*due) {
                    return Err(format!("{balance} were there, {due} due and {taken} taken"));
                }
                balance -= taken;
            }
        }
    }
    Ok(balance)
}

fn half_up(numerator: i64, denominator: i64) -> i64 {
    (numerator * 2 + denominator) / (denominator * 2)
}

/// The day an instant falls on there.
fn day(zone: Tz, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// Midnight there; none of the zones of these tests changes its clock at midnight.
fn midnight(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    zone.from_local_datetime(&day.and_hms_opt(0, 0, 0).unwrap()).unwrap().with_timezone(&Utc)
}

/// When the month began there.
pub fn month_start(zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
    midnight(zone, day(zone, at).with_day(1).unwrap())
}

/// When the next one begins.
fn next_month(zone: Tz, month: DateTime<Utc>) -> DateTime<Utc> {
    midnight(zone, (day(zone, month) + TimeDelta::days(31)).with_day(1).unwrap())
}

impl Stay {
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && self.to.is_none_or(|(to, _)| at < to)
    }

    /// What is owed up to and with `now`.
    pub fn owed(&self, zone: Tz, now: DateTime<Utc>, owed: &mut Owed) {
        let (cents, in_advance) = PLANS[self.plan];
        let end = self.to.map(|(to, _)| to);
        let mut month = month_start(zone, self.from);
        while month <= now && end.is_none_or(|end| month < end) {
            let next = next_month(zone, month);
            let (first, last) = (self.from.max(month), end.map_or(next, |end| end.min(next)));
            let days_of_month = (day(zone, next) - day(zone, month)).num_days();
            // The day of an end counts, but for that of a change, which is the other plan's.
            let after = match self.to {
                Some((to, handed_over)) if to < next => day(zone, to) + TimeDelta::days(i64::from(!handed_over)),
                _ => day(zone, next),
            };
            let paid_until = if in_advance { day(zone, next) } else { after };
            let days = (paid_until - day(zone, first)).num_days();
            let mut add = |what: &str, cents: i64| {
                if cents != 0 {
                    owed.entry((what.into(), self.id.clone(), first)).or_default().push(cents);
                }
            };
            if in_advance || last <= now {
                add("subscription", half_up(cents * days, days_of_month));
            }
            let uses = || self.uses.iter().filter(|(at, _)| (first..last).contains(at));
            if last <= now {
                add("calls", uses().map(|(_, calls)| calls * CALL).sum());
            }
            uses().for_each(|_| add("pings", PING));
            month = next;
        }
    }
}

//! Whose usage: worked cases, and a naive oracle that decides instant by instant.

use super::*;
use crate::fixtures::{World, at, day};
use domain::catalog::Subscription;
use proptest::prelude::*;

/// Customer, subscription, and the days that belong to somebody.
type Owned = (String, String, Vec<(i64, i64)>);

/// Names and days of what belongs to a subscription.
fn owned(world: &World, subscription: &Subscription, code: &str, from: i64, to: i64) -> Vec<Owned> {
    let view = world.view();
    let owned = usage_of(&view, subscription, code, day(from), day(to)).unwrap();
    let days = |set: &Intervals| set.as_slice().iter().map(|part| (in_days(part.from), in_days(part.to))).collect();
    owned
        .iter()
        .map(|series| (series.names.customer.clone(), series.names.subscription.clone(), days(&series.when)))
        .collect()
}

fn in_days(instant: Timestamp) -> i64 {
    (instant.0 - day(0).0) / (day(1).0 - day(0).0)
}

fn named(customer: &str, subscription: &str, days: &[(i64, i64)]) -> Owned {
    (customer.into(), subscription.into(), days.to_vec())
}

#[test]
fn a_single_subscription_owns_all_three_ways_to_name_it() {
    let mut world = World::new();
    let metric = world.count_metric("api");
    let plan = world.plan("p", &[metric]);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let all = [(0, 30)];
    assert_eq!(owned(&world, &s, "api", 0, 30), [named("c", "", &all), named("", "s", &all), named("c", "s", &all)]);
}

#[test]
fn unnamed_usage_goes_to_the_oldest_active_subscription_whose_plan_charges_the_metric() {
    let mut world = World::new();
    let (api, disk) = (world.count_metric("api"), world.count_metric("disk"));
    let (both, only_disk) = (world.plan("both", &[api, disk]), world.plan("disk", &[disk]));
    let customer = world.customer("c");
    let oldest = world.subscription(customer, "oldest", only_disk, day(0), Some(day(10)));
    let younger = world.subscription(customer, "younger", both, day(5), None);
    assert_eq!(owned(&world, &younger, "api", 5, 30)[0], named("c", "", &[(5, 30)]));
    assert_eq!(owned(&world, &younger, "disk", 5, 30)[0], named("c", "", &[(10, 30)]));
    assert_eq!(owned(&world, &oldest, "disk", 0, 10)[0], named("c", "", &[(0, 10)]));
    let view = world.view();
    let seen = ownership(&view, view.of_customer(customer), "disk", day(0), day(30)).unwrap();
    assert_eq!(seen.ambiguous, Intervals::of(day(5), day(10)));
    assert_eq!(seen.owned, Intervals::of(day(0), day(30)));
}

#[test]
fn an_external_id_used_again_after_a_termination_is_told_apart_by_time() {
    let mut world = World::new();
    let metric = world.count_metric("api");
    let plan = world.plan("p", &[metric]);
    let (one, other) = (world.customer("one"), world.customer("other"));
    let first = world.subscription(one, "s", plan, day(0), Some(day(10)));
    let second = world.subscription(other, "s", plan, day(8), None);
    assert_eq!(owned(&world, &first, "api", 0, 10)[1], named("", "s", &[(0, 10)]));
    assert_eq!(
        owned(&world, &second, "api", 8, 30),
        [named("other", "", &[(8, 30)]), named("", "s", &[(10, 30)]), named("other", "s", &[(8, 30)]),]
    );
}

#[test]
fn a_plan_edit_decides_about_the_periods_that_begin_after_it() {
    let mut world = World::new();
    let (api, disk) = (world.count_metric("api"), world.count_metric("disk"));
    let plan = world.plan("p", &[api]);
    let always = world.plan("always", &[api, disk]);
    let customer = world.customer("c");
    let _older = world.subscription(customer, "older", plan, at("2026-01-10T00:00:00Z"), None);
    let younger = world.subscription(customer, "younger", always, at("2026-01-10T00:00:00Z"), None);
    world.new_plan_version(plan, at("2026-01-20T00:00:00Z"), &[api, disk]);
    let view = world.view();
    let span = (at("2026-01-10T00:00:00Z"), at("2026-03-01T00:00:00Z"));
    let owned = usage_of(&view, &younger, "disk", span.0, span.1).unwrap();
    // From 1 February the older one charges disk too.
    assert_eq!(owned[0].when, Intervals::of(span.0, at("2026-02-01T00:00:00Z")));
}

proptest! {
    #[test]
    fn every_instant_of_every_series_has_the_owner_the_rule_names(
        subscriptions in prop::collection::vec((0_usize..2, 0_usize..2, 0_usize..3, 0_i64..40, prop::option::of(1_i64..40)), 1..6),
    ) {
        let mut world = World::new();
        let (api, disk) = (world.count_metric("api"), world.count_metric("disk"));
        let plans = [world.plan("api", &[api]), world.plan("disk", &[disk]), world.plan("both", &[api, disk])];
        let customers = [world.customer("c0"), world.customer("c1")];
        let all: Vec<Subscription> = subscriptions.iter().map(|(customer, name, plan, start, length)| {
            world.subscription(customers[*customer], ["s0", "s1"][*name], plans[*plan], day(*start), length.map(|days| day(start + days)))
        }).collect();
        let view = world.view();
        let owned: Vec<Vec<OwnedSeries>> = all.iter().map(|s| {
            let end = s.ended_at.unwrap_or(day(60));
            let charges = subscriptions[all.iter().position(|other| other.id == s.id).unwrap()].2 != 1;
            if charges { usage_of(&view, s, "api", s.started_at.unwrap(), end).unwrap() } else { Vec::new() }
        }).collect();
        for instant in (0..60).map(|half| Timestamp(day(half).0 + 1)) {
            for customer in ["c0", "c1", ""] {
                for name in ["s0", "s1", ""] {
                    let qualifies = |place: &usize| {
                        let (c, n, plan, start, length) = &subscriptions[*place];
                        let fits = (customer.is_empty() || customer == format!("c{c}")) && (name.is_empty() || name == format!("s{n}"));
                        let active = day(*start) <= instant && length.is_none_or(|days| instant < day(start + days));
                        fits && active && *plan != 1 && !(customer.is_empty() && name.is_empty())
                    };
                    let wanted: Vec<usize> = (0..all.len()).filter(qualifies).take(1).collect();
                    let series = SeriesId::derive(world.organization, "api", customer, name);
                    let got: Vec<usize> = (0..all.len())
                        .filter(|place| owned[*place].iter().any(|s| s.series == series && s.when.contains(instant)))
                        .collect();
                    prop_assert_eq!(got, wanted, "{:?}/{:?} at {}", customer, name, instant);
                }
            }
        }
    }
}

//! Due stretches against worked examples and against what "billed exactly once" means.

use super::*;
use chrono::NaiveDate;
use domain::catalog::{BillingTime, Charge, ChargeModel, Interval, Plan, SubscriptionStatus};
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId};
use domain::money::{Currency, MinorUnits};
use domain::period::{local_date, parse_timezone};
use domain::time::MICROS_PER_SECOND;
use proptest::prelude::*;

const DAY: i64 = 24 * 3600 * MICROS_PER_SECOND;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[derive(Debug)]
struct World {
    subscription: Subscription,
    customer: Customer,
    plans: Vec<Arc<RatablePlan>>,
}

impl World {
    fn new(interval: Interval, billing_time: BillingTime, started_at: &str) -> Self {
        let organization = OrganizationId::random();
        let customer = Customer {
            id: CustomerId::random(),
            organization,
            external_id: "c".into(),
            name: "C".into(),
            timezones: vec![(Timestamp(0), "UTC".into())],
            net_payment_term_days: 30,
            invoice_grace_period_days: 0,
        };
        let plan = Plan {
            id: PlanId::random(),
            version: 1,
            valid_from: Timestamp(0),
            code: "p".into(),
            name: "P".into(),
            interval,
            amount: MinorUnits(1000),
            currency: Currency::USD,
            pay_in_advance: false,
            trial_period_days: 0,
            bill_charges_monthly: false,
            charges: vec![charge()],
        };
        let subscription = Subscription {
            id: SubscriptionId::random(),
            organization,
            external_id: "s".into(),
            customer_id: customer.id,
            plan_id: plan.id,
            status: SubscriptionStatus::Active,
            billing_time,
            started_at: Some(at(started_at)),
            ended_at: None,
            created_at: at(started_at),
            pay_in_advance: false,
            trial_period_days: 0,
            anchor_at: None,
            ending: domain::catalog::Ending::Bills,
            unused_advance: domain::catalog::UnusedAdvance::Credit,
        };
        Self { subscription, customer, plans: vec![ratable(plan)] }
    }

    fn change_plan(&mut self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plans[0].plan.clone();
        change(&mut plan);
        self.plans[0] = ratable(plan);
    }

    fn due(&self, frontiers: &Frontiers, as_of: Timestamp, reach: Reach) -> DueList {
        let billable = Billable {
            subscription: &self.subscription,
            customer: &self.customer,
            plans: &self.plans,
            terms: &BillingTerms::default(),
        };
        due_of(billable, frontiers, as_of, reach).unwrap()
    }

    /// What the ledger does: bills everything due and moves the frontiers.
    fn bill(&self, frontiers: &mut Frontiers, as_of: Timestamp, reach: Reach) -> Vec<Due> {
        let items = self.due(frontiers, as_of, reach).items;
        for item in &items {
            assert_eq!(frontiers.get(item.part, item.chain), item.after, "items of a chain follow one another");
            frontiers.set(item.part, item.chain, item.frontier());
        }
        items
    }

    fn shares(&self, as_of: &str) -> Vec<(String, u32, u32)> {
        let items = self.due(&Frontiers::default(), at(as_of), Reach::Everything).items;
        let fees = items.iter().filter(|item| item.part == Part::PlanFee);
        fees.map(|item| (item.due_at.to_string(), item.share.days, item.share.of)).collect()
    }
}

fn ratable(plan: Plan) -> Arc<RatablePlan> {
    Arc::new(RatablePlan::new(plan))
}

fn charge() -> Charge {
    Charge {
        id: ChargeId::random(),
        metric_id: MetricId::random(),
        model: ChargeModel::Standard,
        properties: serde_json::json!({"amount": "1"}),
        invoice_display_name: None,
        min_amount: MinorUnits(0),
        pay_in_advance: false,
        prorated: false,
        invoiceable: true,
        filters: vec![],
    }
}

fn one(due_at: &str, days: u32, of: u32) -> Vec<(String, u32, u32)> {
    vec![(due_at.to_owned(), days, of)]
}

#[test]
fn a_month_in_arrears_ended_on_its_sixth_day_owes_six_days() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2022-12-15T00:00:00Z");
    world.subscription.ended_at = Some(at("2022-12-20T06:00:00Z"));
    assert_eq!(world.shares("2023-03-01T00:00:00Z"), one("2022-12-20T06:00:00Z", 6, 31));
}

#[test]
fn the_day_of_the_end_counts_even_at_its_first_instant_but_a_period_ended_on_its_border_owes_nothing_of_the_next() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2025-02-08T00:00:00Z");
    world.subscription.ended_at = Some(at("2025-02-21T00:00:00Z"));
    assert_eq!(world.shares("2025-03-01T00:00:00Z"), one("2025-02-21T00:00:00Z", 14, 28));
    world.subscription.ended_at = Some(at("2025-03-01T00:00:00Z"));
    assert_eq!(world.shares("2025-06-01T00:00:00Z"), one("2025-03-01T00:00:00Z", 21, 28));
}

#[test]
fn two_local_days_of_an_anniversary_month_in_paris_are_owed() {
    let mut world = World::new(Interval::Monthly, BillingTime::Anniversary, "2023-09-05T00:00:00Z");
    world.customer.timezones = vec![(Timestamp(0), "Europe/Paris".into())];
    world.subscription.ended_at = Some(at("2023-09-06T00:00:00Z"));
    assert_eq!(world.shares("2023-09-06T00:15:00Z"), one("2023-09-06T00:00:00Z", 2, 30));
}

#[test]
fn a_first_week_in_advance_is_counted_in_the_customers_days_and_due_at_once() {
    let mut world = World::new(Interval::Weekly, BillingTime::Calendar, "2023-06-16T05:00:00Z");
    world.customer.timezones = vec![(Timestamp(0), "America/Denver".into())];
    world.subscription.pay_in_advance = true;
    assert_eq!(world.shares("2023-06-16T05:00:00Z"), one("2023-06-16T05:00:00Z", 4, 7));
}

#[test]
fn in_advance_the_fee_of_the_next_month_falls_due_with_the_usage_of_the_last() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-01-01T00:00:00Z");
    world.subscription.pay_in_advance = true;
    let items = world.due(&Frontiers::default(), at("2024-02-01T00:00:00Z"), Reach::Everything).items;
    let seen: Vec<_> = items.iter().map(|item| (item.part, item.from.to_string(), item.due_at.to_string())).collect();
    let fee = |from: &str| (Part::PlanFee, format!("{from}T00:00:00Z"), format!("{from}T00:00:00Z"));
    let usage = (Part::Usage, "2024-01-01T00:00:00Z".into(), "2024-02-01T00:00:00Z".into());
    assert_eq!(seen, [fee("2024-01-01"), fee("2024-02-01"), usage]);
}

#[test]
fn a_trial_delays_the_plan_fee_to_the_local_day_of_its_end_and_not_the_usage() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-03-05T12:12:00Z");
    world.subscription.pay_in_advance = true;
    world.subscription.trial_period_days = 10;
    assert_eq!(world.shares("2024-03-15T12:02:00Z"), []);
    assert_eq!(world.shares("2024-03-15T13:02:00Z"), one("2024-03-15T12:12:00Z", 17, 31));
    world.subscription.trial_period_days = 45;
    assert_eq!(world.shares("2024-04-19T13:01:00Z"), one("2024-04-19T12:12:00Z", 12, 30));
    let usage = world.due(&Frontiers::default(), at("2024-04-01T00:00:00Z"), Reach::Everything).items;
    assert_eq!(usage.iter().map(|item| item.part).collect::<Vec<_>>(), [Part::Usage]);
}

#[test]
fn a_yearly_plan_may_bill_its_usage_monthly() {
    let mut world = World::new(Interval::Yearly, BillingTime::Anniversary, "2024-01-31T00:00:00Z");
    world.change_plan(|plan| plan.bill_charges_monthly = true);
    let items = world.due(&Frontiers::default(), at("2024-04-01T00:00:00Z"), Reach::Everything).items;
    let seen: Vec<_> = items.iter().map(|item| (item.part, item.due_at.to_string())).collect();
    assert_eq!(seen, ["2024-02-29", "2024-03-31"].map(|day| (Part::Usage, format!("{day}T00:00:00Z"))));
}

#[test]
fn the_scheduler_leaves_what_had_ended_before_the_subscription_was_created_to_a_run_somebody_asks_for() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-01-10T00:00:00Z");
    world.subscription.created_at = at("2024-03-15T00:00:00Z");
    let mut frontiers = Frontiers::default();
    let automatic = world.bill(&mut frontiers, at("2024-04-01T00:00:00Z"), Reach::SinceCreation);
    assert_eq!(automatic.iter().map(|item| item.from).collect::<Vec<_>>(), [at("2024-03-01T00:00:00Z"); 2]);
    let asked = world.bill(&mut frontiers, at("2024-04-01T00:00:00Z"), Reach::Everything);
    let from: Vec<_> = asked.iter().filter(|item| item.part == Part::Usage).map(|item| item.from.to_string()).collect();
    assert_eq!(from, ["2024-01-10T00:00:00Z", "2024-02-01T00:00:00Z"]);
    assert_eq!(world.bill(&mut frontiers, at("2024-04-01T00:00:00Z"), Reach::Everything), []);
}

#[test]
fn a_pending_subscription_and_a_plan_without_fee_owe_nothing() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-01-10T00:00:00Z");
    world.change_plan(|plan| plan.amount = MinorUnits(0));
    assert_eq!(world.shares("2024-04-01T00:00:00Z"), []);
    world.change_plan(|plan| plan.amount = MinorUnits(1000));
    world.subscription.status = SubscriptionStatus::Pending;
    assert_eq!(world.shares("2024-04-01T00:00:00Z"), []);
    world.subscription.status = SubscriptionStatus::Active;
    world.subscription.started_at = None;
    assert_eq!(world.due(&Frontiers::default(), at("2030-01-01T00:00:00Z"), Reach::Everything), DueList::default());
}

#[test]
fn the_next_due_instant_is_the_end_of_the_open_period() {
    let world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-01-10T00:00:00Z");
    let list = world.due(&Frontiers::default(), at("2024-02-10T00:00:00Z"), Reach::Everything);
    assert_eq!(list.next, Some(at("2024-03-01T00:00:00Z")));
}

fn any_world() -> impl Strategy<Value = World> {
    let intervals = prop::sample::select(vec![
        Interval::Weekly,
        Interval::Monthly,
        Interval::Quarterly,
        Interval::Semiannual,
        Interval::Yearly,
    ]);
    let times = prop::sample::select(vec![BillingTime::Calendar, BillingTime::Anniversary]);
    let zones =
        prop::sample::select(vec!["UTC", "America/Denver", "Pacific/Auckland", "Asia/Kolkata", "America/Havana"]);
    // 2020-01-01 and up to four years more, in steps of 7 hours so that all hours of the day come up.
    let starts = (0..5000_i64).prop_map(|step| Timestamp(1_577_836_800 * MICROS_PER_SECOND + step * 7 * DAY / 24));
    let life = prop::option::of(0..1200_i64);
    let flags = (any::<bool>(), any::<bool>(), 0..60_u32, 0..400_i64);
    (intervals, times, zones, starts, life, flags).prop_map(
        |(interval, billing_time, zone, start, life, (advance, monthly, trial, created))| {
            let mut world = World::new(interval, billing_time, &start.to_string());
            world.customer.timezones = vec![(Timestamp(0), zone.into())];
            world.subscription.ended_at = life.map(|hours| Timestamp(start.0 + 1 + hours * DAY / 2));
            world.subscription.pay_in_advance = advance;
            world.subscription.trial_period_days = trial;
            world.subscription.created_at = Timestamp(start.0 + created * DAY);
            world.change_plan(|plan| plan.bill_charges_monthly = monthly);
            world
        },
    )
}

fn stretches(items: &[Due], part: Part) -> Vec<(Timestamp, Timestamp)> {
    let mut seen: Vec<_> = items.iter().filter(|item| item.part == part).map(|item| (item.from, item.to)).collect();
    seen.sort();
    seen
}

proptest! {
    #[test]
    fn runs_at_any_instants_bill_what_one_run_at_the_end_bills(
        world in any_world(),
        stops in prop::collection::vec((0..1500_i64, any::<bool>()), 0..6),
    ) {
        let start = world.subscription.started_at.unwrap();
        let end = Timestamp(start.0 + 1500 * DAY);
        let whole = world.bill(&mut Frontiers::default(), end, Reach::Everything);

        let mut frontiers = Frontiers::default();
        let mut stops = stops;
        stops.sort();
        let mut billed = Vec::new();
        for (day, asked) in stops {
            let reach = if asked { Reach::Everything } else { Reach::SinceCreation };
            billed.extend(world.bill(&mut frontiers, Timestamp(start.0 + day * DAY), reach));
        }
        billed.extend(world.bill(&mut frontiers, end, Reach::Everything));
        prop_assert_eq!(world.bill(&mut frontiers, end, Reach::Everything), vec![]);
        for part in [Part::PlanFee, Part::Usage] {
            prop_assert_eq!(stretches(&billed, part), stretches(&whole, part));
        }
    }

    #[test]
    fn the_usage_billed_tiles_the_subscription_from_its_start_without_gap_or_overlap(world in any_world()) {
        let start = world.subscription.started_at.unwrap();
        let end = Timestamp(start.0 + 1500 * DAY);
        let usage = stretches(&world.bill(&mut Frontiers::default(), end, Reach::Everything), Part::Usage);
        let mut reached = start;
        for (from, to) in usage {
            prop_assert_eq!(from, reached);
            prop_assert!(from < to);
            reached = to;
        }
        match world.subscription.ended_at {
            Some(ended_at) => prop_assert_eq!(reached, ended_at),
            None => prop_assert!(reached.0 > end.0 - 367 * DAY),
        }
    }

    #[test]
    fn the_days_of_the_plan_fee_are_the_local_days_from_the_end_of_the_trial_each_once(world in any_world()) {
        let start = world.subscription.started_at.unwrap();
        let zone = parse_timezone(&world.customer.timezones[0].1).unwrap();
        let items = world.bill(&mut Frontiers::default(), Timestamp(start.0 + 1500 * DAY), Reach::Everything);
        let fees: Vec<_> = items.iter().filter(|item| item.part == Part::PlanFee).collect();
        let owed: i64 = fees.iter().map(|fee| i64::from(fee.share.days)).sum();
        let from = later_by_days(zone, start, world.subscription.trial_period_days);
        let Some(last) = fees.iter().map(|fee| fee.to).max() else {
            prop_assert!(world.subscription.ended_at.is_some_and(|ended| ended <= from));
            return Ok(());
        };
        // A period's end is no day of it; a subscription's end is, unless it is also a period's.
        let on_border = fees.iter().any(|fee| fee.period.end == last);
        let last_day = local_date(zone, if on_border { Timestamp(last.0 - 1) } else { last });
        let wanted = (last_day - local_date(zone, from)).num_days() + 1;
        prop_assert_eq!(owed, wanted);
        prop_assert!(fees.iter().all(|fee| fee.share.days >= 1 && fee.share.days <= fee.share.of));
    }

    #[test]
    fn a_customer_who_moves_is_billed_each_instant_once(
        world in any_world(),
        moves in prop::collection::vec((0..1500_i64, prop::sample::select(vec!["Asia/Tokyo", "America/Los_Angeles", "UTC"])), 1..5),
    ) {
        let mut world = world;
        let start = world.subscription.started_at.unwrap();
        let mut moves = moves;
        moves.sort();
        let mut frontiers = Frontiers::default();
        let mut billed = Vec::new();
        for (day, zone) in moves {
            let instant = Timestamp(start.0 + day * DAY);
            billed.extend(world.bill(&mut frontiers, instant, Reach::Everything));
            world.customer.timezones.push((instant, zone.into()));
        }
        billed.extend(world.bill(&mut frontiers, Timestamp(start.0 + 1500 * DAY), Reach::Everything));
        let usage = stretches(&billed, Part::Usage);
        let mut reached = start;
        for (from, to) in usage {
            prop_assert_eq!(from, reached);
            reached = to;
        }
    }
}

#[test]
fn the_last_local_day_of_a_month_is_found_in_every_zone() {
    let mut world = World::new(Interval::Monthly, BillingTime::Calendar, "2024-01-31T23:30:00Z");
    world.customer.timezones = vec![(Timestamp(0), "Asia/Tokyo".into())];
    let items = world.due(&Frontiers::default(), at("2024-03-01T00:00:00Z"), Reach::Everything).items;
    assert_eq!(items[0].period.first_day, NaiveDate::from_ymd_opt(2024, 2, 1).unwrap());
    assert_eq!((items[0].share.days, items[0].share.of), (29, 29));
}

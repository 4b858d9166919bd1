//! Which stretches share an invoice, and what stands on it.

use super::*;
use crate::due::{Chain, Frontier};
use domain::catalog::{BillingTime, Interval, Plan, SubscriptionStatus};
use domain::ids::{CustomerId, OrganizationId, PlanId};
use domain::period::{BillingCalendar, Proration, parse_timezone};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn customer(grace: u32) -> Customer {
    Customer {
        id: CustomerId::random(),
        organization: OrganizationId::random(),
        external_id: "c".into(),
        name: "C".into(),
        timezones: vec![(Timestamp(0), "UTC".into())],
        net_payment_term_days: 30,
        invoice_grace_period_days: grace,
    }
}

fn plan(currency: &str, amount: i64) -> Arc<RatablePlan> {
    let plan = Plan {
        id: PlanId::random(),
        version: 3,
        valid_from: Timestamp(0),
        code: "p".into(),
        name: "Basic".into(),
        interval: Interval::Monthly,
        amount: MinorUnits(amount),
        currency: currency.parse().unwrap(),
        pay_in_advance: false,
        trial_period_days: 0,
        bill_charges_monthly: false,
        charges: vec![],
    };
    Arc::new(RatablePlan::new(plan))
}

fn subscription(customer: &Customer, plan: &RatablePlan) -> Subscription {
    Subscription {
        id: SubscriptionId::random(),
        organization: customer.organization,
        external_id: "s".into(),
        customer_id: customer.id,
        plan_id: plan.plan.id,
        status: SubscriptionStatus::Active,
        billing_time: BillingTime::Calendar,
        started_at: Some(at("2026-01-01T00:00:00Z")),
        ended_at: None,
        created_at: at("2026-01-01T00:00:00Z"),
        pay_in_advance: false,
        trial_period_days: 0,
        anchor_at: None,
        ending: domain::catalog::Ending::Bills,
        unused_advance: domain::catalog::UnusedAdvance::Credit,
    }
}

/// The month that begins at `from`, due at its end, or at its start when `in_advance`.
fn month<'a>(
    subscription: &'a Subscription,
    customer: &'a Customer,
    plan: &'a Arc<RatablePlan>,
    part: Part,
    from: &str,
    in_advance: bool,
) -> PricedDue<'a> {
    let zones = Timezones::fixed(parse_timezone("UTC").unwrap());
    let period = BillingCalendar::new(Interval::Monthly, BillingTime::Calendar, at("2026-01-01T00:00:00Z"), zones)
        .period_containing(at(from));
    let due = Due {
        subscription: subscription.id,
        part,
        chain: Chain::Main,
        period,
        from: period.start,
        to: period.end,
        due_at: if in_advance { period.start } else { period.end },
        share: Proration::WHOLE,
        after: None::<Frontier>,
        closes: None,
    };
    PricedDue { due, subscription, customer, plan, entity: None, as_of: at(FEBRUARY) }
}

fn usage_fee(line: &PlannedLine, amount: i64) -> Fee {
    Fee { kind: FeeKind::Charge, amount: MinorUnits(amount), ..plan_fee(line) }
}

/// The invoice with one usage fee of `cents` for each stretch of usage.
fn made(planned: &PlannedInvoice, as_of: &str, cents: i64) -> Result<Invoice, MoneyError> {
    let planned = PlannedInvoice { as_of: at(as_of), ..planned.clone() };
    assemble(&planned, None, Vec::new(), |line, _| Ok(vec![usage_fee(line, cents)]), |_| Ok(Vec::new()))
}

const JANUARY: &str = "2026-01-01T00:00:00Z";
const FEBRUARY: &str = "2026-02-01T00:00:00Z";

#[test]
fn what_falls_due_at_one_instant_in_one_currency_shares_an_invoice_of_no_single_subscription() {
    let customer = customer(0);
    let (dollars, euros) = (plan("USD", 1000), plan("EUR", 500));
    let (one, other, third) =
        (subscription(&customer, &dollars), subscription(&customer, &dollars), subscription(&customer, &euros));
    let items = vec![
        month(&one, &customer, &dollars, Part::Usage, JANUARY, false),
        month(&other, &customer, &dollars, Part::PlanFee, JANUARY, false),
        month(&third, &customer, &euros, Part::PlanFee, JANUARY, false),
        month(&one, &customer, &dollars, Part::Usage, FEBRUARY, false),
    ];
    let planned = plan_invoices(items).unwrap();
    let sizes: Vec<_> = planned.iter().map(|invoice| (invoice.lines.len(), invoice.currency.code())).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.contains(&(2, "USD")) && sizes.contains(&(1, "EUR")) && sizes[2] == (1, "USD"));
    let shared = planned.iter().find(|invoice| invoice.lines.len() == 2).unwrap();
    let invoice = made(shared, "2026-03-01T00:00:00Z", 7).unwrap();
    assert_eq!((invoice.subscription, invoice.total), (None, MinorUnits(1007)));
    assert_eq!(invoice.total.0, invoice.fees.iter().map(|fee| fee.amount.0).sum::<i64>());
    let single = made(&planned[2], "2026-03-01T00:00:00Z", 1).unwrap();
    assert_eq!(single.subscription, Some(one.id));
}

#[test]
fn usage_of_the_last_month_and_the_fee_of_the_next_share_an_invoice_for_the_month_that_closed() {
    let (customer, plan) = (customer(0), plan("EUR", 700));
    let subscription = subscription(&customer, &plan);
    let items = vec![
        month(&subscription, &customer, &plan, Part::Usage, JANUARY, false),
        month(&subscription, &customer, &plan, Part::PlanFee, FEBRUARY, true),
    ];
    let planned = plan_invoices(items).unwrap();
    let invoice = made(&planned[0], FEBRUARY, 5).unwrap();
    assert_eq!((invoice.period_start, invoice.period_end), (at(JANUARY), at(FEBRUARY)));
    assert_eq!((invoice.issued_at, invoice.due_date), (at(FEBRUARY), at("2026-03-03T00:00:00Z")));
    let covered: Vec<_> = invoice.fees.iter().map(|fee| (fee.kind, fee.from)).collect();
    assert_eq!(covered, [(FeeKind::Subscription, at(FEBRUARY)), (FeeKind::Charge, at(JANUARY))]);
}

#[test]
fn an_invoice_of_nothing_is_issued_and_paid_and_one_inside_its_grace_period_is_a_draft() {
    let (customer, plan) = (customer(3), plan("EUR", 0));
    let subscription = subscription(&customer, &plan);
    let planned = plan_invoices(vec![month(&subscription, &customer, &plan, Part::Usage, JANUARY, false)]).unwrap();
    let made = |as_of: &str, cents| {
        let invoice = made(&planned[0], as_of, cents).unwrap();
        (invoice.status, invoice.paid_at)
    };
    assert_eq!(made("2026-02-03T23:59:59Z", 0), (InvoiceStatus::Draft, None));
    assert_eq!(made("2026-02-04T00:00:00Z", 0), (InvoiceStatus::Paid, Some(at("2026-02-04T00:00:00Z"))));
    assert_eq!(made("2026-02-04T00:00:00Z", 1), (InvoiceStatus::Finalized, None));
}

#[test]
fn the_flat_fee_says_how_many_days_of_the_plans_amount_it_is() {
    let (customer, plan) = (customer(0), plan("EUR", 1000));
    let subscription = subscription(&customer, &plan);
    let mut item = month(&subscription, &customer, &plan, Part::PlanFee, JANUARY, false);
    item.due.share = Proration { days: 6, of: 31 };
    let fee = plan_fee(&PlannedLine { due: item.due, plan: plan.clone() });
    assert_eq!(
        (fee.amount, fee.units.to_string(), fee.unit_amount.to_string()),
        (MinorUnits(194), "1".into(), "194".into())
    );
    assert_eq!(fee.properties, r#"{"plan_code":"p","plan_amount_cents":1000,"days":6,"days_of_period":31}"#);
    assert_eq!((fee.description.as_str(), fee.versions.plan), ("Basic", 3));
}

#[test]
fn amounts_past_64_bits_are_an_error_not_a_wrapped_total() {
    let (customer, plan) = (customer(0), plan("EUR", i64::MAX));
    let subscription = subscription(&customer, &plan);
    let items = vec![
        month(&subscription, &customer, &plan, Part::PlanFee, JANUARY, false),
        month(&subscription, &customer, &plan, Part::Usage, JANUARY, false),
    ];
    let planned = plan_invoices(items).unwrap();
    let error = made(&planned[0], FEBRUARY, 1).unwrap_err();
    assert_eq!(error, MoneyError::TooLarge);
}

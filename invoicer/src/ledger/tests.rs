//! The ledger on a real database: that which the module is named after.

use super::frontiers::{FrontierKey, FrontierMove};
use super::invoices::{InvoiceFilter, PageOf};
use super::run_leases::Held;
use super::runs::{RunScope, RunStatus};
use super::write::{BatchContext, NewInvoice};
use super::*;
use crate::due::{Chain, Frontier, Part, Reach};
use crate::model::{Fee, FeeKind, FeeVersions, Invoice, InvoiceKind, InvoiceStatus};
use crate::tax::InvoiceTaxes;
use crate::testing::Place;
use catalog::database::Database;
use domain::ids::{BillingRunId, ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId, PlanId};
use domain::money::MinorUnits;
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Connection};

struct Book {
    database: Database,
    _place: Place,
}

impl Book {
    async fn open() -> Self {
        let place = Place::for_module(module_path!()).await;
        let database = place.open().await;
        database.migrate(schema::COMPONENT, schema::MIGRATIONS).await.unwrap();
        Self { database, _place: place }
    }

    async fn connection(&self) -> sqlx::pool::PoolConnection<sqlx::Any> {
        self.database.pool().acquire().await.unwrap()
    }
}

fn period(month: i64) -> (Timestamp, Timestamp) {
    (Timestamp(month * 1000), Timestamp((month + 1) * 1000))
}

/// An invoice over `month` of one subscription with one charge of `cents`, billed after the month before it.
fn invoice(organization: OrganizationId, subscription: SubscriptionId, month: i64, cents: i64) -> NewInvoice {
    let (from, to) = period(month);
    let fee = Fee {
        id: FeeId::random(),
        kind: FeeKind::Charge,
        subscription: Some(subscription),
        plan: Some(PlanId(subscription.0)),
        charge: Some(ChargeId(subscription.0)),
        line_key: String::new(),
        description: "Calls".into(),
        metric_code: Some("calls".into()),
        units: "12.5".parse().unwrap(),
        unit_amount: Quantity::from(3_i64),
        amount: MinorUnits(cents),
        precise_amount: "37.5".parse().unwrap(),
        events_count: 4,
        fingerprint: Some(0xabc),
        from,
        to,
        versions: FeeVersions { plan: 2, metric: Some(1) },
        properties: r#"{"amount":"0.03"}"#.into(),
        taxes: Vec::new(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    };
    let invoice = Invoice {
        id: InvoiceId::random(),
        organization,
        customer: CustomerId(subscription.0),
        subscription: Some(subscription),
        kind: InvoiceKind::Subscription,
        status: if cents == 0 { InvoiceStatus::Paid } else { InvoiceStatus::Finalized },
        currency: Currency::USD,
        due_at: to,
        occasion: format!("usage:{subscription}:{}", from.0),
        period_start: from,
        period_end: to,
        issued_at: to,
        due_date: to,
        paid_at: (cents == 0).then_some(to),
        run: None,
        regenerated_from: None,
        entity: None,
        fees: vec![fee],
        subtotal: MinorUnits(cents),
        taxes: InvoiceTaxes::default(),
        credits: Default::default(),
        total: MinorUnits(cents),
    };
    let first = Timestamp(1000);
    let after = (month > 1).then_some(Frontier { starts_at: first, until: from });
    let key = FrontierKey { subscription, part: Part::Usage, chain: Chain::Main };
    let step = FrontierMove { organization, after, to: Frontier { starts_at: first, until: to }, late_is_billed: true };
    NewInvoice { invoice, moves: vec![(key, step)], completes: 1 }
}

async fn context(connection: &mut AnyConnection) -> BatchContext {
    let cut_id = runs::keep_positions(connection, &Cut::direct(7)).await.unwrap();
    BatchContext { run: None, cut_id, now: Timestamp(9_000_000), row_lock: "" }
}

/// Writes in a transaction, kept only when nothing else had billed it.
async fn write(connection: &mut AnyConnection, context: &BatchContext, invoices: &[NewInvoice]) -> bool {
    let mut transaction = connection.begin().await.unwrap();
    let written = write::write(&mut transaction, context, &mut invoices.to_vec()).await.unwrap();
    if written {
        transaction.commit().await.unwrap();
    } else {
        transaction.rollback().await.unwrap();
    }
    written
}

async fn refusal(connection: &mut AnyConnection, context: &BatchContext, new: &NewInvoice) -> String {
    let mut transaction = connection.begin().await.unwrap();
    write::write(&mut transaction, context, std::slice::from_mut(&mut new.clone())).await.unwrap_err().to_string()
}

async fn numbers(connection: &mut AnyConnection, organization: OrganizationId) -> Vec<Option<String>> {
    let page = PageOf { order: "number ASC, id ASC".into(), skip: 0, limit: 1000 };
    let (found, total) = invoices::list(connection, organization, &InvoiceFilter::default(), &page).await.unwrap();
    assert_eq!(total, i64::try_from(found.len()).unwrap());
    found.into_iter().map(|invoice| invoice.number).collect()
}

#[tokio::test]
async fn an_invoice_comes_back_as_it_was_written() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (organization, subscription) = (OrganizationId::random(), SubscriptionId::random());
    let context = context(&mut connection).await;
    let new = invoice(organization, subscription, 1, 38);
    assert!(write(&mut connection, &context, std::slice::from_ref(&new)).await);

    let found = invoices::get(&mut connection, organization, new.invoice.id).await.unwrap().unwrap();
    assert_eq!(found.number.as_deref(), Some("INV-000001"));
    assert_eq!((found.total, found.subtotal, found.status), (MinorUnits(38), MinorUnits(38), InvoiceStatus::Finalized));
    assert_eq!((found.period_start, found.period_end), period(1));
    let (fee, wanted) = (&found.fees[0], &new.invoice.fees[0]);
    assert_eq!((fee.units.as_str(), fee.precise_amount.as_str(), fee.unit_amount.as_str()), ("12.5", "37.5", "3"));
    assert_eq!((fee.plan, fee.line_key.as_str()), (wanted.plan, ""));
    assert_eq!((fee.id, fee.charge, fee.versions, fee.events_count), (wanted.id, wanted.charge, wanted.versions, 4));
    assert_eq!(fee.fingerprint.as_deref(), Some("00000000000000000000000000000abc"));
    assert_eq!((fee.cut.clone(), fee.properties.as_str()), (Some(Cut::direct(7)), r#"{"amount":"0.03"}"#));
    assert_eq!(fees::get_of_any(&mut connection, fee.id).await.unwrap().as_ref(), Some(fee));
}

#[tokio::test]
async fn another_organization_finds_neither_invoice_nor_fee() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (organization, other) = (OrganizationId::random(), OrganizationId::random());
    let context = context(&mut connection).await;
    let new = invoice(organization, SubscriptionId::random(), 1, 38);
    assert!(write(&mut connection, &context, std::slice::from_ref(&new)).await);
    assert_eq!(invoices::get(&mut connection, other, new.invoice.id).await.unwrap(), None);
    assert_eq!(fees::get(&mut connection, other, new.invoice.fees[0].id).await.unwrap(), None);
    assert_eq!(numbers(&mut connection, other).await, []);
}

#[tokio::test]
async fn what_another_run_has_billed_is_refused_whole_and_takes_no_number() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let organization = OrganizationId::random();
    let (one, two) = (SubscriptionId::random(), SubscriptionId::random());
    let context = context(&mut connection).await;
    assert!(write(&mut connection, &context, &[invoice(organization, one, 1, 5)]).await);

    let late =
        vec![invoice(organization, one, 1, 5), invoice(organization, one, 2, 6), invoice(organization, two, 1, 7)];
    assert!(!write(&mut connection, &context, &late).await);
    assert_eq!(numbers(&mut connection, organization).await.len(), 1);

    let billed = frontiers::read_of(&mut connection, &[one, two]).await.unwrap();
    let left = write::still_due(billed, late);
    let kept: Vec<_> = left.iter().map(|new| (new.invoice.subscription, new.invoice.total.0)).collect();
    assert_eq!(kept, [(Some(one), 6), (Some(two), 7)]);
    assert!(write(&mut connection, &context, &left).await);
    let numbers = numbers(&mut connection, organization).await;
    assert_eq!(numbers, ["INV-000001", "INV-000002", "INV-000003"].map(|text| Some(text.to_owned())));
}

#[tokio::test]
async fn several_periods_of_one_subscription_are_one_step_of_its_frontier_and_only_in_order() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (organization, subscription) = (OrganizationId::random(), SubscriptionId::random());
    let context = context(&mut connection).await;
    let months: Vec<_> = (1..=3).map(|month| invoice(organization, subscription, month, month)).collect();
    assert!(write(&mut connection, &context, &months).await);
    let all = frontiers::read_all(&mut connection, Some(organization)).await.unwrap();
    let reached = all[&subscription].get(Part::Usage, Chain::Main).unwrap();
    assert_eq!(reached, Frontier { starts_at: Timestamp(1000), until: Timestamp(4000) });

    let gap = [invoice(organization, subscription, 4, 1), invoice(organization, subscription, 6, 1)];
    let mut transaction = connection.begin().await.unwrap();
    let error = write::write(&mut transaction, &context, &mut gap.to_vec()).await.unwrap_err();
    assert!(matches!(error, LedgerError::OutOfOrder { .. }), "{error}");
}

#[tokio::test]
async fn one_fee_of_a_period_cannot_stand_in_the_ledger_twice() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (organization, subscription) = (OrganizationId::random(), SubscriptionId::random());
    let context = context(&mut connection).await;
    assert!(write(&mut connection, &context, &[invoice(organization, subscription, 1, 5)]).await);
    // Behind the frontier's back: the keys of the tables still hold.
    let mut again = invoice(organization, subscription, 1, 5);
    again.moves.clear();
    let refused = refusal(&mut connection, &context, &again).await;
    assert!(refused.contains("exists already") && refused.contains("invoices"), "{refused}");
    again.invoice.occasion = "other".into();
    let refused_by_fee = refusal(&mut connection, &context, &again).await;
    assert!(refused_by_fee.contains("exists already") && refused_by_fee.contains("fees"), "{refused_by_fee}");
}

#[tokio::test]
async fn numbers_are_counted_per_organization_and_drafts_have_none() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (one, two) = (OrganizationId::random(), OrganizationId::random());
    let context = context(&mut connection).await;
    let mut draft = invoice(one, SubscriptionId::random(), 1, 5);
    draft.invoice.status = InvoiceStatus::Draft;
    let batch = [
        invoice(one, SubscriptionId::random(), 1, 5),
        draft,
        invoice(two, SubscriptionId::random(), 1, 5),
        invoice(one, SubscriptionId::random(), 1, 0),
    ];
    assert!(write(&mut connection, &context, &batch).await);
    let mut of_one = numbers(&mut connection, one).await;
    of_one.sort();
    assert_eq!(of_one, [None, Some("INV-000001".into()), Some("INV-000002".into())]);
    assert_eq!(numbers(&mut connection, two).await, [Some("INV-000001".into())]);
}

async fn counted(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: InvoiceFilter,
    limit: i64,
) -> (usize, i64) {
    let page = PageOf { order: "created_at DESC, id DESC".into(), skip: 0, limit };
    let (found, total) = invoices::list(connection, organization, &filter, &page).await.unwrap();
    (found.len(), total)
}

#[tokio::test]
async fn lists_are_filtered_counted_and_paged_in_a_total_order() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let organization = OrganizationId::random();
    let subscriptions: Vec<_> = (0..3).map(|_| SubscriptionId::random()).collect();
    let context = context(&mut connection).await;
    let batch: Vec<_> = subscriptions
        .iter()
        .flat_map(|subscription| (1..=4).map(|month| invoice(organization, *subscription, month, month - 1)))
        .collect();
    assert!(write(&mut connection, &context, &batch).await);

    let page = |skip, limit| PageOf { order: "total_cents DESC, id DESC".into(), skip, limit };
    let all = InvoiceFilter::default();
    let (first, total) = invoices::list(&mut connection, organization, &all, &page(0, 5)).await.unwrap();
    let (rest, _) = invoices::list(&mut connection, organization, &all, &page(5, 100)).await.unwrap();
    assert_eq!((first.len(), rest.len(), total), (5, 7, 12));
    let mut ids: Vec<_> = first.iter().chain(&rest).map(|invoice| invoice.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);

    let paid = InvoiceFilter { status: Some(InvoiceStatus::Paid), ..all };
    assert_eq!(counted(&mut connection, organization, paid, 1).await, (1, 3));
    let of_one = InvoiceFilter { subscription: Some(subscriptions[1]), ..all };
    assert_eq!(counted(&mut connection, organization, of_one, 100).await, (4, 4));

    let fee_page = PageOf { order: "amount_cents DESC, id DESC".into(), skip: 1, limit: 2 };
    let filter = fees::FeeFilter { subscription: Some(subscriptions[0]), ..fees::FeeFilter::default() };
    let (second, of_four) = fees::list(&mut connection, organization, &filter, &fee_page).await.unwrap();
    assert_eq!((second.iter().map(|fee| fee.amount.0).collect::<Vec<_>>(), of_four), (vec![2, 1], 4));
}

fn newest(limit: i64) -> PageOf {
    PageOf { order: "started_at DESC, id DESC".into(), skip: 0, limit }
}

#[tokio::test]
async fn a_run_of_a_scope_that_is_going_on_is_found_again_and_ends_with_its_figures() {
    let book = Book::open().await;
    let mut connection = book.connection().await;
    let (organization, subscription) = (OrganizationId::random(), SubscriptionId::random());
    let scope =
        RunScope { organization: Some(organization), as_of: Timestamp(5000), dry_run: false, reach: Reach::Everything };
    let (id, new) = runs::start(&mut connection, BillingRunId::random(), &scope, Timestamp(1)).await.unwrap();
    assert!(new);
    let again = runs::start(&mut connection, BillingRunId::random(), &scope, Timestamp(2)).await.unwrap();
    assert_eq!(again, (id, false));
    let dry = RunScope { dry_run: true, ..scope };
    assert!(runs::start(&mut connection, BillingRunId::random(), &dry, Timestamp(2)).await.unwrap().1);

    let cut_id = runs::keep_cut(&mut connection, id, &Cut::direct(3)).await.unwrap();
    runs::set_open(&mut connection, id, 2).await.unwrap();
    runs::set_status(&mut connection, id, RunStatus::Invoicing).await.unwrap();
    let context = BatchContext { run: Some(id), cut_id, now: Timestamp(8), row_lock: "" };
    let mut first = invoice(organization, subscription, 1, 38);
    first.invoice.run = Some(id);
    assert!(write(&mut connection, &context, &[first]).await);
    assert_eq!(runs::unfinished(&mut connection).await.unwrap().len(), 2);

    let going = runs::get(&mut connection, Some(organization), id).await.unwrap().unwrap();
    assert_eq!((going.status, going.subscriptions_total, going.subscriptions_done), (RunStatus::Invoicing, 2, 1));
    assert_eq!((going.invoices_created, going.totals.get(&Currency::USD)), (1, Some(&MinorUnits(38))));
    assert_eq!(going.cut.unwrap().1, Cut::direct(3));

    let away = Some("the store is away");
    assert!(run_leases::take(&mut connection, id, 0, "a").await.unwrap());
    assert!(!run_leases::take(&mut connection, id, 0, "b").await.unwrap(), "another was first");
    assert!(!runs::finish(&mut connection, id, "b", away, Timestamp(9)).await.unwrap());
    run_leases::release(&mut connection, id, "b").await.unwrap();
    let held = run_leases::read(&mut connection, id).await.unwrap();
    assert_eq!(held, Some(Held { holder: Some("a".into()), beat: 1 }));
    assert!(runs::finish(&mut connection, id, "a", away, Timestamp(9)).await.unwrap());
    assert_eq!(run_leases::read(&mut connection, id).await.unwrap(), None);
    let failed = runs::get(&mut connection, None, id).await.unwrap().unwrap();
    assert_eq!((failed.status, failed.error.as_deref()), (RunStatus::Failed, Some("the store is away")));
    assert!(runs::start(&mut connection, BillingRunId::random(), &scope, Timestamp(10)).await.unwrap().1);
    assert_eq!(runs::get(&mut connection, Some(OrganizationId::random()), id).await.unwrap(), None);
    let (page, total) = runs::list(&mut connection, Some(organization), &newest(2)).await.unwrap();
    assert_eq!((page.len(), total), (2, 3));
    assert_eq!(runs::list(&mut connection, None, &newest(10)).await.unwrap().1, 3);
}

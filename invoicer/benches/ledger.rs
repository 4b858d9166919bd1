//! Writing invoices: batches of 2,000 with four fees each, in transactions that wait for the disk.
//!
//! The baseline of the same run is one invoice a transaction: what writing in sets gains.

use catalog::database::Database;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::ids::{ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use invoicer::due::{Chain, Frontier, Part};
use invoicer::ledger::frontiers::{FrontierKey, FrontierMove};
use invoicer::ledger::write::{BatchContext, NewInvoice, write};
use invoicer::ledger::{runs, schema};
use invoicer::model::{Fee, FeeKind, FeeVersions, Invoice, InvoiceKind, InvoiceStatus};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const FEES: usize = 4;

fn new_invoice(organization: OrganizationId) -> NewInvoice {
    let subscription = SubscriptionId::random();
    let (from, to) = (Timestamp(0), Timestamp(2_678_400_000_000));
    let fees: Vec<Fee> = (0..FEES).map(|place| fee(subscription, place, from, to)).collect();
    let invoice = Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization,
        customer: CustomerId::random(),
        subscription: Some(subscription),
        kind: InvoiceKind::Subscription,
        status: InvoiceStatus::Finalized,
        currency: Currency::USD,
        due_at: to,
        occasion: format!("usage:{subscription}:0"),
        period_start: from,
        period_end: to,
        issued_at: to,
        due_date: to,
        paid_at: None,
        run: None,
        regenerated_from: None,
        entity: None,
        fees,
        subtotal: MinorUnits(1500),
        taxes: invoicer::tax::InvoiceTaxes::default(),
        credits: Default::default(),
        total: MinorUnits(1500),
    };
    let key = FrontierKey { subscription, part: Part::Usage, chain: Chain::Main };
    let to = Frontier { starts_at: from, until: to };
    let step = FrontierMove { organization, after: None, to, late_is_billed: true };
    NewInvoice { invoice, moves: vec![(key, step)], completes: 1 }
}

fn fee(subscription: SubscriptionId, place: usize, from: Timestamp, to: Timestamp) -> Fee {
    Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Charge,
        subscription: Some(subscription),
        plan: Some(PlanId::random()),
        charge: Some(ChargeId(uuid::Uuid::from_u128(place as u128))),
        line_key: String::new(),
        description: "Generated tokens".into(),
        metric_code: Some("generated_tokens".into()),
        units: Quantity::from(123_456_u64),
        unit_amount: Quantity::new(3, 1),
        amount: MinorUnits(375),
        precise_amount: Quantity::new(3746, 1),
        events_count: 100,
        fingerprint: Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        from,
        to,
        versions: FeeVersions { plan: 1, metric: Some(1) },
        properties: r#"{"amount":"0.003","charge_model":"standard"}"#.into(),
        taxes: Vec::new(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    }
}

async fn written(database: &Database, context: &BatchContext, invoices: &[NewInvoice], at_once: usize) -> Duration {
    let started = Instant::now();
    for batch in invoices.chunks(at_once) {
        let mut transaction = database.write().await.expect("a ledger to write to");
        assert!(write(transaction.connection(), context, &mut batch.to_vec()).await.expect("invoices are written"));
        transaction.commit().await.expect("the transaction commits");
    }
    started.elapsed()
}

fn ledger(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let (database, context) = runtime.block_on(async {
        let database = Database::open_in(folder.path()).await.expect("a database");
        database.migrate(schema::COMPONENT, schema::MIGRATIONS).await.expect("tables");
        let mut transaction = database.write().await.expect("a ledger to write to");
        let cut_id = runs::keep_positions(transaction.connection(), &Cut::direct(1)).await.expect("a cut");
        transaction.commit().await.expect("the cut is kept");
        (database, BatchContext { run: None, cut_id, now: Timestamp(0), row_lock: "" })
    });
    let organization = OrganizationId::random();
    let mut group = criterion.benchmark_group("invoices written, four fees each");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for (invoices, at_once) in [(50_u32, 1), (2000, 2000), (20_000, 2000)] {
        group.throughput(Throughput::Elements(u64::from(invoices)));
        group.bench_function(BenchmarkId::new(format!("{at_once} a transaction"), invoices), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let made: Vec<NewInvoice> = (0..invoices).map(|_| new_invoice(organization)).collect();
                    spent += runtime.block_on(written(&database, &context, &made, at_once));
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);

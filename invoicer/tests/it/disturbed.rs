//! Runs on the real parts that are cut off, repeated, or run side by side bill what an undisturbed one bills.

use super::support::{Installation, everything, runs_over};
use catalog::{Catalog, Database};
use invoicer::{Portions, Unobserved};
use sqlx::Row;
use std::pin::pin;
use std::task::Poll;

const FEW: Portions = Portions { stretches_rated: 7, invoices_written: 3 };
const AS_OF: &str = "2026-08-01T00:00:00Z";

async fn busy() -> Installation {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let mut events = Vec::new();
    let names: Vec<String> = (0..15).map(|number| format!("c{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        tenant.subscriber(name, &plan, ["2026-05-01T00:00:00Z", "2026-06-10T00:00:00Z"][number % 2]).await;
        for day in 0..number {
            events.push((name.as_str(), "", "calls", ["2026-06-15T00:00:00Z", "2026-07-15T00:00:00Z"][day % 2], "{}"));
        }
    }
    tenant.send(&events).await;
    installation
}

/// Everything the ledger says of invoices and fees, but for ids, times and the numbers that depend on the order of runs.
pub(super) async fn statement(database: &Database) -> Vec<String> {
    let sql = "SELECT i.customer_id || ' ' || i.due_at || ' ' || i.status || ' ' || i.total_cents || ' | ' || f.line || ' '
                   || f.fee_type || ' ' || f.charge_id || ' ' || f.period_start || ' ' || f.period_end || ' ' || f.units
                   || ' ' || f.amount_cents || ' ' || f.events_count || ' ' || COALESCE(f.event_fingerprint, '-') AS line
               FROM invoices i JOIN fees f ON f.invoice_id = i.id ORDER BY 1";
    let rows = sqlx::query(sql).fetch_all(database.pool()).await.unwrap();
    rows.iter().map(|row| row.get("line")).collect()
}

pub(super) async fn assert_numbers_have_no_gap(database: &Database) {
    let sql = "SELECT COUNT(*) AS issued, COUNT(DISTINCT number) AS numbers, MAX(number) AS last FROM invoices";
    let row = sqlx::query(sql).fetch_one(database.pool()).await.unwrap();
    let [issued, numbers, last] = ["issued", "numbers", "last"].map(|name| row.get::<i64, _>(name));
    assert_eq!((issued, numbers), (last, last));
}

/// Polls a future at most `polls` times, then drops it where it stands; answers how often it was polled.
async fn cut_off_after<F: Future>(polls: u32, future: F) -> u32 {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        if polled == polls || future.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        polled += 1;
        Poll::Pending
    })
    .await;
    polled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_cut_off_again_and_again_bills_what_an_undisturbed_one_bills() {
    let installation = busy().await;
    // The same catalog in a ledger of its own: copied before anything is billed.
    let other = installation.copy_of_ledger().await;
    let undisturbed = runs_over(&other, &installation.store, &installation.clock, FEW).await;
    let polls = cut_off_after(u32::MAX, undisturbed.run_to_end(everything(AS_OF), &Unobserved)).await;
    let wanted = statement(undisturbed.database()).await;
    assert!(wanted.len() > 100 && polls > 50, "{} fees, {polls} points to cut off at", wanted.len());

    let disturbed = runs_over(&installation.catalog, &installation.store, &installation.clock, FEW).await;
    for share in 1..10 {
        cut_off_after(polls * share / 10, disturbed.run_to_end(everything(AS_OF), &Unobserved)).await;
    }
    let ended = disturbed.run_to_end(everything(AS_OF), &Unobserved).await.unwrap();
    assert_eq!(ended.error, None);
    assert_eq!(statement(disturbed.database()).await, wanted);
    assert_numbers_have_no_gap(disturbed.database()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_bill_at_once_bill_each_thing_once() {
    let installation = busy().await;
    let beside = Catalog::open(Database::open(&installation.url).await.unwrap()).await.unwrap();
    let one = runs_over(&installation.catalog, &installation.store, &installation.clock, FEW).await;
    let two = runs_over(&beside, &installation.store, &installation.clock, FEW).await;
    let later = everything("2026-08-01T00:00:00.000001Z");
    let (first, second) =
        tokio::join!(one.run_to_end(everything(AS_OF), &Unobserved), two.run_to_end(later, &Unobserved));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.error, second.error), (None, None));
    // May, June and July of those who began in May; June and July of those who began in June.
    assert_eq!(first.invoices_created + second.invoices_created, 8 * 3 + 7 * 2);
    assert_numbers_have_no_gap(one.database()).await;
    assert_eq!(one.run_to_end(everything(AS_OF), &Unobserved).await.unwrap().invoices_created, 0);
}

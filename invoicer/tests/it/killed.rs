//! A billing run over 20,000 subscriptions whose process is killed (SIGKILL) again and again, and is finished by two processes at
//! once: the invoices are those of an undisturbed run, equal but for ids and times; numbers without gap.

use super::disturbed::{assert_numbers_have_no_gap, statement};
use super::support::{Installation, at, everything, from, runs_over};
use aggregator::{EventStore, StoreConfig};
use catalog::{Catalog, Database};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use http_api::FixedClock;
use invoicer::{Lease, Portions, RunScope, Unobserved, check_ledger};
use serde_json::json;
use sqlx::Row;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SUBSCRIPTIONS: u64 = 20_000;
const AS_OF: &str = "2026-08-01T00:00:00Z";
/// Many small transactions: many places to die between.
const PORTIONS: Portions = Portions { stretches_rated: 4_000, invoices_written: 250 };
/// Where the child finds ledger and store.
const LEDGER: &str = "TOLLGATE_TEST_LEDGER";
const STORE: &str = "TOLLGATE_TEST_STORE";
const LATER: &str = "TOLLGATE_TEST_LATER";

fn scope(later: bool) -> RunScope {
    let mut scope = everything(AS_OF);
    // Another instant is another run: it does not join the first.
    scope.as_of.0 += i64::from(later);
    scope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the tests of this file start and kill"]
async fn a_process_that_bills() {
    let (Ok(url), Ok(store)) = (std::env::var(LEDGER), std::env::var(STORE)) else { return };
    let [address, user, password, database] = serde_json::from_str::<[String; 4]>(&store).unwrap();
    let config = StoreConfig { url: address, user, password, database };
    let catalog = Catalog::open(Database::open(&url).await.unwrap()).await.unwrap();
    let store = EventStore::open(config).await.unwrap();
    // As of one data directory: the next start takes up at once what the last one had.
    let lease = Lease { holder: "the one that bills".into(), ..Lease::default() };
    let runs = runs_over(&catalog, &store, &FixedClock::at(at(AS_OF)), PORTIONS).await.leasing(lease);
    let ended = runs.run_to_end(scope(std::env::var(LATER).is_ok()), &Unobserved).await.unwrap();
    assert_eq!(ended.error, None);
}

fn child(installation: &Installation, later: bool) -> Child {
    let config = &installation.config;
    let store = json!([config.url, config.user, config.password, config.database]).to_string();
    let name = format!("{}::a_process_that_bills", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--ignored"]).env(LEDGER, &installation.url).env(STORE, store);
    command.stdout(std::process::Stdio::null());
    if later {
        command.env(LATER, "1");
    }
    command.spawn().unwrap()
}

async fn invoices(database: &Database) -> u64 {
    let row = sqlx::query("SELECT COUNT(*) AS written FROM invoices").fetch_one(database.pool()).await.unwrap();
    u64::try_from(row.get::<i64, _>("written")).unwrap()
}

/// 20,000 customers with one subscription each, an event for every second one.
async fn crowd() -> Installation {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let now = at("2026-01-01T00:00:00Z");
    let metric = json!({"code": "calls", "name": "calls", "aggregation_type": "count"});
    let metric = installation.catalog.create_metric(tenant.organization, from(metric), now).await.unwrap().id;
    let charges = json!([{"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "0.10"}}]);
    let plan = json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": 1000, "charges": charges});
    let plan = installation.catalog.create_plan(tenant.organization, &from(plan), now).await.unwrap().id.to_string();
    let (customer, subscription) = tenant.subscriber("c0", &plan, "2026-07-01T00:00:00Z").await;
    let more =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})", SUBSCRIPTIONS - 1);
    let id = |of: &str| format!("'00000000-0000-4000-{of}000-' || CAST(100000000000 + i AS TEXT)");
    let customers = format!(
        "{more} INSERT INTO customers (id, organization_id, external_id, name, email, currency, timezone, timezones,
             billing_metadata, invoice_grace_period, net_payment_term, created_at, updated_at)
         SELECT {}, organization_id, 'c' || CAST(i AS TEXT), name, email, currency, timezone, timezones, billing_metadata,
             invoice_grace_period, net_payment_term, created_at, updated_at FROM customers, n WHERE id = '{customer}'",
        id("8")
    );
    let subscriptions = format!(
        "{more} INSERT INTO subscriptions (id, organization_id, external_id, customer_id, plan_id, status, billing_time,
             pay_in_advance, trial_period_days, on_termination_action, subscription_at, started_at, activated_at,
             created_at, updated_at)
         SELECT {}, organization_id, 's' || CAST(i AS TEXT), {}, plan_id, status, billing_time, pay_in_advance,
             trial_period_days, on_termination_action, subscription_at, started_at, activated_at, created_at + i, updated_at
         FROM subscriptions, n WHERE id = '{subscription}'",
        id("9"),
        id("8")
    );
    for sql in [customers, subscriptions] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(installation.catalog.database().pool()).await.unwrap();
    }
    let mut batch = EventBatch::new(tenant.organization, installation.clock_now());
    for number in (0..SUBSCRIPTIONS).step_by(2) {
        let (transaction_id, customer) = (format!("k-{number}"), format!("c{number}"));
        let content = Content {
            code: "calls",
            customer: &customer,
            subscription: "",
            properties: "{}",
            precise_total_amount_cents: "",
        };
        batch.push(&EventRow { transaction_id: &transaction_id, timestamp: at("2026-07-15T00:00:00Z"), content });
    }
    installation.writer.accept(Arc::new(batch)).await.unwrap();
    installation
}

/// Kills the process that bills so often, each time somewhere else, and lets two at once finish.
async fn killed(kills: u64) {
    let installation = crowd().await;
    let other = installation.copy_of_ledger().await;
    let undisturbed = runs_over(&other, &installation.store, &installation.clock, Portions::default()).await;
    assert_eq!(undisturbed.run_to_end(scope(false), &Unobserved).await.unwrap().error, None);
    let wanted = statement(undisturbed.database()).await;
    assert_eq!(wanted.len() as u64, SUBSCRIPTIONS * 2);

    let database = installation.catalog.database();
    let mut seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    println!("seed {seed}");
    for _ in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let written = invoices(database).await;
        // Somewhere in the next share of the work, or, where that is nothing, while the process starts.
        let goal = written + (seed >> 33) % (SUBSCRIPTIONS / (kills + 1));
        let mut process = child(&installation, false);
        let (started, patience) = (Instant::now(), Duration::from_millis((seed >> 20) % 500));
        while invoices(database).await < goal || (goal == written && started.elapsed() < patience) {
            assert!(process.try_wait().unwrap().is_none(), "it ended before it was killed");
            assert!(started.elapsed() < Duration::from_secs(120), "it does not bill");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let written = invoices(database).await;
    assert!(written < SUBSCRIPTIONS, "all was written before the last kill");
    let mut both = [child(&installation, false), child(&installation, true)];
    let ended = tokio::task::spawn_blocking(move || both.each_mut().map(|one| one.wait().unwrap().success()));
    assert_eq!(ended.await.unwrap(), [true, true]);
    let found = statement(database).await;
    assert!(found == wanted, "{} lines instead of {}", found.len(), wanted.len());
    assert_numbers_have_no_gap(database).await;
    let report = check_ledger(database).await.unwrap();
    assert!(report.holds, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_over_20_000_subscriptions_that_is_killed_three_times_bills_what_an_undisturbed_one_bills() {
    killed(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: fifty kills take minutes"]
async fn a_run_over_20_000_subscriptions_that_is_killed_fifty_times_bills_what_an_undisturbed_one_bills() {
    killed(50).await;
}

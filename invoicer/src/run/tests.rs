//! Runs against a ledger on a real database (that which the module is named after): undisturbed, cut off, repeated, side by side.

use super::Portions;
use super::progress::{Done, DoneKind, Unobserved};
use crate::due::Reach;
use crate::ledger::invoices::PageOf;
use crate::ledger::runs::{RunScope, RunStatus};
use crate::testing::{Bench, Catalog, at, cut_off_after, everything, statement, with_polls};
use domain::ids::OrganizationId;
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

fn organization(number: u128) -> OrganizationId {
    OrganizationId(uuid::Uuid::from_u128(number))
}

/// Two organizations; customers with one, two and three subscriptions, some of them ended or without usage.
fn busy_catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let plan = catalog.plan(1000, &["calls", "bytes"]);
    let free = catalog.plan(0, &["calls"]);
    for number in 0..12 {
        let customer = catalog.customer(organization(1 + number % 2));
        for subscription in 0..=number % 3 {
            let started_at = ["2026-04-10T00:00:00Z", "2026-05-01T00:00:00Z"][usize::from(subscription == 1)];
            catalog.subscribe(customer, if number == 4 { free } else { plan }, started_at);
        }
    }
    catalog.subscriptions[3].ended_at = Some(at("2026-05-20T12:00:00Z"));
    catalog
}

/// Runs with many points between transactions.
const FEW: Portions = Portions { stretches_rated: 20, invoices_written: 3 };

fn newest() -> PageOf {
    PageOf { order: "started_at DESC, id DESC".into(), skip: 0, limit: 10 }
}

const AS_OF: &str = "2026-07-01T00:00:00Z";

#[tokio::test]
async fn a_second_run_creates_nothing_and_numbers_have_no_gap() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let first = bench.bill(AS_OF).await;
    assert_eq!((first.status, first.error.as_deref()), (RunStatus::Completed, None));
    assert_eq!(first.subscriptions_done, 24);
    assert_eq!(first.subscriptions_total, 24);
    let before = bench.statement().await;
    let invoices: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM invoices").fetch_one(bench.database().pool()).await.unwrap();
    assert_eq!(first.invoices_created, invoices);
    let total: i64 = sqlx::query_scalar("SELECT CAST(SUM(total_cents) AS BIGINT) FROM invoices")
        .fetch_one(bench.database().pool())
        .await
        .unwrap();
    assert_eq!(first.totals.get(&Currency::USD), Some(&MinorUnits(total)));
    bench.assert_numbers_have_no_gap().await;

    let second = bench.bill(AS_OF).await;
    assert_eq!((second.status, second.invoices_created, second.subscriptions_total), (RunStatus::Completed, 0, 0));
    assert_eq!(bench.statement().await, before);
}

#[tokio::test]
async fn however_many_subscriptions_there_are_they_are_rated_in_one_go() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    bench.bill(AS_OF).await;
    assert_eq!(bench.inputs.ratings.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_invoice_is_the_sum_of_its_fees_and_every_charge_has_a_fee_also_of_nothing() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    bench.bill(AS_OF).await;
    let wrong: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM invoices i WHERE subtotal_cents <> total_cents OR total_cents <>
             (SELECT SUM(amount_cents) FROM fees WHERE invoice_id = i.id)",
    )
    .fetch_one(bench.database().pool())
    .await
    .unwrap();
    assert_eq!(wrong, 0);
    let fees = bench.statement().await;
    assert!(fees.iter().any(|line| line.contains(" charge ") && line.contains(" 0 0 0 ")), "a fee of nothing");
    assert!(fees.iter().any(|line| line.contains(" paid ")), "an invoice of nothing is paid");
}

#[allow(clippy::float_arithmetic, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A place to cut, not money.
fn share_of(polls: u32, share: f64) -> u32 {
    (f64::from(polls) * share) as u32
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn a_run_cut_off_anywhere_any_number_of_times_ends_as_an_undisturbed_one(cuts in prop::collection::vec(0.0..1.0_f64, 1..6)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let undisturbed = Bench::on(module_path!(), busy_catalog(), FEW).await;
            let (whole, polls) = with_polls(undisturbed.bill(AS_OF)).await;
            // On a server fewer than on a file: several rows arrive at once.
            assert!(polls > 30, "{polls} points to cut off at are too few");

            let disturbed = Bench::on(module_path!(), busy_catalog(), FEW).await;
            for cut in cuts {
                let run = disturbed.runs.run_to_end(everything(AS_OF), &Unobserved);
                // Whether it came to its end before the cut makes no difference.
                let _ = cut_off_after(share_of(polls, cut), run).await;
            }
            let ended = disturbed.bill(AS_OF).await;
            assert_eq!(ended.error, None);
            assert_eq!(whole.error, None);
            disturbed.assert_numbers_have_no_gap().await;
            assert_eq!(disturbed.statement().await, undisturbed.statement().await);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_in_two_processes_bill_each_thing_once() {
    let alone = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    alone.bill(AS_OF).await;
    let wanted = statement(alone.database(), false).await;
    for _ in 0..5 {
        let bench = Bench::on(module_path!(), busy_catalog(), FEW).await;
        let other = bench.other_process().await;
        // Another scope, so that the second is a run of its own.
        let other_scope = RunScope { as_of: at("2026-07-01T00:00:01Z"), ..everything(AS_OF) };
        let (one, two) = tokio::join!(
            bench.runs.run_to_end(everything(AS_OF), &Unobserved),
            other.run_to_end(other_scope, &Unobserved)
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.error, two.error), (None, None));
        assert_eq!(statement(bench.database(), false).await, wanted);
        bench.assert_numbers_have_no_gap().await;
        let invoices: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM invoices").fetch_one(bench.database().pool()).await.unwrap();
        assert_eq!(one.invoices_created + two.invoices_created, invoices);
    }
}

#[tokio::test]
async fn a_run_that_is_taken_up_again_rates_at_the_cut_it_had() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let mut polls = 0;
    // Cut off later and later until it has a cut but no end.
    let kept = loop {
        polls += 1;
        assert!(cut_off_after(polls, bench.runs.run_to_end(everything(AS_OF), &Unobserved)).await.is_none());
        let runs = bench.runs.list(None, &newest()).await.unwrap().0;
        if let Some((_, cut)) = runs.first().and_then(|run| run.cut.clone()) {
            break cut;
        }
    };
    bench.inputs.position.store(500, Ordering::SeqCst);
    assert_eq!(bench.runs.resume().await.unwrap(), 1);
    let ended = loop {
        let run = bench.runs.list(None, &newest()).await.unwrap().0.remove(0);
        if run.status.is_final() {
            break run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!((ended.error, ended.cut.unwrap().1), (None, kept));
    assert!(bench.statement().await.iter().all(|line| !line.contains("\"offset\":500")));
    assert_eq!(bench.runs.resume().await.unwrap(), 0);
}

#[tokio::test]
async fn a_subscription_that_cannot_be_rated_is_named_keeps_no_other_back_and_is_billed_in_order_once_repaired() {
    let undisturbed = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    undisturbed.bill(AS_OF).await;

    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let broken = bench.inputs.catalog.lock().unwrap().subscriptions[0].id;
    bench.inputs.broken.lock().unwrap().insert(broken);
    let failed = bench.bill(AS_OF).await;
    let error = failed.error.unwrap();
    assert_eq!(failed.status, RunStatus::Failed);
    assert!(error.starts_with("3 could not be billed, everything else was; customer "), "{error}");
    assert!(error.contains("has no version") && error.contains("an earlier period of it is not billed"), "{error}");
    let statement_of =
        |lines: Vec<String>| lines.into_iter().filter(|line| !line.contains(&broken.to_string())).count();
    assert_eq!(statement_of(bench.statement().await), statement_of(undisturbed.statement().await));

    bench.inputs.broken.lock().unwrap().clear();
    assert_eq!(bench.bill(AS_OF).await.error, None);
    assert_eq!(statement(bench.database(), false).await, statement(undisturbed.database(), false).await);
    bench.assert_numbers_have_no_gap().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_fails_the_run_with_its_reason_and_the_next_one_bills() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    *bench.inputs.store_error.lock().unwrap() = Some("partition 7 stands still at 41 of 99".into());
    let failed = bench.bill(AS_OF).await;
    assert_eq!(
        (failed.status, failed.error.as_deref()),
        (RunStatus::Failed, Some("partition 7 stands still at 41 of 99"))
    );
    assert_eq!(bench.statement().await, Vec::<String>::new());
    *bench.inputs.store_error.lock().unwrap() = None;
    assert_eq!(bench.bill(AS_OF).await.status, RunStatus::Completed);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_billed_and_writes_none_of_it() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let dry = RunScope { dry_run: true, ..everything(AS_OF) };
    let imagined = bench.runs.run_to_end(dry, &Unobserved).await.unwrap();
    assert_eq!(bench.statement().await, Vec::<String>::new());
    let real = bench.bill(AS_OF).await;
    assert_eq!((imagined.invoices_created, imagined.totals), (real.invoices_created, real.totals));
    assert_eq!(imagined.subscriptions_done, real.subscriptions_done);
}

fn one_customer(grace: u32) -> Catalog {
    let mut catalog = Catalog::default();
    let plan = catalog.plan(1000, &["calls"]);
    let customer = catalog.customer(organization(1));
    catalog.customers[0].invoice_grace_period_days = grace;
    catalog.subscribe(customer, plan, "2026-06-01T00:00:00Z");
    catalog
}

#[tokio::test]
async fn a_draft_is_issued_when_its_days_of_grace_are_over_with_what_arrived_meanwhile() {
    let bench = Bench::on(module_path!(), one_customer(3), Portions::default()).await;
    let made = bench.bill(AS_OF).await;
    let draft = bench.statement().await;
    assert_eq!((made.invoices_created, draft.len()), (1, 2));
    assert!(draft.iter().all(|line| line.contains(" 0 draft ")), "{draft:?}");

    bench.inputs.position.store(41, Ordering::SeqCst);
    bench.bill("2026-07-03T23:59:59Z").await;
    assert_eq!(bench.statement().await, draft);
    bench.bill("2026-07-04T00:00:00Z").await;
    let issued = bench.statement().await;
    assert_eq!(issued.len(), 2);
    // 5000 % 97 = 53: 53 units a day, 30 days, and as many more as the cut has moved.
    let usage = 53 * 30;
    assert!(draft[1].contains(&format!(" {} {} {} ", usage + 1, usage + 1, usage + 1)), "{draft:?}");
    assert!(issued[1].contains(&format!(" {} {} {} ", usage + 41, usage + 41, usage + 41)), "{issued:?}");
    assert!(
        issued
            .iter()
            .all(|line| line.contains(" 1 finalized ") && line.contains(&format!(" {} | ", 1000 + usage + 41)))
    );
    assert_eq!(bench.bill("2026-07-05T00:00:00Z").await.invoices_created, 0);
    assert_eq!(bench.statement().await, issued);
}

#[tokio::test]
async fn a_period_billed_after_its_days_of_grace_is_issued_at_once() {
    let bench = Bench::on(module_path!(), one_customer(3), Portions::default()).await;
    bench.bill("2026-07-20T00:00:00Z").await;
    assert!(bench.statement().await.iter().all(|line| line.contains(" 1 finalized ")));
}

#[tokio::test]
async fn a_sandbox_lists_what_its_clock_did_in_the_order_of_due_instants() {
    let mut catalog = one_customer(2);
    let plan = catalog.plan(500, &[]);
    let other = catalog.customer(organization(1));
    catalog.subscribe(other, plan, "2026-05-01T00:00:00Z");
    let bench = Bench::on(module_path!(), catalog, Portions::default()).await;
    let done = bench.runs.bill_sandbox_until(organization(1), at("2026-07-01T00:00:00Z")).await.unwrap();
    let seen: Vec<_> = done.iter().map(|Done { at, what, .. }| (at.to_string(), *what)).collect();
    assert_eq!(
        seen,
        [
            ("2026-06-01T00:00:00Z".to_owned(), DoneKind::InvoiceFinalized),
            ("2026-07-01T00:00:00Z".to_owned(), DoneKind::InvoiceDrafted),
            ("2026-07-01T00:00:00Z".to_owned(), DoneKind::InvoiceFinalized),
        ]
    );
    assert_eq!(bench.runs.bill_sandbox_until(organization(1), at("2026-07-02T00:00:00Z")).await.unwrap(), []);
    let issued = bench.runs.bill_sandbox_until(organization(1), at("2026-07-03T00:00:00Z")).await.unwrap();
    assert_eq!((issued[0].at, issued[0].what), (at("2026-07-03T00:00:00Z"), DoneKind::InvoiceFinalized));
    assert_eq!(bench.runs.list(None, &newest()).await.unwrap().1, 2, "a clock moved without anything due makes no run");
}

#[tokio::test]
async fn a_run_over_all_organizations_bills_a_sandbox_by_its_own_clock_and_the_scheduler_none() {
    let mut catalog = one_customer(0);
    catalog.sandboxes.insert(organization(1), at("2026-06-30T00:00:00Z"));
    let bench = Bench::on(module_path!(), catalog, Portions::default()).await;
    assert_eq!(bench.bill(AS_OF).await.invoices_created, 0);
    bench.inputs.catalog.lock().unwrap().sandboxes.insert(organization(1), at("2026-07-02T00:00:00Z"));
    let scheduled = RunScope { reach: Reach::SinceCreation, ..everything("2026-07-03T00:00:00Z") };
    let nothing = bench.runs.run_to_end(scheduled, &Unobserved).await.unwrap();
    assert_eq!(nothing.invoices_created, 0);
    assert_eq!(bench.bill("2026-07-03T00:00:00Z").await.invoices_created, 1);
}

#[tokio::test]
async fn while_a_run_goes_on_a_second_start_of_its_scope_finds_it() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let first = bench.runs.start(everything(AS_OF)).await.unwrap();
    let second = bench.runs.start(everything(AS_OF)).await.unwrap();
    assert_eq!(first.id, second.id);
    while !bench.runs.get(None, first.id).await.unwrap().unwrap().status.is_final() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let third = bench.runs.start(everything(AS_OF)).await.unwrap();
    assert_ne!(first.id, third.id);
}

#[tokio::test]
async fn a_stopped_process_leaves_its_runs_to_the_next_one() {
    let bench = Bench::on(module_path!(), busy_catalog(), FEW).await;
    let started = bench.runs.start(everything(AS_OF)).await.unwrap();
    bench.runs.stop().await;
    let left = bench.runs.get(None, started.id).await.unwrap().unwrap();
    assert!(!left.status.is_final(), "{left:?}");
    let next = bench.other_process().await;
    assert_eq!(next.resume().await.unwrap(), 1);
    while !next.get(None, started.id).await.unwrap().unwrap().status.is_final() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let undisturbed = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    undisturbed.bill(AS_OF).await;
    assert_eq!(bench.statement().await, undisturbed.statement().await);
}

#[tokio::test]
async fn progress_grows_to_the_end_and_never_passes_it() {
    let bench = Bench::on(module_path!(), busy_catalog(), Portions::default()).await;
    let seen = Mutex::new(Vec::new());
    let observer = |progress: super::RunProgress| seen.lock().unwrap().push(progress);
    let ended = bench.runs.run_to_end(everything(AS_OF), &observer).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].invoices_created <= pair[1].invoices_created));
    assert!(seen.iter().all(|progress| progress.subscriptions_done <= progress.subscriptions_total));
    assert_eq!(seen.last().unwrap().invoices_created, ended.invoices_created.unsigned_abs());
    assert_eq!(seen.last().unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn what_was_created_later_for_an_instant_already_billed_gets_an_invoice_of_its_own() {
    let bench = Bench::on(module_path!(), one_customer(0), Portions::default()).await;
    bench.bill(AS_OF).await;
    {
        let mut catalog = bench.inputs.catalog.lock().unwrap();
        let (customer, plan) = (catalog.customers[0].id, catalog.plans[0].id);
        catalog.subscribe(customer, plan, "2026-06-15T00:00:00Z");
    }
    assert_eq!(bench.bill(AS_OF).await.invoices_created, 1);
    let due: Vec<i64> =
        sqlx::query_scalar("SELECT due_at FROM invoices").fetch_all(bench.database().pool()).await.unwrap();
    assert_eq!(due.into_iter().map(Timestamp).collect::<Vec<_>>(), [at(AS_OF), at(AS_OF)]);
    bench.assert_numbers_have_no_gap().await;
}

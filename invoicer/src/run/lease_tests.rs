//! Several processes see one run on a real database (that which the module is named after): one executes it.

use super::progress::{RunProgress, Unobserved};
use super::{BillingRuns, Executes, Lease, Portions};
use crate::ledger::runs::{RunRecord, RunStatus};
use crate::testing::{Bench, Catalog, cut_off_after, everything};
use domain::ids::{BillingRunId, OrganizationId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const AS_OF: &str = "2026-07-01T00:00:00Z";
/// Short, so that tests need not wait; long against a beat, of which there are five in it.
const SOON: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let plan = catalog.plan(1000, &["calls"]);
    for number in 0..6 {
        let customer = catalog.customer(OrganizationId(uuid::Uuid::from_u128(1 + number % 2)));
        catalog.subscribe(customer, plan, "2026-04-10T00:00:00Z");
    }
    catalog
}

async fn bench() -> Bench {
    Bench::on(module_path!(), catalog(), Portions::default()).await
}

async fn other(bench: &Bench, expiry: Duration) -> BillingRuns {
    bench.other_process().await.leasing(Lease { expiry, ..Lease::default() })
}

async fn ended(runs: &BillingRuns, id: BillingRunId) -> RunRecord {
    let started = Instant::now();
    loop {
        let run = runs.get(None, id).await.unwrap().unwrap();
        if run.status.is_final() {
            return run;
        }
        assert!(started.elapsed() < PATIENCE, "it does not end: {run:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Keeps a run busy from its first invoices on until told to go on, on its own thread: nothing else of its task moves.
#[derive(Default)]
struct Gate {
    reached: AtomicBool,
    open: AtomicBool,
}

impl Gate {
    fn hold(&self, progress: RunProgress) {
        if progress.status != RunStatus::Invoicing {
            return;
        }
        self.reached.store(true, Ordering::SeqCst);
        let started = Instant::now();
        while !self.open.load(Ordering::SeqCst) && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    async fn reached(&self) {
        let started = Instant::now();
        while !self.reached.load(Ordering::SeqCst) {
            assert!(started.elapsed() < PATIENCE, "the run does not come to its invoices");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_processes_that_look_for_a_run_at_the_same_time_one_executes_it() {
    for _ in 0..5 {
        let bench = bench().await;
        let mut looking = Vec::new();
        for _ in 0..4 {
            looking.push(other(&bench, SOON).await);
        }
        let requested = bench.runs.clone().executing(Executes::Sandboxes).start(everything(AS_OF)).await.unwrap();
        let one = |number: usize| looking[number].resume();
        let (a, b, c, d) = tokio::join!(one(0), one(1), one(2), one(3));
        let taken = [a, b, c, d].map(Result::unwrap);
        assert_eq!(taken.iter().sum::<usize>(), 1, "{taken:?}");
        assert_eq!(ended(&bench.runs, requested.id).await.error, None);
        assert_eq!(bench.inputs.ratings.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_a_run_that_another_process_executes_waits_for_its_end() {
    let bench = bench().await;
    let beside = other(&bench, PATIENCE).await;
    let (one, two) = tokio::join!(
        bench.runs.run_to_end(everything(AS_OF), &Unobserved),
        beside.run_to_end(everything(AS_OF), &Unobserved)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    if one.id == two.id {
        assert_eq!(one, two);
    }
    // Else the second was asked for when the first had ended: it found nothing to do.
    assert!(one.invoices_created.min(two.invoices_created) == 0 || one.id == two.id);
    assert_eq!(bench.inputs.ratings.load(Ordering::SeqCst), 1);
    bench.assert_numbers_have_no_gap().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_process_that_died_is_taken_once_its_lease_is_over_and_by_its_own_name_at_once() {
    let bench = bench().await;
    let mut polls = 0;
    // Cut off later and later until it has the run and a cut.
    let run = loop {
        polls += 1;
        assert!(cut_off_after(polls, bench.runs.run_to_end(everything(AS_OF), &Unobserved)).await.is_none());
        let going =
            crate::ledger::runs::unfinished(&mut bench.database().pool().acquire().await.unwrap()).await.unwrap();
        if let Some(run) = going.into_iter().find(|run| run.cut.is_some()) {
            break run;
        }
    };
    let heir = other(&bench, SOON).await;
    let died = Instant::now();
    assert_eq!(heir.resume().await.unwrap(), 0, "it has not been looked at for long enough");
    while heir.resume().await.unwrap() == 0 {
        assert!(died.elapsed() < PATIENCE, "nobody takes it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(died.elapsed() >= SOON, "{:?}", died.elapsed());
    assert_eq!(ended(&heir, run.id).await.error, None);

    let named = Lease { holder: "the same at each start".into(), expiry: PATIENCE };
    let (first, again) = (other(&bench, SOON).await.leasing(named.clone()), other(&bench, SOON).await.leasing(named));
    let later = everything("2026-08-01T00:00:00Z");
    assert!(cut_off_after(polls, first.run_to_end(later, &Unobserved)).await.is_none());
    assert_eq!(again.resume().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_goes_on_for_long_stays_with_its_process() {
    let bench = bench().await;
    let (busy, beside) = (other(&bench, SOON).await, other(&bench, SOON).await);
    let gate = std::sync::Arc::new(Gate::default());
    let held = std::sync::Arc::clone(&gate);
    let running = tokio::spawn(async move { busy.run_to_end(everything(AS_OF), &|told| held.hold(told)).await });
    gate.reached().await;
    let started = Instant::now();
    while started.elapsed() < 4 * SOON {
        assert_eq!(beside.resume().await.unwrap(), 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.open.store(true, Ordering::SeqCst);
    assert_eq!(running.await.unwrap().unwrap().error, None);
    assert_eq!(bench.inputs.ratings.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_stood_still_for_too_long_loses_its_run_and_says_how_the_other_ended_it() {
    let undisturbed = bench().await;
    undisturbed.bill(AS_OF).await;

    let bench = bench().await;
    // Its beat comes once in six minutes: as of a process that is stopped.
    let (still, heir) = (other(&bench, Duration::from_secs(1800)).await, other(&bench, SOON).await);
    let gate = std::sync::Arc::new(Gate::default());
    let held = std::sync::Arc::clone(&gate);
    let running = tokio::spawn(async move { still.run_to_end(everything(AS_OF), &|told| held.hold(told)).await });
    gate.reached().await;
    let taken = heir.run_to_end(everything(AS_OF), &Unobserved).await.unwrap();
    assert_eq!((taken.status, taken.invoices_created), (RunStatus::Completed, 18));
    gate.open.store(true, Ordering::SeqCst);
    assert_eq!(running.await.unwrap().unwrap(), taken, "one end, and nothing counted twice");
    assert_eq!(bench.statement().await, undisturbed.statement().await);
    bench.assert_numbers_have_no_gap().await;
}

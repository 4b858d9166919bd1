//! One billing run from its row in the ledger to its end.
//!
//! ```text
//! waiting_for_events   the cut: taken once, kept with the run, found again by whoever resumes it (I3)
//! rating               drafts whose grace is over; then what is due: worked out, rated chunk by chunk
//! invoicing            each chunk written, a few thousand invoices a transaction
//! completed | failed   failed names what is not billed; what is written stays, a new run goes on from there
//! ```
//!
//! Dropped at any await it leaves the ledger at the end of some transaction; executing the run again goes on from there
//! (I4). While another run writes the same things, the one whose frontiers have moved writes nothing and plans again.

use super::assembler::Assembler;
use super::compared::Recent;
use super::late;
use super::lease::Lease;
use super::plan::{Problems, RunPlan, plan_run};
use super::progress::{RunObserver, RunProgress};
use super::{RunError, Shared, finalize, no_next_invoice, unused_advance, write};
use crate::assemble::PlannedInvoice;
use crate::commitment::Billed;
use crate::due::Part;
use crate::inputs::World;
use crate::ledger::counted;
use crate::ledger::frontiers;
use crate::ledger::reports;
use crate::ledger::runs::{self, RunRecord, RunStatus};
use crate::ledger::write::BatchContext;
use domain::ids::SubscriptionId;
use domain::position::Cut;
use rater::advance::AdvancedItem;
use rater::{RatedItem, RatingItem};

/// Planning again after another run got ahead; each time some run has made progress.
const MAX_PASSES: usize = 1000;

/// A run while it is executed.
pub(super) struct Execution<'a> {
    pub(super) shared: &'a Shared,
    pub(super) observer: &'a dyn RunObserver,
    pub(super) record: RunRecord,
    pub(super) cut: Cut,
    pub(super) context: BatchContext,
    pub(super) progress: RunProgress,
    pub(super) problems: Problems,
    /// Of a dry run: what it has put on invoices.
    pub(super) recent: Recent,
}

/// Executes a run; its end, good or bad, is in the ledger when this answers. `None` when another process has the run by then.
///
/// # Errors
/// When not even the failure could be written: the run is still active then and can be resumed.
pub(super) async fn execute(
    shared: &Shared,
    lease: &Lease,
    record: RunRecord,
    observer: &dyn RunObserver,
) -> Result<Option<RunRecord>, RunError> {
    let id = record.id;
    let started = std::time::Instant::now();
    let outcome = bill(shared, record, observer).await;
    let error = match outcome {
        Ok(problems) if problems.is_empty() => None,
        Ok(problems) => Some(problems.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let mut write = shared.database.write().await?;
    let is_ours = runs::finish(write.connection(), id, &lease.holder, error.as_deref(), shared.clock.now()).await?;
    write.commit().await?;
    if !is_ours {
        return Ok(None);
    }
    let status = if error.is_some() { "failed" } else { "completed" };
    metrics::counter!("tollgate_billing_runs_total", "status" => status).increment(1);
    metrics::histogram!("tollgate_billing_run_seconds").record(started.elapsed());
    let ended = shared.find(id).await?;
    observer.progress(progress_of(&ended));
    Ok(Some(ended))
}

async fn bill(shared: &Shared, record: RunRecord, observer: &dyn RunObserver) -> Result<Problems, RunError> {
    let (cut_id, cut) = match record.cut.clone() {
        Some(kept) => kept,
        None => {
            observer.progress(progress_of(&record));
            let cut = shared.inputs.cut().await?;
            let mut write = shared.database.write().await?;
            let cut_id = runs::keep_cut(write.connection(), record.id, &cut).await?;
            write.commit().await?;
            (cut_id, cut)
        }
    };
    let context =
        BatchContext { run: Some(record.id), cut_id, now: shared.clock.now(), row_lock: shared.database.row_lock() };
    let progress = progress_of(&record);
    let (problems, recent) = (Problems::default(), Recent::default());
    let mut execution = Execution { shared, observer, record, cut, context, progress, problems, recent };
    execution.carry_out().await?;
    Ok(execution.problems)
}

impl Execution<'_> {
    async fn carry_out(&mut self) -> Result<(), RunError> {
        self.enter(RunStatus::Rating).await?;
        let world = self.shared.inputs.world(self.record.scope.organization).await?;
        if self.record.scope.dry_run {
            self.begin_anew().await?;
        } else {
            // What came in before the run counts towards commitments that it fills up.
            self.shared.bill_in_advance_up_to(&self.cut).await?;
            finalize::due_drafts(self, &world).await?;
            self.give_back_unused(&world).await?;
        }
        let before_planning = self.problems.clone();
        for _ in 0..MAX_PASSES {
            self.problems = before_planning.clone();
            let plan = self.plan(&world).await?;
            let overtaken = self.bill_plan(&world, plan).await?;
            if !overtaken {
                return no_next_invoice::bill(self, &world).await;
            }
        }
        Err(RunError::Ledger(crate::ledger::LedgerError::Contended))
    }

    async fn give_back_unused(&mut self, world: &World) -> Result<(), RunError> {
        let mut connection = self.shared.connection().await?;
        let billed = frontiers::read_all(&mut connection, self.record.scope.organization).await?;
        drop(connection);
        unused_advance::give_back(self, world, &billed).await
    }

    /// A dry run leaves nothing to go on from.
    async fn begin_anew(&mut self) -> Result<(), RunError> {
        let mut write = self.shared.database.write().await?;
        reports::forget(write.connection(), self.record.id).await?;
        write.commit().await?;
        (self.progress.subscriptions_done, self.progress.invoices_created) = (0, 0);
        Ok(())
    }

    async fn plan(&mut self, world: &World) -> Result<RunPlan, RunError> {
        let scope = self.record.scope;
        let mut connection = self.shared.connection().await?;
        let billed = frontiers::read_all(&mut connection, scope.organization).await?;
        drop(connection);
        let world = world.clone();
        let mut plan = in_background(move || plan_run(&world, &billed, &scope)).await?;
        self.problems.extend(std::mem::take(&mut plan.problems));
        self.set_open(plan.subscriptions()).await?;
        Ok(plan)
    }

    /// Rates and writes a plan; answers whether another run billed some of it meanwhile.
    async fn bill_plan(&mut self, world: &World, plan: RunPlan) -> Result<bool, RunError> {
        let billed = self.billed_before(&plan.invoices).await?;
        let late = late::usage(self, world, &plan.invoices).await?;
        let mut assembler = Assembler::new(self.record.id, world.terms.clone(), billed, late, &plan.invoices);
        let mut overtaken = false;
        let at_once = self.shared.portions.stretches_rated;
        let mut planned = plan.invoices.into_iter().peekable();
        while planned.peek().is_some() {
            let mut chunk = Vec::new();
            let mut stretches = 0;
            while let Some(next) = planned.next_if(|next| stretches == 0 || stretches + next.lines.len() <= at_once) {
                stretches += next.lines.len();
                chunk.push(next);
            }
            let rated = self.rate(world, &chunk).await?;
            let carried = self.carried(world, &chunk).await?;
            let assembled = in_background(move || assembler.assemble_all(chunk, rated, carried)).await?;
            self.problems.extend(assembled.problems);
            assembler = assembled.left;
            self.enter(RunStatus::Invoicing).await?;
            overtaken |= write::in_batches(self, assembled.invoices).await?;
        }
        Ok(overtaken)
    }

    /// What was billed towards the commitments in the plan, before anything of the plan is written.
    async fn billed_before(&self, planned: &[PlannedInvoice]) -> Result<Billed, RunError> {
        let lines = planned.iter().flat_map(|invoice| &invoice.lines);
        let dues: Vec<_> = lines.filter(|line| line.due.part == Part::Commitment).map(|line| line.due).collect();
        let Some(since) = dues.iter().map(|due| due.from).min() else { return Ok(Billed::default()) };
        let mut subscriptions: Vec<SubscriptionId> = dues.iter().map(|due| due.subscription).collect();
        subscriptions.sort_unstable();
        subscriptions.dedup();
        Ok(counted::read(&mut *self.shared.connection().await?, &subscriptions, since).await?)
    }

    async fn rate(&self, world: &World, chunk: &[PlannedInvoice]) -> Result<Vec<RatedItem>, RunError> {
        Ok(self.shared.inputs.rate(&world.view, stretches_of(Part::Usage, chunk), &self.cut).await?)
    }

    async fn carried(&self, world: &World, chunk: &[PlannedInvoice]) -> Result<Vec<AdvancedItem>, RunError> {
        let items = stretches_of(Part::Carried, chunk);
        if items.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.shared.inputs.carried_fees(&world.view, items, &self.cut).await?)
    }

    /// Says what the run is doing, once for each status.
    pub(super) async fn enter(&mut self, status: RunStatus) -> Result<(), RunError> {
        if self.progress.status != status {
            let mut write = self.shared.database.write().await?;
            runs::set_status(write.connection(), self.record.id, status).await?;
            write.commit().await?;
            self.progress.status = status;
        }
        self.observer.progress(self.progress);
        Ok(())
    }

    async fn set_open(&mut self, open: usize) -> Result<(), RunError> {
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        let mut write = self.shared.database.write().await?;
        runs::set_open(write.connection(), self.record.id, open).await?;
        write.commit().await?;
        self.progress.subscriptions_total = self.progress.subscriptions_done + open.unsigned_abs();
        self.observer.progress(self.progress);
        Ok(())
    }
}

/// What the rater is asked about the lines of one part, in order.
fn stretches_of(part: Part, chunk: &[PlannedInvoice]) -> Vec<RatingItem> {
    let lines = chunk.iter().flat_map(|invoice| &invoice.lines);
    lines.filter(|line| line.due.part == part).map(|line| line.due.to_rate()).collect()
}

/// A run's row as progress.
pub(super) fn progress_of(record: &RunRecord) -> RunProgress {
    RunProgress {
        status: record.status,
        // Counts of rows are never negative.
        subscriptions_total: record.subscriptions_total.unsigned_abs(),
        subscriptions_done: record.subscriptions_done.unsigned_abs(),
        invoices_created: record.invoices_created.unsigned_abs(),
    }
}

/// Runs work that keeps a processor busy away from the threads that serve requests.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Thread(error.to_string()))
}

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

use super::late::{self, LateUsage};
use super::plan::{Problems, RunPlan, plan_run};
use super::progress::{RunObserver, RunProgress};
use super::terms::{applied_taxes, commitment_on};
use super::{RunError, Shared, finalize, write};
use crate::assemble::{PlannedInvoice, PlannedLine, add_up, assemble};
use crate::charge_fee::ChargeFees;
use crate::commitment::{Billed, counts};
use crate::due::Part;
use crate::inputs::World;
use crate::ledger::counted;
use crate::ledger::frontiers::{self, FrontierKey, FrontierMove};
use crate::ledger::runs::{self, RunRecord, RunStatus};
use crate::ledger::write::{BatchContext, NewInvoice};
use crate::model::{Fee, FeeKind, Invoice};
use catalog::billing::{BillingTerms, UnknownTax};
use domain::ids::{BillingRunId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::position::Cut;
use domain::time::Timestamp;
use rater::{RateProblem, RatedItem, RatingItem};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
}

/// Why an invoice is left out.
#[derive(Debug, thiserror::Error)]
enum LeftOut {
    #[error(transparent)]
    Rating(#[from] RateProblem),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    #[error("an earlier period of it is not billed")]
    Earlier,
}

/// Executes a run; its end, good or bad, is in the ledger when this answers.
///
/// # Errors
/// When not even the failure could be written: the run is still active then and can be resumed.
pub(super) async fn execute(
    shared: &Shared,
    record: RunRecord,
    observer: &dyn RunObserver,
) -> Result<RunRecord, RunError> {
    let id = record.id;
    let started = std::time::Instant::now();
    let outcome = bill(shared, record, observer).await;
    let error = match outcome {
        Ok(problems) if problems.is_empty() => None,
        Ok(problems) => Some(problems.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let status = if error.is_some() { "failed" } else { "completed" };
    metrics::counter!("tollgate_billing_runs_total", "status" => status).increment(1);
    metrics::histogram!("tollgate_billing_run_seconds").record(started.elapsed());
    let mut write = shared.database.write().await?;
    runs::finish(write.connection(), id, error.as_deref(), shared.clock.now()).await?;
    write.commit().await?;
    let ended = shared.find(id).await?;
    observer.progress(progress_of(&ended));
    Ok(ended)
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
    let context = BatchContext { run: Some(record.id), cut_id, now: shared.clock.now() };
    let progress = progress_of(&record);
    let mut execution = Execution { shared, observer, record, cut, context, progress, problems: Problems::default() };
    execution.carry_out().await?;
    Ok(execution.problems)
}

impl Execution<'_> {
    async fn carry_out(&mut self) -> Result<(), RunError> {
        self.enter(RunStatus::Rating).await?;
        let world = self.shared.inputs.world(self.record.scope.organization).await?;
        if !self.record.scope.dry_run {
            finalize::due_drafts(self, &world).await?;
        }
        let before_planning = self.problems.clone();
        for _ in 0..MAX_PASSES {
            self.problems = before_planning.clone();
            let plan = self.plan(&world).await?;
            let overtaken = self.bill_plan(&world, plan).await?;
            if !overtaken {
                return Ok(());
            }
        }
        Err(RunError::Ledger(crate::ledger::LedgerError::Contended))
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
        let mut assembler = Assembler {
            run: self.record.id,
            terms: world.terms.clone(),
            billed: self.billed_before(&plan.invoices).await?,
            late: late::usage(self, world, &plan.invoices).await?,
            held_back: HashSet::new(),
            unbilled: HashSet::new(),
            open_lines: lines_by_subscription(&plan.invoices),
        };
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
            let assembled = in_background(move || assembler.assemble_all(chunk, rated)).await?;
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
        let lines = chunk.iter().flat_map(|invoice| &invoice.lines);
        let items = lines
            .filter(|line| line.due.part == Part::Usage)
            .map(|line| RatingItem {
                subscription: line.due.subscription,
                period: line.due.period,
                from: line.due.from,
                to: line.due.to,
                minimum_share: line.due.share,
            })
            .collect();
        Ok(self.shared.inputs.rate(&world.view, items, &self.cut).await?)
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

/// How many lines of each subscription are planned: once all are on invoices, it is done.
fn lines_by_subscription(planned: &[PlannedInvoice]) -> HashMap<SubscriptionId, usize> {
    let mut lines = HashMap::new();
    for line in planned.iter().flat_map(|invoice| &invoice.lines) {
        *lines.entry(line.due.subscription).or_default() += 1;
    }
    lines
}

/// Puts rated usage on planned invoices; carried from chunk to chunk.
struct Assembler {
    run: BillingRunId,
    terms: Arc<BillingTerms>,
    /// What counts towards commitments: billed before the plan, and what the plan has put on invoices so far.
    billed: Billed,
    /// Late usage that stands on no invoice yet.
    late: LateUsage,
    /// Subscriptions whose late usage would have taken an invoice below nothing: it waits for a larger one.
    held_back: HashSet<SubscriptionId>,
    /// What could not be billed: later periods of it must wait.
    unbilled: HashSet<FrontierKey>,
    /// Lines of each subscription that are on no invoice yet.
    open_lines: HashMap<SubscriptionId, usize>,
}

struct Assembled {
    invoices: Vec<NewInvoice>,
    problems: Problems,
    left: Assembler,
}

impl Assembler {
    fn assemble_all(mut self, chunk: Vec<PlannedInvoice>, rated: Vec<RatedItem>) -> Assembled {
        let mut maker = ChargeFees::default();
        let mut rated = rated.into_iter();
        let mut invoices = Vec::with_capacity(chunk.len());
        let mut problems = Problems::default();
        for planned in &chunk {
            // Taken for every line, so that an invoice that is left out does not shift the others'.
            let mut usage: Vec<Option<RatedItem>> = Vec::with_capacity(planned.lines.len());
            for line in &planned.lines {
                usage.push(if line.due.part == Part::Usage { rated.next() } else { None });
            }
            match self.assemble_one(&mut maker, planned, usage) {
                Ok(mut invoice) => {
                    self.hold_back(&mut invoice, planned.as_of);
                    self.note_counted(&invoice);
                    invoices.push(self.with_moves(planned, invoice));
                }
                Err(why) => {
                    self.unbilled.extend(planned.lines.iter().map(|line| FrontierKey::from(&line.due)));
                    problems.note(format_args!("customer {} at {}", planned.customer, planned.due_at), why);
                }
            }
        }
        Assembled { invoices, problems, left: self }
    }

    fn assemble_one(
        &self,
        maker: &mut ChargeFees,
        planned: &PlannedInvoice,
        usage: Vec<Option<RatedItem>>,
    ) -> Result<Invoice, LeftOut> {
        if planned.lines.iter().any(|line| self.unbilled.contains(&FrontierKey::from(&line.due))) {
            return Err(LeftOut::Earlier);
        }
        let mut usage = usage.into_iter().flatten();
        let others = |line: &PlannedLine, beside: &[Fee]| -> Result<Vec<Fee>, LeftOut> {
            if line.due.part == Part::Commitment {
                return Ok(commitment_on(&self.terms, line, beside, &self.billed)?.into_iter().collect());
            }
            // Rating answers every stretch it is asked, in order.
            match usage.next() {
                Some(rated) => Ok(maker.of(line, rated.fees?)),
                None => Ok(Vec::new()),
            }
        };
        let taxes = |fee: &Fee| Ok(applied_taxes(&self.terms, planned.organization, planned.customer, fee)?);
        assemble(planned, Some(self.run), self.late_on(planned), others, taxes)
    }

    /// Late usage of the subscriptions whose usage is on an invoice.
    fn late_on(&self, planned: &PlannedInvoice) -> Vec<Fee> {
        let mut seen: HashSet<SubscriptionId> = HashSet::new();
        let lines = planned.lines.iter().filter(|line| line.due.part == Part::Usage);
        let here = lines.map(|line| line.due.subscription).filter(|subscription| seen.insert(*subscription));
        here.filter_map(|subscription| self.late.get(&subscription)).flatten().cloned().collect()
    }

    /// What stands on an invoice is no longer to come; an invoice below nothing is left without it (there are no credit notes yet).
    fn hold_back(&mut self, invoice: &mut Invoice, as_of: Timestamp) {
        let late: HashSet<SubscriptionId> = invoice
            .fees
            .iter()
            .filter(|fee| fee.kind == FeeKind::Adjustment)
            .filter_map(|fee| fee.subscription)
            .collect();
        if invoice.total < MinorUnits::ZERO {
            invoice.fees.retain(|fee| fee.kind != FeeKind::Adjustment);
            // The sums of fewer lines of the same amounts fit as well.
            if add_up(invoice, as_of).is_ok() {
                self.held_back.extend(late);
            }
            return;
        }
        for subscription in late {
            self.late.remove(&subscription);
        }
    }

    fn note_counted(&mut self, invoice: &Invoice) {
        for fee in invoice.fees.iter().filter(|fee| counts(fee.kind)) {
            let committed = fee.plan.and_then(|plan| self.terms.plan(plan, fee.versions.plan));
            if let (Some(subscription), true) =
                (fee.subscription, committed.is_some_and(|one| one.commitment.is_some()))
            {
                self.billed.note(subscription, fee.from, fee.amount);
            }
        }
    }

    fn with_moves(&mut self, planned: &PlannedInvoice, invoice: Invoice) -> NewInvoice {
        let mut completes = 0;
        let mut moves = Vec::with_capacity(planned.lines.len());
        for line in &planned.lines {
            let due = &line.due;
            let looks_again = self.held_back.contains(&due.subscription);
            let step =
                FrontierMove { organization: planned.organization, after: due.after, to: due.frontier(), looks_again };
            moves.push((FrontierKey::from(due), step));
            if let Some(open) = self.open_lines.get_mut(&due.subscription) {
                *open -= 1;
                completes += i64::from(*open == 0);
            }
        }
        NewInvoice { invoice, moves, completes }
    }
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

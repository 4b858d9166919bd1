//! Rated usage on planned invoices, chunk by chunk. Pure.
//!
//! An invoice that cannot be made is left out with its reason, and later periods of what is on it wait for it; all others are made.

use super::late::LateUsage;
use super::plan::Problems;
use super::terms::{applied_taxes, commitment_on};
use crate::assemble::{PlannedInvoice, PlannedLine, assemble};
use crate::charge_fee::ChargeFees;
use crate::commitment::{Billed, counts};
use crate::due::Part;
use crate::ledger::frontiers::{FrontierKey, FrontierMove};
use crate::ledger::write::NewInvoice;
use crate::model::{Fee, Invoice};
use catalog::billing::{BillingTerms, UnknownTax};
use domain::ids::{BillingRunId, SubscriptionId};
use domain::money::MoneyError;
use rater::advance::AdvancedItem;
use rater::{RateProblem, RatedItem};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Why an invoice is left out.
#[derive(Debug, thiserror::Error)]
enum LeftOut {
    #[error("subscription {0}: {1}")]
    Rating(SubscriptionId, RateProblem),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    #[error("an earlier period of it is not billed")]
    Earlier,
}

fn unrated(line: &PlannedLine, why: RateProblem) -> LeftOut {
    LeftOut::Rating(line.due.subscription, why)
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
pub(super) struct Assembler {
    run: BillingRunId,
    terms: Arc<BillingTerms>,
    /// What counts towards commitments: billed before the plan, and what the plan has put on invoices so far.
    billed: Billed,
    /// Late usage that stands on no invoice yet.
    late: LateUsage,
    /// What could not be billed: later periods of it must wait.
    unbilled: HashSet<FrontierKey>,
    /// Lines of each subscription that are on no invoice yet.
    open_lines: HashMap<SubscriptionId, usize>,
}

/// The usage of one line.
enum UsageOfLine {
    Rated(RatedItem),
    Carried(AdvancedItem),
}

pub(super) struct Assembled {
    pub(super) invoices: Vec<NewInvoice>,
    pub(super) problems: Problems,
    pub(super) left: Assembler,
}

impl Assembler {
    /// For everything that `planned` holds.
    pub(super) fn new(
        run: BillingRunId,
        terms: Arc<BillingTerms>,
        billed: Billed,
        late: LateUsage,
        planned: &[PlannedInvoice],
    ) -> Self {
        Self { run, terms, billed, late, unbilled: HashSet::new(), open_lines: lines_by_subscription(planned) }
    }

    pub(super) fn assemble_all(
        mut self,
        chunk: Vec<PlannedInvoice>,
        rated: Vec<RatedItem>,
        carried: Vec<AdvancedItem>,
    ) -> Assembled {
        let mut maker = ChargeFees::default();
        let (mut rated, mut carried) = (rated.into_iter(), carried.into_iter());
        let mut invoices = Vec::with_capacity(chunk.len());
        let mut problems = Problems::default();
        for planned in &chunk {
            // Taken for every line, so that an invoice that is left out does not shift the others'.
            let mut usage: VecDeque<UsageOfLine> = VecDeque::with_capacity(planned.lines.len());
            for line in &planned.lines {
                match line.due.part {
                    Part::Usage => usage.extend(rated.next().map(UsageOfLine::Rated)),
                    Part::Carried => usage.extend(carried.next().map(UsageOfLine::Carried)),
                    Part::PlanFee | Part::Commitment => {}
                }
            }
            match self.assemble_one(&mut maker, planned, usage) {
                Ok(invoice) => {
                    self.note_late(planned);
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
        mut usage: VecDeque<UsageOfLine>,
    ) -> Result<Invoice, LeftOut> {
        if planned.lines.iter().any(|line| self.unbilled.contains(&FrontierKey::from(&line.due))) {
            return Err(LeftOut::Earlier);
        }
        let others = |line: &PlannedLine, beside: &[Fee]| -> Result<Vec<Fee>, LeftOut> {
            if line.due.part == Part::Commitment {
                return Ok(commitment_on(&self.terms, line, beside, &self.billed)?.into_iter().collect());
            }
            // Rating answers every stretch it is asked, in order.
            match usage.pop_front() {
                Some(UsageOfLine::Rated(rated)) => Ok(maker.of(line, rated.fees.map_err(|why| unrated(line, why))?)),
                Some(UsageOfLine::Carried(carried)) => {
                    let fees = carried.fees.map_err(|why| unrated(line, why))?;
                    Ok(fees.into_iter().map(|fee| maker.in_advance(line, fee)).collect())
                }
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
        here.filter_map(|subscription| self.late.fees.get(&subscription)).flatten().cloned().collect()
    }

    /// Late usage that stands on an invoice is no longer to come.
    fn note_late(&mut self, planned: &PlannedInvoice) {
        for line in planned.lines.iter().filter(|line| line.due.part == Part::Usage) {
            self.late.fees.remove(&line.due.subscription);
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
            let (organization, to) = (planned.organization, due.frontier());
            let late_is_billed = !self.late.unrated.contains(&due.subscription);
            let step = FrontierMove { organization, after: due.after, to, late_is_billed };
            moves.push((FrontierKey::from(due), step));
            if due.part == Part::Usage {
                moves.extend(self.late.looked_at.remove(&due.subscription).unwrap_or_default());
            }
            if let Some(open) = self.open_lines.get_mut(&due.subscription) {
                *open -= 1;
                completes += i64::from(*open == 0);
            }
        }
        NewInvoice { invoice, moves, completes }
    }
}

//! What a run tells while it goes on: to the command line's progress bar, to the clock route, to metrics.

use crate::ledger::runs::RunStatus;
use domain::time::Timestamp;
use uuid::Uuid;

/// One thing done at its instant, as the clock route lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When it fell due.
    pub at: Timestamp,
    /// What it is.
    pub what: DoneKind,
    /// Of which invoice.
    pub id: Uuid,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoneKind {
    /// An invoice was made that may still change.
    InvoiceDrafted,
    /// An invoice was issued.
    InvoiceFinalized,
    /// An invoice of nothing was issued, hence paid.
    InvoicePaid,
}

impl DoneKind {
    /// The text on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DoneKind::InvoiceDrafted => "invoice.drafted",
            DoneKind::InvoiceFinalized => "invoice.finalized",
            DoneKind::InvoicePaid => "invoice.paid",
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunProgress {
    /// What it is doing.
    pub status: RunStatus,
    /// Subscriptions with anything due.
    pub subscriptions_total: u64,
    /// Of them billed.
    pub subscriptions_done: u64,
    /// Invoices written (dry: that would be).
    pub invoices_created: u64,
}

/// Is told how a run goes on. Called between transactions: it must not block.
pub trait RunObserver: Send + Sync {
    /// Something changed.
    fn progress(&self, progress: RunProgress);

    /// These were done, in the order of their instants within one call.
    fn done(&self, _done: &[Done]) {}
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl RunObserver for Unobserved {
    fn progress(&self, _progress: RunProgress) {}
}

impl<F: Fn(RunProgress) + Send + Sync> RunObserver for F {
    fn progress(&self, progress: RunProgress) {
        self(progress);
    }
}

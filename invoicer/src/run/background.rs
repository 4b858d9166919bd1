//! Runs that nobody waits for: executed by tasks of this process, each listed while it goes on.

use super::progress::Unobserved;
use super::{BillingRuns, RunError, Shared, lock};
use crate::ledger::runs::RunRecord;
use domain::ids::BillingRunId;
use std::sync::Arc;

/// Keeps a run on the list of those executed here.
pub(super) struct Listed {
    shared: Arc<Shared>,
    id: BillingRunId,
}

impl Listed {
    /// `None` when it is on the list already.
    pub(super) fn new(shared: &Arc<Shared>, id: BillingRunId) -> Option<Self> {
        lock(&shared.executing).insert(id).then(|| Self { shared: Arc::clone(shared), id })
    }
}

impl Drop for Listed {
    /// Also when its task panics.
    fn drop(&mut self) {
        lock(&self.shared.executing).remove(&self.id);
    }
}

impl BillingRuns {
    /// Executes a run unless somebody does already, here or elsewhere; whether it does.
    pub(super) async fn execute_in_background(&self, record: RunRecord) -> Result<bool, RunError> {
        let Some(listed) = Listed::new(&self.shared, record.id) else { return Ok(false) };
        if !self.take(record.id).await? {
            return Ok(false);
        }
        let runs = self.clone();
        self.shared.tasks.spawn(async move { runs.execute_and_tell(record, listed).await });
        Ok(true)
    }

    async fn execute_and_tell(&self, record: RunRecord, _listed: Listed) {
        let id = record.id;
        let execution = self.shared.stopping.run_until_cancelled(self.execute_held(record, &Unobserved));
        let Some(outcome) = execution.await else {
            self.release(id).await;
            tracing::info!(run = %id, "billing run interrupted; the next start takes it up");
            return;
        };
        match outcome {
            Ok(Some(ended)) => tracing::info!(
                run = %id,
                status = ended.status.as_str(),
                invoices = ended.invoices_created,
                error = ended.error.as_deref(),
                "billing run ended"
            ),
            Ok(None) => {}
            // Still active in the ledger: whoever looks next takes it up.
            Err(error) => {
                tracing::error!(run = %id, %error, "billing run broke off");
                self.release(id).await;
            }
        }
    }
}

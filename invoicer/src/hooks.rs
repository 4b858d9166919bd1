//! Where billing takes part in the catalog's own actions: a sandbox's clock that moves, an organization that is wiped.

use crate::ledger::LedgerError;
use crate::run::BillingRuns;
use async_trait::async_trait;
use catalog::WriteTransaction;
use catalog::state::{ClockMoved, Done, OrganizationWiped};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::ApiError;

#[async_trait]
impl ClockMoved for BillingRuns {
    /// Bills what fell due, in order. Asked again with the same instant it bills nothing twice (I4).
    async fn clock_moved(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Done>, ApiError> {
        let done = self.bill_sandbox_until(organization, now).await?;
        Ok(done
            .into_iter()
            .map(|step| Done { at: step.at, what: step.what.as_str().into(), id: step.id.to_string() })
            .collect())
    }
}

/// The ledger's rows of an organization, children first. Cuts name nobody and stay.
const WIPE: &[&str] = &[
    "DELETE FROM invoice_settlements WHERE organization_id = $1",
    "DELETE FROM invoice_reminders WHERE organization_id = $1",
    "DELETE FROM fees WHERE organization_id = $1",
    "UPDATE invoices SET regenerated_from = NULL WHERE organization_id = $1",
    "DELETE FROM invoices WHERE organization_id = $1",
    "DELETE FROM invoice_counters WHERE organization_id = $1",
    "DELETE FROM billing_frontiers WHERE organization_id = $1",
    "DELETE FROM billing_run_totals WHERE run_id IN (SELECT id FROM billing_runs WHERE organization_id = $1)",
    "DELETE FROM billing_runs WHERE organization_id = $1",
];

#[async_trait]
impl OrganizationWiped for BillingRuns {
    async fn wipe(&self, write: &mut WriteTransaction, organization: OrganizationId) -> Result<(), ApiError> {
        for statement in WIPE {
            sqlx::query(*statement)
                .bind(organization.to_string())
                .execute(write.connection())
                .await
                .map_err(LedgerError::from)?;
        }
        Ok(())
    }
}

//! Billing runs on the wire.

use crate::ledger::runs::{RunRecord, RunStatus};
use domain::ids::{BillingRunId, OrganizationId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Asks for a billing run.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub struct BillingRunRequest {
    /// Everything due up to and with this instant; now when absent, never later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// Work it out and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A billing run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BillingRunResponse)]
pub struct BillingRunRecord {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: BillingRunId,
    /// The organization it bills; null: all.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub organization_id: Option<OrganizationId>,
    /// waiting_for_events, rating, invoicing, completed or failed.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// Everything due up to and with this instant.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Whether it writes nothing.
    pub dry_run: bool,
    /// Subscriptions with anything due.
    pub subscriptions_total: i64,
    /// Of them billed.
    pub subscriptions_done: i64,
    /// Invoices made (dry: that would be).
    pub invoices_created: i64,
    /// Sum of their totals by currency.
    #[schema(value_type = Object)]
    pub total_cents: BTreeMap<String, String>,
    /// When it began, by the machine's clock.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed, or what it could not bill.
    pub error: Option<String>,
}

impl From<&RunRecord> for BillingRunRecord {
    fn from(run: &RunRecord) -> Self {
        let totals = run.totals.iter().map(|(currency, cents)| (currency.to_string(), cents.to_string()));
        Self {
            id: run.id,
            organization_id: run.scope.organization,
            status: run.status,
            as_of: run.scope.as_of,
            dry_run: run.scope.dry_run,
            subscriptions_total: run.subscriptions_total,
            subscriptions_done: run.subscriptions_done,
            invoices_created: run.invoices_created,
            total_cents: totals.collect(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            error: run.error.clone(),
        }
    }
}

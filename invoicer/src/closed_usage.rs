//! Which usage is billed for good, for those who list what came after it (I9).

use crate::ledger::adjusted;
use crate::model::FeeKind;
use crate::run::BillingRuns;
use async_trait::async_trait;
use catalog::database::DatabaseError;
use domain::ids::{OrganizationId, SubscriptionId};
use domain::position::Cut;
use domain::time::Timestamp;
use http_api::ApiError;
use rater::late_events::{BilledUsage, ClosedUsage};

#[async_trait]
impl BilledUsage for BillingRuns {
    async fn cuts(&self, organization: OrganizationId) -> Result<Vec<(Cut, Timestamp)>, ApiError> {
        let mut connection = self.database().pool().acquire().await.map_err(DatabaseError::from)?;
        Ok(adjusted::cuts(&mut connection, organization).await?)
    }

    async fn closed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<ClosedUsage>, ApiError> {
        let mut connection = self.database().pool().acquire().await.map_err(DatabaseError::from)?;
        let fees = adjusted::issued_usage(&mut connection, subscriptions).await?;
        let closed = fees.into_iter().filter(|fee| fee.kind == FeeKind::Charge).filter_map(|fee| {
            let (subscription, code, cut) = (fee.subscription?, fee.metric_code?, fee.cut?);
            Some(ClosedUsage { subscription, code, from: fee.from, to: fee.to, cut })
        });
        Ok(closed.collect())
    }
}

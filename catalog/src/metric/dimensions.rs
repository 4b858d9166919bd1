//! Which properties of a metric's events are dimensions: the keys of its filters, and those that charges of it filter or group by.
//!
//! They are extracted when an event is written, for one version of the metric. So the set only grows, and growing it makes a new
//! version: what was written under an older version is read from the raw properties, never misread.

use crate::database::DatabaseError;
use crate::database::WriteTransaction;
use crate::metric::storage;
use domain::ids::{MetricId, OrganizationId};
use domain::time::Timestamp;
use http_api::ApiError;
use std::collections::BTreeSet;

/// Adds keys that the metric does not have yet. Answers whether there were any.
pub(crate) async fn add(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: MetricId,
    keys: &BTreeSet<String>,
) -> Result<bool, ApiError> {
    let mut grown = false;
    for key in keys {
        let added = sqlx::query(
            "INSERT INTO billable_metric_dimensions (metric_id, dimension_key, organization_id) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(metric.to_string())
        .bind(key)
        .bind(organization.to_string())
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .rows_affected();
        grown |= added > 0;
    }
    Ok(grown)
}

/// Adds the keys that a plan's charges bring, with a new version of the metric when there are new ones.
pub(crate) async fn grow(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: MetricId,
    keys: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(), ApiError> {
    if !add(write, organization, metric, keys).await? {
        return Ok(());
    }
    let record = storage::select(write, organization, metric).await?;
    storage::write_next_version(write, organization, record, now).await?;
    Ok(())
}

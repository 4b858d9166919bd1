//! Storage of metrics' filter keys.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::to_json;
use crate::database::{DatabaseError, WriteTransaction};
use crate::metric::wire::{MetricFilterCreate, MetricFilterRecord};
use crate::metric::{dimensions, storage};
use domain::catalog::MetricFilter;
use domain::ids::{MetricFilterId, MetricId, OrganizationId};
use domain::time::Timestamp;
use http_api::{ApiError, Checks};
use std::collections::BTreeSet;

/// What the audit log calls one.
const FILTER: &str = "billable_metric_filter";

impl Catalog {
    /// Declares a filter key; makes a new version of the metric.
    ///
    /// # Errors
    /// 404 when there is no metric of that code, 409 when it has the key, 422 for bad values.
    pub async fn create_metric_filter(
        &self,
        organization: OrganizationId,
        code: &str,
        new: &MetricFilterCreate,
        now: Timestamp,
    ) -> Result<MetricFilterRecord, ApiError> {
        let mut checks = Checks::new();
        let filter = new.checked(&mut checks, &[]);
        checks.finish()?;
        let mut write = self.write().await?;
        let metric = storage::select_by_code(&mut write, organization, code).await?;
        let record = insert(&mut write, organization, metric.id, &filter, now).await?;
        let key = BTreeSet::from([filter.key]);
        dimensions::add(&mut write, organization, metric.id, &key).await?;
        storage::write_next_version(&mut write, organization, metric, now).await?;
        self.commit_shown(write, organization).await?;
        Ok(record)
    }

    /// The filter keys of a metric, by key.
    ///
    /// # Errors
    /// 404 when there is no metric of that code.
    pub async fn metric_filters(
        &self,
        organization: OrganizationId,
        code: &str,
    ) -> Result<Vec<MetricFilterRecord>, ApiError> {
        let metric = sqlx::query("SELECT id FROM billable_metrics WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        if metric.is_none() {
            return Err(ApiError::not_found("Billable metric"));
        }
        let rows = sqlx::query(
            "SELECT filter.* FROM billable_metric_filters filter \
             JOIN billable_metrics metric ON metric.id = filter.metric_id \
             WHERE metric.organization_id = $1 AND metric.code = $2 ORDER BY filter.filter_key",
        )
        .bind(organization.to_string())
        .bind(code)
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(rows.iter().map(MetricFilterRecord::read).collect::<Result<_, _>>()?)
    }

    /// Drops a filter key; makes a new version of the metric. Charges that filter by it keep doing so: their filters name
    /// keys and values, not this row.
    ///
    /// # Errors
    /// 404 when the metric of that code has no such filter.
    pub async fn delete_metric_filter(
        &self,
        organization: OrganizationId,
        code: &str,
        id: MetricFilterId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let metric = storage::select_by_code(&mut write, organization, code).await?;
        let filters = of_metric(&mut write, organization, metric.id).await?;
        let kept = filters.iter().find(|filter| filter.id == id).ok_or_else(|| ApiError::not_found("Filter"))?;
        sqlx::query("DELETE FROM billable_metric_filters WHERE metric_id = $1 AND id = $2")
            .bind(metric.id.to_string())
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let change = Change { resource: FILTER, before: Some(kept), after: None };
        written_down(&mut write, organization, id, change, now).await?;
        storage::write_next_version(&mut write, organization, metric, now).await?;
        Ok(self.commit_shown(write, organization).await?)
    }
}

pub(crate) async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: MetricId,
    filter: &MetricFilter,
    now: Timestamp,
) -> Result<MetricFilterRecord, ApiError> {
    let record = MetricFilterRecord {
        id: MetricFilterId::random(),
        billable_metric_id: metric,
        key: filter.key.clone(),
        values: filter.values.clone(),
        created_at: now,
        updated_at: now,
    };
    sqlx::query(
        "INSERT INTO billable_metric_filters (id, organization_id, metric_id, filter_key, allowed_values, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(record.id.to_string())
    .bind(organization.to_string())
    .bind(metric.to_string())
    .bind(&filter.key)
    .bind(to_json(&filter.values)?)
    .bind(now.0)
    .execute(write.connection())
    .await
    .map_err(|fault| {
        let taken = ApiError::conflict("filter_key_taken", "the metric has a filter of this key already");
        DatabaseError::from(fault).or_conflict(taken)
    })?;
    let change = Change { resource: FILTER, before: None, after: Some(&record) };
    written_down(write, organization, record.id, change, now).await?;
    Ok(record)
}

/// A metric's filters, inside a write.
pub(crate) async fn of_metric(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: MetricId,
) -> Result<Vec<MetricFilterRecord>, ApiError> {
    let rows = sqlx::query(
        "SELECT * FROM billable_metric_filters WHERE organization_id = $1 AND metric_id = $2 ORDER BY filter_key",
    )
    .bind(organization.to_string())
    .bind(metric.to_string())
    .fetch_all(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(rows.iter().map(MetricFilterRecord::read).collect::<Result<_, _>>()?)
}

//! Storage of billable metrics and their versions.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::{Columns, name_of, to_json};
use crate::database::{DatabaseError, WriteTransaction};
use crate::metric::wire::{BillableMetricStats, MetricCreate, MetricPlan, MetricRecord, MetricUpdate, checked_filters};
use crate::metric::{dimensions, filter_storage};
use crate::page::Listing;
use domain::catalog::MetricFilter;
use domain::ids::{MetricId, OrganizationId};
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

impl Catalog {
    /// Makes a metric with its filters.
    ///
    /// # Errors
    /// 422 when fields do not go together, 409 when the code is taken in the organization.
    pub async fn create_metric(
        &self,
        organization: OrganizationId,
        mut new: MetricCreate,
        now: Timestamp,
    ) -> Result<MetricRecord, ApiError> {
        let filters = checked_filters(&std::mem::take(&mut new.filters))?;
        let metric = new.into_record(now);
        metric.check()?;
        let mut write = self.write().await?;
        insert(&mut write, organization, &metric).await?;
        for filter in &filters {
            filter_storage::insert(&mut write, organization, metric.id, filter, now).await?;
        }
        let mut keys: std::collections::BTreeSet<String> = filters.iter().map(|filter| filter.key.clone()).collect();
        if metric.aggregation_type == domain::catalog::Aggregation::UniqueCount {
            // A distinct count asks whether anything was removed: without this every rating of it would read raw properties.
            keys.insert("operation_type".to_owned());
        }
        dimensions::add(&mut write, organization, metric.id, &keys).await?;
        insert_version(&mut write, organization, &metric, filters, now).await?;
        note(&mut write, organization, (None, Some(&metric)), now).await?;
        self.commit_shown(write, organization).await?;
        Ok(metric)
    }

    /// One metric.
    ///
    /// # Errors
    /// 404 when the organization has no such metric.
    pub async fn metric(&self, organization: OrganizationId, id: MetricId) -> Result<MetricRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM billable_metrics WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(MetricRecord::read(&row.ok_or_else(|| ApiError::not_found("Billable metric"))?)?)
    }

    /// The names of an organization's metrics by code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metric_names(&self, organization: OrganizationId) -> Result<BTreeMap<String, String>, DatabaseError> {
        let rows = sqlx::query("SELECT code, name FROM billable_metrics WHERE organization_id = $1")
            .bind(organization.to_string())
            .fetch_all(self.database().pool())
            .await?;
        rows.iter().map(|row| Ok((row.text("code")?, row.text("name")?))).collect()
    }

    /// A page of an organization's metrics, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn metrics(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<MetricRecord>, i64), ApiError> {
        let listing = Listing {
            table: "billable_metrics",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "code", "name", "aggregation_type"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(MetricRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent, as a new version when rating can see the change.
    ///
    /// # Errors
    /// 404 when the organization has no such metric, 422 when fields do not go together.
    pub async fn update_metric(
        &self,
        organization: OrganizationId,
        id: MetricId,
        change: &MetricUpdate,
        now: Timestamp,
    ) -> Result<MetricRecord, ApiError> {
        let mut write = self.write().await?;
        let kept = select(&mut write, organization, id).await?;
        let changed = change.apply(&kept, now)?;
        update_row(&mut write, organization, &changed).await?;
        let rating_sees_it = changed.to_version(now, Vec::new()) != kept.to_version(now, Vec::new());
        let metric =
            if rating_sees_it { write_next_version(&mut write, organization, changed, now).await? } else { changed };
        note(&mut write, organization, (Some(&kept), Some(&metric)), now).await?;
        self.commit_shown(write, organization).await?;
        Ok(metric)
    }

    /// Deletes a metric that no version of any plan charges.
    ///
    /// # Errors
    /// 404 when the organization has no such metric, 409 when a plan charges it or once did.
    pub async fn delete_metric(
        &self,
        organization: OrganizationId,
        id: MetricId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let kept = select(&mut write, organization, id).await?;
        sqlx::query("DELETE FROM billable_metrics WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| match fault.into() {
                DatabaseError::ForeignKey(_) => ApiError::conflict(
                    "metric_in_use",
                    "a plan charges the metric, or once did: versions of plans are kept for ever",
                ),
                other => other.into(),
            })?;
        note(&mut write, organization, (Some(&kept), None), now).await?;
        Ok(self.commit_shown(write, organization).await?)
    }

    /// How many metrics there are, in all and by aggregation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metric_stats(&self, organization: OrganizationId) -> Result<BillableMetricStats, ApiError> {
        let rows = sqlx::query(
            "SELECT aggregation_type, COUNT(*) AS metrics FROM billable_metrics WHERE organization_id = $1 \
             GROUP BY aggregation_type",
        )
        .bind(organization.to_string())
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        let mut by_aggregation_type = BTreeMap::new();
        for row in &rows {
            by_aggregation_type.insert(row.text("aggregation_type")?, row.integer("metrics")?);
        }
        Ok(BillableMetricStats { total: by_aggregation_type.values().sum(), by_aggregation_type })
    }

    /// How many plans charge each metric now; metrics without any are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metric_plan_counts(&self, organization: OrganizationId) -> Result<BTreeMap<String, i64>, ApiError> {
        let rows = sqlx::query(
            "SELECT charge.metric_id AS metric_id, COUNT(DISTINCT plan.id) AS plans FROM plans plan \
             JOIN plan_charges charge ON charge.plan_id = plan.id AND charge.version = plan.version \
             WHERE plan.organization_id = $1 GROUP BY charge.metric_id",
        )
        .bind(organization.to_string())
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(row.text("metric_id")?, row.integer("plans")?);
        }
        Ok(counts)
    }

    /// The plans that charge a metric now; none for a metric that the organization does not have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plans_of_metric(
        &self,
        organization: OrganizationId,
        id: MetricId,
    ) -> Result<Vec<MetricPlan>, ApiError> {
        let rows = sqlx::query(
            "SELECT * FROM plans plan WHERE plan.organization_id = $1 AND EXISTS (SELECT 1 FROM plan_charges charge \
             WHERE charge.plan_id = plan.id AND charge.version = plan.version AND charge.metric_id = $2) \
             ORDER BY plan.code",
        )
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        let plan = |row: &sqlx::any::AnyRow| {
            Ok::<_, DatabaseError>(MetricPlan {
                id: row.parsed("id")?,
                code: row.text("code")?,
                name: row.text("name")?,
                interval: row.text("billing_interval")?,
                amount_cents: row.integer("amount_cents")?,
                currency: row.text("currency")?,
            })
        };
        Ok(rows.iter().map(plan).collect::<Result<_, _>>()?)
    }
}

async fn note(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    (before, after): (Option<&MetricRecord>, Option<&MetricRecord>),
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(either) = before.or(after) else { return Ok(()) };
    let change = Change { resource: "billable_metric", before, after };
    written_down(write, organization, either.id, change, now).await
}

/// The metric as it is, inside a write.
pub(crate) async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: MetricId,
) -> Result<MetricRecord, ApiError> {
    let select = format!("SELECT * FROM billable_metrics WHERE organization_id = $1 AND id = $2{}", write.for_update());
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(MetricRecord::read(&row.ok_or_else(|| ApiError::not_found("Billable metric"))?)?)
}

/// The metric of a code, inside a write.
pub(crate) async fn select_by_code(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<MetricRecord, ApiError> {
    let select =
        format!("SELECT * FROM billable_metrics WHERE organization_id = $1 AND code = $2{}", write.for_update());
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(code)
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(MetricRecord::read(&row.ok_or_else(|| ApiError::not_found("Billable metric"))?)?)
}

/// Counts the version up and keeps the metric as it now is under that number, in force from `now`.
pub(crate) async fn write_next_version(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    mut metric: MetricRecord,
    now: Timestamp,
) -> Result<MetricRecord, ApiError> {
    metric.version += 1;
    metric.updated_at = now;
    sqlx::query("UPDATE billable_metrics SET version = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(metric.id.to_string())
        .bind(i64::from(metric.version))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    let filters = filter_storage::of_metric(write, organization, metric.id).await?;
    let declared = filters.into_iter().map(|filter| MetricFilter { key: filter.key, values: filter.values }).collect();
    insert_version(write, organization, &metric, declared, now).await?;
    Ok(metric)
}

async fn insert_version(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: &MetricRecord,
    filters: Vec<MetricFilter>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let document = to_json(&metric.to_version(now, filters))?;
    sqlx::query(
        "INSERT INTO billable_metric_versions (metric_id, version, organization_id, document) VALUES ($1, $2, $3, $4)",
    )
    .bind(metric.id.to_string())
    .bind(i64::from(metric.version))
    .bind(organization.to_string())
    .bind(document)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}

async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: &MetricRecord,
) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO billable_metrics (id, organization_id, code, name, description, aggregation_type, field_name, \
         expression, recurring, rounding_function, rounding_precision, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
    )
    .bind(metric.id.to_string())
    .bind(organization.to_string())
    .bind(&metric.code)
    .bind(&metric.name)
    .bind(&metric.description)
    .bind(name_of(metric.aggregation_type)?)
    .bind(&metric.field_name)
    .bind(&metric.expression)
    .bind(i64::from(metric.recurring))
    .bind(metric.rounding_function.map(name_of).transpose()?)
    .bind(metric.rounding_precision.map(i64::from))
    .bind(i64::from(metric.version))
    .bind(metric.created_at.0)
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(code_taken(&metric.code)))?;
    Ok(())
}

fn code_taken(code: &str) -> ApiError {
    let shown: String = code.chars().take(64).collect();
    ApiError::conflict("code_taken", format!("Billable metric with code '{shown}' already exists"))
}

async fn update_row(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    metric: &MetricRecord,
) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE billable_metrics SET name = $3, description = $4, field_name = $5, expression = $6, recurring = $7, \
         rounding_function = $8, rounding_precision = $9, updated_at = $10 WHERE organization_id = $1 AND id = $2",
    )
    .bind(organization.to_string())
    .bind(metric.id.to_string())
    .bind(&metric.name)
    .bind(&metric.description)
    .bind(&metric.field_name)
    .bind(&metric.expression)
    .bind(i64::from(metric.recurring))
    .bind(metric.rounding_function.map(name_of).transpose()?)
    .bind(metric.rounding_precision.map(i64::from))
    .bind(metric.updated_at.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}

/// Whether a metric of this id exists in the organization; for plans, which name metrics by id.
pub(crate) async fn exists(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: MetricId,
) -> Result<bool, DatabaseError> {
    let row = sqlx::query("SELECT COUNT(*) FROM billable_metrics WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_one(write.connection())
        .await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}

//! Storage of the audit log.

use crate::catalog::Catalog;
use crate::columns::{Columns, to_json};
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{Actor, ApiError, ListParams};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use std::fmt::Display;
use utoipa::ToSchema;

/// Fields whose change says nothing beyond the row's own date.
const DATES: &[&str] = &["updated_at"];

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AuditLogResponse)]
pub struct AuditLogRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    pub organization_id: OrganizationId,
    /// `customer`, `plan`, `invoice`, …
    pub resource_type: String,
    /// Which.
    pub resource_id: String,
    /// `created`, `updated`, `deleted` or `status_changed`.
    pub action: String,
    /// Created and deleted: the whole; else `{field: {old, new}}`.
    #[schema(value_type = Object)]
    pub changes: Map<String, Value>,
    /// `api_key`, `operator` or `system`.
    pub actor_type: String,
    /// The API key's id.
    pub actor_id: Option<String>,
    /// Always null.
    #[serde(rename = "metadata_")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// When, by the organization's clock.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A change of one resource: what it was and what it is now.
#[derive(Debug)]
pub struct Change<'a, T> {
    /// `customer`, `plan`, …
    pub resource: &'static str,
    /// Absent: it was created.
    pub before: Option<&'a T>,
    /// Absent: it was deleted.
    pub after: Option<&'a T>,
}

/// Writes a change down; one that changes nothing leaves no row.
///
/// # Errors
/// When the database fails.
pub async fn written_down<T: Serialize>(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: impl Display,
    change: Change<'_, T>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some((action, changes)) = told(change.before, change.after)? else { return Ok(()) };
    let (actor_type, actor_id) = match Actor::current() {
        Actor::ApiKey(key) => ("api_key", Some(key.to_string())),
        Actor::Operator => ("operator", None),
        Actor::System => ("system", None),
    };
    sqlx::query(
        "INSERT INTO audit_logs (id, organization_id, resource_type, resource_id, action, changes, actor_type, actor_id, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    // Ids grow with time, so that rows of one instant stay in the order in which they were written.
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(organization.to_string())
    .bind(change.resource)
    .bind(id.to_string())
    .bind(action)
    .bind(to_json(&changes)?)
    .bind(actor_type)
    .bind(actor_id)
    .bind(now.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}

/// What is done, and what of it.
type Told = (&'static str, Map<String, Value>);

fn told<T: Serialize>(before: Option<&T>, after: Option<&T>) -> Result<Option<Told>, ApiError> {
    Ok(match (before.map(fields).transpose()?, after.map(fields).transpose()?) {
        (None, None) => None,
        (None, Some(whole)) => Some(("created", whole)),
        (Some(whole), None) => Some(("deleted", whole)),
        (Some(old), Some(new)) => {
            let changes = differences(&old, &new);
            let action = if changes.contains_key("status") { "status_changed" } else { "updated" };
            (!changes.is_empty()).then_some((action, changes))
        }
    })
}

fn fields<T: Serialize>(resource: &T) -> Result<Map<String, Value>, ApiError> {
    match serde_json::to_value(resource).map_err(ApiError::internal)? {
        Value::Object(fields) => Ok(fields),
        other => Err(ApiError::internal(format!("{other} is not an object that can be written down"))),
    }
}

fn differences(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let changed = new.iter().filter(|(field, _)| !DATES.contains(&field.as_str()));
    changed
        .filter(|(field, value)| old.get(*field).unwrap_or(&Value::Null) != *value)
        .map(|(field, value)| (field.clone(), json!({"old": old.get(field), "new": value})))
        .collect()
}

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of one kind of resource.
    pub resource_type: Option<String>,
    /// Of one resource.
    pub resource_id: Option<String>,
    /// Of one kind of change.
    pub action: Option<String>,
    /// By one kind of actor.
    pub actor_type: Option<String>,
}

/// Absent filters match all; written so that the plain list and that of one resource use their indexes.
const BY_RESOURCE: &str = "organization_id = $1 AND resource_type = $2 AND resource_id = $3 AND ($4 = '' OR action = $4) \
     AND ($5 = '' OR actor_type = $5)";
const ALL: &str = "organization_id = $1 AND ($2 = '' OR resource_type = $2) AND ($3 = '' OR resource_id = $3) \
     AND ($4 = '' OR action = $4) AND ($5 = '' OR actor_type = $5)";

impl Catalog {
    /// A page of an organization's audit log, and how many rows the filter leaves.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn audit_logs(
        &self,
        organization: OrganizationId,
        filter: &AuditFilter,
        params: &ListParams,
    ) -> Result<(Vec<AuditLogRecord>, i64), ApiError> {
        let one_resource = filter.resource_type.is_some() && filter.resource_id.is_some();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let bound = [
            organization.to_string(),
            text(&filter.resource_type),
            text(&filter.resource_id),
            text(&filter.action),
            text(&filter.actor_type),
        ];
        let condition = if one_resource { BY_RESOURCE } else { ALL };
        let orders = &["created_at", "resource_type", "action", "actor_type"];
        let listing = Listing { table: "audit_logs", condition, bound: &bound, orders };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
    }
}

fn read(row: &AnyRow) -> Result<AuditLogRecord, DatabaseError> {
    Ok(AuditLogRecord {
        id: row.parsed("id")?,
        organization_id: row.parsed("organization_id")?,
        resource_type: row.text("resource_type")?,
        resource_id: row.text("resource_id")?,
        action: row.text("action")?,
        changes: row.json("changes")?,
        actor_type: row.text("actor_type")?,
        actor_id: row.optional_text("actor_id")?,
        metadata: None,
        created_at: row.instant("created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_the_fields_that_differ_and_a_change_of_status_is_called_so() {
        let one = json!({"name": "a", "status": "draft", "updated_at": 1});
        let renamed = json!({"name": "b", "status": "draft", "updated_at": 2});
        let moved = json!({"name": "a", "status": "paid", "updated_at": 3});
        let touched = json!({"name": "a", "status": "draft", "updated_at": 9});
        let (action, changes) = told(Some(&one), Some(&renamed)).unwrap().unwrap();
        assert_eq!((action, Value::Object(changes)), ("updated", json!({"name": {"old": "a", "new": "b"}})));
        assert_eq!(told(Some(&one), Some(&moved)).unwrap().unwrap().0, "status_changed");
        assert_eq!(told(Some(&one), Some(&touched)).unwrap(), None);
        assert_eq!(told(None, Some(&one)).unwrap().unwrap().0, "created");
        assert_eq!(told(Some(&one), None).unwrap().unwrap().0, "deleted");
    }
}

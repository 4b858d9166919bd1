//! `plan_overrides`: a plan of its own for one subscription, made of another with what was sent over it.
//!
//! It is found by its id, is on no list, and stays what it was when its parent changes: a price that was agreed on is not edited
//! from elsewhere. Its code is its parent's with its own id behind it.

use crate::database::{DatabaseError, WriteTransaction};
use crate::plan::changes::changed_document;
use crate::plan::document::PlanRow;
use crate::plan::storage::{insert, require_taxes, write_version};
use crate::plan::wire::PlanUpdate;
use domain::ids::{OrganizationId, PlanId};
use domain::time::Timestamp;
use http_api::ApiError;

/// Makes the plan, as version 1, and answers with its id.
///
/// # Errors
/// 400 when there is no such plan, 422 and 400 as a change of a plan.
pub(crate) async fn plan_for_one(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    parent: PlanId,
    overrides: &PlanUpdate,
    now: Timestamp,
) -> Result<PlanId, ApiError> {
    overrides.check()?;
    let row = sqlx::query("SELECT * FROM plans WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(parent.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| ApiError::bad_request("unknown_plan", format!("Plan {parent} not found")))?;
    let mut own = PlanRow::read(&row)?;
    own.document = changed_document(write, organization, &own.document, overrides, now).await?;
    let plan = &mut own.document.plan;
    (plan.id, plan.version, plan.valid_from) = (PlanId::random(), 1, now);
    plan.code = format!("{}:{}", plan.code, plan.id);
    let id = plan.id;
    if let Some(description) = &overrides.description {
        own.description.clone_from(description);
    }
    (own.created_at, own.updated_at) = (now, now);
    require_taxes(write, organization, &own.document).await?;
    insert(write, organization, &own).await?;
    sqlx::query("UPDATE plans SET parent_plan_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(parent.to_string())
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    write_version(write, organization, &own.document, now).await?;
    Ok(id)
}

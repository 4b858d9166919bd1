//! A plan's minimum commitment as a resource of its own (contract). A plan has at most one, so its id is the plan's with a
//! fixed pattern over it; changing it is a new version of the plan.

use crate::add_on::wire::whole_cents;
use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::plan::document::PlanRow;
use crate::plan::wire::{MinimumCommitment, PlanUpdate};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};
use domain::ids::{OrganizationId, PlanId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Authenticated, Checks, ExactDecimal, JsonBody, PathArguments};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// "minimum commitm": any constant does; this one can be recognized in a dump.
const PATTERN: u128 = u128::from_be_bytes(*b"minimum_commitm\0");
/// The one type that acts.
const KIND: &str = "minimum_commitment";

/// The id of a plan's minimum commitment.
#[must_use]
pub fn commitment_id(plan: PlanId) -> Uuid {
    Uuid::from_u128(plan.0.as_u128() ^ PATTERN)
}

fn plan_of(commitment: Uuid) -> PlanId {
    PlanId(Uuid::from_u128(commitment.as_u128() ^ PATTERN))
}

/// A commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CommitmentResponse {
    /// Stable id.
    pub id: Uuid,
    /// Of which plan.
    #[schema(value_type = Uuid)]
    pub plan_id: PlanId,
    /// `minimum_commitment`.
    pub commitment_type: &'static str,
    /// Least that a period costs in all, as text.
    pub amount_cents: String,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
    /// When the plan was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the plan was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A new commitment.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CommitmentCreateAPI {
    /// `minimum_commitment`.
    #[serde(default = "kind")]
    pub commitment_type: String,
    /// At least 1.
    pub amount_cents: ExactDecimal,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
}

fn kind() -> String {
    KIND.into()
}

/// Changes of a commitment: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct CommitmentUpdate {
    /// `minimum_commitment`.
    pub commitment_type: Option<String>,
    /// At least 1.
    pub amount_cents: Option<ExactDecimal>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub invoice_display_name: Option<Option<String>>,
}

fn check_kind(checks: &mut Checks, sent: Option<&String>) {
    if let Some(other) = sent.filter(|sent| *sent != KIND) {
        checks.broken("commitment_type", format!("should be '{KIND}'"), other.as_str());
    }
}

fn response(plan: PlanId, commitment: MinimumCommitment, row: (Timestamp, Timestamp)) -> CommitmentResponse {
    CommitmentResponse {
        id: commitment_id(plan),
        plan_id: plan,
        commitment_type: KIND,
        amount_cents: commitment.amount_cents.to_string(),
        invoice_display_name: commitment.invoice_display_name,
        created_at: row.0,
        updated_at: row.1,
    }
}

impl Catalog {
    async fn plan_with_code(&self, organization: OrganizationId, code: &str) -> Result<PlanRow, ApiError> {
        let row = sqlx::query("SELECT * FROM plans WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(PlanRow::read(&row.ok_or_else(|| ApiError::not_found("Plan"))?)?)
    }

    /// The id of the plan of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such plan.
    pub async fn plan_named(&self, organization: OrganizationId, code: &str) -> Result<PlanId, ApiError> {
        let row = sqlx::query("SELECT id FROM plans WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(row.ok_or_else(|| ApiError::not_found("Plan"))?.parsed("id")?)
    }

    async fn set_commitment(
        &self,
        organization: OrganizationId,
        plan: PlanId,
        commitment: Option<MinimumCommitment>,
        now: Timestamp,
    ) -> Result<Option<CommitmentResponse>, ApiError> {
        let change = PlanUpdate { minimum_commitment: Some(commitment), ..PlanUpdate::default() };
        let plan = self.update_plan(organization, plan, &change, now).await?;
        let dates = (plan.created_at, plan.updated_at);
        Ok(plan.minimum_commitment.map(|commitment| response(plan.id, commitment, dates)))
    }

    async fn commitment(&self, organization: OrganizationId, id: Uuid) -> Result<MinimumCommitment, ApiError> {
        let missing = || ApiError::not_found("Commitment");
        let plan = self.plan_row(organization, plan_of(id)).await.map_err(|_| missing())?;
        plan.document.minimum_commitment.ok_or_else(missing)
    }
}

pub(crate) fn routes() -> Router<CatalogState> {
    Router::new()
        .route("/v1/plans/{plan_id}/commitments", get(list).post(create))
        .route("/v1/commitments/{commitment_id}", put(update).delete(remove))
}

/// The commitments of a plan, named by its code: none or one.
#[utoipa::path(get, path = "/v1/plans/{plan_code}/commitments", tag = "Commitments", security(("api_key" = [])),
    params(("plan_code" = String, Path)),
    responses((status = 200, body = [CommitmentResponse]), (status = 401), (status = 404), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<CommitmentResponse>>, ApiError> {
    let plan = catalog.plan_with_code(caller.organization, path.text("plan_id")?).await?;
    let (id, dates) = (plan.document.plan.id, (plan.created_at, plan.updated_at));
    Ok(Json(plan.document.minimum_commitment.map(|own| response(id, own, dates)).into_iter().collect()))
}

/// Gives a plan a minimum commitment.
#[utoipa::path(post, path = "/v1/plans/{plan_code}/commitments", tag = "Commitments", security(("api_key" = [])),
    params(("plan_code" = String, Path)), request_body = CommitmentCreateAPI,
    responses((status = 201, body = CommitmentResponse), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(new): JsonBody<CommitmentCreateAPI>,
) -> Result<impl IntoResponse, ApiError> {
    let plan = catalog.plan_with_code(caller.organization, path.text("plan_id")?).await?.document;
    let mut checks = Checks::new();
    check_kind(&mut checks, Some(&new.commitment_type));
    let amount_cents = whole_cents(&mut checks, "amount_cents", &new.amount_cents);
    checks.finish()?;
    if plan.minimum_commitment.is_some() {
        return Err(ApiError::conflict("commitment_exists", "the plan has a minimum commitment already: change that"));
    }
    let commitment =
        MinimumCommitment { amount_cents, invoice_display_name: new.invoice_display_name, tax_codes: Vec::new() };
    let made = catalog.set_commitment(caller.organization, plan.plan.id, Some(commitment), caller.now).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes the sent fields, as a new version of the plan.
#[utoipa::path(put, path = "/v1/commitments/{commitment_id}", tag = "Commitments", security(("api_key" = [])),
    params(("commitment_id" = uuid::Uuid, Path)), request_body = CommitmentUpdate,
    responses((status = 200, body = CommitmentResponse), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<CommitmentUpdate>,
) -> Result<Json<Option<CommitmentResponse>>, ApiError> {
    let id: Uuid = path.id("commitment_id")?;
    let kept = catalog.commitment(caller.organization, id).await?;
    let mut checks = Checks::new();
    check_kind(&mut checks, change.commitment_type.as_ref());
    let cents = change.amount_cents.as_ref().map(|amount| whole_cents(&mut checks, "amount_cents", amount));
    checks.finish()?;
    let changed = MinimumCommitment {
        amount_cents: cents.unwrap_or(kept.amount_cents),
        invoice_display_name: change.invoice_display_name.unwrap_or(kept.invoice_display_name),
        tax_codes: kept.tax_codes,
    };
    Ok(Json(catalog.set_commitment(caller.organization, plan_of(id), Some(changed), caller.now).await?))
}

/// Takes the minimum commitment off a plan, from the next period on.
#[utoipa::path(delete, path = "/v1/commitments/{commitment_id}", tag = "Commitments", security(("api_key" = [])),
    params(("commitment_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    let id: Uuid = path.id("commitment_id")?;
    catalog.commitment(caller.organization, id).await?;
    catalog.set_commitment(caller.organization, plan_of(id), None, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, update, remove))]
pub(crate) struct Document;

//! Routes of the audit log: reading only.

use crate::audit::storage::{AuditFilter, AuditLogRecord};
use crate::catalog::Catalog;
use crate::state::CatalogState;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, ListParams, PathArguments, QueryArguments, collection, total_count};

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/audit_logs", get(list))
        .route("/v1/audit_logs/{resource_type}/{resource_id}", get(of_resource))
}

/// A page of all changes, newest first.
#[utoipa::path(get, path = "/v1/audit_logs/", tag = "Audit Logs", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("resource_type" = Option<String>, Query), ("resource_id" = Option<String>, Query),
        ("action" = Option<String>, Query), ("actor_type" = Option<String>, Query)),
    responses((status = 200, body = [AuditLogRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let text = |name| Ok::<_, ApiError>(query.text(name)?.map(str::to_string));
    let filter = AuditFilter {
        resource_type: text("resource_type")?,
        resource_id: text("resource_id")?,
        action: text("action")?,
        actor_type: text("actor_type")?,
    };
    let (rows, total) = catalog.audit_logs(caller.organization, &filter, &params).await?;
    Ok((total_count(total), Json(rows)))
}

/// A page of the changes of one resource, newest first.
#[utoipa::path(get, path = "/v1/audit_logs/{resource_type}/{resource_id}", tag = "Audit Logs",
    security(("api_key" = [])),
    params(("resource_type" = String, Path), ("resource_id" = uuid::Uuid, Path), ("skip" = Option<i64>, Query),
        ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [AuditLogRecord]), (status = 401), (status = 422)))]
async fn of_resource(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let id: uuid::Uuid = path.id("resource_id")?;
    let filter = AuditFilter {
        resource_type: Some(path.text("resource_type")?.to_string()),
        resource_id: Some(id.to_string()),
        ..AuditFilter::default()
    };
    let (rows, total) = catalog.audit_logs(caller.organization, &filter, &params).await?;
    Ok((total_count(total), Json(rows)))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, of_resource))]
pub(crate) struct Document;

//! The operator's way to the log of a process that reads it: how far it is, and reading again. With the admin secret only.

use aggregator::streaming::{LogFollower, ReadsFrom, ReprocessFrom};
use axum::extract::{FromRef, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::time::Timestamp;
use http_api::{Admin, ApiError, AuthState, JsonBody, collection};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A group that is not empty yet is so for some seconds.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct LogState {
    follower: LogFollower,
    auth: AuthState,
}

impl FromRef<LogState> for AuthState {
    fn from_ref(state: &LogState) -> Self {
        state.auth.clone()
    }
}

/// Routes over the reader of this process.
pub(super) fn router(follower: LogFollower, auth: AuthState) -> Router {
    let router = collection(Router::new(), "/v1/log", get(progress));
    collection(router, "/v1/log/reprocess", post(reprocess)).with_state(LogState { follower, auth })
}

/// One of the two.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReprocessRequest {
    /// From this offset of every partition on.
    from_offset: Option<u64>,
    /// From the records that were written to the log at or after this instant on.
    #[schema(value_type = Option<String>, format = DateTime)]
    from_time: Option<Timestamp>,
}

/// Where reading begins again: by topic and partition.
#[derive(Serialize, utoipa::ToSchema)]
struct ReprocessAnswer {
    #[schema(value_type = Object)]
    reads_from: ReadsFrom,
}

/// Reads the log into the store again, from an offset or a time on; changes no count and no fee. Answers once reading begins.
#[utoipa::path(post, path = "/v1/log/reprocess", tag = "Operations", security(("admin_secret" = [])),
    request_body = ReprocessRequest,
    responses((status = 200, body = ReprocessAnswer), (status = 401), (status = 422), (status = 503)))]
async fn reprocess(
    _: Admin,
    State(state): State<LogState>,
    JsonBody(request): JsonBody<ReprocessRequest>,
) -> Result<Json<ReprocessAnswer>, ApiError> {
    let from = match (request.from_offset, request.from_time) {
        (Some(offset), None) => ReprocessFrom::Offset(offset),
        (None, Some(time)) => ReprocessFrom::Time(time),
        _ => return Err(ApiError::unprocessable("one_of", "send either from_offset or from_time".to_string())),
    };
    match state.follower.reprocess(from).await {
        Ok(reads_from) => Ok(Json(ReprocessAnswer { reads_from })),
        Err(error) => {
            let detail = "the log cannot be set back now; is another aggregator of its group running?";
            Err(ApiError::unavailable("log_unavailable", detail, RETRY_AFTER).with_cause(error))
        }
    }
}

/// How far this process is with the partitions it owns.
#[derive(Serialize, utoipa::ToSchema)]
struct LogRecord {
    /// Records of the log that are not in the store yet.
    lag_records: u64,
    /// By partition.
    partitions: Vec<PartitionRecord>,
}

/// How far one partition is.
#[derive(Serialize, utoipa::ToSchema)]
struct PartitionRecord {
    /// Its number.
    partition: u16,
    /// Every record below this offset is in the store.
    stored_below: u64,
    /// The offset that the next record of the log will get, as of about a second ago.
    log_end: Option<u64>,
}

/// How far this process is with writing the log into the store.
#[utoipa::path(get, path = "/v1/log", tag = "Operations", security(("admin_secret" = [])),
    responses((status = 200, body = LogRecord), (status = 401)))]
async fn progress(_: Admin, State(state): State<LogState>) -> Json<LogRecord> {
    let progress = state.follower.progress();
    let lag_records = progress.lag_records();
    let partitions = progress.partitions.into_iter().map(|(partition, known)| PartitionRecord {
        partition,
        stored_below: known.stored_below,
        log_end: known.log_end,
    });
    Json(LogRecord { lag_records, partitions: partitions.collect() })
}

/// The description of the routes.
pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(paths(reprocess, progress))]
    struct Document;
    <Document as utoipa::OpenApi>::openapi()
}

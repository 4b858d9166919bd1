//! The life of a subscription as a timeline: its states and its invoices, oldest first.

use super::InvoicerState;
use crate::ledger::invoices::{self, InvoiceFilter, PageOf};
use crate::model::InvoiceStatus;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use catalog::subscription::wire::SubscriptionRecord;
use domain::ids::SubscriptionId;
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, PathArguments};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Invoices on a timeline at most: the newest.
const MAX_INVOICES: i64 = 1000;

pub(super) fn routes() -> Router<InvoicerState> {
    Router::new().route("/v1/subscriptions/{subscription_id}/lifecycle", get(lifecycle))
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LifecycleEvent {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `subscription` or `invoice`.
    pub event_type: String,
    /// In words.
    pub title: String,
    /// More words.
    pub description: Option<String>,
    /// The state it led to.
    pub status: Option<String>,
    /// To what.
    pub resource_id: Option<String>,
    /// To what kind of thing.
    pub resource_type: Option<String>,
    /// Amounts.
    pub metadata: Option<BTreeMap<&'static str, String>>,
}

/// A timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscriptionLifecycleResponse {
    /// Oldest first.
    pub events: Vec<LifecycleEvent>,
}

/// The states and invoices of a subscription, oldest first.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}/lifecycle", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionLifecycleResponse), (status = 401), (status = 404), (status = 422)))]
async fn lifecycle(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<SubscriptionLifecycleResponse>, ApiError> {
    let id: SubscriptionId = path.id("subscription_id")?;
    let subscription = state.prover.catalog().subscription(caller.organization, id).await?;
    let mut events = states_of(&subscription);
    let filter = InvoiceFilter { subscription: Some(id), ..InvoiceFilter::default() };
    let page = PageOf { order: "created_at DESC, id DESC".into(), skip: 0, limit: MAX_INVOICES };
    let (found, _) = invoices::list(&mut *state.connection().await?, caller.organization, &filter, &page).await?;
    for invoice in found {
        let number = invoice.number.clone().unwrap_or_else(|| "draft".into());
        let event = |at: Timestamp, what: &str, status: InvoiceStatus| LifecycleEvent {
            timestamp: at,
            event_type: "invoice".into(),
            title: format!("Invoice {number} {what}"),
            description: None,
            status: Some(status.to_string()),
            resource_id: Some(invoice.id.to_string()),
            resource_type: Some("invoice".into()),
            metadata: Some(BTreeMap::from([
                ("total_cents", invoice.total.to_string()),
                ("currency", invoice.currency.to_string()),
            ])),
        };
        if invoice.status == InvoiceStatus::Draft {
            events.push(event(invoice.due_at, "drafted", InvoiceStatus::Draft));
            continue;
        }
        events.push(event(invoice.issued_at, "issued", InvoiceStatus::Finalized));
        events.extend(invoice.paid_at.map(|at| event(at, "paid", InvoiceStatus::Paid)));
        events.extend(invoice.voided_at.map(|at| event(at, "voided", InvoiceStatus::Voided)));
    }
    // Stable: what happened at one instant stays in the order in which it was listed.
    events.sort_by_key(|event| event.timestamp);
    Ok(Json(SubscriptionLifecycleResponse { events }))
}

fn states_of(subscription: &SubscriptionRecord) -> Vec<LifecycleEvent> {
    let ended = subscription.ended_at.filter(|_| subscription.canceled_at.is_none());
    let ended_as = if subscription.ended_by_change { "went on with another plan" } else { "terminated" };
    let instants = [
        (Some(subscription.created_at), "created", "pending"),
        (subscription.started_at, "started", "active"),
        (subscription.downgraded_at, "downgraded", "active"),
        (subscription.trial_ended_at, "trial ended", "active"),
        (subscription.paused_at, "paused", "paused"),
        (subscription.resumed_at, "resumed", "active"),
        (subscription.canceled_at, "canceled", "canceled"),
        (ended, ended_as, "terminated"),
    ];
    let happened = instants.into_iter().filter_map(|(at, what, status)| at.map(|at| (at, what, status)));
    happened
        .map(|(timestamp, what, status)| LifecycleEvent {
            timestamp,
            event_type: "subscription".into(),
            title: format!("Subscription {what}"),
            description: None,
            status: Some(status.into()),
            resource_id: Some(subscription.id.to_string()),
            resource_type: Some("subscription".into()),
            metadata: None,
        })
        .collect()
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(lifecycle))]
pub(super) struct Document;

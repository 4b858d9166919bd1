//! The gateway's part of the OpenAPI document. The bodies are parsed and written by hand; these types only describe them.

use serde_json::Value;
use utoipa::OpenApi as _;

/// The gateway's routes and schemas.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(super::single::post_event, super::batch::post_batch, super::void::post_void,
        super::foreign::post_event, super::foreign::post_batch),
    tags((name = "Events", description = "Usage events: what is metered and billed"))
)]
struct Document;

/// One usage event.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct EventCreate {
    /// The client's own id: an event of the same id counts once, for ever.
    #[schema(min_length = 1, max_length = 255)]
    transaction_id: String,
    /// Whose usage; may be left out when `external_subscription_id` is given.
    #[schema(min_length = 1, max_length = 255)]
    external_customer_id: Option<String>,
    /// Which subscription, in place of or beside the customer.
    #[schema(min_length = 1, max_length = 255)]
    external_subscription_id: Option<String>,
    /// Code of a billable metric.
    #[schema(min_length = 1, max_length = 255)]
    code: String,
    /// When the usage happened, with a zone; microseconds are kept.
    #[schema(format = DateTime, example = "2026-03-01T12:00:00Z")]
    timestamp: String,
    /// Any JSON object; kept as received, numbers in their own digits.
    #[schema(value_type = Option<Object>)]
    properties: Option<Value>,
    /// Price of this very event in minor units, for dynamic charges: a decimal as a string or a number.
    #[schema(example = "12.50")]
    precise_total_amount_cents: Option<String>,
}

/// Many usage events.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct EventBatchCreate {
    /// All are stored, or none.
    #[schema(min_items = 1, max_items = 10000)]
    events: Vec<EventCreate>,
}

/// An event as it is stored.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, written from columns")]
pub(super) struct EventResponse {
    /// Derived from the organization and the transaction_id.
    #[schema(format = Uuid)]
    id: String,
    /// The client's own id.
    transaction_id: String,
    /// Empty when the event named only a subscription.
    external_customer_id: String,
    /// Absent when the event named only a customer.
    external_subscription_id: Option<String>,
    /// Code of a billable metric.
    code: String,
    /// When the usage happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// As received.
    #[schema(value_type = Object)]
    properties: Value,
    /// Absent when the event had none.
    precise_total_amount_cents: Option<String>,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created_at: String,
}

/// What became of a batch.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, written from columns")]
pub(super) struct EventBatchResponse {
    /// New events.
    ingested: u64,
    /// Events whose id was known, or stood further up in the batch.
    duplicates: u64,
    /// In request order, the stored version of duplicates; absent with `Prefer: return=minimal`.
    events: Option<Vec<EventResponse>>,
}

/// `{"event": {…}}`, as Lago's clients send it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct LagoEvent {
    /// The event.
    event: LagoEventCreate,
}

/// `{"events": […]}`, as Lago's clients send it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct LagoBatch {
    /// All are stored, or none.
    #[schema(min_items = 1, max_items = 10000)]
    events: Vec<LagoEventCreate>,
}

/// One usage event in Lago's form.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct LagoEventCreate {
    /// The client's own id.
    transaction_id: String,
    /// Whose usage.
    external_subscription_id: Option<String>,
    /// Whose usage, in place of or beside the subscription.
    external_customer_id: Option<String>,
    /// Code of a billable metric; one that does not exist yet is accepted.
    code: String,
    /// Seconds since 1970 as a number or text, with decimals, or an ISO 8601 time with a zone; absent: now.
    #[schema(value_type = Option<String>, example = "1651240791.123")]
    timestamp: Option<Value>,
    /// Any JSON object; kept as received.
    #[schema(value_type = Option<Object>)]
    properties: Option<Value>,
    /// Price of this very event in minor units, for dynamic charges.
    precise_total_amount_cents: Option<String>,
}

/// An event as Lago's clients read it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, written from columns")]
pub(super) struct LagoEventAnswer {
    /// The event.
    event: LagoEventShown,
}

/// Events as Lago's clients read them.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, written from columns")]
pub(super) struct LagoBatchAnswer {
    /// In the order of the request.
    events: Vec<LagoEventShown>,
}

/// One stored event in Lago's form.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, written from columns")]
pub(super) struct LagoEventShown {
    /// Derived from the organization and the transaction_id.
    #[schema(format = Uuid)]
    lago_id: String,
    /// The client's own id.
    transaction_id: String,
    /// Always null: whose usage it is, is found when it is rated.
    lago_customer_id: Option<String>,
    /// Empty when the event named only a subscription.
    external_customer_id: String,
    /// Always null.
    lago_subscription_id: Option<String>,
    /// Empty when the event named only a customer.
    external_subscription_id: String,
    /// Code of a billable metric.
    code: String,
    /// When the usage happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Decimal text, or null.
    precise_total_amount_cents: Option<String>,
    /// As received.
    #[schema(value_type = Object)]
    properties: Value,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A CloudEvent 1.0 in its JSON format.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "described here, read by the parser")]
pub(super) struct CloudEvent {
    /// `1.0`.
    specversion: String,
    /// Unique within the source: both make the transaction_id, `SOURCE ID` with one space between.
    id: String,
    /// A URI reference.
    source: String,
    /// Code of a billable metric; one that does not exist yet is accepted.
    #[schema(rename = "type")]
    r#type: String,
    /// The client's id of the customer.
    subject: String,
    /// When the usage happened; absent: now.
    #[schema(format = DateTime)]
    time: Option<String>,
    /// Absent, or a JSON type.
    datacontenttype: Option<String>,
    /// The properties, one JSON object.
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
    /// The properties as base64 of their JSON, in place of `data`.
    data_base64: Option<String>,
}

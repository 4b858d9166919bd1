//! What the demo sells and to whom: each thing is made when it is not there yet.

use super::trace::CUSTOMERS;
use super::{State, patient_get};
use crate::client::{Api, ApiFailure, Credential, text_field};
use serde_json::{Value, json};

/// The name by which a later start finds the organization.
const ORGANIZATION: &str = "Tollgate demo";
const PLAN: &str = "inference";
/// Before the first event, on a period's border.
const STARTED_AT: &str = "2023-11-01T00:00:00Z";

/// The demo's organization with a usable key, made or found.
pub(super) async fn organization(admin: &Api) -> Result<State, ApiFailure> {
    const ALL: &str = "/v1/organizations/";
    let known = find(&patient_get(admin, "/v1/organizations/?limit=1000").await?, "name", ORGANIZATION);
    let (organization, key) = match known {
        Some(known) => (known.clone(), new_key(admin, text_field(&known, "id", ALL)?).await?),
        None => {
            let made = admin.post(ALL, &json!({"name": ORGANIZATION})).await?;
            (made.clone(), made["api_key"].clone())
        }
    };
    Ok(State {
        organization: text_field(&organization, "id", ALL)?.to_string(),
        api_key: text_field(&key, "raw_key", ALL)?.to_string(),
        streamed: false,
    })
}

/// A fresh key for the organization an earlier start made, when that start was killed before it could keep its own.
async fn new_key(admin: &Api, organization: &str) -> Result<Value, ApiFailure> {
    let Credential::Admin { secret, .. } = admin.credential() else {
        return admin.post("/v1/organizations/current/api_keys", &json!({})).await;
    };
    let credential = Credential::Admin { secret: secret.clone(), organization: Some(organization.to_string()) };
    admin.as_caller(credential).post("/v1/organizations/current/api_keys", &json!({"name": "demo"})).await
}

fn find(list: &Value, field: &str, wanted: &str) -> Option<Value> {
    list.as_array()?.iter().find(|item| item[field] == wanted).cloned()
}

/// Makes what is missing of metrics, plan, customers and subscriptions.
pub(super) async fn set_up(api: &Api) -> Result<(), ApiFailure> {
    let requests = metric(api, "requests", "Requests", json!({"aggregation_type": "count"})).await?;
    let tokens = json!({"aggregation_type": "sum", "field_name": "tokens"});
    let context = metric(api, "context_tokens", "Context tokens", tokens.clone()).await?;
    let generated = metric(api, "generated_tokens", "Generated tokens", tokens).await?;
    let plan = made_or_found(api, "/v1/plans/", "code", PLAN, plan(&requests, &context, &generated)).await?;
    for (external_id, name, _) in CUSTOMERS {
        let body = json!({"external_id": external_id, "name": name, "currency": "USD", "timezone": "UTC"});
        let customer = made_or_found(api, "/v1/customers/", "external_id", external_id, body).await?;
        let subscription = format!("{external_id}-{PLAN}");
        let body = json!({
            "external_id": subscription, "customer_id": customer, "plan_id": plan, "started_at": STARTED_AT,
        });
        made_or_found(api, "/v1/subscriptions/", "external_id", &subscription, body).await?;
    }
    Ok(())
}

async fn metric(api: &Api, code: &str, name: &str, mut body: Value) -> Result<String, ApiFailure> {
    body["code"] = json!(code);
    body["name"] = json!(name);
    made_or_found(api, "/v1/billable_metrics/", "code", code, body).await
}

/// Prices are in dollars: 0.0000025 a token is 2.50 USD a million.
fn plan(requests: &str, context: &str, generated: &str) -> Value {
    json!({
        "code": PLAN, "name": "Inference", "interval": "monthly", "currency": "USD", "amount_cents": 4900,
        "charges": [
            {"billable_metric_id": requests, "charge_model": "package",
             "properties": {"amount": "0.10", "package_size": 100, "free_units": 1000}},
            {"billable_metric_id": context, "charge_model": "graduated",
             "properties": {"graduated_ranges": [
                {"from_value": 0, "to_value": 5_000_000, "per_unit_amount": "0.0000025", "flat_amount": "0"},
                {"from_value": 5_000_001, "to_value": null, "per_unit_amount": "0.00000125", "flat_amount": "0"}]}},
            {"billable_metric_id": generated, "charge_model": "graduated",
             "properties": {"graduated_ranges": [
                {"from_value": 0, "to_value": 1_000_000, "per_unit_amount": "0.00001", "flat_amount": "0"},
                {"from_value": 1_000_001, "to_value": null, "per_unit_amount": "0.0000075", "flat_amount": "0"}]}},
        ],
    })
}

/// The id of the thing whose `field` is `value`, made from `body` when the list has none.
async fn made_or_found(api: &Api, path: &str, field: &str, value: &str, body: Value) -> Result<String, ApiFailure> {
    let list = patient_get(api, &format!("{path}?limit=1000")).await?;
    let thing = match find(&list, field, value) {
        Some(thing) => thing,
        None => api.post(path, &body).await?,
    };
    Ok(text_field(&thing, "id", path)?.to_string())
}

//! An organization with a plan, made over HTTP, as the tests need it.

use crate::harness::Server;
use crate::wire::{Caller, text};
use serde_json::{Value, json};

/// An organization and what was made in it.
pub struct Account {
    /// Asks with its API key.
    pub caller: Caller,
    /// Its id.
    pub id: String,
    /// Id of its plan.
    pub plan: String,
}

/// The three metrics of a request of the trace.
pub const METRICS: [&str; 3] = ["requests", "context_tokens", "generated_tokens"];

impl Account {
    /// A fresh organization with the metrics and the plan of these tests: 49.00 a month; requests in packages; context tokens
    /// graduated; generated tokens by volume.
    pub async fn open(server: &Server, name: &str) -> Self {
        Self::made_from(server, json!({"name": name})).await
    }

    /// The same with any fields of an organization.
    pub async fn made_from(server: &Server, organization: Value) -> Self {
        Self::made_by(Caller::admin(server), organization).await
    }

    /// A fresh organization of this name, at the server of `admin`.
    pub async fn opened_at(admin: Caller, name: &str) -> Self {
        Self::made_by(admin, json!({"name": name})).await
    }

    async fn made_by(admin: Caller, organization: Value) -> Self {
        let made = admin.post("/v1/organizations/", &organization).await;
        let caller = admin.with_key(&text(&made["api_key"]["raw_key"]));
        let mut metrics = Vec::new();
        for code in METRICS {
            let mut body = json!({"code": code, "name": code, "aggregation_type": "sum", "field_name": "tokens"});
            if code == "requests" {
                body = json!({"code": code, "name": code, "aggregation_type": "count"});
            }
            metrics.push(text(&caller.post("/v1/billable_metrics/", &body).await["id"]));
        }
        let plan = caller.post("/v1/plans/", &plan(&metrics)).await;
        Self { caller, id: text(&made["id"]), plan: text(&plan["id"]) }
    }

    /// A customer in a timezone; its id.
    pub async fn customer(&self, external_id: &str, timezone: &str) -> String {
        let body = json!({"external_id": external_id, "name": external_id, "currency": "USD", "timezone": timezone});
        text(&self.caller.post("/v1/customers/", &body).await["id"])
    }

    /// A subscription of a customer to the plan from an instant; its id.
    pub async fn subscription(&self, external_id: &str, customer: &str, started_at: &str) -> String {
        let body = json!({
            "external_id": external_id, "customer_id": customer, "plan_id": self.plan, "started_at": started_at,
        });
        text(&self.caller.post("/v1/subscriptions/", &body).await["id"])
    }
}

fn plan(metrics: &[String]) -> Value {
    json!({
        "code": "inference", "name": "Inference", "interval": "monthly", "currency": "USD", "amount_cents": 4900,
        "charges": [
            {"billable_metric_id": metrics[0], "charge_model": "package",
             "properties": {"amount": "0.10", "package_size": 100, "free_units": 1000}},
            {"billable_metric_id": metrics[1], "charge_model": "graduated",
             "properties": {"graduated_ranges": [
                {"from_value": 0, "to_value": 1_000_000, "per_unit_amount": "0.0000025", "flat_amount": "1"},
                {"from_value": 1_000_001, "to_value": null, "per_unit_amount": "0.00000125", "flat_amount": "0.5"}]}},
            {"billable_metric_id": metrics[2], "charge_model": "volume",
             "properties": {"volume_ranges": [
                {"from_value": 0, "to_value": 500_000, "per_unit_amount": "0.00001", "flat_amount": "0"},
                {"from_value": 500_001, "to_value": null, "per_unit_amount": "0.0000075", "flat_amount": "2"}]}},
        ],
    })
}

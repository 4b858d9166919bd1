//! The four metrics and the plan that charges them: one cent a unit, so that an amount in cents shows the units.

use super::Wanted;
use crate::client::api::{Api, ApiError};
use crate::workload::facts::Kind;
use serde_json::{Value, json};

/// Code of the plan.
pub(crate) const PLAN: &str = "lt_plan";
const METRICS: &str = "/v1/billable_metrics/";
const PLANS: &str = "/v1/plans/";

/// Ids of the metrics in order of [`Kind::ALL`].
pub(super) async fn metrics(api: &Api) -> Result<Vec<String>, ApiError> {
    let mut ids = Vec::with_capacity(Kind::ALL.len());
    for kind in Kind::ALL {
        ids.push(find_or_create(api, METRICS, kind.code(), &metric(kind)).await?);
    }
    Ok(ids)
}

/// Id of the plan of this interval and these charges.
pub(super) async fn plan(api: &Api, metrics: &[String], wanted: &Wanted) -> Result<String, ApiError> {
    let (interval, charged) = (wanted.interval, wanted.charged);
    let charge = |(kind, metric): (Kind, &String)| {
        let mut properties = json!({"amount": "0.01"});
        if kind == Kind::Users {
            properties["grouped_by"] = json!(["region"]);
        }
        json!({"billable_metric_id": metric, "charge_model": "standard", "properties": properties})
    };
    let priced = Kind::ALL.into_iter().zip(metrics).filter(|(kind, _)| charged.contains(kind));
    let charges: Vec<Value> = priced.map(charge).collect();
    let mut code = if interval == "monthly" { PLAN.to_owned() } else { format!("{PLAN}_{interval}") };
    if charges.len() < Kind::ALL.len() {
        code.push_str(&format!("_{}_charges", charges.len()));
    }
    let plan = json!({
        "code": code, "name": "Load test", "interval": interval, "currency": "USD", "amount_cents": 0, "charges": charges,
    });
    find_or_create(api, PLANS, &code, &plan).await
}

fn metric(kind: Kind) -> Value {
    let (aggregation, field) = match kind {
        Kind::Requests => ("count", None),
        Kind::Tokens => ("sum", Some("amount")),
        Kind::Peak => ("max", Some("amount")),
        Kind::Users => ("unique_count", Some("user")),
    };
    let mut metric = json!({"code": kind.code(), "name": kind.code(), "aggregation_type": aggregation});
    if let Some(field) = field {
        metric["field_name"] = json!(field);
    }
    metric
}

/// Looks through the list, creates what is missing.
async fn find_or_create(api: &Api, path: &str, code: &str, body: &Value) -> Result<String, ApiError> {
    let rows = api.list(path).await?;
    let found = rows.iter().find(|row| row["code"] == code).and_then(|row| row["id"].as_str());
    if let Some(id) = found {
        return Ok(id.to_owned());
    }
    api.post(path, body, &[201]).await?.text(path, "/id")
}

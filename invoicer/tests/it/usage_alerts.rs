//! Usage alerts: fire once in a period, or once for each further multiple; are shown, changed, refused.

use super::support::{Answer, Installation, Tenant, at, from, runs_over, text};
use axum::http::{Method, StatusCode};
use invoicer::Portions;
use serde_json::{Value, json};

const AUGUST: &str = "2026-08-01T00:00:00Z";

impl Tenant<'_> {
    /// A metric that no plan charges, with its id.
    async fn bytes(&self) -> String {
        let new = json!({"code": "bytes", "name": "bytes", "aggregation_type": "sum", "field_name": "n"});
        let now = at("2026-01-01T00:00:00Z");
        self.installation.catalog.create_metric(self.organization, from(new), now).await.unwrap().id.to_string()
    }

    async fn alert(&self, subscription: &str, metric: &str, more: Value) -> Answer {
        let mut body = json!({"subscription_id": subscription, "billable_metric_id": metric});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/v1/usage_alerts/", body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        let key = format!("Bearer {}", self.key);
        self.installation.ask(Method::PATCH, path, &[("authorization", &key)], Some(body)).await
    }

    async fn used(&self, count: &str, timestamp: &str) {
        self.send(&[("ada", "ada-1", "bytes", timestamp, &format!(r#"{{"n": {count}}}"#))]).await;
    }

    /// Usage and threshold of each firing, oldest first.
    async fn firings(&self, alert: &Value) -> Vec<String> {
        let all = self.all(&format!("/v1/usage_alerts/{}/triggers", text(alert, "id"))).await;
        let told = |one: &Value| format!("{} of {}", text(one, "current_usage"), text(one, "threshold_value"));
        all.iter().rev().map(told).collect()
    }
}

impl Installation {
    async fn fired(&self) -> usize {
        self.runs.fire_alerts().await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_fires_once_in_each_period_and_a_recurring_one_at_each_multiple() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (plan, metric) = (tenant.plan().await, tenant.bytes().await);
    let (_, subscription) = tenant.subscriber("ada", &plan, AUGUST).await;
    let once = tenant.alert(&subscription, &metric, json!({"threshold_value": "10", "name": "ten"})).await;
    assert_eq!(once.status, StatusCode::CREATED, "{once:?}");
    let recurring = tenant.alert(&subscription, &metric, json!({"threshold_value": "2.5", "recurring": true})).await;
    let (once, recurring) = (once.body, recurring.body);
    assert_eq!(installation.fired().await, 0);
    // Two processes at once, again and again.
    let other = runs_over(&installation.catalog, &installation.store, &installation.clock, Portions::default()).await;
    for (count, firings) in [("2.4", 0), ("0.1", 1), ("5.0", 1), ("0.2", 0), ("2.3", 2), ("50", 1)] {
        tenant.used(count, AUGUST).await;
        let (one, two) = tokio::join!(installation.runs.fire_alerts(), other.fire_alerts());
        assert_eq!(one.unwrap().len() + two.unwrap().len(), firings, "{count} more");
    }
    assert_eq!(tenant.firings(&once).await, ["10 of 10"]);
    assert_eq!(tenant.firings(&recurring).await, ["2.5 of 2.5", "7.5 of 2.5", "10 of 2.5", "60 of 2.5"]);
    let shown = tenant.get(&format!("/v1/usage_alerts/{}", text(&recurring, "id"))).await.body;
    assert_eq!((&shown["times_triggered"], &shown["name"]), (&json!(24), &Value::Null));
    // The next period counts from 0.
    installation.clock.set(at("2026-09-02T00:00:00Z"));
    tenant.used("10", "2026-09-01T00:00:00Z").await;
    assert_eq!(installation.fired().await, 2);
    assert_eq!(tenant.firings(&once).await, ["10 of 10", "10 of 10"]);
    // What comes late for a period that is over fires nothing.
    tenant.used("100", AUGUST).await;
    assert_eq!(installation.fired().await, 0);
}

#[tokio::test]
async fn a_changed_alert_is_compared_anew_and_its_status_tells_without_firing() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (plan, metric) = (tenant.plan().await, tenant.bytes().await);
    let (_, subscription) = tenant.subscriber("ada", &plan, AUGUST).await;
    tenant.used("7", AUGUST).await;
    let alert = tenant.alert(&subscription, &metric, json!({"threshold_value": "9"})).await.body;
    let path = format!("/v1/usage_alerts/{}", text(&alert, "id"));
    let status = tenant.get(&format!("{path}/status")).await.body;
    assert_eq!((text(&status, "current_usage"), text(&status, "usage_percentage")), ("7", "77.78"));
    assert_eq!(text(&status, "billing_period_start"), AUGUST);
    assert_eq!(tenant.post(&format!("{path}/test"), json!({})).await.body, status);
    assert_eq!(installation.fired().await, 0);
    // Nothing came in since: it is compared because it was changed.
    let changed = tenant.patch(&path, json!({"threshold_value": "3.5", "recurring": true, "name": "half"})).await;
    assert_eq!((changed.status, text(&changed.body, "name")), (StatusCode::OK, "half"));
    assert_eq!(installation.fired().await, 1);
    assert_eq!(tenant.firings(&alert).await, ["7 of 3.5"]);
    assert_eq!(tenant.get(&path).await.body["times_triggered"], json!(2));
    // Its name alone makes nothing fire again, and neither does a threshold that fired before.
    tenant.patch(&path, json!({"name": null})).await;
    assert_eq!(installation.fired().await, 0);
    tenant.patch(&path, json!({"threshold_value": "8"})).await;
    tenant.patch(&path, json!({"threshold_value": "3.5"})).await;
    installation.fired().await;
    assert_eq!(tenant.firings(&alert).await, ["7 of 3.5"]);
    let listed = tenant.get(&format!("/v1/usage_alerts/?subscription_id={subscription}")).await;
    assert_eq!((listed.total, listed.body.as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(tenant.delete(&path).await, StatusCode::NO_CONTENT);
    assert_eq!(tenant.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(tenant.get("/v1/usage_alerts/").await.total, Some(0));
}

#[tokio::test]
async fn what_cannot_be_an_alert_is_refused_and_another_organizations_is_not_there() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (plan, metric) = (tenant.plan().await, tenant.bytes().await);
    let (_, subscription) = tenant.subscriber("ada", &plan, AUGUST).await;
    for (more, field) in [
        (json!({"threshold_value": "0"}), "threshold_value"),
        (json!({"threshold_value": "-1"}), "threshold_value"),
        (json!({"threshold_value": "1", "name": "x".repeat(256)}), "name"),
        (json!({}), "threshold_value"),
    ] {
        let refused = tenant.alert(&subscription, &metric, more).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert!(refused.body["detail"].to_string().contains(field), "{refused:?}");
    }
    let nobody = uuid::Uuid::nil().to_string();
    assert_eq!(tenant.alert(&nobody, &metric, json!({"threshold_value": 1})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(tenant.alert(&subscription, &nobody, json!({"threshold_value": 1})).await.status, StatusCode::NOT_FOUND);
    let alert = tenant.alert(&subscription, &metric, json!({"threshold_value": 1})).await.body;
    let path = format!("/v1/usage_alerts/{}", text(&alert, "id"));
    assert_eq!(tenant.patch(&path, json!({"threshold_value": 0})).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(text(&tenant.get(&path).await.body, "threshold_value"), "1");
    let other = installation.organization("Other", false).await;
    for of_other in [path.clone(), format!("{path}/status"), format!("{path}/triggers")] {
        assert_eq!(other.get(&of_other).await.status, StatusCode::NOT_FOUND, "{of_other}");
    }
    assert_eq!(other.get("/v1/usage_alerts/").await.total, Some(0));
    assert_eq!(tenant.get(&format!("{path}/triggers?limit=201")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

//! Reports of runs.

use super::support::{ADMIN, Installation, everything, text};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use invoicer::{RunScope, Unobserved};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Status, kind and bytes of an answer that is no JSON.
async fn fetched(installation: &Installation, method: &str, path: &str, key: &str) -> (StatusCode, String, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    let answer = installation.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = answer.status();
    (status, kind, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_dry_run_is_told_by_plan_against_the_month_before_and_names_who_stands_out() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (_, steady) = tenant.subscriber("steady", &plan, "2026-06-01T00:00:00Z").await;
    let (_, jumper) = tenant.subscriber("jumper", &plan, "2026-06-01T00:00:00Z").await;
    let seats = |name: &'static str, day: &'static str, seats: &'static str| (name, "", "seats", day, seats);
    tenant
        .send(&[
            seats("steady", "2026-06-10T00:00:00Z", r#"{"seats": 2}"#),
            seats("steady", "2026-07-10T00:00:00Z", r#"{"seats": 2}"#),
            seats("jumper", "2026-06-10T00:00:00Z", r#"{"seats": 2}"#),
            seats("jumper", "2026-07-10T00:00:00Z", r#"{"seats": 40}"#),
        ])
        .await;
    installation.bill("2026-07-01T00:00:00Z").await;
    let scope = RunScope { dry_run: true, ..everything("2026-08-01T00:00:00Z") };
    let mut told: Vec<Value> = Vec::new();
    // Twice: the second is as the first.
    for _ in 0..2 {
        let run = installation.runs.run_to_end(scope, &Unobserved).await.unwrap();
        assert_eq!((run.error, run.invoices_created), (None, 2));
        let path = format!("/v1/billing_runs/{}/report", run.id);
        let answer = installation.ask("GET".parse().unwrap(), &path, &[("x-admin-secret", ADMIN)], None).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        told.push(answer.body);
    }
    let report = &told[1];
    // 10.00 and 2 seats at 5.00 each in June; in July one has 40 seats.
    let row = &report["plans"][0];
    assert_eq!(report["plans"].as_array().unwrap().len(), 1);
    assert_eq!((text(row, "plan_code"), text(row, "amount_cents")), ("basic", "23000"));
    assert_eq!((&row["subscriptions"], text(row, "previous_cents")), (&json!(2), "4000"));
    assert_eq!(told[0]["plans"], report["plans"]);
    assert_eq!(report["outliers_total"], 1);
    let outlier = &report["outliers"][0];
    assert_eq!((text(outlier, "subscription_id"), text(outlier, "amount_cents")), (jumper.as_str(), "21000"));
    assert_ne!(jumper, steady);
    assert_eq!(tenant.all("/v1/invoices/").await.len(), 2, "a dry run writes no invoice");

    // For people and spreadsheets, and of a run that wrote.
    let run = tenant.post("/v1/billing_runs", json!({"as_of": "2026-08-01T00:00:00Z"})).await;
    assert_eq!(run.status, StatusCode::ACCEPTED);
    let id = text(&run.body, "id").to_owned();
    let mut status = String::new();
    for _ in 0..200 {
        status = text(&tenant.get(&format!("/v1/billing_runs/{id}")).await.body, "status").to_owned();
        if status == "completed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status, "completed");
    let path = format!("/v1/billing_runs/{id}/report");
    let (code, kind, csv) = fetched(&installation, "GET", &format!("{path}?format=csv"), &tenant.key).await;
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!((code, kind.as_str()), (StatusCode::OK, "text/csv; charset=utf-8"));
    assert!(csv.lines().nth(1).unwrap().contains("plan,basic,") && csv.contains(",USD,2,23000,"), "{csv}");
    let (_, kind, page) = fetched(&installation, "GET", &format!("{path}?format=html"), &tenant.key).await;
    let page = String::from_utf8(page).unwrap();
    assert_eq!(kind, "text/html; charset=utf-8");
    assert!(page.contains("Basic") && page.contains("230.00"), "{page}");
}

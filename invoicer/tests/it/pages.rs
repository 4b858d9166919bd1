//! Invoices as pages to send.

use super::support::{Installation, at, from, text};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

/// Status, kind and bytes of an answer that is no JSON.
async fn fetched(installation: &Installation, method: &str, path: &str, key: &str) -> (StatusCode, String, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    let answer = installation.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = answer.status();
    (status, kind, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Pages of a PDF, as its objects say.
fn pages(pdf: &[u8]) -> usize {
    let text = String::from_utf8_lossy(pdf);
    let objects =
        |kind: &str| text.matches(&format!("/Type/{kind}")).count() + text.matches(&format!("/Type /{kind}")).count();
    objects("Page") - objects("Pages")
}

#[tokio::test]
async fn an_invoice_of_hundreds_of_lines_is_sent_over_pages_also_under_a_logo_that_is_no_picture() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let now = at("2026-01-01T00:00:00Z");
    let metric = json!({"code": "calls", "name": "calls", "aggregation_type": "count"});
    let metric = installation.catalog.create_metric(tenant.organization, from(metric), now).await.unwrap().id;
    let charge = json!({"billable_metric_id": metric, "charge_model": "standard",
        "properties": {"amount": "0.1", "grouped_by": ["region"]}});
    let plan = json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": 1000, "charges": [charge]});
    let plan = installation.catalog.create_plan(tenant.organization, &from(plan), now).await.unwrap().id.to_string();
    tenant.subscriber("c", &plan, "2026-07-01T00:00:00Z").await;
    let regions: Vec<String> = (0..300).map(|number| format!(r##"{{"region":"#emph[{number}] $x"}}"##)).collect();
    let events: Vec<_> =
        regions.iter().map(|region| ("c", "", "calls", "2026-07-10T00:00:00Z", region.as_str())).collect();
    tenant.send(&events).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let invoice = text(&tenant.all("/v1/invoices/").await[0], "id").to_owned();
    let path = format!("/v1/invoices/{invoice}/pdf_preview");
    let plain = fetched(&installation, "GET", &path, &tenant.key).await.2;
    assert!(pages(&plain) > 5, "{} pages", pages(&plain));
    // The first bytes of a PNG, and nothing after them.
    let broken = json!({"logo_url": "data:image/png;base64,iVBORw0KGgo="});
    let changed = installation.catalog.update_organization(tenant.organization, &from(broken), now).await.unwrap();
    assert!(changed.logo_url.is_some());
    let (status, _, pdf) = fetched(&installation, "GET", &path, &tenant.key).await;
    assert_eq!((status, pages(&pdf)), (StatusCode::OK, pages(&plain)));
}

#[tokio::test]
async fn an_issued_invoice_is_a_pdf_and_a_draft_is_none() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let patient = tenant.customer("patient", json!({"invoice_grace_period": 5, "email": "p@example.com"})).await;
    tenant.subscribe(&patient, "patient-1", &plan, "2026-07-01T00:00:00Z").await;
    let prompt = tenant.customer("prompt", json!({"email": "q@example.com", "timezone": "Asia/Tokyo"})).await;
    tenant.subscribe(&prompt, "prompt-1", &plan, "2026-07-01T00:00:00Z").await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let invoices = tenant.all("/v1/invoices/").await;
    let of = |customer: &str| invoices.iter().find(|one| one["customer_id"] == customer).unwrap();
    let (draft, issued) = (text(of(&patient), "id"), text(of(&prompt), "id"));
    for (method, route) in [("GET", "pdf_preview"), ("POST", "download_pdf")] {
        let path = |id: &str| format!("/v1/invoices/{id}/{route}");
        let (status, kind, pdf) = fetched(&installation, method, &path(issued), &tenant.key).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/pdf"));
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 5_000, "{} bytes", pdf.len());
        assert_eq!(fetched(&installation, method, &path(draft), &tenant.key).await.0, StatusCode::BAD_REQUEST);
        let stranger = installation.organization("Other", false).await;
        assert_eq!(fetched(&installation, method, &path(issued), &stranger.key).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_issued_credit_note_is_a_pdf_and_a_draft_is_none() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
    tenant.send(&[("ada", "", "seats", "2026-07-03T00:00:00Z", r#"{"seats": 2}"#)]).await;
    let invoice = tenant.billed().await.remove(0);
    // A third of 24.00 over the flat fee and the seats: shares that are no whole cents.
    let new = json!({"invoice_id": invoice["id"], "credit_note_type": "credit", "reason": "other", "number": "N/1",
        "customer_id": invoice["customer_id"], "currency": "USD", "total_amount_cents": "799"});
    let note = tenant.post("/v1/credit_notes/", new).await;
    assert_eq!(note.status, StatusCode::CREATED, "{note:?}");
    let path = format!("/v1/credit_notes/{}", text(&note.body, "id"));
    let download = format!("{path}/download_pdf");
    assert_eq!(fetched(&installation, "POST", &download, &tenant.key).await.0, StatusCode::BAD_REQUEST, "a draft");
    assert_eq!(tenant.post(&format!("{path}/finalize"), json!({})).await.status, StatusCode::OK);
    let (status, kind, pdf) = fetched(&installation, "POST", &download, &tenant.key).await;
    assert_eq!((status, kind.as_str(), pages(&pdf)), (StatusCode::OK, "application/pdf", 1));
    let other = installation.organization("Other", false).await;
    assert_eq!(fetched(&installation, "POST", &download, &other.key).await.0, StatusCode::NOT_FOUND);
}

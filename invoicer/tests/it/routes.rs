//! The routes: who sees what, in which form, and what is refused.

use super::support::{ADMIN, Answer, Installation, Tenant, at, from, text};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

async fn ended(tenant: &Tenant<'_>, started: Answer) -> Value {
    assert_eq!(started.status, StatusCode::ACCEPTED, "{started:?}");
    let path = format!("/v1/billing_runs/{}", text(&started.body, "id"));
    for _ in 0..600 {
        let run = tenant.get(&path).await.body;
        if matches!(text(&run, "status"), "completed" | "failed") {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the run did not end");
}

async fn installation_with_one_invoice() -> Installation {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
    tenant.send(&[("ada", "", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    drop(tenant);
    installation
}

#[tokio::test]
async fn a_run_is_started_followed_and_listed_by_its_organization_only() {
    let installation = installation_with_one_invoice().await;
    let stranger = installation.organization("Other", false).await;
    let admin = [("x-admin-secret", ADMIN)];
    let all = installation.ask(Method::POST, "/v1/billing_runs/", &admin, Some(json!({"dry_run": true}))).await;
    assert_eq!((all.status, &all.body["organization_id"]), (StatusCode::ACCEPTED, &Value::Null));

    installation.clock.set(at("2026-08-01T00:00:01Z"));
    let own = stranger.post("/v1/billing_runs", json!({"as_of": "2026-08-01T00:00:00Z"})).await;
    let run = ended(&stranger, own).await;
    assert_eq!(
        (text(&run, "status"), &run["invoices_created"], &run["total_cents"]),
        ("completed", &json!(0), &json!({}))
    );
    assert_eq!(text(&run, "as_of"), "2026-08-01T00:00:00Z");
    assert!(run["finished_at"].is_string() && run["error"].is_null() && run["dry_run"] == false);
    let listed = stranger.get("/v1/billing_runs/").await;
    assert_eq!((listed.total, text(&listed.body[0], "id")), (Some(1), text(&run, "id")));
    let of_all = format!("/v1/billing_runs/{}", text(&all.body, "id"));
    assert_eq!(stranger.get(&of_all).await.status, StatusCode::NOT_FOUND);
    let by_operator = installation.ask(Method::GET, "/v1/billing_runs?order_by=started_at:asc", &admin, None).await;
    assert_eq!((by_operator.total, text(&by_operator.body[0], "id")), (Some(2), text(&all.body, "id")));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_billed_and_no_invoice_is_made() {
    let installation = installation_with_one_invoice().await;
    let admin = [("x-admin-secret", ADMIN)];
    let started = installation.ask(Method::POST, "/v1/billing_runs", &admin, Some(json!({"dry_run": true}))).await;
    let path = format!("/v1/billing_runs/{}/", text(&started.body, "id"));
    let run = loop {
        let run = installation.ask(Method::GET, &path, &admin, None).await.body;
        if run["finished_at"].is_string() {
            break run;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&run["invoices_created"], &run["total_cents"]), (&json!(1), &json!({"USD": "1010"})), "{run}");
    let invoices: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM invoices")
        .fetch_one(installation.catalog.database().pool())
        .await
        .unwrap();
    assert_eq!(invoices, 0);
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let unauthorized = installation.ask(Method::POST, "/v1/billing_runs", &[], Some(json!({}))).await;
    assert_eq!(unauthorized.status, StatusCode::UNAUTHORIZED);
    let alone = [("x-organization-id", "00000000-0000-0000-0000-000000000001")];
    assert_eq!(installation.ask(Method::GET, "/v1/invoices/", &alone, None).await.status, StatusCode::UNAUTHORIZED);
    for body in [
        json!({"as_of": "2026-08-01T00:00:00.000001Z"}),
        json!({"as_of": "2026-07-01"}),
        json!({"as_of": 5}),
        json!({"dry_run": "yes"}),
        json!([]),
    ] {
        let refused = tenant.post("/v1/billing_runs", body.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {refused:?}");
    }
    for path in [
        "/v1/invoices/?status=lost",
        "/v1/invoices/?customer_id=5",
        "/v1/invoices/?limit=1001",
        "/v1/invoices/?order_by=metadata",
        "/v1/invoices/none",
        "/v1/fees/?fee_type=bribe",
        "/v1/fees/?payment_status=maybe",
        "/v1/fees/none/proof",
        "/v1/billing_runs/?order_by=reach",
        "/v1/billing_runs/none",
    ] {
        assert_eq!(tenant.get(path).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    for path in
        ["/v1/invoices/", "/v1/fees/", "/v1/billing_runs/"].map(|list| format!("{list}{}", uuid::Uuid::new_v4()))
    {
        assert_eq!(tenant.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(tenant.get("/v1/billing_runs").await.total, Some(0));
}

#[tokio::test]
async fn answers_have_the_contracts_fields_and_lists_count_what_the_filters_leave() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (ada, _) = tenant.subscriber("ada", &plan, "2026-06-01T00:00:00Z").await;
    let (_, bob) = tenant.subscriber("bob", &plan, "2026-07-01T00:00:00Z").await;
    installation.bill("2026-08-01T00:00:00Z").await;

    let invoice = tenant.all("/v1/invoices/?order_by=invoice_number").await.remove(0);
    for field in [
        "id",
        "invoice_number",
        "customer_id",
        "subscription_id",
        "status",
        "invoice_type",
        "billing_period_start",
        "billing_period_end",
        "subtotal_cents",
        "tax_amount_cents",
        "total_cents",
        "prepaid_credit_amount_cents",
        "coupons_amount_cents",
        "progressive_billing_credit_amount_cents",
        "currency",
        "line_items",
        "due_date",
        "issued_at",
        "paid_at",
        "created_at",
        "updated_at",
    ] {
        assert!(invoice.get(field).is_some(), "{field} is missing in {invoice}");
    }
    let fee = tenant.all("/v1/fees/?fee_type=charge").await.remove(0);
    for field in [
        "id",
        "invoice_id",
        "charge_id",
        "subscription_id",
        "commitment_id",
        "customer_id",
        "fee_type",
        "amount_cents",
        "taxes_amount_cents",
        "total_amount_cents",
        "units",
        "events_count",
        "unit_amount_cents",
        "payment_status",
        "description",
        "metric_code",
        "properties",
        "created_at",
        "updated_at",
        "event_fingerprint",
        "cut",
        "versions",
    ] {
        assert!(fee.get(field).is_some(), "{field} is missing in {fee}");
    }
    assert_eq!(text(&fee, "event_fingerprint").len(), 32);
    assert_eq!(fee["versions"], json!({"plan": 1, "metric": 1}));
    for (path, total) in [
        (format!("/v1/invoices/?customer_id={ada}&limit=1"), 2),
        (format!("/v1/invoices/?subscription_id={bob}"), 1),
        ("/v1/invoices?status=finalized&skip=2".to_owned(), 3),
        ("/v1/invoices/?status=draft".to_owned(), 0),
        ("/v1/fees/?limit=1".to_owned(), 12),
        (format!("/v1/fees?subscription_id={bob}"), 4),
        (format!("/v1/fees/?customer_id={ada}&fee_type=subscription"), 2),
        (format!("/v1/fees/?invoice_id={}", text(&invoice, "id")), 4),
        ("/v1/fees/?payment_status=succeeded".to_owned(), 0),
    ] {
        assert_eq!(tenant.get(&path).await.total, Some(total), "{path}");
    }
}

#[tokio::test]
async fn a_preview_shows_what_will_be_billed_and_stores_nothing() {
    let installation = Installation::start().await;
    installation.clock.set(at("2026-07-20T00:00:00Z"));
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, subscription) = tenant.subscriber("ada", &plan, "2026-07-16T00:00:00Z").await;
    tenant
        .send(&[("ada", "", "calls", "2026-07-17T00:00:00Z", "{}"), ("ada", "", "calls", "2026-07-19T00:00:00Z", "{}")])
        .await;

    let shown = tenant.post("/v1/invoices/preview", json!({"subscription_id": subscription})).await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    // 16 of 31 days of 1000, and two calls
    assert_eq!((text(&shown.body, "total_cents"), text(&shown.body, "currency")), ("536", "USD"), "{shown:?}");
    assert_eq!(
        shown.body["fees"][1],
        json!({
            "description": "calls", "units": "2", "unit_amount_cents": "10", "amount_cents": "20",
            "charge_model": "standard", "metric_code": "calls",
        })
    );
    let bounded = json!({"subscription_id": subscription, "billing_period_start": "2026-07-18T00:00:00Z"});
    assert_eq!(text(&tenant.post("/v1/invoices/preview", bounded).await.body, "total_cents"), "10");
    assert_eq!(tenant.get("/v1/invoices/").await.total, Some(0));

    installation.clock.set(at("2026-08-01T00:00:00Z"));
    installation.bill("2026-08-01T00:00:00Z").await;
    assert_eq!(text(&tenant.all("/v1/invoices/").await[0], "total_cents"), "536");

    let refused = async |body: Value| tenant.post("/v1/invoices/preview", body).await.status.as_u16();
    assert_eq!(refused(json!({"subscription_id": customer})).await, 404);
    assert_eq!(refused(json!({})).await, 422);
    for (field, value) in
        [("billing_period_end", "2026-07-01T00:00:00Z"), ("billing_period_start", "2026-09-01T00:00:00Z")]
    {
        assert_eq!(refused(json!({"subscription_id": subscription, field: value})).await, 422, "{field}");
    }
    let planned = from(json!({"external_id": "later", "customer_id": customer, "plan_id": plan}));
    let now = at("2026-08-01T00:00:00Z");
    let pending = installation.catalog.create_subscription(tenant.organization, &planned, now).await.unwrap().id;
    assert_eq!(refused(json!({"subscription_id": pending})).await, 400);
}

#[test]
fn the_description_names_every_route() {
    let paths: Vec<String> =
        invoicer::openapi().paths.paths.keys().filter(|path| !path.contains("pdf")).cloned().collect();
    assert_eq!(
        paths,
        [
            "/v1/billing_runs",
            "/v1/billing_runs/{billing_run_id}",
            "/v1/billing_runs/{billing_run_id}/report",
            "/v1/coupons/",
            "/v1/coupons/applied/{applied_coupon_id}",
            "/v1/coupons/apply",
            "/v1/coupons/{code}",
            "/v1/coupons/{code}/analytics",
            "/v1/coupons/{code}/duplicate",
            "/v1/credit_notes/",
            "/v1/credit_notes/estimate",
            "/v1/credit_notes/{credit_note_id}",
            "/v1/credit_notes/{credit_note_id}/finalize",
            "/v1/credit_notes/{credit_note_id}/send_email",
            "/v1/credit_notes/{credit_note_id}/void",
            "/v1/customers/{customer_id}/applied_coupons",
            "/v1/fees/",
            "/v1/fees/{fee_id}",
            "/v1/fees/{fee_id}/events",
            "/v1/fees/{fee_id}/proof",
            "/v1/invoices/",
            "/v1/invoices/bulk_finalize",
            "/v1/invoices/bulk_void",
            "/v1/invoices/export",
            "/v1/invoices/one_off",
            "/v1/invoices/preview",
            "/v1/invoices/{invoice_id}",
            "/v1/invoices/{invoice_id}/finalize",
            "/v1/invoices/{invoice_id}/pay",
            "/v1/invoices/{invoice_id}/refresh",
            "/v1/invoices/{invoice_id}/regenerate",
            "/v1/invoices/{invoice_id}/send_email",
            "/v1/invoices/{invoice_id}/send_reminder",
            "/v1/invoices/{invoice_id}/settlements",
            "/v1/invoices/{invoice_id}/void",
            "/v1/ledger/check",
            "/v1/payment_requests/",
            "/v1/payment_requests/batch",
            "/v1/payment_requests/{request_id}",
            "/v1/payment_requests/{request_id}/attempts",
            "/v1/payments/",
            "/v1/payments/record",
            "/v1/payments/{payment_id}",
            "/v1/payments/{payment_id}/mark-paid",
            "/v1/payments/{payment_id}/refund",
            "/v1/payments/{payment_id}/retry",
            "/v1/subscriptions/{subscription_id}/lifecycle",
            "/v1/usage_alerts/",
            "/v1/usage_alerts/{alert_id}",
            "/v1/usage_alerts/{alert_id}/status",
            "/v1/usage_alerts/{alert_id}/test",
            "/v1/usage_alerts/{alert_id}/triggers",
            "/v1/wallets/",
            "/v1/wallets/transfer",
            "/v1/wallets/{wallet_id}",
            "/v1/wallets/{wallet_id}/balance_timeline",
            "/v1/wallets/{wallet_id}/depletion_forecast",
            "/v1/wallets/{wallet_id}/ongoing_balance",
            "/v1/wallets/{wallet_id}/top_up",
            "/v1/wallets/{wallet_id}/transactions",
        ]
    );
}

#[tokio::test]
async fn an_issued_invoice_that_is_to_be_mailed_is_written_down_and_a_draft_is_refused() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let patient = tenant.customer("patient", json!({"invoice_grace_period": 5, "email": "p@example.com"})).await;
    tenant.subscribe(&patient, "patient-1", &plan, "2026-07-01T00:00:00Z").await;
    let prompt = tenant.customer("prompt", json!({"email": "q@example.com"})).await;
    tenant.subscribe(&prompt, "prompt-1", &plan, "2026-07-01T00:00:00Z").await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let invoices = tenant.all("/v1/invoices/").await;
    let of = |customer: &str| text(invoices.iter().find(|one| one["customer_id"] == customer).unwrap(), "id");
    let (draft, issued) = (of(&patient), of(&prompt));
    let mailed = tenant.post(&format!("/v1/invoices/{issued}/send_email"), json!({})).await;
    assert_eq!((mailed.status, mailed.body), (StatusCode::OK, json!({"sent": false})));
    let rows = sqlx::query("SELECT email FROM invoice_mails").fetch_all(installation.catalog.database().pool());
    assert_eq!(rows.await.unwrap().len(), 1);
    let refused = tenant.post(&format!("/v1/invoices/{draft}/send_email"), json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

//! Invoices by hand: drafts refreshed and issued, settled, taken back, made again; taxes, commitments, entities on them.

use super::support::{Answer, Installation, Tenant, at, from, text};
use axum::http::{Method, StatusCode};
use catalog::database::Database;
use invoicer::check_ledger;
use serde_json::{Value, json};

const JULY: &str = "2026-07-01T00:00:00Z";

impl Tenant<'_> {
    async fn tax(&self, code: &str, rate: &str, general: bool) {
        let new = json!({"code": code, "name": code, "rate": rate, "applied_to_organization": general});
        let catalog = &self.installation.catalog;
        catalog.create_tax(self.organization, &from(new), at(JULY)).await.unwrap();
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        let key = format!("Bearer {}", self.key);
        self.installation.ask(Method::PUT, path, &[("authorization", &key)], Some(body)).await
    }

    async fn act(&self, invoice: &Value, action: &str) -> Answer {
        self.post(&format!("/v1/invoices/{}/{action}", text(invoice, "id")), json!({})).await
    }

    async fn drafts(&self) -> Vec<Value> {
        self.all("/v1/invoices/?status=draft").await
    }
}

async fn assert_ledger_holds(database: &Database) {
    let report = check_ledger(database).await.unwrap();
    assert_eq!(report.problems, []);
}

/// A customer whose drafts stay open for ten days, with one event in July, billed on the first of August.
async fn with_a_draft(tenant: &Tenant<'_>) -> Value {
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 10, "email": "ada@example.com"})).await;
    tenant.subscribe(&customer, "ada-1", &plan, JULY).await;
    tenant.send(&[("ada", "", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    tenant.installation.bill("2026-08-01T00:00:00Z").await;
    tenant.drafts().await.remove(0)
}

#[tokio::test]
async fn a_late_event_inside_the_days_of_grace_counts_when_the_draft_is_refreshed_or_issued() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.tax("vat", "0.2", true).await;
    let draft = with_a_draft(&tenant).await;
    // 10.00 and one call at 0.10, and 20 % on it.
    let cents = |invoice: &Value| {
        ["subtotal_cents", "tax_amount_cents", "total_cents"].map(|field| text(invoice, field).to_owned())
    };
    assert_eq!(cents(&draft), ["1010", "202", "1212"]);
    assert!(text(&draft, "invoice_number").starts_with("DRAFT"));
    tenant.send(&[("ada", "", "calls", "2026-07-06T00:00:00Z", "{}")]).await;
    let refreshed = tenant.act(&draft, "refresh").await.body;
    assert_eq!((cents(&refreshed), text(&refreshed, "status")), (["1020", "204", "1224"].map(String::from), "draft"));
    tenant.send(&[("ada", "", "calls", "2026-07-07T00:00:00Z", "{}")]).await;
    let issued = tenant.act(&draft, "finalize").await.body;
    assert_eq!((cents(&issued), text(&issued, "status")), (["1030", "206", "1236"].map(String::from), "finalized"));
    assert_eq!((text(&issued, "invoice_number"), text(&issued, "issued_at")), ("INV-000001", "2026-08-01T00:00:00Z"));
    assert_eq!(text(&issued, "due_date"), "2026-08-31T00:00:00Z");
    assert_eq!(issued["applied_taxes"][0]["base_amount_cents"], "1030");
    for action in ["finalize", "refresh"] {
        assert_eq!(tenant.act(&draft, action).await.status, StatusCode::BAD_REQUEST, "{action} again");
    }
    let again = installation.bill("2026-08-20T00:00:00Z").await;
    assert_eq!(again.invoices_created, 0);
    assert_ledger_holds(installation.catalog.database()).await;
}

#[tokio::test]
async fn an_invoice_is_paid_once_and_a_paid_one_is_not_taken_back() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let draft = with_a_draft(&tenant).await;
    assert_eq!(tenant.act(&draft, "pay").await.status, StatusCode::BAD_REQUEST, "a draft");
    assert_eq!(tenant.act(&draft, "send_reminder").await.status, StatusCode::BAD_REQUEST, "a draft");
    let issued = tenant.act(&draft, "finalize").await.body;
    let reminded = tenant.act(&issued, "send_reminder").await.body;
    assert_eq!(reminded, json!({"sent": false, "invoice_id": issued["id"]}));
    let paid = tenant.act(&issued, "pay").await.body;
    assert_eq!((text(&paid, "status"), text(&paid, "paid_at")), ("paid", "2026-08-01T00:00:00Z"));
    let settled = tenant.all(&format!("/v1/invoices/{}/settlements", text(&paid, "id"))).await;
    assert_eq!((settled.len(), &settled[0]["amount_cents"]), (1, &json!("1010")));
    let fees = tenant.all(&format!("/v1/fees/?invoice_id={}", text(&paid, "id"))).await;
    assert!(fees.iter().all(|fee| fee["payment_status"] == "succeeded"), "{fees:?}");
    for action in ["pay", "void", "finalize", "regenerate"] {
        assert_eq!(tenant.act(&paid, action).await.status, StatusCode::BAD_REQUEST, "{action}");
    }
    let path = format!("/v1/invoices/{}", text(&paid, "id"));
    for change in [json!({"due_date": "2026-09-01T00:00:00Z"}), json!({"status": "draft"}), json!({"status": "voided"})]
    {
        assert_eq!(tenant.put(&path, change.clone()).await.status, StatusCode::BAD_REQUEST, "{change}");
    }
    assert_eq!(tenant.put(&path, json!({"paid_at": JULY})).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let trail = installation
        .catalog
        .audit_logs(
            tenant.organization,
            &catalog::audit::storage::AuditFilter { resource_type: Some("invoice".into()), ..Default::default() },
            &list(),
        )
        .await
        .unwrap();
    assert_eq!(trail.0.iter().filter(|row| row.action == "status_changed").count(), 2, "issued and paid");
    assert_ledger_holds(installation.catalog.database()).await;
}

fn list() -> http_api::ListParams {
    http_api::ListParams::read(&http_api::QueryArguments::of(&[])).unwrap()
}

#[tokio::test]
async fn a_voided_invoice_is_made_again_once_and_its_number_stays_taken() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let draft = with_a_draft(&tenant).await;
    let issued = tenant.act(&draft, "finalize").await.body;
    let voided = tenant.act(&issued, "void").await.body;
    assert_eq!((text(&voided, "status"), text(&voided, "invoice_number")), ("voided", "INV-000001"));
    assert_eq!(tenant.act(&voided, "void").await.status, StatusCode::BAD_REQUEST);
    tenant.send(&[("ada", "", "calls", "2026-07-06T00:00:00Z", "{}")]).await;
    let again = tenant.act(&voided, "regenerate").await.body;
    assert_eq!((text(&again, "status"), &again["regenerated_from_id"]), ("draft", &voided["id"]));
    assert_eq!(tenant.act(&voided, "regenerate").await.status, StatusCode::CONFLICT);
    let reissued = tenant.act(&again, "finalize").await.body;
    assert_eq!((text(&reissued, "invoice_number"), text(&reissued, "total_cents")), ("INV-000002", "1020"));
    assert_ledger_holds(installation.catalog.database()).await;
}

#[tokio::test]
async fn lines_by_hand_become_a_draft_that_no_run_issues() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.tax("vat", "0.19", true).await;
    let customer = tenant.customer("ada", json!({"currency": "EUR"})).await;
    let line = json!({"description": "Training", "quantity": "1.5", "unit_price": 3333, "amount": 5000});
    let body = json!({"customer_id": customer, "line_items": [line]});
    let made = tenant.post("/v1/invoices/one_off", body.clone()).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let made = made.body;
    assert_eq!(
        (text(&made, "currency"), text(&made, "total_cents"), &made["issued_at"]),
        ("EUR", "5950", &Value::Null)
    );
    let mut exactly = body.clone();
    exactly["line_items"][0]["amount"] = json!("4999.5");
    let exactly = tenant.post("/v1/invoices/one_off", exactly).await;
    assert_eq!((exactly.status, text(&exactly.body, "subtotal_cents")), (StatusCode::OK, "5000"));
    assert_eq!(installation.bill("2026-08-01T00:00:00Z").await.invoices_created, 0);
    assert_eq!(tenant.drafts().await.len(), 2);
    let other = installation.organization("Other", false).await;
    assert_eq!(other.post("/v1/invoices/one_off", body.clone()).await.status, StatusCode::NOT_FOUND);
    for (field, wrong) in [
        ("currency", json!("USD")),
        ("line_items", json!([])),
        ("line_items", json!([{"description": "x", "quantity": 1, "unit_price": 10, "amount": 11}])),
        ("line_items", json!([{"description": "x", "quantity": -1, "unit_price": 10, "amount": -10}])),
        ("line_items", json!([{"description": "", "quantity": 1, "unit_price": 10, "amount": 10}])),
    ] {
        let mut bad = body.clone();
        bad[field] = wrong.clone();
        let refused = tenant.post("/v1/invoices/one_off", bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {wrong}");
    }
    let bulk = json!({"invoice_ids": [made["id"], uuid::Uuid::nil()]});
    let issued = tenant.post("/v1/invoices/bulk_finalize", bulk.clone()).await.body;
    assert_eq!((&issued["finalized_count"], &issued["failed_count"]), (&json!(1), &json!(1)));
    let voided = tenant.post("/v1/invoices/bulk_void", bulk).await.body;
    assert_eq!((&voided["voided_count"], &voided["failed_count"]), (&json!(1), &json!(1)));
    assert_eq!(
        tenant.post("/v1/invoices/bulk_void", json!({"invoice_ids": []})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_ledger_holds(installation.catalog.database()).await;
}

#[tokio::test]
async fn a_draft_of_a_period_is_not_deleted_and_one_by_hand_is() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let period = with_a_draft(&tenant).await;
    let customer = period["customer_id"].clone();
    let line = json!({"description": "x", "quantity": 1, "unit_price": 10, "amount": 10});
    let by_hand =
        tenant.post("/v1/invoices/one_off", json!({"customer_id": customer, "line_items": [line]})).await.body;
    assert_eq!(deleted(&tenant, &period).await, StatusCode::BAD_REQUEST);
    assert_eq!(deleted(&tenant, &by_hand).await, StatusCode::NO_CONTENT);
    assert_eq!(deleted(&tenant, &by_hand).await, StatusCode::NOT_FOUND);
    assert_ledger_holds(installation.catalog.database()).await;
}

async fn deleted(tenant: &Tenant<'_>, invoice: &Value) -> StatusCode {
    let (path, key) = (format!("/v1/invoices/{}", text(invoice, "id")), format!("Bearer {}", tenant.key));
    tenant.installation.ask(Method::DELETE, &path, &[("authorization", &key)], None).await.status
}

#[tokio::test]
async fn each_billing_entity_numbers_without_gaps_and_taxes_its_customers() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let catalog = &installation.catalog;
    let entity = json!({"code": "fr", "name": "France", "next_invoice_number": 41});
    let entity = catalog.create_billing_entity(tenant.organization, &from(entity), at(JULY)).await.unwrap();
    tenant.tax("tva", "0.055", false).await;
    let applied = json!({"tax_code": "tva", "taxable_type": "billing_entity", "taxable_id": entity.id});
    catalog.apply_tax(tenant.organization, &from(applied), at(JULY)).await.unwrap();
    let plan = tenant.plan().await;
    for (name, more) in [
        ("a", json!({"billing_entity_id": entity.id})),
        ("b", json!({})),
        ("c", json!({"billing_entity_id": entity.id})),
    ] {
        let customer = tenant.customer(name, more).await;
        tenant.subscribe(&customer, &format!("{name}-1"), &plan, JULY).await;
    }
    installation.bill("2026-08-01T00:00:00Z").await;
    let mut seen: Vec<(String, String)> = tenant
        .all("/v1/invoices/")
        .await
        .iter()
        .map(|invoice| (text(invoice, "invoice_number").to_owned(), text(invoice, "tax_amount_cents").to_owned()))
        .collect();
    seen.sort();
    let wanted = [("FR-000041", "55"), ("FR-000042", "55"), ("INV-000001", "0")];
    assert_eq!(seen, wanted.map(|(number, tax)| (number.to_owned(), tax.to_owned())));
    let now = catalog.billing_entity(tenant.organization, "fr").await.unwrap();
    assert_eq!(now.next_invoice_number, 43);
    assert_ledger_holds(catalog.database()).await;
}

#[tokio::test]
async fn a_commitment_is_filled_up_and_a_draft_is_filled_up_again() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let change = json!({"minimum_commitment": {"amount_cents": 5000}});
    let catalog = &installation.catalog;
    catalog
        .update_plan(tenant.organization, plan.parse().unwrap(), &from(change), at("2026-02-01T00:00:00Z"))
        .await
        .unwrap();
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 10})).await;
    tenant.subscribe(&customer, "ada-1", &plan, JULY).await;
    tenant.send(&[("ada", "", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let draft = tenant.drafts().await.remove(0);
    let lacking = |invoice: &Value| {
        let lines = invoice["line_items"].as_array().unwrap().clone();
        lines.iter().find(|line| line["fee_type"] == "commitment").map(|line| text(line, "amount").to_owned())
    };
    // 50.00 less 10.00 and 0.10.
    assert_eq!((lacking(&draft).unwrap(), text(&draft, "total_cents")), ("3990".into(), "5000"));
    tenant.send(&[("ada", "", "calls", "2026-07-06T00:00:00Z", "{}")]).await;
    let issued = tenant.act(&draft, "finalize").await.body;
    assert_eq!((lacking(&issued).unwrap(), text(&issued, "total_cents")), ("3980".into(), "5000"));
    assert_ledger_holds(catalog.database()).await;
}

#[tokio::test]
async fn usage_that_comes_after_an_issued_bill_is_a_line_of_the_next_one_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, "2026-05-01T00:00:00Z").await;
    tenant.send(&[("ada", "", "calls", "2026-05-05T00:00:00Z", "{}")]).await;
    installation.bill("2026-06-01T00:00:00Z").await;
    let calls = ("ada", "", "calls", "2026-05-06T00:00:00Z", "{}");
    tenant.send(&[calls, calls, ("ada", "", "calls", "2026-06-06T00:00:00Z", "{}")]).await;
    installation.bill("2026-07-01T00:00:00Z").await;
    let june = &tenant.all("/v1/invoices/?order_by=billing_period_start:desc").await[0];
    // 10.00, one call in June at 0.10, and two late ones of May.
    assert_eq!(text(june, "total_cents"), "1030");
    let fees = tenant.all("/v1/fees/?fee_type=adjustment").await;
    assert_eq!(fees.len(), 1);
    let (late, may) = (&fees[0], tenant.all("/v1/fees/?fee_type=charge&metric_code=calls").await);
    assert_eq!((text(late, "units"), text(late, "amount_cents")), ("2", "20"));
    assert_eq!(text(late, "period_start"), "2026-05-01T00:00:00Z");
    assert!(may.iter().any(|fee| fee["id"] == late["adjusted_fee_id"] && fee["period_start"] == late["period_start"]));

    // The next bill adjusts what is late since, not what was adjusted.
    tenant.send(&[calls]).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let fees = tenant.all("/v1/fees/?fee_type=adjustment&order_by=created_at:asc").await;
    assert_eq!(fees.iter().map(|fee| text(fee, "amount_cents")).collect::<Vec<_>>(), ["20", "10"]);
    assert_ledger_holds(installation.catalog.database()).await;
}

#[tokio::test]
async fn what_came_late_for_an_ended_subscription_stands_on_the_next_invoice_of_its_customer_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, "2026-05-01T00:00:00Z").await;
    let ending = json!({"external_id": "old", "customer_id": customer, "plan_id": plan,
        "started_at": "2026-05-01T00:00:00Z", "ending_at": "2026-05-20T00:00:00Z"});
    let catalog = &installation.catalog;
    catalog.create_subscription(tenant.organization, &from(ending), installation.clock_now()).await.unwrap();
    installation.bill("2026-06-01T00:00:00Z").await;
    let late = ("ada", "old", "calls", "2026-05-06T00:00:00Z", "{}");
    tenant.send(&[late, late]).await;
    for (as_of, amounts) in [("2026-07-01T00:00:00Z", ["20"].as_slice()), ("2026-08-01T00:00:00Z", &["20"])] {
        installation.bill(as_of).await;
        let fees = tenant.all("/v1/fees/?fee_type=adjustment").await;
        assert_eq!(fees.iter().map(|fee| text(fee, "amount_cents")).collect::<Vec<_>>(), amounts, "{as_of}");
    }
    tenant.send(&[late]).await;
    installation.bill("2026-09-01T00:00:00Z").await;
    let fees = tenant.all("/v1/fees/?fee_type=adjustment&order_by=created_at:asc").await;
    assert_eq!(fees.iter().map(|fee| text(fee, "amount_cents")).collect::<Vec<_>>(), ["20", "10"]);
    assert_ledger_holds(installation.catalog.database()).await;
}

#[tokio::test]
async fn an_invoice_that_would_fall_below_zero_is_zero_and_the_rest_a_credit_note_for_the_next() {
    for grace in [0, 3] {
        let installation = Installation::start().await;
        let tenant = installation.organization("Acme", false).await;
        tenant.tax("vat", "0.2", true).await;
        let plan = tenant.plan().await;
        let customer = tenant.customer("ada", json!({"invoice_grace_period": grace})).await;
        tenant.subscribe(&customer, "ada-1", &plan, "2026-04-01T00:00:00Z").await;
        tenant.send(&[("ada", "", "gigabytes", "2026-04-05T00:00:00Z", r#"{"gb": 30}"#)]).await;
        installation.bill("2026-05-04T00:00:00Z").await;
        let voided_at = at("2026-05-20T00:00:00Z");
        installation.writer.void(tenant.organization, "e-0", voided_at).await.unwrap();
        installation.bill("2026-06-04T00:00:00Z").await;
        // 10.00 − 20.00 and a fifth of tax on it.
        let invoices = tenant.all("/v1/invoices/?order_by=billing_period_start:asc").await;
        let sums = ["subtotal_cents", "tax_amount_cents", "credit_notes_amount_cents", "total_cents", "status"];
        let of = |invoice: &Value| sums.map(|field| text(invoice, field).to_owned());
        assert_eq!(of(&invoices[1]), ["-1000", "-200", "-1200", "0", "paid"]);
        let adjusted = tenant.all("/v1/fees/?fee_type=adjustment").await;
        assert_eq!(adjusted.iter().map(|fee| text(fee, "amount_cents")).collect::<Vec<_>>(), ["-2000"]);
        let notes = tenant.all("/v1/credit_notes/").await;
        assert_eq!(notes.len(), 1);
        assert_eq!((&notes[0]["invoice_id"], text(&notes[0], "total_amount_cents")), (&invoices[1]["id"], "1200"));
        assert_eq!(text(&notes[0], "taxes_amount_cents"), "200");
        assert_eq!(text(&notes[0], "balance_amount_cents"), "1200");
        assert_ledger_holds(installation.catalog.database()).await;

        installation.bill("2026-07-04T00:00:00Z").await;
        let invoices = tenant.all("/v1/invoices/?order_by=billing_period_start:asc").await;
        assert_eq!(of(&invoices[2]), ["1000", "200", "1200", "0", "paid"]);
        let note = &tenant.all("/v1/credit_notes/").await[0];
        assert_eq!(text(note, "balance_amount_cents"), "0");
        assert_ledger_holds(installation.catalog.database()).await;
    }
}

#[tokio::test]
async fn an_export_has_every_invoice_in_both_forms() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let draft = with_a_draft(&tenant).await;
    let issued = tenant.act(&draft, "finalize").await.body;
    let raw = |format: &'static str| {
        let (path, key) = (format!("/v1/invoices/export?format={format}"), format!("Bearer {}", tenant.key));
        installation.ask_raw(path, key)
    };
    let csv = raw("csv").await;
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 2, "{csv}");
    assert!(rows[0].starts_with("number,id,") && rows[1].starts_with("INV-000001,"), "{csv}");
    let lines = raw("jsonl").await;
    let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(line, issued);
}

//! Credit notes over HTTP: made, spent, withdrawn, refused; unused advance given back; the ledger checked after each.

use super::support::{Answer, Installation, Tenant, at, everything, from, runs_over, text};
use axum::http::{Method, StatusCode};
use catalog::subscription::transitions::Action;
use catalog::subscription::wire::Termination;
use invoicer::{Portions, Unobserved, check_ledger};
use serde_json::{Value, json};

const JULY: &str = "2026-07-01T00:00:00Z";

impl Tenant<'_> {
    pub async fn note(&self, body: Value) -> Answer {
        self.post("/v1/credit_notes/", body).await
    }

    pub async fn holds(&self) {
        let report = check_ledger(self.installation.catalog.database()).await.unwrap();
        assert_eq!(report.problems, []);
    }

    pub async fn vat(&self) {
        let new = json!({"code": "vat", "name": "VAT", "rate": "0.2", "applied_to_organization": true});
        self.installation.catalog.create_tax(self.organization, &from(new), at(JULY)).await.unwrap();
    }

    /// The invoices of July, each 10.00 and VAT.
    pub async fn billed(&self) -> Vec<Value> {
        self.installation.bill("2026-08-01T00:00:00Z").await;
        self.all("/v1/invoices/?order_by=created_at:asc").await
    }
}

fn of_first_fee(invoice: &Value, amount: &str, kind: &str, number: &str) -> Value {
    json!({"number": number, "invoice_id": invoice["id"], "customer_id": invoice["customer_id"], "currency": "USD",
        "credit_note_type": kind, "reason": "other",
        "items": [{"fee_id": invoice["line_items"][0]["fee_id"], "amount_cents": amount}]})
}

#[tokio::test]
async fn credit_is_spent_by_the_next_invoices_and_never_twice() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, JULY).await;
    let invoice = tenant.billed().await.remove(0);
    assert_eq!((text(&invoice, "subtotal_cents"), text(&invoice, "total_cents")), ("1000", "1200"));
    let draft = tenant.note(of_first_fee(&invoice, "250", "credit", "A-1")).await;
    assert_eq!(draft.status, StatusCode::CREATED, "{draft:?}");
    let (id, draft) = (text(&draft.body, "id").to_owned(), &draft.body);
    assert_eq!((text(draft, "status"), text(draft, "total_amount_cents")), ("draft", "300"));
    assert_eq!((text(draft, "taxes_amount_cents"), text(draft, "balance_amount_cents")), ("50", "0"));
    let path = format!("/v1/credit_notes/{id}");
    assert_eq!(tenant.post(&format!("{path}/void"), json!({})).await.status, StatusCode::BAD_REQUEST, "a draft");
    let issued = tenant.post(&format!("{path}/finalize"), json!({})).await.body;
    assert_eq!((text(&issued, "credit_status"), text(&issued, "balance_amount_cents")), ("available", "300"));
    assert_eq!(tenant.post(&format!("{path}/finalize"), json!({})).await.status, StatusCode::BAD_REQUEST, "twice");
    tenant.holds().await;
    installation.bill("2026-09-01T00:00:00Z").await;
    let august = tenant.all("/v1/invoices/?order_by=created_at:desc").await.remove(0);
    assert_eq!((text(&august, "credit_notes_amount_cents"), text(&august, "total_cents")), ("300", "900"));
    assert_eq!(text(&tenant.get(&path).await.body, "credit_status"), "consumed");
    tenant.holds().await;
    // Taken back, the invoice gives the credit back, and the next one takes it.
    let voided = tenant.post(&format!("/v1/invoices/{}/void", text(&august, "id")), json!({})).await;
    assert_eq!(voided.status, StatusCode::OK, "{voided:?}");
    assert_eq!(text(&tenant.get(&path).await.body, "balance_amount_cents"), "300");
    tenant.holds().await;
    installation.bill("2026-10-01T00:00:00Z").await;
    let september = tenant.all("/v1/invoices/?order_by=created_at:desc").await.remove(0);
    assert_eq!(text(&september, "credit_notes_amount_cents"), "300");
    tenant.holds().await;
}

#[tokio::test]
async fn no_more_is_credited_than_was_billed_also_by_several_at_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, JULY).await;
    let invoice = tenant.billed().await.remove(0);
    let mut tries = Vec::new();
    for number in 0..6 {
        tries.push(tenant.note(of_first_fee(&invoice, "300", "credit", &format!("N-{number}"))));
    }
    let answers = futures::future::join_all(tries).await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(made, 3, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 422)));
    tenant.holds().await;
    let rest = tenant.note(of_first_fee(&invoice, "100", "credit", "N-9")).await.body;
    assert_eq!(text(&rest, "total_amount_cents"), "120");
    for (body, status) in [
        (of_first_fee(&invoice, "1", "credit", "N-10"), 422),
        (of_first_fee(&invoice, "0", "credit", "N-11"), 422),
        (of_first_fee(&invoice, "0.5", "credit", "N-12"), 422),
        (
            json!({"number": "N-13", "invoice_id": uuid::Uuid::new_v4(), "credit_note_type": "credit", "reason": "other",
            "total_amount_cents": "1"}),
            404,
        ),
    ] {
        assert_eq!(tenant.note(body.clone()).await.status.as_u16(), status, "{body}");
    }
    let mut euro = of_first_fee(&invoice, "1", "credit", "N-14");
    euro["currency"] = json!("EUR");
    assert_eq!(tenant.note(euro).await.status, StatusCode::UNPROCESSABLE_ENTITY, "another currency");
    tenant.holds().await;
}

#[tokio::test]
async fn refunds_need_money_and_offsets_need_what_is_due() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, JULY).await;
    let invoice = tenant.billed().await.remove(0);
    let refund = tenant.note(of_first_fee(&invoice, "250", "refund", "R-1")).await;
    assert_eq!(refund.status, StatusCode::UNPROCESSABLE_ENTITY, "nothing was paid");
    let offset = tenant.note(of_first_fee(&invoice, "250", "offset", "O-1")).await.body;
    let issued = tenant.post(&format!("/v1/credit_notes/{}/finalize", text(&offset, "id")), json!({})).await.body;
    assert_eq!((text(&issued, "offset_amount_cents"), &issued["credit_status"]), ("300", &Value::Null));
    let taken = tenant.note(of_first_fee(&invoice, "250", "credit", "O-1")).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "the number is taken");
    let paid = tenant.post(&format!("/v1/invoices/{}/pay", text(&invoice, "id")), json!({})).await.body;
    assert_eq!(text(&paid, "status"), "paid");
    let settlements = tenant.all(&format!("/v1/invoices/{}/settlements", text(&invoice, "id"))).await;
    let amounts: Vec<&str> = settlements.iter().map(|one| text(one, "amount_cents")).collect();
    assert_eq!(amounts, ["300", "900"]);
    let mut several = of_first_fee(&invoice, "500", "refund", "R-2");
    (several["refund_amount_cents"], several["credit_amount_cents"]) = (json!("400"), json!("200"));
    let several = tenant.note(several).await.body;
    let issued = tenant.post(&format!("/v1/credit_notes/{}/finalize", text(&several, "id")), json!({})).await.body;
    assert_eq!((text(&issued, "refund_status"), text(&issued, "balance_amount_cents")), ("pending", "200"));
    let key = format!("Bearer {}", tenant.key);
    let path = format!("/v1/credit_notes/{}", text(&several, "id"));
    let headers = [("authorization", key.as_str())];
    let done = installation.ask(Method::PUT, &path, &headers, Some(json!({"refund_status": "succeeded"}))).await;
    assert_eq!(text(&done.body, "refund_status"), "succeeded");
    assert_eq!(tenant.post(&format!("{path}/void"), json!({})).await.status, StatusCode::BAD_REQUEST, "paid back");
    tenant.holds().await;
}

#[tokio::test]
async fn what_an_ended_subscription_paid_ahead_is_given_back_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let now = at("2026-01-01T00:00:00Z");
    let new = json!({"code": "ahead", "name": "Ahead", "interval": "monthly", "amount_cents": 3100, "pay_in_advance": true,
        "charges": []});
    let plan = installation.catalog.create_plan(tenant.organization, &from(new), now).await.unwrap().id.to_string();
    let (_, subscription) = tenant.subscriber("ada", &plan, "2026-08-01T00:00:00Z").await;
    installation.bill("2026-08-02T00:00:00Z").await;
    let action = Action::Terminate(Termination::default());
    let ended = at("2026-08-21T12:00:00Z");
    let id = subscription.parse().unwrap();
    installation.catalog.act_on_subscription(tenant.organization, id, action, ended).await.unwrap();
    // Two runs at once, of two processes, make one note.
    let other = runs_over(&installation.catalog, &installation.store, &installation.clock, Portions::default()).await;
    let later = everything("2026-08-23T00:00:00Z");
    let (_, second) = tokio::join!(installation.bill("2026-08-22T00:00:00Z"), other.run_to_end(later, &Unobserved));
    assert_eq!(second.unwrap().error, None);
    installation.bill("2026-08-24T00:00:00Z").await;
    let notes = tenant.all("/v1/credit_notes/").await;
    // Ten of thirty-one days, with VAT.
    let sums: Vec<_> = notes.iter().map(|note| (text(note, "total_amount_cents"), text(note, "number"))).collect();
    assert_eq!(sums, [("1200", "CN-000001")]);
    assert_eq!(text(&notes[0], "credit_status"), "available");
    tenant.holds().await;
}

#[tokio::test]
async fn a_note_over_a_draft_follows_the_coupons_that_are_taken_off_the_draft_meanwhile() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let now = at("2026-01-01T00:00:00Z");
    let new = json!({"code": "ahead", "name": "Ahead", "interval": "monthly", "amount_cents": 3100, "pay_in_advance": true,
        "charges": []});
    let plan = installation.catalog.create_plan(tenant.organization, &from(new), now).await.unwrap().id.to_string();
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 20})).await;
    let subscription = tenant.subscribe(&customer, "ada-1", &plan, "2026-08-01T00:00:00Z").await;
    installation.bill("2026-08-02T00:00:00Z").await;
    let action = Action::Terminate(Termination::default());
    let (id, ended) = (subscription.parse().unwrap(), at("2026-08-01T12:00:00Z"));
    installation.catalog.act_on_subscription(tenant.organization, id, action, ended).await.unwrap();
    installation.bill("2026-08-03T00:00:00Z").await;
    // Thirty of thirty-one days of 31.00, with VAT.
    let note = async || tenant.all("/v1/credit_notes/").await.remove(0);
    assert_eq!((text(&note().await, "total_amount_cents"), text(&note().await, "status")), ("3600", "draft"));
    tenant.coupon("half", json!({"coupon_type": "percentage", "percentage_rate": "50"})).await;
    tenant.apply("half", &customer).await;
    let draft = tenant.newest_invoice().await;
    let refreshed = tenant.post(&format!("/v1/invoices/{}/refresh", text(&draft, "id")), json!({})).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{refreshed:?}");
    assert_eq!(text(&refreshed.body, "total_cents"), "1860");
    assert_eq!(
        (text(&note().await, "total_amount_cents"), text(&note().await, "balance_amount_cents")),
        ("1800", "1800")
    );
    tenant.holds().await;
    installation.bill("2026-09-01T00:00:00Z").await;
    // Issued with the draft; later invoices spend it.
    let issued = tenant.newest_invoice().await;
    assert_eq!((text(&issued, "status"), text(&issued, "total_cents")), ("finalized", "1860"));
    assert_eq!((text(&note().await, "status"), text(&note().await, "balance_amount_cents")), ("finalized", "1800"));
    tenant.holds().await;
}

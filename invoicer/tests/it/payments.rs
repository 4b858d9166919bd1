//! Payments by hand over HTTP: in part, announced, too much, paid back; asked for; the ledger checked after each.

use super::support::{Answer, Installation, Tenant, at, text};
use axum::http::StatusCode;
use serde_json::{Value, json};

const JULY: &str = "2026-07-01T00:00:00Z";

impl Tenant<'_> {
    async fn pays(&self, invoice: &Value, amount: &str, more: Value) -> Answer {
        let mut body = json!({"invoice_id": invoice["id"], "amount": amount, "currency": "USD"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/v1/payments/record", body).await
    }

    async fn act_on_payment(&self, payment: &Value, action: &str, body: Value) -> Answer {
        self.post(&format!("/v1/payments/{}/{action}", text(payment, "id")), body).await
    }

    async fn status_of(&self, invoice: &Value) -> String {
        let answer = self.get(&format!("/v1/invoices/{}", text(invoice, "id"))).await;
        text(&answer.body, "status").to_owned()
    }
}

/// An installation's tenant with a customer and its invoice of July, 12.00 with VAT.
async fn billed(tenant: &Tenant<'_>) -> (String, Value) {
    tenant.vat().await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, JULY).await;
    let invoice = tenant.billed().await.remove(0);
    (customer, invoice)
}

#[tokio::test]
async fn an_invoice_is_paid_once_its_payments_come_to_what_is_due_also_by_many_at_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (_, invoice) = billed(&tenant).await;
    let part = tenant.pays(&invoice, "200", json!({"reference": "wire 7", "notes": "part"})).await;
    assert_eq!(part.status, StatusCode::OK, "{part:?}");
    assert_eq!(
        (text(&part.body, "status"), text(&part.body["payment_metadata"], "reference")),
        ("succeeded", "wire 7")
    );
    assert_eq!(tenant.status_of(&invoice).await, "finalized");
    tenant.holds().await;
    // Ten would pay 2,000 of the 1,000 that are due.
    let many = futures::future::join_all((0..10).map(|_| tenant.pays(&invoice, "200", json!({})))).await;
    let paid = many.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused = |answer: &Answer| matches!(answer.status.as_u16(), 200 | 400 | 409);
    assert!(paid <= 5 && many.iter().all(refused), "{many:?}");
    for _ in paid..5 {
        assert_eq!(tenant.pays(&invoice, "200", json!({})).await.status, StatusCode::OK);
    }
    assert_eq!(tenant.status_of(&invoice).await, "paid");
    assert_eq!(tenant.pays(&invoice, "1", json!({})).await.status, StatusCode::BAD_REQUEST, "nothing is due");
    let path = format!("/v1/payments/?invoice_id={}&status=succeeded", text(&invoice, "id"));
    assert_eq!(tenant.get(&path).await.total, Some(6));
    assert_eq!(tenant.get("/v1/payments/?status=processing").await.total, Some(0));
    tenant.holds().await;
}

#[tokio::test]
async fn more_than_is_due_is_refused_or_goes_to_a_wallet_that_is_named() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (customer, invoice) = billed(&tenant).await;
    for (amount, more, status) in [
        ("1201", json!({}), StatusCode::BAD_REQUEST),
        ("0", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        ("-5", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        ("0.5", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        ("5", json!({"currency": "EUR"}), StatusCode::UNPROCESSABLE_ENTITY),
        ("5", json!({"invoice_id": uuid::Uuid::new_v4()}), StatusCode::NOT_FOUND),
        ("1201", json!({"surplus_wallet_id": uuid::Uuid::new_v4()}), StatusCode::BAD_REQUEST),
    ] {
        let answer = tenant.pays(&invoice, amount, more.clone()).await;
        assert_eq!(answer.status, status, "{amount} {more}: {answer:?}");
    }
    let other = tenant.customer("bob", json!({})).await;
    let foreign = tenant.wallet(&other, json!({})).await.body;
    let answer = tenant.pays(&invoice, "1201", json!({"surplus_wallet_id": foreign["id"]})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "another customer's wallet");
    assert_eq!(tenant.all("/v1/payments/").await, [] as [Value; 0], "refused ones leave nothing");
    let wallet = tenant.wallet(&customer, json!({})).await.body;
    let paid = tenant.pays(&invoice, "1500", json!({"surplus_wallet_id": wallet["id"]})).await;
    assert_eq!((paid.status, text(&paid.body, "surplus_cents")), (StatusCode::OK, "300"));
    assert_eq!((tenant.status_of(&invoice).await.as_str(), tenant.balance(&wallet).await.as_str()), ("paid", "300"));
    tenant.holds().await;
    let refund = tenant.act_on_payment(&paid.body, "refund", json!({"amount": "1201"})).await;
    assert_eq!(refund.status, StatusCode::BAD_REQUEST, "the surplus is in the wallet");
    let stranger = installation.organization("Other", false).await;
    let path = format!("/v1/payments/{}", text(&paid.body, "id"));
    assert_eq!(stranger.get(&path).await.status, StatusCode::NOT_FOUND, "another organization's");
    tenant.holds().await;
}

#[tokio::test]
async fn announced_money_settles_when_it_comes() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (_, invoice) = billed(&tenant).await;
    let announced = tenant.pays(&invoice, "1200", json!({"pending": true})).await.body;
    let dropped = tenant.pays(&invoice, "1200", json!({"pending": true})).await.body;
    assert_eq!((text(&announced, "status"), tenant.status_of(&invoice).await.as_str()), ("pending", "finalized"));
    assert_eq!(tenant.act_on_payment(&announced, "refund", json!({})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(tenant.act_on_payment(&announced, "retry", json!({})).await.status, StatusCode::BAD_REQUEST);
    let (one, other) = tokio::join!(
        tenant.act_on_payment(&announced, "mark-paid", json!({})),
        tenant.act_on_payment(&dropped, "mark-paid", json!({}))
    );
    let done = [&one, &other].iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(done, 1, "{one:?} {other:?}");
    assert_eq!(tenant.status_of(&invoice).await, "paid");
    let (paid, open) = if one.status == StatusCode::OK { (&announced, &dropped) } else { (&dropped, &announced) };
    assert_eq!(tenant.delete(&format!("/v1/payments/{}", text(paid, "id"))).await, StatusCode::BAD_REQUEST);
    assert_eq!(tenant.delete(&format!("/v1/payments/{}", text(open, "id"))).await, StatusCode::NO_CONTENT);
    tenant.holds().await;
}

#[tokio::test]
async fn money_that_is_paid_back_is_due_again_unless_it_was_credited() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (_, invoice) = billed(&tenant).await;
    let paid = tenant.pays(&invoice, "1200", json!({})).await.body;
    let part = tenant.act_on_payment(&paid, "refund", json!({"amount": "500"})).await;
    assert_eq!((part.status, text(&part.body, "status")), (StatusCode::OK, "succeeded"));
    assert_eq!(tenant.status_of(&invoice).await, "finalized");
    tenant.holds().await;
    assert_eq!(tenant.pays(&invoice, "501", json!({})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(tenant.pays(&invoice, "500", json!({})).await.status, StatusCode::OK);
    // A credit note pays 3.00 back: the invoice stays paid.
    let note = json!({"invoice_id": invoice["id"], "credit_note_type": "refund", "reason": "other", "total_amount_cents": "300"});
    let note = tenant.note(note).await.body;
    tenant.post(&format!("/v1/credit_notes/{}/finalize", text(&note, "id")), json!({})).await;
    let promised = tenant.act_on_payment(&paid, "refund", json!({})).await;
    assert_eq!(promised.status, StatusCode::OK, "700 are left of it, 500 of the other pay the note");
    let by_note = json!({"credit_note_id": note["id"]});
    let payments = tenant.all("/v1/payments/?status=succeeded").await;
    assert_eq!(payments.len(), 1);
    let all = tenant.act_on_payment(&payments[0], "refund", json!({})).await;
    assert_eq!(all.status, StatusCode::BAD_REQUEST, "3.00 of it are promised");
    let done = tenant.act_on_payment(&payments[0], "refund", by_note.clone()).await;
    assert_eq!((done.status, text(&done.body, "refunded_amount_cents")), (StatusCode::OK, "300"));
    let note = tenant.get(&format!("/v1/credit_notes/{}", text(&note, "id"))).await.body;
    assert_eq!(text(&note, "refund_status"), "succeeded");
    assert_eq!(tenant.act_on_payment(&payments[0], "refund", by_note).await.status, StatusCode::BAD_REQUEST, "twice");
    tenant.holds().await;
}

#[tokio::test]
async fn invoices_are_asked_for_once_and_the_request_is_answered_as_they_are_paid() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let (customer, july) = billed(&tenant).await;
    installation.bill("2026-09-01T00:00:00Z").await;
    let august = tenant.newest_invoice().await;
    let ask = |ids: &[&Value]| json!({"customer_id": customer, "invoice_ids": ids});
    assert_eq!(tenant.post("/v1/payment_requests/", ask(&[])).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = tenant.post("/v1/payment_requests/", ask(&[&july["id"], &july["id"]])).await;
    assert_eq!((made.status, text(&made.body, "amount_cents")), (StatusCode::CREATED, "1200"));
    let again = tenant.post("/v1/payment_requests/", ask(&[&july["id"], &august["id"]])).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "asked for before");
    let other = tenant.customer("bob", json!({})).await;
    let foreign = json!({"customer_id": other, "invoice_ids": [august["id"]]});
    assert_eq!(tenant.post("/v1/payment_requests/", foreign).await.status, StatusCode::BAD_REQUEST);
    let missing = json!({"customer_id": customer, "invoice_ids": [uuid::Uuid::new_v4()]});
    assert_eq!(tenant.post("/v1/payment_requests/", missing).await.status, StatusCode::NOT_FOUND);
    // Overdue by the clock: only what is not asked for yet.
    installation.clock.set(at("2027-01-01T00:00:00Z"));
    assert_eq!(tenant.get("/v1/invoices/?payment_overdue=true").await.total, Some(2));
    assert_eq!(tenant.get("/v1/invoices/?payment_overdue=perhaps").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let batch = tenant.post("/v1/payment_requests/batch", json!({})).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:?}");
    assert_eq!((&batch.body["created"], &batch.body["results"][0]["amount_cents"]), (&json!(1), &json!("1200")));
    assert_eq!(tenant.post("/v1/payment_requests/batch", json!({})).await.body["created"], json!(0));
    tenant.pays(&july, "1200", json!({})).await;
    assert_eq!(tenant.get("/v1/invoices/?payment_overdue=false").await.total, Some(1));
    let path = format!("/v1/payment_requests/{}", text(&made.body, "id"));
    assert_eq!(text(&tenant.get(&path).await.body, "payment_status"), "succeeded");
    let history = tenant.get(&format!("{path}/attempts")).await.body;
    let actions: Vec<&str> = history["entries"].as_array().unwrap().iter().map(|one| text(one, "action")).collect();
    assert_eq!(actions, ["created", "settled"]);
    assert_eq!(tenant.get("/v1/payment_requests/?payment_status=pending").await.total, Some(1));
    let again = tenant.post("/v1/payment_requests/", ask(&[&july["id"]])).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "it is paid");
    tenant.holds().await;
}

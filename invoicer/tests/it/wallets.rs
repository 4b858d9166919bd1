//! Wallets over HTTP: filled, spent by many at once, moved, ended, refused; what the clock does; the ledger checked after each.

use super::support::{Answer, Installation, Tenant, at, text};
use axum::http::StatusCode;
use catalog::state::ClockMoved;
use serde_json::{Value, json};

const JULY: &str = "2026-07-01T00:00:00Z";

impl Tenant<'_> {
    pub async fn wallet(&self, customer: &str, more: Value) -> Answer {
        let mut body = json!({"customer_id": customer});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/v1/wallets/", body).await
    }

    pub async fn balance(&self, wallet: &Value) -> String {
        let path = format!("/v1/wallets/{}", text(wallet, "id"));
        text(&self.get(&path).await.body, "balance_cents").to_owned()
    }

    /// A draft of one line, to be issued by hand.
    pub async fn one_off(&self, customer: &str, cents: i64) -> String {
        let line = json!({"description": "Work", "quantity": "1", "unit_price": cents, "amount": cents});
        let made = self.post("/v1/invoices/one_off", json!({"customer_id": customer, "line_items": [line]})).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
        text(&made.body, "id").to_owned()
    }

    pub async fn finalize(&self, invoice: &str) -> Answer {
        self.post(&format!("/v1/invoices/{invoice}/finalize"), json!({})).await
    }
}

#[tokio::test]
async fn wallets_pay_in_the_order_of_priority_what_they_are_for_and_get_back_what_is_voided() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, JULY).await;
    tenant.send(&[("ada", "ada-1", "seats", "2026-07-03T00:00:00Z", r#"{"seats": 2}"#)]).await;
    let any =
        tenant.wallet(&customer, json!({"initial_granted_credits": "3", "rate_amount": "100", "priority": 2})).await;
    assert_eq!(any.status, StatusCode::CREATED, "{any:?}");
    assert_eq!((text(&any.body, "balance_cents"), text(&any.body, "credits_balance")), ("300", "3"));
    let seats = json!({"initial_granted_credits": "5000", "limited_to_metric_codes": ["seats"], "name": "seats"});
    let seats = tenant.wallet(&customer, seats).await.body;
    installation.bill("2026-08-01T00:00:00Z").await;
    let july = tenant.newest_invoice().await;
    // Seats of 10.00 by their own wallet, then 3.00 of the flat 10.00.
    assert_eq!((text(&july, "prepaid_credit_amount_cents"), text(&july, "total_cents")), ("1300", "700"));
    assert_eq!((tenant.balance(&seats).await, tenant.balance(&any.body).await), ("4000".into(), "0".into()));
    tenant.holds().await;
    let voided = tenant.post(&format!("/v1/invoices/{}/void", text(&july, "id")), json!({})).await;
    assert_eq!(voided.status, StatusCode::OK);
    assert_eq!((tenant.balance(&seats).await, tenant.balance(&any.body).await), ("5000".into(), "300".into()));
    let path = format!("/v1/wallets/{}", text(&any.body, "id"));
    let kinds: Vec<String> = tenant
        .all(&format!("{path}/transactions"))
        .await
        .iter()
        .map(|one| format!("{} {} {}", text(one, "kind"), text(one, "transaction_type"), text(one, "credit_amount")))
        .collect();
    assert_eq!(kinds, ["given_back inbound 300", "applied outbound 300", "granted inbound 300"]);
    let timeline = tenant.get(&format!("{path}/balance_timeline")).await.body;
    assert_eq!(timeline["points"].as_array().unwrap().last().unwrap()["balance"], "300");
    assert_eq!(text(&tenant.get(&path).await.body, "consumed_amount_cents"), "0");
    tenant.holds().await;
}

#[tokio::test]
async fn many_clients_at_once_never_spend_more_than_there_is() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let customer = tenant.customer("ada", json!({})).await;
    let wallet = tenant.wallet(&customer, json!({"initial_granted_credits": "1000"})).await.body;
    let mut drafts = Vec::new();
    for _ in 0..12 {
        drafts.push(tenant.one_off(&customer, 150).await);
    }
    let issued = futures::future::join_all(drafts.iter().map(|id| tenant.finalize(id)));
    let id = text(&wallet, "id");
    let topped = futures::future::join_all((0..4).map(|_| async {
        let path = format!("/v1/wallets/{id}/top_up");
        tenant.post(&path, json!({"credits": "50"})).await
    }));
    let (issued, topped) = tokio::join!(issued, topped);
    assert!(topped.iter().all(|answer| answer.status == StatusCode::OK), "{topped:?}");
    let paid: i64 = issued
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            text(&answer.body, "prepaid_credit_amount_cents").parse::<i64>().unwrap()
        })
        .sum();
    // 12 × 150 ask for more than the 1,200 there ever were.
    assert_eq!(paid + tenant.balance(&wallet).await.parse::<i64>().unwrap(), 1_200);
    tenant.holds().await;
}

#[tokio::test]
async fn credit_that_is_sold_comes_once_its_invoice_is_paid() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let customer = tenant.customer("ada", json!({})).await;
    let wallet = tenant.wallet(&customer, json!({"rate_amount": "0.5", "initial_paid_credits": "400"})).await.body;
    assert_eq!(text(&wallet, "balance_cents"), "0");
    let path = format!("/v1/wallets/{}", text(&wallet, "id"));
    let invoice = tenant.newest_invoice().await;
    assert_eq!((text(&invoice, "invoice_type"), text(&invoice, "total_cents")), ("credit", "200"), "without tax");
    let waiting = tenant.all(&format!("{path}/transactions")).await;
    assert_eq!((text(&waiting[0], "status"), text(&waiting[0], "amount")), ("pending", "400"));
    assert_eq!(tenant.delete(&path).await, StatusCode::BAD_REQUEST, "credit waits to be paid");
    let note = json!({"invoice_id": invoice["id"], "credit_note_type": "credit", "reason": "other", "total_amount_cents": "1"});
    assert_eq!(tenant.note(note).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let pay = format!("/v1/invoices/{}/pay", text(&invoice, "id"));
    let (one, other) = tokio::join!(tenant.post(&pay, json!({})), tenant.post(&pay, json!({})));
    assert_eq!([one.status, other.status].iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(tenant.balance(&wallet).await, "200");
    tenant.holds().await;
    let more = tenant.post(&format!("{path}/top_up"), json!({"credits": "10", "paid": true})).await;
    assert_eq!((more.status, text(&more.body, "balance_cents")), (StatusCode::OK, "200"));
    let invoice = tenant.newest_invoice().await;
    tenant.post(&format!("/v1/invoices/{}/void", text(&invoice, "id")), json!({})).await;
    let failed = tenant.all(&format!("{path}/transactions?limit=1")).await;
    assert_eq!(text(&failed[0], "status"), "failed");
    assert_eq!(tenant.delete(&path).await, StatusCode::NO_CONTENT);
    assert_eq!(tenant.balance(&wallet).await, "0", "what was left is withdrawn");
    assert_eq!(tenant.delete(&path).await, StatusCode::BAD_REQUEST, "twice");
    tenant.holds().await;
}

#[tokio::test]
async fn a_transfer_moves_the_same_money_and_only_what_there_is() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let customer = tenant.customer("ada", json!({})).await;
    let other = tenant.customer("bob", json!({})).await;
    let rich = tenant.wallet(&customer, json!({"rate_amount": "10", "initial_granted_credits": "10"})).await.body;
    let poor = tenant.wallet(&customer, json!({"rate_amount": "4"})).await.body;
    let foreign = tenant.wallet(&other, json!({})).await.body;
    let transfer = |from: &Value, to: &Value, credits: &str| json!({"source_wallet_id": from["id"], "target_wallet_id": to["id"], "credits": credits});
    let moved = tenant.post("/v1/wallets/transfer", transfer(&rich, &poor, "6")).await;
    assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
    assert_eq!(text(&moved.body["source_wallet"], "credits_balance"), "4");
    assert_eq!(text(&moved.body["target_wallet"], "credits_balance"), "15");
    for (body, status) in [
        (transfer(&rich, &poor, "4.1"), StatusCode::BAD_REQUEST),
        (transfer(&rich, &poor, "0.01"), StatusCode::UNPROCESSABLE_ENTITY),
        (transfer(&rich, &poor, "0"), StatusCode::UNPROCESSABLE_ENTITY),
        (transfer(&rich, &rich, "1"), StatusCode::BAD_REQUEST),
        (transfer(&rich, &foreign, "1"), StatusCode::BAD_REQUEST),
        (transfer(&rich, &json!({"id": uuid::Uuid::new_v4()}), "1"), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(tenant.post("/v1/wallets/transfer", body.clone()).await.status, status, "{body}");
    }
    // There and back at once, many times: nobody waits for ever, nothing is made or lost.
    let there = (0..6).map(|_| tenant.post("/v1/wallets/transfer", transfer(&rich, &poor, "2")));
    let back = (0..6).map(|_| tenant.post("/v1/wallets/transfer", transfer(&poor, &rich, "5")));
    tokio::join!(futures::future::join_all(there), futures::future::join_all(back));
    let sum: i64 = [tenant.balance(&rich).await, tenant.balance(&poor).await]
        .iter()
        .map(|cents| cents.parse::<i64>().unwrap())
        .sum();
    assert_eq!(sum, 100);
    tenant.holds().await;
}

#[tokio::test]
async fn wallets_that_must_not_be_are_refused() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let customer = tenant.customer("ada", json!({})).await;
    for body in [
        json!({"rate_amount": "0"}),
        json!({"rate_amount": "-1"}),
        json!({"priority": 0}),
        json!({"priority": 51}),
        json!({"initial_granted_credits": "-1"}),
        json!({"initial_granted_credits": "0.5"}),
        json!({"currency": "EUR"}),
        json!({"currency": "XXY"}),
        json!({"expiration_at": "2026-01-01T00:00:00Z"}),
        json!({"limited_to_metric_codes": ["nothing"]}),
        json!({"allowed_fee_types": ["nothing"]}),
        json!({"recurring_transaction_rules": [{"trigger": "interval", "granted_credits": "5"}]}),
        json!({"recurring_transaction_rules": [{"trigger": "interval", "interval": "monthly"}]}),
        json!({"recurring_transaction_rules": [{"trigger": "threshold", "granted_credits": "5"}]}),
    ] {
        assert_eq!(tenant.wallet(&customer, body.clone()).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let nobody = uuid::Uuid::new_v4().to_string();
    assert_eq!(tenant.wallet(&nobody, json!({})).await.status, StatusCode::BAD_REQUEST);
    let wallet = tenant.wallet(&customer, json!({"code": "main"})).await.body;
    assert_eq!(tenant.wallet(&customer, json!({"code": "main"})).await.status, StatusCode::BAD_REQUEST, "taken");
    let top_up = format!("/v1/wallets/{}/top_up", text(&wallet, "id"));
    for credits in ["0", "-1", "0.1", "99999999999999999999"] {
        let answer = tenant.post(&top_up, json!({"credits": credits})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{credits}");
    }
    for _ in 0..2 {
        tenant.post(&top_up, json!({"credits": i64::MAX.to_string()})).await;
    }
    assert_eq!(tenant.balance(&wallet).await, i64::MAX.to_string(), "the second would pass 64 bits");
    let missing = format!("/v1/wallets/{}/top_up", uuid::Uuid::new_v4());
    assert_eq!(tenant.post(&missing, json!({"credits": "1"})).await.status, StatusCode::BAD_REQUEST);
    let stranger = installation.organization("Other", false).await;
    let path = format!("/v1/wallets/{}", text(&wallet, "id"));
    assert_eq!(stranger.get(&path).await.status, StatusCode::NOT_FOUND, "another organization's");
    assert_eq!(stranger.post(&top_up, json!({"credits": "1"})).await.status, StatusCode::BAD_REQUEST);
    tenant.holds().await;
}

#[tokio::test]
async fn the_clock_fills_wallets_up_and_ends_them_at_their_instants() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", true).await;
    let customer = tenant.customer("ada", json!({})).await;
    let rules = json!([{"trigger": "interval", "interval": "monthly", "granted_credits": "100",
            "started_at": "2026-07-31T00:00:00Z"},
        {"trigger": "threshold", "threshold_credits": "50", "paid_credits": "300"}]);
    let wallet = json!({"initial_granted_credits": "60", "recurring_transaction_rules": rules,
        "expiration_at": "2026-10-15T00:00:00Z"});
    let wallet = tenant.wallet(&customer, wallet).await.body;
    let moved = |to: &'static str| {
        let now = at(to);
        installation.clock.set(now);
        installation.runs.clock_moved(tenant.organization, now)
    };
    // August 31, September 30: counted from the anchor.
    let done = moved("2026-09-30T00:00:00Z").await.unwrap();
    let seen: Vec<String> = done.iter().map(|step| format!("{} {}", step.at, step.what)).collect();
    assert_eq!(seen, ["2026-08-31T00:00:00Z wallet.topped_up", "2026-09-30T00:00:00Z wallet.topped_up"]);
    assert_eq!(moved("2026-09-30T00:00:00Z").await.unwrap(), [], "nothing twice");
    assert_eq!(tenant.balance(&wallet).await, "260");
    let draft = tenant.one_off(&customer, 220).await;
    let issued = tenant.finalize(&draft).await.body;
    assert_eq!(text(&issued, "prepaid_credit_amount_cents"), "220");
    for _ in 0..2 {
        moved("2026-10-01T00:00:00Z").await.unwrap();
    }
    let sold = tenant.all("/v1/invoices/?status=finalized").await;
    assert_eq!(sold.iter().filter(|one| one["invoice_type"] == "credit").count(), 1, "once while it waits");
    tenant.post(&format!("/v1/invoices/{}/pay", text(&sold[0], "id")), json!({})).await;
    assert_eq!(tenant.balance(&wallet).await, "340");
    let done = moved("2026-12-01T00:00:00Z").await.unwrap();
    let seen: Vec<String> = done.iter().map(|step| format!("{} {}", step.at, step.what)).collect();
    assert_eq!(seen, ["2026-10-15T00:00:00Z wallet.expired"]);
    assert_eq!(tenant.balance(&wallet).await, "0");
    let top_up = format!("/v1/wallets/{}/top_up", text(&wallet, "id"));
    assert_eq!(tenant.post(&top_up, json!({"credits": "1"})).await.status, StatusCode::BAD_REQUEST, "expired");
    tenant.holds().await;
}

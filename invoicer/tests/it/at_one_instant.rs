//! Of two requests that change one invoice at one instant one wins and the other is told so: 409, and nothing of it was done.

use super::support::{Installation, Tenant, text};
use axum::http::Method;
use invoicer::check_ledger;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the invoice is held: both requests have looked at it by then, and wait.
const HELD: Duration = Duration::from_millis(300);

/// A draft of one line, brought to the state that these actions lead to.
async fn invoice(tenant: &Tenant<'_>, customer: &str, actions: &[&str]) -> Value {
    let line = json!({"description": "Training", "quantity": 1, "unit_price": 1000, "amount": 1000});
    let made = tenant.post("/v1/invoices/one_off", json!({"customer_id": customer, "line_items": [line]})).await.body;
    for action in actions {
        let path = format!("/v1/invoices/{}/{action}", text(&made, "id"));
        assert_eq!(tenant.post(&path, json!({})).await.status, 200, "{action}");
    }
    made
}

/// The status that an action is answered; `delete` is the method.
async fn status(tenant: &Tenant<'_>, id: &str, action: &str) -> u16 {
    let key = format!("Bearer {}", tenant.key);
    let (method, path) = match action {
        "delete" => (Method::DELETE, format!("/v1/invoices/{id}")),
        _ => (Method::POST, format!("/v1/invoices/{id}/{action}")),
    };
    tenant.installation.ask(method, &path, &[("authorization", &key)], None).await.status.as_u16()
}

/// The answers to both, sorted: a third transaction holds the invoice until each of them has looked at it.
async fn together(tenant: &Tenant<'_>, id: &str, actions: [&str; 2]) -> [u16; 2] {
    let mut held = tenant.installation.catalog.database().write().await.unwrap();
    let lock = format!("SELECT id FROM invoices WHERE id = $1{}", held.for_update());
    sqlx::query(sqlx::AssertSqlSafe(lock)).bind(id.to_owned()).fetch_one(held.connection()).await.unwrap();
    let release = async {
        tokio::time::sleep(HELD).await;
        held.commit().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(status(tenant, id, actions[0]), status(tenant, id, actions[1]), release);
    let mut both = [one, two];
    both.sort_unstable();
    both
}

#[tokio::test]
async fn of_two_actions_on_one_invoice_one_wins_and_the_other_is_409() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let customer = tenant.customer("ada", json!({})).await;
    for (before, actions) in [
        (&[][..], ["finalize", "finalize"]),
        (&[], ["finalize", "void"]),
        (&[], ["delete", "finalize"]),
        (&[], ["delete", "delete"]),
        (&["finalize"], ["pay", "pay"]),
        (&["finalize"], ["pay", "void"]),
        (&["finalize"], ["void", "void"]),
        (&["finalize", "void"], ["regenerate", "regenerate"]),
    ] {
        let invoice = invoice(&tenant, &customer, before).await;
        let [won, lost] = together(&tenant, text(&invoice, "id"), actions).await;
        assert!(matches!(won, 200 | 204) && lost == 409, "{actions:?} after {before:?}: {won} and {lost}");
    }
    let report = check_ledger(installation.catalog.database()).await.unwrap();
    assert_eq!(report.problems, []);
}

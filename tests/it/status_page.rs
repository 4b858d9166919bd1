//! `/status`: what it shows, and to whom (I8).

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server};
use crate::wire::Caller;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

async fn page(caller: &Caller) -> String {
    let answer = caller.request(Method::GET, "/status").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    answer.text().await.unwrap()
}

fn event(id: &str, code: &str) -> serde_json::Value {
    json!({"transaction_id": id, "code": code, "external_customer_id": "secret-customer",
        "timestamp": "2026-01-15T12:00:00Z", "properties": {"tokens": 5}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_shows_the_pipeline_to_everybody_and_runs_only_to_whose_they_are() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Zebra Industries").await;
    let customer = account.customer("secret-customer", "UTC").await;
    account.subscription("secret-subscription", &customer, "2026-01-01T00:00:00Z").await;
    account
        .caller
        .post("/v1/events/batch", &json!({"events": [event("t-1", "requests"), event("t-2", "requests")]}))
        .await;
    let refused = account.caller.request(Method::POST, "/v1/events/").json(&event("t-3", "no_such_code")).send().await;
    assert_eq!(refused.unwrap().status(), 422);
    account.caller.bill("2026-02-01T00:00:00Z").await;

    let nobody = Caller::nobody(&server);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut public = page(&nobody).await;
    // The page shows what was measured at the last look, some seconds ago.
    while !public.contains("unknown_code") || !public.contains("<td>completed</td>") {
        assert!(Instant::now() < deadline, "{public}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        public = page(&nobody).await;
    }
    for stage in ["Gateway", "Log", "Aggregator", "Store", "Rater", "Invoicer"] {
        assert!(public.contains(&format!("<h2>{stage}<small>")), "{stage}: {public}");
    }
    assert!(public.contains("<dt>accepted<dd>2</div>"), "{public}");
    assert!(!public.contains("<script"), "it is read without JavaScript");
    let raw_key = account.caller.raw_key();
    for tenants in ["Zebra", "secret-customer", "secret-subscription", "2026-02-01", "USD", &account.id, &account.plan]
    {
        assert!(!public.contains(tenants), "{tenants} is shown to nobody in particular: {public}");
    }

    let other = Account::open(&server, "Other").await;
    let (own, theirs, operators) =
        (page(&account.caller).await, page(&other.caller).await, page(&Caller::admin(&server)).await);
    assert!(own.contains("2026-02-01") && own.contains("1 of 1"), "{own}");
    assert!(operators.contains("2026-02-01"), "{operators}");
    assert!(theirs.contains("No billing run yet") && !theirs.contains("2026-02-01"), "{theirs}");
    for shown in [&public, &own, &theirs, &operators] {
        assert!(!shown.contains(ADMIN_SECRET) && !shown.contains(raw_key));
    }
    assert_eq!(nobody.with_key("tg_live_wrong").get_status("/status").await, 401);
}

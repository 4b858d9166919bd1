//! A data directory survives `kill -9` at any instant, its first start included.

use crate::account::Account;
use crate::harness::Server;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_survives_kills_at_any_instant_of_its_starts() {
    // How long one undisturbed start takes here and now, so that the kills fall all over it.
    let began = Instant::now();
    drop(Server::start(&[]).await);
    let whole = began.elapsed();

    let mut server = Server::prepare(&[]);
    for step in 1..=12_u32 {
        server.spawn();
        tokio::time::sleep(whole * step / 12).await;
        server.kill_tree();
    }
    server.restart().await;
    let account = Account::open(&server, "After kills").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    for step in 1..=6_u32 {
        let event = json!({"transaction_id": format!("t-{step}"), "external_customer_id": "acme", "code": "requests",
                           "timestamp": "2026-01-15T00:00:00Z"});
        account.caller.post("/v1/events/", &event).await;
        server.kill_tree();
        server.spawn();
        tokio::time::sleep(whole * step / 6).await;
        server.kill_tree();
        server.restart().await;
        let stored = account.caller.all("/v1/events/").await.len();
        assert_eq!(stored, step as usize, "every acknowledged event is there after each kill");
    }
    account.caller.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(account.caller.all("/v1/invoices/").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_right_after_a_kill_does_not_wait_for_a_person() {
    let mut server = Server::start(&[]).await;
    for _ in 0..3 {
        server.kill_tree();
        let began = Instant::now();
        server.restart().await;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}\n{}", began.elapsed(), server.log());
    }
}

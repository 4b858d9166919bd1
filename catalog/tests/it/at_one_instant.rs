//! Of two requests that change one subscription at one instant one wins and the other is told so: 409, and nothing of it was done.

use super::world::{Tenant, World};
use serde_json::json;
use std::time::Duration;

/// How long the subscription is held: both requests have looked at it by then, and wait.
const HELD: Duration = Duration::from_millis(300);

/// The status that an action is answered: `terminate` is DELETE, `put STATUS` a change of the field.
async fn status(tenant: &Tenant<'_>, id: &str, action: &str) -> u16 {
    let path = format!("/v1/subscriptions/{id}");
    match action.split_once(' ') {
        Some((_, wanted)) => tenant.put(&path, json!({"status": wanted})).await.status,
        None if action == "terminate" => tenant.delete(&path).await.status,
        None => tenant.post(&format!("{path}/{action}"), json!({})).await.status,
    }
}

/// The answers to both, sorted: a third transaction holds the subscription until each of them has looked at it.
async fn together(tenant: &Tenant<'_>, id: &str, actions: [&str; 2]) -> [u16; 2] {
    let mut held = tenant.world.catalog.database().write().await.unwrap();
    let lock = format!("SELECT id FROM subscriptions WHERE id = $1{}", held.for_update());
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
async fn of_two_actions_on_one_subscription_one_wins_and_the_other_is_409() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (customer, plan) = (tenant.customer("c").await, tenant.plan("p", &[]).await);
    let cases: [(Option<&str>, &[&str], [&str; 2]); 7] = [
        (None, &[], ["activate", "activate"]),
        (None, &[], ["activate", "terminate"]),
        (Some("2026-03-01T00:00:00Z"), &[], ["terminate", "terminate"]),
        (Some("2026-03-01T00:00:00Z"), &[], ["cancel", "pause"]),
        (Some("2026-03-01T00:00:00Z"), &[], ["pause", "pause"]),
        (Some("2026-03-01T00:00:00Z"), &["pause"], ["resume", "put terminated"]),
        (Some("2026-03-01T00:00:00Z"), &[], ["put paused", "put canceled"]),
    ];
    for (number, (started_at, before, actions)) in cases.into_iter().enumerate() {
        let id = tenant.subscription(&format!("s{number}"), &customer, &plan, started_at).await;
        for action in before {
            assert_eq!(status(&tenant, &id, action).await, 200, "{action}");
        }
        let [won, lost] = together(&tenant, &id, actions).await;
        assert!(matches!(won, 200 | 204) && lost == 409, "{actions:?} after {before:?}: {won} and {lost}");
    }
}

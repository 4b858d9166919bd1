//! Bulk readers for rating and billing.

use super::world::World;
use catalog::BillingScope;
use catalog::customer::wire::CustomerCreate;
use catalog::subscription::wire::SubscriptionCreate;
use domain::time::Timestamp;
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn a_scope_of_one_customer_or_subscription_reads_that_alone_with_its_plan_and_metrics() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let plan = tenant.plan("p", &[&metric]).await;
    let (ada, bob) = (tenant.customer("ada").await, tenant.customer("bob").await);
    let mut ids = Vec::new();
    for (name, customer) in [("a1", &ada), ("a2", &ada), ("b1", &bob)] {
        ids.push(tenant.subscription(name, customer, &plan, Some("2026-01-01T00:00:00Z")).await);
    }
    let names = |scope| {
        let catalog = world.catalog.clone();
        async move {
            let read = catalog.billing_catalog(scope).await.unwrap();
            assert!(read.plans.len() == 1 && read.metrics.len() == 1 && read.organizations.len() == 1);
            let mut names: Vec<_> = read.subscriptions.iter().map(|row| row.external_id.clone()).collect();
            names.sort();
            let mut customers: Vec<_> = read.customers.values().map(|row| row.external_id.clone()).collect();
            customers.sort();
            (names.join(" "), customers.join(" "))
        }
    };
    let organization = tenant.organization;
    assert_eq!(names(BillingScope::All).await, ("a1 a2 b1".into(), "ada bob".into()));
    assert_eq!(names(BillingScope::Customer(organization, ada.parse().unwrap())).await, ("a1 a2".into(), "ada".into()));
    assert_eq!(
        names(BillingScope::Subscription(organization, ids[2].parse().unwrap())).await,
        ("b1".into(), "bob".into())
    );
}

/// Processor time of this process so far, all threads, in hundredths of a second: on a busy machine the clock on the wall tells
/// little.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Prints what it measures: `cargo test -p catalog --test it -- --ignored --nocapture reading_300`.
#[tokio::test]
#[ignore = "a measurement of a minute, not a check"]
async fn reading_300_000_subscriptions() {
    const COUNT: usize = 300_000;
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let plan = tenant.plan("p", &[&metric]).await;
    let new: Vec<CustomerCreate> = (0..COUNT)
        .map(|number| {
            serde_json::from_value(json!({"external_id": format!("customer-{number:07}"), "name": "Ada"})).unwrap()
        })
        .collect();
    let now = Timestamp::parse("2026-03-10T12:00:00Z").unwrap();
    let started = Instant::now();
    let customers = world.catalog.create_customers(tenant.organization, &new, now).await.unwrap();
    println!("{COUNT} customers written in {:?}", started.elapsed());
    let new: Vec<SubscriptionCreate> = customers
        .iter()
        .map(|customer| {
            let id = format!("subscription-{}", customer.external_id);
            let started_at = "2026-01-01T00:00:00Z";
            serde_json::from_value(
                json!({"external_id": id, "customer_id": customer.id, "plan_id": plan, "started_at": started_at}),
            )
            .unwrap()
        })
        .collect();
    let started = Instant::now();
    world.catalog.create_subscriptions(tenant.organization, &new, now).await.unwrap();
    println!("{COUNT} subscriptions written in {:?}", started.elapsed());
    for _ in 0..3 {
        let started = Instant::now();
        let processor = processor_time();
        let read = world.catalog.billing_catalog(BillingScope::All).await.unwrap();
        println!("processor time {:.2} s", (processor_time() - processor) as f64 / 100.0);
        println!(
            "{} subscriptions and {} customers read in {:?}",
            read.subscriptions.len(),
            read.customers.len(),
            started.elapsed()
        );
        assert_eq!(read.subscriptions.len(), COUNT);
    }
    let one = BillingScope::Subscription(
        tenant.organization,
        world.catalog.billing_catalog(BillingScope::All).await.unwrap().subscriptions[7].id,
    );
    let started = Instant::now();
    world.catalog.billing_catalog(one).await.unwrap();
    println!("one of them read in {:?}", started.elapsed());
}

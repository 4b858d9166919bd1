//! Customers, each with one subscription to the plan; the last one belongs to the freshness probe.

use super::Wanted;
use crate::audit::usage::{CustomerUsage, read_usage};
use crate::client::api::{Api, ApiError};
use crate::workload::stream::{customer_name, subscription_name};
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::HashMap;

const CUSTOMERS: &str = "/v1/customers/";
const SUBSCRIPTIONS: &str = "/v1/subscriptions/";
/// Requests under way at once: enough to keep the system busy, few enough not to be refused.
pub(super) const AT_ONCE: usize = 16;

/// Creates what is missing of customers `0..=wanted.customers`; answers whether any of them existed.
pub(super) async fn create(api: &Api, wanted: &Wanted, plan: &str, progress: &ProgressBar) -> Result<bool, ApiError> {
    let known = existing(api, wanted).await?;
    progress.set_length(u64::from(wanted.customers) + 1);
    stream::iter(0..=wanted.customers)
        .map(|customer| one(api, wanted, plan, customer, &known, progress))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(!known.customers.is_empty())
}

/// Usage of all customers, the probe's last.
pub(super) async fn usage(api: &Api, wanted: &Wanted) -> Result<Vec<CustomerUsage>, ApiError> {
    stream::iter(0..=wanted.customers)
        .map(|customer| read_usage(api, &wanted.population, customer))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// What of the population is there: customer id by name, and names of subscriptions.
#[derive(Default)]
struct Known {
    customers: HashMap<String, String>,
    subscriptions: Vec<String>,
}

async fn existing(api: &Api, wanted: &Wanted) -> Result<Known, ApiError> {
    // Both kinds of names; a population whose name begins with this one's is another.
    let prefix = format!("{}-", wanted.population);
    let mine = |row: &Value| row["external_id"].as_str().is_some_and(|id| id.starts_with(&prefix));
    let mut known = Known::default();
    for row in api.list(CUSTOMERS).await?.iter().filter(|row| mine(row)) {
        if let (Some(name), Some(id)) = (row["external_id"].as_str(), row["id"].as_str()) {
            known.customers.insert(name.to_owned(), id.to_owned());
        }
    }
    if known.customers.is_empty() {
        return Ok(known);
    }
    let rows = api.list(SUBSCRIPTIONS).await?;
    known.subscriptions =
        rows.iter().filter(|row| mine(row)).filter_map(|row| row["external_id"].as_str()).map(str::to_owned).collect();
    known.subscriptions.sort_unstable();
    Ok(known)
}

async fn one(
    api: &Api,
    wanted: &Wanted,
    plan: &str,
    customer: u32,
    known: &Known,
    progress: &ProgressBar,
) -> Result<(), ApiError> {
    let name = customer_name(&wanted.population, customer);
    let id = match known.customers.get(&name) {
        Some(id) => id.clone(),
        None => {
            api.post(CUSTOMERS, &json!({"external_id": name, "name": name}), &[201]).await?.text(CUSTOMERS, "/id")?
        }
    };
    let subscription = subscription_name(&wanted.population, customer);
    if known.subscriptions.binary_search(&subscription).is_err() {
        let body = json!({
            "external_id": subscription, "customer_id": id, "plan_id": plan, "billing_time": "calendar",
            "started_at": wanted.started_at.to_string(),
        });
        // 409: another run of the same population came first.
        api.post(SUBSCRIPTIONS, &body, &[201, 409]).await?;
    }
    progress.inc(1);
    Ok(())
}

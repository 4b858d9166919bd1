//! Every recipe of the pricing cookbook over HTTP: its metric, charge and events are sent to a sandbox, its month is ended, and the
//! fees that were billed are compared with the page.

#[path = "../../../domain/src/pricing/cookbook/recipes.rs"]
mod recipes;

use super::page;
use crate::harness::Server;
use crate::wire::{Caller, text};
use recipes::{Recipe, recipes};
use reqwest::Method;
use serde_json::{Map, Value, json};

const START: &str = "2026-03-01T00:00:00Z";
const END: &str = "2026-04-01T00:00:00Z";

async fn set_clock(caller: &Caller, now: &str) {
    let request = caller.request(Method::PUT, "/v1/organizations/current/clock").json(&json!({"now": now}));
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// A metric, a plan of one charge, a customer and a subscription of the recipe, and its events.
async fn send(caller: &Caller, recipe: &Recipe) -> String {
    let name = format!("line-{}", recipe.line);
    let mut metric = recipe.metric.clone().unwrap_or(json!({"aggregation_type": "sum", "field_name": "n"}));
    (metric["code"], metric["name"]) = (json!(name), json!(name));
    let metric = caller.post("/v1/billable_metrics/", &metric).await;
    let mut charge = recipe.charge.clone();
    charge["billable_metric_id"] = metric["id"].clone();
    let plan = json!({"code": name, "name": name, "interval": "monthly", "currency": "USD", "charges": [charge]});
    let plan = caller.post("/v1/plans/", &plan).await;
    let customer = json!({"external_id": name, "name": name, "currency": "USD", "timezone": "UTC"});
    let customer = caller.post("/v1/customers/", &customer).await;
    let subscription =
        json!({"external_id": name, "customer_id": customer["id"], "plan_id": plan["id"], "started_at": START});
    let subscription = caller.post("/v1/subscriptions/", &subscription).await;
    let events: Vec<Value> =
        recipe.events.iter().enumerate().map(|(number, members)| event(&name, number, members.clone())).collect();
    caller.post("/v1/events/batch", &json!({"events": events})).await;
    text(&subscription["id"])
}

/// Members that an event has of its own go there; the rest are properties.
fn event(name: &str, number: usize, mut members: Map<String, Value>) -> Value {
    let mut event = json!({"transaction_id": format!("{name}-{number}"), "external_customer_id": name, "code": name,
        "timestamp": format!("2026-03-10T00:00:{number:02}Z")});
    for own in ["timestamp", "precise_total_amount_cents"] {
        if let Some(value) = members.remove(own) {
            event[own] = value;
        }
    }
    event["properties"] = Value::Object(members);
    event
}

fn differences(recipe: &Recipe, billed: &[Value]) -> Vec<String> {
    let place = format!("docs/pricing-cookbook.md:{}", recipe.line);
    let mut fees: Vec<&Value> = billed.iter().filter(|fee| fee["fee_type"] == "charge").collect();
    fees.sort_by_key(|fee| text(&fee["created_at"]));
    if fees.len() != recipe.fees.len() {
        return vec![format!("{place}: {} fees, the page has {}: {fees:?}", fees.len(), recipe.fees.len())];
    }
    // Fees of one charge are made at one instant: they are told apart by what they come to.
    let mut differences = Vec::new();
    for wanted in &recipe.fees {
        let members = wanted.as_object().unwrap();
        let fits = |fee: &&Value| members.iter().all(|(key, value)| fee[key] == *value);
        match fees.iter().position(fits) {
            Some(found) => {
                fees.remove(found);
            }
            None => differences.push(format!("{place}: nothing billed is {wanted}, but {fees:?}")),
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_of_the_cookbook_is_billed_as_it_says() {
    let server = Server::start(&[]).await;
    let organization = json!({"name": "Cookbook", "sandbox": true});
    let made = Caller::admin(&server).post("/v1/organizations/", &organization).await;
    let caller = Caller::key(&server, &text(&made["api_key"]["raw_key"]));
    set_clock(&caller, START).await;
    let recipes = recipes(&page("docs/pricing-cookbook.md").text);
    assert!(recipes.len() > 15, "{}", recipes.len());
    let mut subscriptions = Vec::new();
    for recipe in &recipes {
        subscriptions.push(send(&caller, recipe).await);
    }
    set_clock(&caller, END).await;
    let fees = caller.all("/v1/fees/").await;
    let mut all = Vec::new();
    for (recipe, subscription) in recipes.iter().zip(&subscriptions) {
        let own: Vec<Value> =
            fees.iter().filter(|fee| fee["subscription_id"] == json!(subscription)).cloned().collect();
        all.extend(differences(recipe, &own));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

//! What the demo prints at its end: usage, an invoice, addresses, three commands that work as they stand.

use super::trace::CUSTOMERS;
use crate::client::{Api, ApiFailure};
use crate::terminal::{grouped, money, table};
use serde_json::Value;
use std::collections::BTreeMap;

const METRICS: [&str; 3] = ["requests", "context_tokens", "generated_tokens"];

pub(super) async fn everything(api: &Api, gateway: &str, run: &Value, api_key: &str) -> Result<(), ApiFailure> {
    let customers = api.get("/v1/customers/?limit=1000").await?;
    let fees = api.get("/v1/fees/?limit=1000").await?;
    let invoices = api.get("/v1/invoices/?limit=1000&order_by=created_at:asc").await?;
    let created = run["invoices_created"].as_u64().unwrap_or_default();
    println!("\nUsage of November 2023, billed ({created} invoices made by this start):");
    println!("{}", usage_table(&customers, &fees));
    let first = CUSTOMERS[0].0;
    let first_id = field_of(&customers, "external_id", first, "id");
    let invoice = invoices.as_array().into_iter().flatten().find(|invoice| invoice["customer_id"] == first_id);
    if let Some(invoice) = invoice {
        println!("\nInvoice {} to {first}:", text(&invoice["invoice_number"]));
        println!("{}", invoice_table(invoice));
    }
    println!("{}", ways_on(api.base(), gateway, api_key));
    Ok(())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn field_of(list: &Value, key: &str, wanted: &str, field: &str) -> Value {
    items(list).find(|item| item[key] == wanted).map_or(Value::Null, |item| item[field].clone())
}

/// One row a customer: units per metric and events, from the fees, which are the billed truth.
fn usage_table(customers: &Value, fees: &Value) -> comfy_table::Table {
    let mut units: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut events: BTreeMap<String, u64> = BTreeMap::new();
    for fee in items(fees).filter(|fee| fee["fee_type"] == "charge") {
        let customer = text(&fee["customer_id"]);
        *events.entry(customer.clone()).or_default() += fee["events_count"].as_u64().unwrap_or_default();
        units.insert((customer, text(&fee["metric_code"])), text(&fee["units"]));
    }
    let mut shown = table(&["customer", METRICS[0], METRICS[1], METRICS[2], "events"], &[1, 2, 3, 4]);
    for (external_id, name, _) in CUSTOMERS {
        let id = text(&field_of(customers, "external_id", external_id, "id"));
        let mut row = vec![name.to_string()];
        row.extend(METRICS.map(|metric| {
            units.get(&(id.clone(), metric.to_string())).map_or_else(|| "–".to_string(), |units| grouped(units))
        }));
        row.push(grouped(&events.get(&id).copied().unwrap_or_default().to_string()));
        shown.add_row(row);
    }
    shown.add_row(total_row(&units, events.values().sum()));
    shown
}

/// The sums over all customers, exact: the demo's units are whole numbers.
fn total_row(units: &BTreeMap<(String, String), String>, events: u64) -> Vec<String> {
    let mut row = vec!["all".to_string()];
    row.extend(METRICS.map(|wanted| {
        let of_metric = units.iter().filter(|((_, metric), _)| metric == wanted);
        let total: u128 = of_metric.filter_map(|(_, units)| units.parse::<u128>().ok()).sum();
        grouped(&total.to_string())
    }));
    row.push(grouped(&events.to_string()));
    row
}

fn invoice_table(invoice: &Value) -> comfy_table::Table {
    let currency = text(&invoice["currency"]);
    let mut shown = table(&["line", "units", "amount"], &[1, 2]);
    for line in items(&invoice["line_items"]) {
        let title = ["description", "name", "metric_code", "fee_type"]
            .iter()
            .find_map(|field| line[*field].as_str().filter(|title| !title.is_empty()))
            .unwrap_or("fee");
        let units = text(line.get("units").or_else(|| line.get("quantity")).unwrap_or(&Value::Null));
        let amount = text(line.get("amount_cents").or_else(|| line.get("amount")).unwrap_or(&Value::Null));
        shown.add_row([title.to_string(), grouped(&units), money(&amount, &currency)]);
    }
    shown.add_row(["total", "", &money(&text(&invoice["total_cents"]), &currency)]);
    shown
}

fn ways_on(base: &str, gateway: &str, api_key: &str) -> String {
    let customer = CUSTOMERS[0].0;
    format!(
        "
API      {base}          metrics  {base}/metrics
docs     {base}/docs     ready?   {base}/readyz

Go on with:
  curl -s {base}/v1/invoices/ -H 'Authorization: Bearer {api_key}'
  curl -s {gateway}/v1/events/ -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' \
-d '{{\"transaction_id\": \"mine-'$(date +%s%N)'\", \"external_customer_id\": \"{customer}\", \"code\": \"requests\", \
\"timestamp\": \"'$(date -u +%FT%TZ)'\"}}'
  curl -s '{base}/v1/customers/{customer}/current_usage?subscription_id={customer}-inference' -H 'Authorization: Bearer {api_key}'

Ctrl-C stops it; the next start goes on from the same data directory."
    )
}

//! Credits for each tenth customer: a coupon, a tax, a wallet that pays whatever is due, a credit note over its last invoice.

use super::ground::Account;
use crate::client::api::{Api, ApiError};
use crate::workload::stream::customer_name;
use anyhow::Context;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;

/// One customer in so many.
const EACH: usize = 10;
/// Requests under way at once.
const AT_ONCE: usize = 16;
/// A wallet pays all of an invoice: a fee here is far below this.
const WALLET_CENTS: &str = "100000000";

/// Whether the customer of a number has credits: of its invoices nothing is due.
pub(super) fn has(customer: usize) -> bool {
    customer.is_multiple_of(EACH)
}

/// Gives them; the account has been billed once. Answers how many customers have all four.
pub(super) async fn give(account: &Account) -> anyhow::Result<usize> {
    let api = &account.api;
    let coupon = json!({"code": "tenth", "name": "A tenth", "coupon_type": "percentage", "percentage_rate": "10",
        "frequency": "forever"});
    api.post("/v1/coupons/", &coupon, &[201]).await?;
    api.post("/v1/taxes/", &json!({"code": "vat", "name": "VAT", "rate": "0.2"}), &[201]).await?;
    let ids = by_name(api.list("/v1/customers/").await?);
    let invoices = last_invoices(api.list("/v1/invoices/?status=finalized").await?);
    let mut chosen = Vec::new();
    for number in (0..account.customers()).filter(|number| has(*number)) {
        let name = customer_name(&account.population, u32::try_from(number)?);
        let id = ids.get(&name).with_context(|| format!("customer {name} is not there"))?;
        chosen.push((id.clone(), invoices.get(id).cloned()));
    }
    let given: Vec<bool> = stream::iter(chosen)
        .map(|(customer, invoice)| give_to(api, customer, invoice))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(given.into_iter().filter(|all| *all).count())
}

fn by_name(customers: Vec<Value>) -> HashMap<String, String> {
    let pair = |one: &Value| Some((one["external_id"].as_str()?.to_owned(), one["id"].as_str()?.to_owned()));
    customers.iter().filter_map(pair).collect()
}

fn last_invoices(invoices: Vec<Value>) -> HashMap<String, String> {
    let pair = |one: &Value| Some((one["customer_id"].as_str()?.to_owned(), one["id"].as_str()?.to_owned()));
    // Newest first.
    invoices.iter().rev().filter_map(pair).collect()
}

/// Who owed nothing has no note: there is nothing to credit.
async fn give_to(api: &Api, customer: String, invoice: Option<String>) -> Result<bool, ApiError> {
    let coupon = json!({"coupon_code": "tenth", "customer_id": customer});
    api.post("/v1/coupons/apply", &coupon, &[201]).await?;
    let tax = json!({"tax_code": "vat", "taxable_type": "customer", "taxable_id": customer});
    api.post("/v1/taxes/apply", &tax, &[201]).await?;
    let wallet = json!({"customer_id": customer, "currency": "USD", "initial_granted_credits": WALLET_CENTS});
    api.post("/v1/wallets/", &wallet, &[201]).await?;
    let Some(invoice) = invoice else { return Ok(false) };
    let notes = "/v1/credit_notes/";
    let note =
        json!({"invoice_id": invoice, "credit_note_type": "credit", "reason": "other", "total_amount_cents": "1"});
    let made = api.post(notes, &note, &[201]).await?.text(notes, "/id")?;
    api.post(&format!("{notes}{made}/finalize"), &json!({}), &[200]).await?;
    Ok(true)
}

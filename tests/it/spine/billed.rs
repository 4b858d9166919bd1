//! What must be billed for the traffic of the spine: the oracle's figures, once, each fee proved; and a proof that can fail.

use super::traffic::{CUSTOMERS, Plan};
use crate::account::METRICS;
use crate::harness::{Server, output, told, tollgate};
use crate::oracle::Bill;
use crate::wire::{Caller, text};
use serde_json::Value;
use std::collections::HashMap;

pub(super) async fn assert_billed(caller: &Caller, bill: &Bill) {
    let customers: HashMap<String, String> = caller
        .all("/v1/customers/")
        .await
        .iter()
        .map(|customer| (text(&customer["id"]), text(&customer["external_id"])))
        .collect();
    let invoices = caller.all("/v1/invoices/").await;
    let fees = caller.all("/v1/fees/").await;
    assert_eq!(invoices.len(), bill.len(), "one invoice a customer and month");
    for invoice in &invoices {
        let start = chrono::DateTime::parse_from_rfc3339(&text(&invoice["billing_period_start"])).unwrap();
        let customer = customers[&text(&invoice["customer_id"])].clone();
        let usage = bill.get(&(customer.clone(), start.timestamp_micros()));
        let usage = usage.unwrap_or_else(|| panic!("no such period: {invoice}"));
        assert_eq!(text(&invoice["total_cents"]), usage.total().to_string(), "{customer} {start}: {invoice}");
        assert_eq!(text(&invoice["subtotal_cents"]), usage.total().to_string());
        for (at, code) in METRICS.iter().enumerate() {
            let of_metric = |fee: &&Value| fee["invoice_id"] == invoice["id"] && fee["metric_code"] == **code;
            let fee = fees.iter().find(of_metric).unwrap_or_else(|| panic!("no fee of {code} on {invoice}"));
            assert_eq!(text(&fee["units"]), usage.units(code).to_string(), "{customer} {start}: {fee}");
            assert_eq!(text(&fee["amount_cents"]), usage.charges()[at].to_string(), "{customer} {start}: {fee}");
            assert_eq!(fee["events_count"], usage.events[at], "{customer} {start}: {fee}");
        }
    }
}

pub(super) async fn assert_every_fee_is_proved(server: &Server, caller: &Caller) -> Vec<Value> {
    let fees = caller.all("/v1/fees/").await;
    let charged: Vec<Value> = fees.into_iter().filter(|fee| fee["fee_type"] == "charge").collect();
    assert_eq!(charged.len(), CUSTOMERS.len() * 2 * METRICS.len());
    for fee in &charged {
        let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        assert_eq!(proof["holds"], true, "{fee}: {proof}");
        assert_eq!(proof["billed"], proof["recomputed"], "{fee}");
    }
    let by_command = output(&mut prove(server, &charged[0]));
    assert!(by_command.status.success() && told(&by_command).contains("holds"), "{}", told(&by_command));
    charged
}

fn prove(server: &Server, fee: &Value) -> std::process::Command {
    let mut command = tollgate(&["prove", &text(&fee["id"]), "--data-dir", server.directory_argument()]);
    command.env("TOLLGATE_ADMIN_SECRET", crate::harness::ADMIN_SECRET);
    command
}

pub(super) async fn assert_second_run_creates_nothing(caller: &Caller, bill: &Bill) {
    let before = (caller.all("/v1/invoices/").await, caller.all("/v1/fees/").await);
    let run = caller.bill("2024-01-02T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 0, "{run}");
    assert_eq!((caller.all("/v1/invoices/").await, caller.all("/v1/fees/").await), before);
    assert_billed(caller, bill).await;
}

pub(super) async fn assert_a_deleted_row_breaks_the_proof(
    server: &Server,
    caller: &Caller,
    plan: &Plan,
    fees: &[Value],
) {
    let victim =
        plan.copies.values().flatten().map(|(_, copy)| copy).find(|copy| copy.code == "context_tokens").unwrap();
    server.engine(&format!("ALTER TABLE tollgate.events DELETE WHERE transaction_id = '{}'", victim.id)).await;
    let mut broken = Vec::new();
    for fee in fees {
        let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        if proof["holds"] == false {
            broken.push(fee);
        }
    }
    assert_eq!(broken.len(), 1, "exactly the fee that had the event: {broken:?}");
    assert_eq!(broken[0]["metric_code"], "context_tokens");
    let by_command = output(&mut prove(server, broken[0]));
    assert_eq!(by_command.status.code(), Some(1), "{}", told(&by_command));
    assert!(told(&by_command).contains("does NOT hold"), "{}", told(&by_command));
}

//! Usage that is paid in advance: each event on an invoice of its own, once, whoever bills it and however often.

use super::support::{Installation, Tenant, at, from, runs_over, text};
use domain::identity::EventId;
use invoicer::{Portions, check_ledger};
use serde_json::{Value, json};

/// A plan without a flat fee: calls at 0.10 in advance, storage (recurring) at 1 in advance, seats at 5 at the end.
async fn plan(tenant: &Tenant<'_>, invoiceable: bool) -> String {
    let now = at("2026-01-01T00:00:00Z");
    let catalog = &tenant.installation.catalog;
    let mut metrics = Vec::new();
    for (code, aggregation, field, recurring) in
        [("calls", "count", None, false), ("storage", "sum", Some("gb"), true), ("seats", "max", Some("seats"), false)]
    {
        let new = json!({"code": code, "name": code, "aggregation_type": aggregation, "field_name": field,
            "recurring": recurring});
        metrics.push(catalog.create_metric(tenant.organization, from(new), now).await.unwrap().id);
    }
    let charges = json!([
        {"billable_metric_id": metrics[0], "charge_model": "standard", "properties": {"amount": "0.10"},
            "pay_in_advance": true, "invoiceable": invoiceable},
        {"billable_metric_id": metrics[1], "charge_model": "standard", "properties": {"amount": "1"},
            "pay_in_advance": true},
        {"billable_metric_id": metrics[2], "charge_model": "standard", "properties": {"amount": "5"}}]);
    let new = json!({"code": "ahead", "name": "Ahead", "interval": "monthly", "amount_cents": 0, "charges": charges});
    catalog.create_plan(tenant.organization, &from(new), now).await.unwrap().id.to_string()
}

/// Metric, cents and start of the period of each fee, sorted.
fn told(fees: &[Value]) -> Vec<(String, String, String)> {
    let told = |fee: &Value| {
        let code = fee["metric_code"].as_str().unwrap_or("-").to_owned();
        (code, text(fee, "amount_cents").to_owned(), text(fee, "period_start")[..10].to_owned())
    };
    let mut all: Vec<_> = fees.iter().map(told).collect();
    all.sort();
    all
}

fn fee(code: &str, cents: &str, day: &str) -> (String, String, String) {
    (code.into(), cents.into(), day.into())
}

async fn all_hold(tenant: &Tenant<'_>) {
    for fee in tenant.all("/v1/fees/?fee_type=charge&limit=1000").await {
        let id = text(&fee, "id");
        let proof = tenant.get(&format!("/v1/fees/{id}/proof")).await.body;
        assert_eq!(proof["holds"], true, "{fee}: {proof}");
        let events = tenant.all(&format!("/v1/fees/{id}/events")).await;
        assert_eq!(fee["events_count"], json!(events.len()));
    }
    let report = check_ledger(tenant.installation.catalog.database()).await.unwrap();
    assert!(report.holds, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_invoiced_once_by_however_many_passes_and_the_period_bills_the_rest() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = plan(&tenant, true).await;
    tenant.subscriber("ada", &plan, "2026-06-10T00:00:00Z").await;
    // The first pass learns of the payer; what came in before is owed all the same.
    tenant.send(&[("ada", "", "calls", "2026-06-11T00:00:00Z", "{}")]).await;
    assert_eq!(installation.runs.bill_in_advance().await.unwrap().invoices, 1);
    assert_eq!(installation.runs.bill_in_advance().await.unwrap().invoices, 0);
    tenant
        .send(&[
            ("ada", "", "calls", "2026-06-12T00:00:00Z", "{}"),
            ("ada", "", "storage", "2026-06-12T00:00:00Z", r#"{"gb": 7}"#),
            ("ada", "", "storage", "2026-06-13T00:00:00Z", r#"{"gb": -3}"#),
            ("ada", "", "storage", "2026-06-14T00:00:00Z", r#"{"gb": 2}"#),
            ("ada", "", "calls", "2026-06-15T00:00:00Z", "{}"),
            ("ada", "", "seats", "2026-06-15T00:00:00Z", r#"{"seats": 2}"#),
        ])
        .await;
    // Two processes at once, again and again.
    let other = runs_over(&installation.catalog, &installation.store, &installation.clock, Portions::default()).await;
    let mut invoices = 1;
    for _ in 0..3 {
        let (one, two) = tokio::join!(installation.runs.bill_in_advance(), other.bill_in_advance());
        invoices += one.unwrap().invoices + two.unwrap().invoices;
    }
    assert_eq!(invoices, 6);
    let fees = tenant.all("/v1/fees/?limit=1000").await;
    let day = "2026-06-10";
    let wanted = [
        fee("calls", "10", day),
        fee("calls", "10", day),
        fee("calls", "10", day),
        // It sinks to 4 and rises to 6: below the 7 that are paid.
        fee("storage", "0", day),
        fee("storage", "0", day),
        fee("storage", "700", day),
    ];
    assert_eq!(told(&fees), wanted);
    let statuses: Vec<Value> = tenant.all("/v1/invoices/").await.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "paid").count(), 2, "an invoice of 0 is paid");

    // The end of the period bills seats; its invoice also has what storage carries into July.
    installation.bill("2026-07-01T00:00:00Z").await;
    let fees = tenant.all("/v1/fees/?limit=1000").await;
    assert_eq!(told(&fees).len(), 8);
    assert!(told(&fees).contains(&fee("seats", "1000", day)), "{:?}", told(&fees));
    assert!(told(&fees).contains(&fee("storage", "600", "2026-07-01")), "{:?}", told(&fees));
    // July is paid up to 6 already.
    tenant.send(&[("ada", "", "storage", "2026-07-02T00:00:00Z", r#"{"gb": 1.5}"#)]).await;
    installation.runs.bill_in_advance().await.unwrap();
    assert!(told(&tenant.all("/v1/fees/?limit=1000").await).contains(&fee("storage", "150", "2026-07-01")));
    all_hold(&tenant).await;
}

#[tokio::test]
async fn a_run_bills_what_no_pass_has_billed_and_leaves_no_empty_invoice() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = plan(&tenant, true).await;
    tenant.subscriber("ada", &plan, "2026-06-10T00:00:00Z").await;
    tenant.send(&[("ada", "", "calls", "2026-06-11T00:00:00Z", "{}")]).await;
    let run = installation.bill("2026-07-01T00:00:00Z").await;
    // Seats of nothing are a fee of 0, calls were paid: one invoice of the run, one of the event.
    assert_eq!(run.invoices_created, 1);
    assert_eq!(tenant.all("/v1/invoices/").await.len(), 2);
    // A late event is owed in its own period, as it comes in, and never again.
    tenant.send(&[("ada", "", "calls", "2026-06-29T00:00:00Z", "{}")]).await;
    installation.runs.bill_in_advance().await.unwrap();
    installation.bill("2026-08-01T00:00:00Z").await;
    let calls: Vec<_> =
        told(&tenant.all("/v1/fees/?limit=1000").await).into_iter().filter(|(code, ..)| code == "calls").collect();
    assert_eq!(calls, [fee("calls", "10", "2026-06-10"), fee("calls", "10", "2026-06-10")]);
    all_hold(&tenant).await;
}

#[tokio::test]
async fn a_voided_event_is_given_back_once_and_a_charge_without_invoices_makes_lone_fees() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = plan(&tenant, false).await;
    let (customer, _) = tenant.subscriber("ada", &plan, "2026-06-10T00:00:00Z").await;
    tenant
        .send(&[
            ("ada", "", "calls", "2026-06-11T00:00:00Z", "{}"),
            ("ada", "", "calls", "2026-06-12T00:00:00Z", "{}"),
            ("ada", "", "seats", "2026-06-12T00:00:00Z", r#"{"seats": 2}"#),
            ("ada", "", "seats", "2026-07-12T00:00:00Z", r#"{"seats": 2}"#),
        ])
        .await;
    assert_eq!(installation.runs.bill_in_advance().await.unwrap().invoices, 0);
    let lone = tenant.all(&format!("/v1/fees/?customer_id={customer}")).await;
    assert_eq!(told(&lone), [fee("calls", "10", "2026-06-10"), fee("calls", "10", "2026-06-10")]);
    assert!(lone.iter().all(|fee| fee["invoice_id"].is_null()));
    all_hold(&tenant).await;

    let now = at("2026-06-20T00:00:00Z");
    installation.writer.void(tenant.organization, "e-1", now).await.unwrap();
    installation.bill("2026-07-01T00:00:00Z").await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let given_back = tenant.all("/v1/fees/?fee_type=adjustment").await;
    assert_eq!(told(&given_back), [fee("calls", "-10", "2026-06-10")]);
    let voided = EventId::derive(tenant.organization, "e-1");
    let of = |fee: &Value| fee["id"] == given_back[0]["adjusted_fee_id"];
    let paid = lone.iter().find(|fee| of(fee)).unwrap();
    let proof = tenant.get(&format!("/v1/fees/{}/proof", text(paid, "id"))).await.body;
    assert_eq!((&proof["holds"], &proof["since"]["voided_events"]), (&json!(true), &json!(1)), "{voided}");
    assert!(check_ledger(installation.catalog.database()).await.unwrap().holds);
}

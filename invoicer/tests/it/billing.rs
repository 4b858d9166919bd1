//! From events to invoices, and back: what is billed, and that it can be proved.

use super::support::{Installation, Tenant, text};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// Events of July 2026, and some on its borders that belong elsewhere.
async fn july(tenant: &Tenant<'_>) {
    tenant
        .send(&[
            ("ada", "", "calls", "2026-07-01T00:00:00Z", "{}"),
            ("ada", "", "calls", "2026-07-31T23:59:59.999999Z", "{}"),
            ("ada", "", "calls", "2026-08-01T00:00:00Z", "{}"),
            ("ada", "", "calls", "2026-06-30T23:59:59.999999Z", "{}"),
            ("ada", "", "gigabytes", "2026-07-10T00:00:00Z", r#"{"gb": 7.25}"#),
            ("ada", "", "gigabytes", "2026-07-11T00:00:00Z", r#"{"gb": "4.5"}"#),
            ("", "ada-1", "seats", "2026-07-12T00:00:00Z", r#"{"seats": 3}"#),
            ("ada", "ada-1", "seats", "2026-07-13T00:00:00Z", r#"{"seats": 2}"#),
        ])
        .await;
}

#[tokio::test]
async fn a_month_of_events_ends_on_an_invoice_whose_every_fee_is_proved() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, subscription) = tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
    july(&tenant).await;
    let run = installation.bill("2026-08-01T00:00:00Z").await;
    assert_eq!((run.invoices_created, run.subscriptions_done), (1, 1));

    let invoices = tenant.all("/v1/invoices/").await;
    let invoice = &invoices[0];
    // 1000 flat + 2 calls at 0.10 + 10 GB at 1 and 1.75 at 0.50 (10.875, half a cent up) + 3 seats at 5
    assert_eq!(text(invoice, "total_cents"), (1000 + 20 + 1088 + 1500).to_string());
    assert_eq!(text(invoice, "subtotal_cents"), text(invoice, "total_cents"));
    assert_eq!((text(invoice, "invoice_number"), text(invoice, "status")), ("INV-000001", "finalized"));
    assert_eq!(
        (text(invoice, "customer_id"), text(invoice, "subscription_id")),
        (customer.as_str(), subscription.as_str())
    );
    assert_eq!(text(invoice, "billing_period_start"), "2026-07-01T00:00:00Z");
    assert_eq!(text(invoice, "billing_period_end"), "2026-08-01T00:00:00Z");
    assert_eq!(
        (text(invoice, "issued_at"), text(invoice, "due_date")),
        ("2026-08-01T00:00:00Z", "2026-08-31T00:00:00Z")
    );
    let lines: Vec<_> = invoice["line_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (text(line, "description"), text(line, "quantity"), text(line, "amount"), line["events_count"].clone())
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("Basic", "1", "1000", json!(0)),
            ("calls", "2", "20", json!(2)),
            ("gigabytes", "11.75", "1088", json!(2)),
            ("seats", "3", "1500", json!(2)),
        ]
    );
    for fee in tenant.all("/v1/fees/").await {
        let proof = tenant.get(&format!("/v1/fees/{}/proof", text(&fee, "id"))).await.body;
        assert_eq!(proof["holds"], true, "{fee}: {proof}");
        assert_eq!(proof["billed"], proof["recomputed"]);
    }
}

fn fee_of<'a>(fees: &'a [Value], code: &str) -> &'a Value {
    fees.iter().find(|fee| fee["metric_code"] == code).unwrap_or_else(|| panic!("no fee of {code}"))
}

#[tokio::test]
async fn late_events_leave_a_fee_as_it_is_and_are_counted_beside_it() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
    july(&tenant).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let before = tenant.all("/v1/fees/").await;
    tenant.send(&[("ada", "", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    assert_eq!(installation.bill("2026-08-01T00:00:00Z").await.invoices_created, 0);
    assert_eq!(tenant.all("/v1/fees/").await, before);

    let calls = fee_of(&before, "calls");
    let proof = tenant.get(&format!("/v1/fees/{}/proof", text(calls, "id"))).await.body;
    assert_eq!((&proof["holds"], &proof["since"]["late_events"]), (&json!(true), &json!(1)), "{proof}");
    let events = tenant.get(&format!("/v1/fees/{}/events", text(calls, "id"))).await;
    assert_eq!((events.total, events.body.as_array().unwrap().len()), (Some(2), 2));
    let times: Vec<_> =
        events.body.as_array().unwrap().iter().map(|event| text(event, "timestamp").to_owned()).collect();
    assert_eq!(times, ["2026-07-01T00:00:00Z", "2026-07-31T23:59:59.999999Z"]);
    let second = tenant.get(&format!("/v1/fees/{}/events?skip=1&limit=1", text(calls, "id"))).await.body;
    assert_eq!(text(&second[0], "timestamp"), times[1]);
}

#[tokio::test]
async fn a_row_deleted_behind_its_back_breaks_the_proof_of_its_fee_and_of_no_other() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
    july(&tenant).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let connection = aggregator::connection::Connection::new(installation.config.clone());
    connection
        .execute("ALTER TABLE events DELETE WHERE transaction_id = 'e-4' SETTINGS mutations_sync = 2")
        .await
        .unwrap();
    for fee in tenant.all("/v1/fees/").await {
        let proof = tenant.get(&format!("/v1/fees/{}/proof", text(&fee, "id"))).await.body;
        assert_eq!(proof["holds"], json!(fee["metric_code"] != "gigabytes"), "{fee}: {proof}");
    }
}

#[tokio::test]
async fn two_organizations_with_the_same_names_and_two_subscriptions_of_one_customer_are_billed_apart() {
    let installation = Installation::start().await;
    let (one, two) = (installation.organization("One", false).await, installation.organization("Two", false).await);
    for (tenant, calls) in [(&one, 3), (&two, 5)] {
        let plan = tenant.plan().await;
        let (customer, _) = tenant.subscriber("ada", &plan, "2026-07-01T00:00:00Z").await;
        tenant.subscribe(&customer, "ada-2", &plan, "2026-07-01T00:00:00Z").await;
        for _ in 0..calls {
            tenant.send(&[("ada", "ada-1", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
        }
        tenant.send(&[("ada", "ada-2", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    }
    let run = installation.bill("2026-08-01T00:00:00Z").await;
    assert_eq!(
        (run.invoices_created, run.subscriptions_done),
        (2, 4),
        "both subscriptions of a customer share an invoice"
    );
    for (tenant, calls) in [(&one, 3), (&two, 5)] {
        let invoices = tenant.all("/v1/invoices/").await;
        assert_eq!((invoices.len(), text(&invoices[0], "invoice_number")), (1, "INV-000001"));
        assert_eq!(invoices[0]["subscription_id"], Value::Null);
        assert_eq!(text(&invoices[0], "total_cents"), (2000 + 10 * (calls + 1)).to_string());
        let fees = tenant.all("/v1/fees/?fee_type=charge").await;
        let mut units: Vec<_> =
            fees.iter().filter(|fee| fee["metric_code"] == "calls").map(|fee| text(fee, "units")).collect();
        units.sort_unstable();
        assert_eq!(units, ["1".to_owned(), calls.to_string()]);
        assert_eq!(fees.len(), 6, "every charge has a fee, also of nothing");
    }
    let foreign = one.all("/v1/invoices/").await.remove(0);
    for path in [
        format!("/v1/invoices/{}", text(&foreign, "id")),
        format!("/v1/fees/{}", text(&foreign["line_items"][0], "fee_id")),
    ] {
        assert_eq!(two.get(&path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_draft_takes_what_arrives_in_its_days_of_grace() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 3})).await;
    tenant.subscribe(&customer, "ada-1", &plan, "2026-07-01T00:00:00Z").await;
    july(&tenant).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let draft = tenant.all("/v1/invoices/").await.remove(0);
    assert_eq!((text(&draft, "status"), text(&draft, "total_cents")), ("draft", "3608"));
    assert_eq!(text(&draft, "issued_at"), "2026-08-04T00:00:00Z");
    assert!(text(&draft, "invoice_number").starts_with("DRAFT-"));

    tenant.send(&[("ada", "", "calls", "2026-07-05T00:00:00Z", "{}")]).await;
    installation.bill("2026-08-04T00:00:00Z").await;
    let issued = tenant.all("/v1/invoices/").await.remove(0);
    assert_eq!((text(&issued, "status"), text(&issued, "total_cents")), ("finalized", "3618"));
    assert_eq!(text(&issued, "invoice_number"), "INV-000001");
    assert_eq!(issued["id"], draft["id"]);
    let proof = |fee: &Value| format!("/v1/fees/{}/proof", text(fee, "id"));
    for fee in tenant.all("/v1/fees/").await {
        assert_eq!(tenant.get(&proof(&fee)).await.body["holds"], true);
    }
}

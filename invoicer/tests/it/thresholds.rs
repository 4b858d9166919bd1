//! Usage that is billed as it reaches a threshold: once, by whoever looks, and taken off once by what bills the period.

use super::support::{Installation, Tenant, at, everything, from, runs_over, text};
use axum::http::StatusCode;
use invoicer::{Portions, RunScope, Unobserved};
use serde_json::{Value, json};

const AUGUST: &str = "2026-08-01T00:00:00Z";

impl Tenant<'_> {
    /// A plan of 10.00 with calls at 1.00, billed at these amounts of usage.
    async fn plan_with(&self, thresholds: Value) -> String {
        let catalog = &self.installation.catalog;
        let now = at("2026-01-01T00:00:00Z");
        let calls = json!({"code": "calls", "name": "calls", "aggregation_type": "sum", "field_name": "n"});
        let metric = catalog.create_metric(self.organization, from(calls), now).await.unwrap().id;
        let charges =
            json!([{"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "1"}}]);
        let new = json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": 1000, "charges": charges,
            "usage_thresholds": thresholds});
        catalog.create_plan(self.organization, &from(new), now).await.unwrap().id.to_string()
    }

    async fn calls(&self, count: i64, timestamp: &str) {
        self.send(&[("ada", "ada-1", "calls", timestamp, &json!({"n": count}).to_string())]).await;
    }

    /// Type, fees, what was billed before, due and status of each invoice, oldest first.
    async fn bills(&self) -> Vec<String> {
        let told = |one: &Value| {
            let fields =
                ["invoice_type", "subtotal_cents", "progressive_billing_credit_amount_cents", "total_cents", "status"];
            fields.map(|field| text(one, field)).join(" ")
        };
        self.all("/v1/invoices/?order_by=created_at:asc").await.iter().map(told).collect()
    }

    async fn every_usage_fee_is_proved(&self) {
        for fee in self.all("/v1/fees/?fee_type=charge&limit=1000").await {
            let id = text(&fee, "id");
            let proof = self.get(&format!("/v1/fees/{id}/proof")).await.body;
            assert_eq!(proof["holds"], true, "{fee}: {proof}");
            let events = self.all(&format!("/v1/fees/{id}/events")).await;
            assert_eq!(fee["events_count"], json!(events.len()));
        }
    }

    async fn done(&self, invoice: &Value, action: &str) -> (StatusCode, Value) {
        let answer = self.post(&format!("/v1/invoices/{}/{action}", text(invoice, "id")), json!({})).await;
        (answer.status, answer.body)
    }
}

impl Installation {
    async fn crossed(&self) -> usize {
        self.runs.bill_thresholds().await.unwrap().len()
    }

    async fn now_is(&self, instant: &str) {
        self.clock.set(at(instant));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_crossing_is_billed_once_by_however_many_passes_and_the_period_takes_it_off_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan_with(json!([{"amount_cents": 2000}, {"amount_cents": 5000}])).await;
    let (customer, subscription) = tenant.subscriber("ada", &plan, AUGUST).await;
    tenant.coupon("tenth", json!({"coupon_type": "percentage", "percentage_rate": "10"})).await;
    tenant.apply("tenth", &customer).await;
    tenant.calls(19, AUGUST).await;
    assert_eq!(installation.crossed().await, 0);
    // Two processes at once, again and again.
    let other = runs_over(&installation.catalog, &installation.store, &installation.clock, Portions::default()).await;
    for (count, at_once) in [(6, 1), (10, 0), (20, 1)] {
        tenant.calls(count, AUGUST).await;
        let (one, two) = tokio::join!(installation.runs.bill_thresholds(), other.bill_thresholds());
        assert_eq!(one.unwrap().len() + two.unwrap().len(), at_once, "{count} more");
        tenant.holds().await;
    }
    // 25.00 and 55.00, a tenth off, 20 % tax; the second takes off the 27.00 of the first.
    let by_thresholds = ["progressive_billing 2500 0 2700 finalized", "progressive_billing 5500 2700 3240 finalized"];
    assert_eq!(tenant.bills().await, by_thresholds);
    let preview = json!({"subscription_id": subscription});
    // 65.00 with the flat fee, a tenth off, taxed: 70.20.
    let preview = tenant.post("/v1/invoices/preview", preview).await.body;
    let fields = ["subtotal_cents", "coupons_amount_cents", "prepaid_credit_amount_cents", "total_cents"];
    assert_eq!(fields.map(|field| text(&preview, field)), ["6500", "650", "5940", "1080"]);
    // A call that crosses nothing stands on the period's invoice only: 75.00 with the flat fee, a tenth off, taxed: 81.00.
    tenant.calls(10, AUGUST).await;
    installation.now_is("2026-09-01T00:00:00Z").await;
    let scope = RunScope { dry_run: true, ..everything("2026-09-01T00:00:00Z") };
    let rehearsed = installation.runs.run_to_end(scope, &Unobserved).await.unwrap();
    let billed = installation.bill("2026-09-01T00:00:00Z").await;
    assert_eq!(rehearsed.totals, billed.totals);
    let last = tenant.newest_invoice().await;
    assert_eq!((text(&last, "coupons_amount_cents"), text(&last, "tax_amount_cents")), ("750", "1350"));
    assert_eq!(tenant.bills().await[2], "subscription 7500 5940 2160 finalized");
    // The coupon was for one invoice: the period's used it up, those before it did not.
    let applied = tenant.all(&format!("/v1/customers/{customer}/applied_coupons")).await;
    assert_eq!(text(&applied[0], "status"), "terminated");
    assert_eq!(installation.crossed().await, 0);
    tenant.every_usage_fee_is_proved().await;
    tenant.holds().await;
}

#[tokio::test]
async fn a_recurring_threshold_counts_lifetime_usage_and_one_that_does_not_recur_is_crossed_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan_with(json!([{"amount_cents": 3000}, {"amount_cents": 2000, "recurring": true}])).await;
    tenant.subscriber("ada", &plan, AUGUST).await;
    tenant.calls(40, AUGUST).await;
    assert_eq!(installation.crossed().await, 1);
    installation.bill("2026-09-01T00:00:00Z").await;
    installation.now_is("2026-09-10T00:00:00Z").await;
    // 40.00 and 9.00 are 49.00: the next level is 30.00 + 20.00.
    tenant.calls(9, "2026-09-02T00:00:00Z").await;
    assert_eq!(installation.crossed().await, 0);
    tenant.calls(1, "2026-09-03T00:00:00Z").await;
    assert_eq!(installation.crossed().await, 1);
    // 50.00 to 90.00 crosses two levels: one invoice.
    tenant.calls(40, "2026-09-04T00:00:00Z").await;
    assert_eq!(installation.crossed().await, 1);
    installation.bill("2026-10-01T00:00:00Z").await;
    let wanted = [
        "progressive_billing 4000 0 4000 finalized",
        "subscription 5000 4000 1000 finalized",
        "progressive_billing 1000 0 1000 finalized",
        "progressive_billing 5000 1000 4000 finalized",
        "subscription 6000 5000 1000 finalized",
    ];
    assert_eq!(tenant.bills().await, wanted);
    tenant.every_usage_fee_is_proved().await;
    tenant.holds().await;
}

#[tokio::test]
async fn what_is_taken_back_is_billed_by_the_next_and_what_was_taken_off_cannot_be_taken_back() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan_with(json!([{"amount_cents": 1000}, {"amount_cents": 2000}, {"amount_cents": 3000}])).await;
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 3})).await;
    tenant.subscribe(&customer, "ada-1", &plan, AUGUST).await;
    for _ in 0..2 {
        tenant.calls(10, AUGUST).await;
        assert_eq!(installation.crossed().await, 1);
    }
    let [first, second] = tenant.all("/v1/invoices/?order_by=created_at:asc").await.try_into().unwrap();
    let (status, body) = tenant.done(&first, "void").await;
    assert_eq!(
        (status, text(&body, "code")),
        (StatusCode::CONFLICT, "billed_usage_taken_off"),
        "the second took it off"
    );
    let note = json!({"invoice_id": first["id"], "credit_note_type": "credit", "reason": "other", "amount_cents": "100",
        "number": "N", "customer_id": customer, "currency": "USD"});
    let refused = tenant.post("/v1/credit_notes/", note).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    assert_eq!(tenant.done(&second, "void").await.0, StatusCode::OK);
    assert_eq!(tenant.done(&second, "regenerate").await.0, StatusCode::BAD_REQUEST);
    tenant.holds().await;
    // 31.00 so far, of which the first billed 10.00; what was crossed stays crossed.
    tenant.calls(11, AUGUST).await;
    assert_eq!(installation.crossed().await, 1);
    assert_eq!(tenant.bills().await[2], "progressive_billing 3100 1000 2100 finalized");
    // The period's draft has it taken off from the start; taken back and made again it takes it again.
    installation.bill("2026-09-01T00:00:00Z").await;
    let draft = tenant.newest_invoice().await;
    assert_eq!(tenant.bills().await[3], "subscription 4100 3100 1000 draft");
    assert_eq!(tenant.done(&draft, "refresh").await.0, StatusCode::OK);
    assert_eq!(tenant.bills().await[3], "subscription 4100 3100 1000 draft");
    tenant.holds().await;
    assert_eq!(tenant.done(&draft, "void").await.0, StatusCode::OK);
    tenant.holds().await;
    let (_, again) = tenant.done(&draft, "regenerate").await;
    assert_eq!(tenant.done(&again, "finalize").await.0, StatusCode::OK);
    assert_eq!(tenant.bills().await[4], "subscription 4100 3100 1000 finalized");
    tenant.every_usage_fee_is_proved().await;
    tenant.holds().await;
}

#[tokio::test]
async fn usage_that_is_voided_after_it_was_billed_comes_back_as_credit_and_an_ended_period_is_the_runs() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan_with(json!([{"amount_cents": 2000}, {"amount_cents": 9000}])).await;
    tenant.subscriber("ada", &plan, AUGUST).await;
    tenant.calls(50, AUGUST).await;
    assert_eq!(installation.crossed().await, 1);
    installation.writer.void(tenant.organization, "e-0", at(AUGUST)).await.unwrap();
    installation.bill("2026-09-01T00:00:00Z").await;
    // 10.00 flat and no usage, 50.00 billed before: 40.00 to be spent.
    let wanted = ["progressive_billing 5000 0 5000 finalized", "subscription 1000 5000 0 paid"];
    assert_eq!(tenant.bills().await, wanted);
    let notes = tenant.all("/v1/credit_notes/").await;
    assert_eq!((text(&notes[0], "total_amount_cents"), notes.len()), ("4000", 1));
    tenant.holds().await;
    // The period is billed before anybody looks: the crossing is noted, and nothing is billed twice.
    tenant.calls(95, "2026-09-05T00:00:00Z").await;
    installation.now_is("2026-09-10T00:00:00Z").await;
    let scope = RunScope { as_of: at("2026-10-01T00:00:00Z"), ..everything(AUGUST) };
    installation.runs.run_to_end(scope, &Unobserved).await.unwrap();
    assert_eq!(installation.crossed().await, 0);
    assert_eq!(tenant.bills().await[2], "subscription 10500 0 6500 finalized");
    tenant.holds().await;
}

#[tokio::test]
async fn a_draft_may_lie_below_0_until_it_is_issued_and_its_rest_is_credit() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan_with(json!([{"amount_cents": 2000}])).await;
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 3})).await;
    tenant.subscribe(&customer, "ada-1", &plan, AUGUST).await;
    tenant.calls(50, AUGUST).await;
    assert_eq!(installation.crossed().await, 1);
    tenant.coupon("free", json!({"coupon_type": "percentage", "percentage_rate": "100"})).await;
    tenant.apply("free", &customer).await;
    installation.bill("2026-09-01T00:00:00Z").await;
    assert_eq!(tenant.bills().await[1], "subscription 6000 5000 -5000 draft");
    let draft = tenant.newest_invoice().await;
    let (status, body) = tenant.done(&draft, "refresh").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (status, body) = tenant.done(&draft, "finalize").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(tenant.bills().await[1], "subscription 6000 5000 0 paid");
    assert_eq!(text(&tenant.all("/v1/credit_notes/").await[0], "total_amount_cents"), "5000");
    tenant.holds().await;
}

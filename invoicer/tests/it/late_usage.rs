//! What came late stands on one invoice, whatever is taken back and made again afterwards.

use super::support::{Installation, Tenant, at, everything, from, text};
use axum::http::StatusCode;
use invoicer::{RunScope, Unobserved};
use serde_json::{Value, json};

const LATE: (&str, &str, &str, &str, &str) = ("ada", "", "calls", "2026-05-06T00:00:00Z", "{}");

impl Tenant<'_> {
    /// The invoice whose period begins so, among those that stand.
    async fn invoice_of(&self, month: &str) -> Value {
        let invoices = self.all("/v1/invoices/").await;
        let of_month =
            |one: &Value| text(one, "billing_period_start").starts_with(month) && text(one, "status") != "voided";
        invoices.into_iter().find(of_month).unwrap_or_else(|| panic!("no invoice of {month}"))
    }

    async fn acted(&self, invoice: &Value, action: &str) -> Value {
        let answer = self.post(&format!("/v1/invoices/{}/{action}", text(invoice, "id")), json!({})).await;
        assert!(matches!(answer.status, StatusCode::OK | StatusCode::CREATED), "{action}: {:?}", answer.body);
        answer.body
    }

    /// Taken back, made again, issued.
    async fn made_again(&self, invoice: &Value) {
        self.acted(invoice, "void").await;
        let draft = self.acted(invoice, "regenerate").await;
        self.acted(&draft, "finalize").await;
    }

    /// What May's calls are billed on invoices that stand, as (kind, cents) in the order of kinds.
    async fn calls_of_may(&self) -> Vec<(String, String)> {
        let mut standing = Vec::new();
        for invoice in self.all("/v1/invoices/").await {
            if text(&invoice, "status") != "voided" {
                standing.extend(self.all(&format!("/v1/fees/?invoice_id={}", text(&invoice, "id"))).await);
            }
        }
        let of_may = |fee: &&Value| fee["metric_code"] == "calls" && text(fee, "period_start").starts_with("2026-05");
        let billed = |fee: &Value| (text(fee, "fee_type").to_owned(), text(fee, "amount_cents").to_owned());
        let mut found: Vec<_> = standing.iter().filter(of_may).map(billed).collect();
        found.sort();
        found
    }
}

fn billed(fees: &[(&str, &str)]) -> Vec<(String, String)> {
    fees.iter().map(|(kind, cents)| ((*kind).to_owned(), (*cents).to_owned())).collect()
}

/// One call in May, billed; another one late, on June's invoice.
async fn adjusted(tenant: &Tenant<'_>, more: Value) {
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", more).await;
    tenant.subscribe(&customer, "ada-1", &plan, "2026-05-01T00:00:00Z").await;
    tenant.send(&[LATE]).await;
    tenant.installation.bill("2026-06-01T00:00:00Z").await;
    tenant.send(&[LATE]).await;
    tenant.installation.bill("2026-07-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, billed(&[("adjustment", "10"), ("charge", "10")]));
}

#[tokio::test]
async fn an_invoice_made_again_does_not_bill_what_an_adjustment_billed() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    adjusted(&tenant, json!({})).await;
    let may = tenant.invoice_of("2026-05").await;
    tenant.acted(&may, "void").await;
    // Late while the invoice is taken back.
    tenant.send(&[LATE]).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    let draft = tenant.acted(&may, "regenerate").await;
    tenant.acted(&draft, "refresh").await;
    tenant.acted(&draft, "finalize").await;
    let all = billed(&[("adjustment", "10"), ("adjustment", "10"), ("charge", "10")]);
    assert_eq!(tenant.calls_of_may().await, all);
    installation.bill("2026-09-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, all);
    // And what is late from now on is billed as ever.
    tenant.send(&[LATE]).await;
    installation.bill("2026-10-01T00:00:00Z").await;
    let more = billed(&[("adjustment", "10"), ("adjustment", "10"), ("adjustment", "10"), ("charge", "10")]);
    assert_eq!(tenant.calls_of_may().await, more);
    tenant.holds().await;
}

#[tokio::test]
async fn an_invoice_and_the_one_that_adjusts_it_are_made_again_in_either_order() {
    for order in [["2026-05", "2026-06"], ["2026-06", "2026-05"]] {
        let installation = Installation::start().await;
        let tenant = installation.organization("Acme", false).await;
        adjusted(&tenant, json!({})).await;
        let all = billed(&[("adjustment", "10"), ("charge", "10")]);
        for month in order {
            let invoice = tenant.invoice_of(month).await;
            tenant.made_again(&invoice).await;
            assert_eq!(tenant.calls_of_may().await, all, "{month} of {order:?}");
        }
        // Both taken back at once.
        let (may, june) = (tenant.invoice_of("2026-05").await, tenant.invoice_of("2026-06").await);
        for invoice in [&may, &june] {
            tenant.acted(invoice, "void").await;
        }
        installation.bill("2026-08-01T00:00:00Z").await;
        for invoice in [&may, &june] {
            let draft = tenant.acted(invoice, "regenerate").await;
            tenant.acted(&draft, "finalize").await;
        }
        installation.bill("2026-09-01T00:00:00Z").await;
        assert_eq!(tenant.calls_of_may().await, all, "{order:?}");
        tenant.holds().await;
    }
}

#[tokio::test]
async fn an_adjustment_that_is_taken_back_is_not_made_by_the_next_run() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    adjusted(&tenant, json!({})).await;
    let june = tenant.invoice_of("2026-06").await;
    tenant.acted(&june, "void").await;
    tenant.send(&[LATE]).await;
    installation.bill("2026-08-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, billed(&[("adjustment", "10"), ("charge", "10")]), "the newer one alone");
    let draft = tenant.acted(&june, "regenerate").await;
    tenant.acted(&draft, "finalize").await;
    installation.bill("2026-09-01T00:00:00Z").await;
    let all = billed(&[("adjustment", "10"), ("adjustment", "10"), ("charge", "10")]);
    assert_eq!(tenant.calls_of_may().await, all);
    tenant.holds().await;
}

#[tokio::test]
async fn an_adjustment_on_a_draft_is_not_made_again_by_the_next_run() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", json!({"invoice_grace_period": 45})).await;
    tenant.subscribe(&customer, "ada-1", &plan, "2026-05-01T00:00:00Z").await;
    tenant.send(&[LATE]).await;
    installation.bill("2026-06-01T00:00:00Z").await;
    // Issued on the sixteenth of July; what comes after is late.
    installation.bill("2026-07-20T00:00:00Z").await;
    for as_of in ["2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"] {
        tenant.send(&[LATE]).await;
        installation.bill(as_of).await;
    }
    let all = billed(&[("adjustment", "10"), ("adjustment", "10"), ("adjustment", "10"), ("charge", "10")]);
    assert_eq!(tenant.calls_of_may().await, all);
    tenant.holds().await;
}

#[tokio::test]
async fn late_usage_that_cannot_be_rated_is_named_by_each_run_until_it_can() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (_, subscription) = tenant.subscriber("ada", &plan, "2026-05-01T00:00:00Z").await;
    installation.bill("2026-06-01T00:00:00Z").await;
    // Prices times this pass 64 bits of cents.
    let huge = r#"{"gb": 99999999999999999999}"#;
    tenant.send(&[("ada", "", "gigabytes", "2026-05-06T00:00:00Z", huge)]).await;
    for as_of in ["2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"] {
        let ended = installation.runs.run_to_end(everything(as_of), &Unobserved).await.unwrap();
        let error = ended.error.unwrap_or_else(|| panic!("{as_of}: late usage was left out without a word"));
        assert!(error.contains("late usage") && error.contains(&subscription), "{error}");
    }
    installation.writer.void(tenant.organization, "e-0", at("2026-08-02T00:00:00Z")).await.unwrap();
    tenant.send(&[LATE]).await;
    installation.bill("2026-09-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, billed(&[("adjustment", "10"), ("charge", "0")]));
    tenant.holds().await;
}

/// A customer whose only subscription ended on the twentieth of May and is billed.
async fn gone(tenant: &Tenant<'_>) {
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", json!({"net_payment_term": 10})).await;
    let ending = json!({"external_id": "old", "customer_id": customer, "plan_id": plan,
        "started_at": "2026-05-01T00:00:00Z", "ending_at": "2026-05-20T00:00:00Z"});
    let (catalog, now) = (&tenant.installation.catalog, tenant.installation.clock_now());
    catalog.create_subscription(tenant.organization, &from(ending), now).await.unwrap();
    tenant.installation.bill("2026-06-01T00:00:00Z").await;
}

#[tokio::test]
async fn what_came_late_for_a_customer_without_a_next_invoice_gets_one_of_its_own_once() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    gone(&tenant).await;
    tenant.send(&[LATE, LATE]).await;
    let rehearsed = RunScope { dry_run: true, ..everything("2026-07-01T00:00:00Z") };
    let ended = installation.runs.run_to_end(rehearsed, &Unobserved).await.unwrap();
    assert_eq!((ended.error, ended.invoices_created), (None, 1));
    let first = billed(&[("adjustment", "20"), ("charge", "0")]);
    for (as_of, invoices) in [("2026-07-01T00:00:00Z", 1), ("2026-08-01T00:00:00Z", 0)] {
        assert_eq!(installation.bill(as_of).await.invoices_created, invoices, "{as_of}");
        assert_eq!(tenant.calls_of_may().await, first, "{as_of}");
    }
    let late = tenant.invoice_of("2026-07").await;
    let dates = ["total_cents", "status", "issued_at", "due_date"].map(|field| text(&late, field).to_owned());
    assert_eq!(dates, ["20", "finalized", "2026-07-01T00:00:00Z", "2026-07-11T00:00:00Z"]);
    tenant.send(&[LATE]).await;
    let at_once = ["2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z"]
        .map(|as_of| installation.runs.run_to_end(everything(as_of), &Unobserved));
    let [one, other] = at_once;
    let (one, other) = tokio::join!(one, other);
    assert_eq!((one.unwrap().error, other.unwrap().error), (None, None));
    installation.bill("2026-10-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, billed(&[("adjustment", "10"), ("adjustment", "20"), ("charge", "0")]));
    tenant.holds().await;
}

#[tokio::test]
async fn a_void_after_the_last_invoice_is_given_back_as_a_credit_note() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let customer = tenant.customer("ada", json!({})).await;
    let ending = json!({"external_id": "old", "customer_id": customer, "plan_id": plan,
        "started_at": "2026-05-01T00:00:00Z", "ending_at": "2026-05-20T00:00:00Z"});
    let catalog = &installation.catalog;
    catalog.create_subscription(tenant.organization, &from(ending), installation.clock_now()).await.unwrap();
    tenant.send(&[LATE]).await;
    installation.bill("2026-06-01T00:00:00Z").await;
    installation.writer.void(tenant.organization, "e-0", at("2026-06-02T00:00:00Z")).await.unwrap();
    installation.bill("2026-07-01T00:00:00Z").await;
    assert_eq!(tenant.calls_of_may().await, billed(&[("adjustment", "-10"), ("charge", "10")]));
    let notes = tenant.all("/v1/credit_notes/").await;
    assert_eq!(notes.iter().map(|note| text(note, "balance_amount_cents")).collect::<Vec<_>>(), ["10"]);
    tenant.holds().await;
}

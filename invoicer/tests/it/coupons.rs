//! Coupons over HTTP: made, applied, used up, given back, refused; the ledger checked after each.

use super::support::{Answer, Installation, Tenant, at, text};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const JULY: &str = "2026-07-01T00:00:00Z";

impl Tenant<'_> {
    pub async fn coupon(&self, code: &str, more: Value) -> Answer {
        let mut body = json!({"code": code, "name": code, "frequency": "once"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/v1/coupons/", body).await
    }

    pub async fn apply(&self, code: &str, customer: &str) -> Answer {
        self.post("/v1/coupons/apply", json!({"coupon_code": code, "customer_id": customer})).await
    }

    pub async fn delete(&self, path: &str) -> StatusCode {
        let key = format!("Bearer {}", self.key);
        self.installation.ask(Method::DELETE, path, &[("authorization", &key)], None).await.status
    }

    pub async fn newest_invoice(&self) -> Value {
        self.all("/v1/invoices/?order_by=created_at:desc&limit=1").await.remove(0)
    }
}

fn fixed(cents: &str) -> Value {
    json!({"coupon_type": "fixed_amount", "amount_cents": cents, "amount_currency": "USD"})
}

fn percent(rate: &str, frequency: &str, times: Option<i64>) -> Value {
    json!({"coupon_type": "percentage", "percentage_rate": rate, "frequency": frequency, "frequency_duration": times})
}

#[tokio::test]
async fn coupons_are_taken_off_before_taxes_in_order_and_used_up() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    tenant.vat().await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, JULY).await;
    assert_eq!(tenant.coupon("half", percent("50", "recurring", Some(2))).await.status, StatusCode::CREATED);
    assert_eq!(tenant.coupon("three", fixed("300")).await.status, StatusCode::CREATED);
    for code in ["half", "three"] {
        let applied = tenant.apply(code, &customer).await;
        assert_eq!(applied.status, StatusCode::CREATED, "{applied:?}");
    }
    // 10.00 of which half, then 3.00 go; 20 % on the 2.00 that are left.
    installation.bill("2026-08-01T00:00:00Z").await;
    let july = tenant.newest_invoice().await;
    assert_eq!((text(&july, "coupons_amount_cents"), text(&july, "tax_amount_cents")), ("800", "40"));
    assert_eq!(text(&july, "total_cents"), "240");
    tenant.holds().await;
    let path = format!("/v1/customers/{customer}/applied_coupons");
    let states = |list: &[Value]| list.iter().map(|one| text(one, "status").to_owned()).collect::<Vec<_>>();
    let list = tenant.all(&path).await;
    assert_eq!(states(&list), ["active", "terminated"]);
    assert_eq!(list[0]["frequency_duration_remaining"], json!(1));
    // Taken back, the invoice gives both uses back; the next one takes them.
    let voided = tenant.post(&format!("/v1/invoices/{}/void", text(&july, "id")), json!({})).await;
    assert_eq!(voided.status, StatusCode::OK, "{voided:?}");
    let list = tenant.all(&path).await;
    assert_eq!(
        (states(&list), &list[0]["frequency_duration_remaining"]),
        (vec!["active".into(), "active".into()], &json!(2))
    );
    assert_eq!(text(&tenant.get("/v1/coupons/half/analytics").await.body, "total_discount_cents"), "0");
    tenant.holds().await;
    for (month, taken) in
        [("2026-09-01T00:00:00Z", "800"), ("2026-10-01T00:00:00Z", "500"), ("2026-11-01T00:00:00Z", "0")]
    {
        installation.bill(month).await;
        assert_eq!(text(&tenant.newest_invoice().await, "coupons_amount_cents"), taken, "{month}");
        tenant.holds().await;
    }
    let analytics = tenant.get("/v1/coupons/half/analytics").await.body;
    assert_eq!(text(&analytics, "total_discount_cents"), "1000");
    assert_eq!((&analytics["terminated_applications"], &analytics["remaining_uses"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_coupon_of_a_plan_or_metric_discounts_its_fees_only_and_never_more_than_they_are() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, JULY).await;
    tenant.send(&[("ada", "ada-1", "seats", "2026-07-03T00:00:00Z", r#"{"seats": 2}"#)]).await;
    let mut seats = fixed("5000");
    seats["limited_to_metric_codes"] = json!(["seats"]);
    let mut other = fixed("5000");
    other["limited_to_plan_codes"] = json!(["other"]);
    let unknown = tenant.coupon("other", other).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "no such plan");
    assert_eq!(tenant.coupon("seats", seats).await.status, StatusCode::CREATED);
    assert_eq!(tenant.apply("seats", &customer).await.status, StatusCode::CREATED);
    installation.bill("2026-08-01T00:00:00Z").await;
    let july = tenant.newest_invoice().await;
    // Two seats at 5.00: all of it, and nothing of the flat fee.
    assert_eq!((text(&july, "subtotal_cents"), text(&july, "coupons_amount_cents")), ("2000", "1000"));
    let fees = tenant.all(&format!("/v1/fees/?invoice_id={}", text(&july, "id"))).await;
    for fee in &fees {
        let share = if fee["metric_code"] == "seats" { "1000" } else { "0" };
        assert_eq!(text(fee, "precise_coupons_amount_cents"), share, "{fee}");
    }
    tenant.holds().await;
}

#[tokio::test]
async fn what_must_not_be_is_refused_and_changes_nothing() {
    let installation = Installation::start().await;
    let tenant = installation.organization("Acme", false).await;
    let plan = tenant.plan().await;
    let (customer, _) = tenant.subscriber("ada", &plan, JULY).await;
    let bad = [
        fixed("0"),
        fixed("-5"),
        fixed("1.5"),
        json!({"coupon_type": "fixed_amount", "amount_cents": "5"}),
        json!({"coupon_type": "fixed_amount", "amount_cents": "5", "amount_currency": "XXY"}),
        json!({"coupon_type": "percentage"}),
        percent("0", "once", None),
        percent("100.1", "once", None),
        percent("5", "once", Some(2)),
        percent("5", "recurring", Some(0)),
        json!({"coupon_type": "percentage", "percentage_rate": "5", "expiration": "time_limit"}),
        json!({"coupon_type": "percentage", "percentage_rate": "5", "expiration": "time_limit",
            "expiration_at": "2026-07-31T00:00:00Z"}),
        json!({"coupon_type": "percentage", "percentage_rate": "5", "limited_to_metric_codes": ["nothing"]}),
    ];
    for body in bad {
        assert_eq!(tenant.coupon("bad", body.clone()).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert_eq!(tenant.all("/v1/coupons/").await, [] as [Value; 0]);
    let mut once = fixed("100");
    once["reusable"] = json!(false);
    tenant.coupon("once", once.clone()).await;
    assert_eq!(tenant.coupon("once", once).await.status, StatusCode::CONFLICT, "the code is taken");
    let mut euro = fixed("100");
    euro["amount_currency"] = json!("EUR");
    tenant.coupon("euro", euro).await;
    let mut short = fixed("100");
    (short["expiration"], short["expiration_at"]) = (json!("time_limit"), json!("2026-08-02T00:00:00Z"));
    tenant.coupon("short", short).await;
    assert_eq!(tenant.apply("euro", &customer).await.status, StatusCode::UNPROCESSABLE_ENTITY, "another currency");
    assert_eq!(tenant.apply("none", &customer).await.status, StatusCode::NOT_FOUND);
    let nobody = uuid::Uuid::new_v4().to_string();
    assert_eq!(tenant.apply("once", &nobody).await.status, StatusCode::NOT_FOUND);
    let many = futures::future::join_all((0..6).map(|_| tenant.apply("once", &customer))).await;
    let made = many.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert!(made == 1 && many.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 409)), "{many:?}");
    let id = text(&many.iter().find(|answer| answer.status == StatusCode::CREATED).unwrap().body, "id").to_owned();
    installation.clock.set(at("2026-08-02T00:00:00Z"));
    assert_eq!(tenant.apply("short", &customer).await.status, StatusCode::BAD_REQUEST, "expired");
    assert_eq!(text(&tenant.get("/v1/coupons/short").await.body, "status"), "terminated");
    let changed = tenant.put("/v1/coupons/short", json!({"expiration": "no_expiration", "name": "Long"})).await.body;
    assert_eq!((text(&changed, "status"), text(&changed, "name")), ("active", "Long"));
    assert_eq!(tenant.delete("/v1/coupons/short").await, StatusCode::NO_CONTENT);
    assert_eq!(tenant.apply("short", &customer).await.status, StatusCode::BAD_REQUEST, "terminated");
    let copy = tenant.post("/v1/coupons/short/duplicate", json!({})).await;
    assert_eq!((copy.status, text(&copy.body, "code")), (StatusCode::CREATED, "short_copy"));
    assert_eq!(tenant.post("/v1/coupons/short/duplicate", json!({})).await.status, StatusCode::CONFLICT);
    // Ended before any invoice, it discounts none.
    assert_eq!(tenant.delete(&format!("/v1/coupons/applied/{id}")).await, StatusCode::NO_CONTENT);
    assert_eq!(tenant.delete(&format!("/v1/coupons/applied/{}", uuid::Uuid::new_v4())).await, StatusCode::NOT_FOUND);
    let stranger = installation.organization("Other", false).await;
    assert_eq!(stranger.get("/v1/coupons/once").await.status, StatusCode::NOT_FOUND, "another organization's");
    assert_eq!(stranger.apply("once", &customer).await.status, StatusCode::NOT_FOUND);
    installation.bill("2026-08-02T00:00:00Z").await;
    assert_eq!(text(&tenant.newest_invoice().await, "coupons_amount_cents"), "0");
    tenant.holds().await;
}

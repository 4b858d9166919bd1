//! Random lives of subscriptions in a sandbox, against a naive model: after each step everything owed so far is billed once, to the
//! cent, every invoice adds up with its taxes, coupons and credits, numbers have no gap, a wallet gives each invoice what it has and
//! no more, each threshold is billed once and taken off once, and an invoice is paid exactly when its payments come to what is due (I4, I5, I6, I7).
//!
//! A life has a timezone (months of 23- and 25-hour days among them), taxes of some level, days of grace or none, and a clock that
//! jumps or walks. The model ([`model`]) knows days, months and multiplication; it shares no code with the product. Instants are whole
//! hours, each step later than the one before.

mod funds;
mod model;
mod thresholds;

use crate::harness::Server;
use crate::wire::{Caller, text};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use model::{ADD_ON, CITY, LEVY, Line, Owed, PLANS, Stay, Taxes, VAT, month_start, tax_on};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use thresholds::{Bill, EACH, Look, ONCE, taken_off};

#[derive(Clone, Copy, Debug)]
enum Act {
    Subscribe(usize),
    Use(i64),
    /// Usage of the month before, while that month's invoice is a draft.
    UseLate(i64),
    ChangePlan(usize),
    PauseAndResume,
    AddOn,
    Void,
    Terminate,
    Wait,
    /// A percentage of all later invoices, once in a life.
    Coupon,
    /// Cents into the wallet, which the first opens.
    TopUp(i64),
    /// All that is due of the newest invoice, or half of it.
    Pay(bool),
    /// The newest payment is paid back.
    Refund,
}

fn any_act() -> impl Strategy<Value = (i64, Act)> {
    let act = prop_oneof![
        3 => (0_usize..3).prop_map(Act::Subscribe),
        5 => (1_i64..4).prop_map(Act::Use),
        2 => (1_i64..4).prop_map(Act::UseLate),
        3 => (1_usize..3).prop_map(Act::ChangePlan),
        1 => Just(Act::PauseAndResume),
        1 => Just(Act::AddOn),
        1 => Just(Act::Void),
        2 => Just(Act::Terminate),
        2 => Just(Act::Wait),
        1 => Just(Act::Coupon),
        2 => (1_i64..8_000).prop_map(Act::TopUp),
        2 => any::<bool>().prop_map(Act::Pay),
        1 => Just(Act::Refund),
    ];
    (prop_oneof![3 => 1_i64..72, 2 => 200_i64..1_500], act)
}

/// What does not change in a life.
#[derive(Clone, Copy, Debug)]
struct Ways {
    zone: Tz,
    taxes: Taxes,
    /// Days for which an invoice is a draft.
    grace: i64,
    /// In so many steps the clock goes from one act to the next.
    steps: i64,
    /// Whether drafts are refreshed before each look at them.
    refreshes: bool,
    /// Whether plans bill usage as it reaches amounts.
    thresholds: bool,
}

fn any_ways() -> impl Strategy<Value = Ways> {
    let zone =
        prop_oneof![Just(Tz::UTC), Just(Tz::America__New_York), Just(Tz::Pacific__Auckland), Just(Tz::Asia__Kolkata)];
    let taxes = prop_oneof![Just(Taxes::None), Just(Taxes::Organization), Just(Taxes::CustomerAndPlan)];
    let grace = prop_oneof![2 => Just(0_i64), 1 => Just(3), 1 => Just(12)];
    let flags = (any::<bool>(), any::<bool>());
    (zone, taxes, grace, 1_i64..5, flags).prop_map(|(zone, taxes, grace, steps, (refreshes, thresholds))| Ways {
        zone,
        taxes,
        grace,
        steps,
        refreshes,
        thresholds,
    })
}

struct Life {
    caller: Caller,
    ways: Ways,
    customer: String,
    plans: Vec<String>,
    now: DateTime<Utc>,
    stays: Vec<Stay>,
    add_ons: usize,
    sent: usize,
    coupon_since: Option<DateTime<Utc>>,
    wallet: Option<String>,
    grants: Vec<(DateTime<Utc>, i64)>,
    /// Payment, invoice, cents; those paid back taken out.
    payments: Vec<(String, String, i64)>,
    /// What thresholds owe, in the order in which they were crossed.
    bills: Vec<Bill>,
    /// What of that each other invoice took off, when it was seen first.
    taken_off: BTreeMap<String, i64>,
}

impl Life {
    async fn begin(server: &Server, number: usize, ways: Ways) -> Self {
        let admin = Caller::admin(server);
        let made = admin.post("/v1/organizations/", &json!({"name": format!("life {number}"), "sandbox": true})).await;
        let caller = Caller::key(server, &text(&made["api_key"]["raw_key"]));
        let now: DateTime<Utc> = "2026-01-10T05:00:00Z".parse().unwrap();
        let customer = String::new();
        let mut life = Self {
            caller,
            ways,
            customer,
            plans: vec![],
            now,
            stays: vec![],
            add_ons: 0,
            sent: 0,
            coupon_since: None,
            wallet: None,
            grants: vec![],
            payments: vec![],
            bills: vec![],
            taken_off: BTreeMap::new(),
        };
        life.move_clock(0).await;
        life.make_taxes().await;
        life.make_plans().await;
        let add_on = json!({"code": "extra", "name": "Extra", "amount_cents": ADD_ON, "amount_currency": "USD"});
        life.caller.post("/v1/add_ons/", &add_on).await;
        life.make_customer().await;
        life
    }

    async fn make_taxes(&self) {
        for (code, rate) in [("vat", VAT), ("city", CITY), ("levy", LEVY)] {
            let everywhere = code == "vat" && self.ways.taxes == Taxes::Organization;
            let body = json!({"code": code, "name": code, "rate": format!("0.{rate:07}"),
                "applied_to_organization": everywhere});
            self.caller.post("/v1/taxes/", &body).await;
        }
    }

    async fn make_customer(&mut self) {
        let customer = json!({"external_id": "ada", "name": "Ada", "currency": "USD",
            "timezone": self.ways.zone.name(), "invoice_grace_period": self.ways.grace});
        self.customer = text(&self.caller.post("/v1/customers/", &customer).await["id"]);
        if self.ways.taxes == Taxes::CustomerAndPlan {
            for code in ["vat", "city"] {
                let body = json!({"tax_code": code, "taxable_type": "customer", "taxable_id": self.customer});
                self.caller.post("/v1/taxes/apply", &body).await;
            }
        }
    }

    async fn make_plans(&mut self) {
        let mut metrics = Vec::new();
        for code in ["calls", "pings"] {
            let body = json!({"code": code, "name": code, "aggregation_type": "count"});
            metrics.push(text(&self.caller.post("/v1/billable_metrics/", &body).await["id"]));
        }
        for (place, (cents, in_advance)) in PLANS.iter().enumerate() {
            let mut body = json!({"code": format!("p{place}"), "name": "P", "interval": "monthly", "currency": "USD",
                "amount_cents": cents, "pay_in_advance": in_advance, "charges": [
                    {"billable_metric_id": metrics[0], "charge_model": "standard", "properties": {"amount": "0.10"}},
                    {"billable_metric_id": metrics[1], "charge_model": "standard", "properties": {"amount": "0.07"},
                        "pay_in_advance": true}]});
            if self.ways.thresholds {
                body["usage_thresholds"] = json!([{"amount_cents": ONCE}, {"amount_cents": EACH, "recurring": true}]);
            }
            if place == 1 && self.ways.taxes == Taxes::CustomerAndPlan {
                body["tax_codes"] = json!(["levy"]);
            }
            self.plans.push(text(&self.caller.post("/v1/plans/", &body).await["id"]));
        }
    }

    async fn move_clock(&mut self, hours: i64) {
        let steps = self.ways.steps.min(hours).max(1);
        for step in 1..=steps {
            let now = self.now + TimeDelta::hours(hours * step / steps);
            let body = json!({"now": now.to_rfc3339()});
            let request = self.caller.request(Method::PUT, "/v1/organizations/current/clock").json(&body);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
        }
        self.now += TimeDelta::hours(hours);
    }

    fn running(&self) -> Option<usize> {
        self.stays.iter().position(|stay| stay.to.is_none())
    }

    async fn act(&mut self, act: Act) {
        match (act, self.running()) {
            (Act::Subscribe(plan), None) => {
                let external_id = format!("s{}", self.stays.len());
                let body = json!({"external_id": external_id, "customer_id": self.customer,
                    "plan_id": self.plans[plan], "started_at": self.now.to_rfc3339()});
                let id = text(&self.caller.post("/v1/subscriptions/", &body).await["id"]);
                let look = Look::first(self.ways.zone, self.now);
                self.stays.push(Stay { id, external_id, plan, from: self.now, to: None, uses: vec![], look });
            }
            (Act::Use(calls), Some(place)) => self.send(place, self.now, calls).await,
            (Act::UseLate(calls), Some(place)) => self.send_late(place, calls).await,
            (Act::ChangePlan(by), Some(place)) => self.change(place, by).await,
            (Act::PauseAndResume, Some(place)) => {
                let path = format!("/v1/subscriptions/{}", self.stays[place].id);
                self.caller.post(&format!("{path}/pause"), &json!({})).await;
                self.move_clock(1).await;
                self.caller.post(&format!("{path}/resume"), &json!({})).await;
            }
            (Act::AddOn, _) => {
                let body = json!({"add_on_code": "extra", "customer_id": self.customer});
                self.caller.post("/v1/add_ons/apply", &body).await;
                self.add_ons += 1;
            }
            (Act::Void, _) => self.void().await,
            (Act::Coupon, _) => self.take_coupon().await,
            (Act::TopUp(cents), _) => self.top_up(cents).await,
            (Act::Pay(half), _) => self.pay(half).await,
            (Act::Refund, _) => self.refund().await,
            (Act::Terminate, Some(place)) => {
                let path = format!("/v1/subscriptions/{}", self.stays[place].id);
                let answer = self.caller.request(Method::DELETE, &path).send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 204);
                self.stays[place].to = Some((self.now, false));
            }
            _ => {}
        }
    }

    /// An hour before the month began, if that was used by who uses now and its draft is open for another day at least.
    async fn send_late(&mut self, running: usize, calls: i64) {
        let month = month_start(self.ways.zone, self.now);
        let (at, external_id) = (month - TimeDelta::hours(1), self.stays[running].external_id.clone());
        let there = |stay: &Stay| {
            let ends_with_month = stay.to.is_none_or(|(to, _)| to >= month);
            stay.external_id == external_id && stay.holds(at) && ends_with_month
        };
        let Some(place) = self.stays.iter().position(there) else { return };
        if self.now < month + TimeDelta::days(self.ways.grace - 1) {
            self.send(place, at, calls).await;
        }
    }

    async fn send(&mut self, place: usize, at: DateTime<Utc>, calls: i64) {
        let mut events = Vec::new();
        for number in 0..=calls {
            self.sent += 1;
            events.push(json!({"transaction_id": format!("t{}", self.sent), "external_customer_id": "ada",
                "external_subscription_id": self.stays[place].external_id, "properties": {},
                "code": if number == 0 { "pings" } else { "calls" }, "timestamp": at.to_rfc3339()}));
        }
        self.caller.post("/v1/events/batch", &json!({"events": events})).await;
        self.stays[place].uses.push((at, calls));
        // What is paid in advance, or reaches a threshold, is billed before the clock answers.
        self.move_clock(0).await;
        self.look(place);
    }

    async fn change(&mut self, place: usize, by: usize) {
        let old = self.stays[place].clone();
        let plan = (old.plan + by) % PLANS.len();
        let body = json!({"plan_id": self.plans[plan], "when": "now"});
        self.caller.post(&format!("/v1/subscriptions/{}/change_plan", old.id), &body).await;
        self.stays[place].to = Some((self.now, true));
        let running = self.caller.all(&format!("/v1/subscriptions/?external_id={}", old.external_id)).await;
        let new = running.iter().find(|one| one["status"] == "active").unwrap();
        let look = Look::first(self.ways.zone, self.now);
        self.stays.push(Stay { id: text(&new["id"]), plan, from: self.now, uses: vec![], look, ..old });
    }

    async fn void(&mut self) {
        let unpaid = self.caller.all("/v1/invoices/?status=finalized").await;
        // What credit was given for is not taken back besides.
        let notes = self.caller.all("/v1/credit_notes/").await;
        let credited = |invoice: &&Value| notes.iter().any(|note| note["invoice_id"] == invoice["id"]);
        let paid_in_part = |invoice: &&Value| self.paid(&text(&invoice["id"])) > 0;
        let found = unpaid.iter().rfind(|invoice| !credited(invoice) && !paid_in_part(invoice)).cloned();
        if let Some(invoice) = found {
            if invoice["invoice_type"] == "progressive_billing" {
                return self.void_bill(&invoice).await;
            }
            self.caller.post(&format!("/v1/invoices/{}/void", text(&invoice["id"])), &json!({})).await;
        }
    }

    /// Everything owed is billed, once, and nothing else; and it adds up.
    async fn check(&mut self) -> Result<(), TestCaseError> {
        let invoices = self.invoices().await;
        let drafts: Vec<String> =
            invoices.iter().filter(|one| one["status"] == "draft").map(|one| text(&one["id"])).collect();
        let mut wanted = Owed::new();
        self.stays.iter().for_each(|stay| stay.owed(self.ways.zone, self.now, &mut wanted));
        let fees = self.caller.all("/v1/fees/?order_by=created_at:asc").await;
        self.check_thresholds(&invoices, &fees).await?;
        let at_threshold = |fee: &Value| {
            let invoice = invoices.iter().find(|one| one["id"] == fee["invoice_id"]);
            invoice.is_some_and(|one| one["invoice_type"] == "progressive_billing")
        };
        let mut found = Owed::new();
        let mut on_invoice: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        let mut add_ons = 0;
        for fee in &fees {
            let (amount, invoice) = (cents(&fee["amount_cents"]), text(&fee["invoice_id"]));
            let plan = self.stays.iter().find(|stay| fee["subscription_id"] == stay.id).map(|stay| stay.plan);
            let share = text(&fee["precise_coupons_amount_cents"]);
            let line = Line { cents: amount, rate: self.ways.taxes.rate(plan), share };
            on_invoice.entry(invoice.clone()).or_default().push(line);
            if fee["fee_type"] == "add_on" {
                add_ons += 1;
                continue;
            }
            // The period owes it still, and takes that off.
            if at_threshold(fee) {
                continue;
            }
            let what = if fee["fee_type"] == "charge" { &fee["metric_code"] } else { &fee["fee_type"] };
            let from: DateTime<Utc> = text(&fee["period_start"]).parse().unwrap();
            let key = (text(what), text(&fee["subscription_id"]), from);
            if what == "calls" && !self.ways.refreshes && drafts.contains(&invoice) {
                // A draft shows usage as it was when it was made.
                wanted.remove(&key);
            } else if amount != 0 {
                found.entry(key).or_default().push(amount);
            }
        }
        prop_assert_eq!(&found, &wanted, "at {}", self.now);
        prop_assert_eq!(add_ons, self.add_ons);
        // Credit is spent once: what is left and what invoices took is what was given (I7).
        let notes = self.caller.all("/v1/credit_notes/").await;
        // An invoice below 0 is 0, and says less by as much as it puts on a note.
        let below_zero = notes.iter().filter(|note| note["description"] == "More was taken back than is owed");
        let below_zero: i64 = below_zero.map(|note| cents(&note["credit_amount_cents"])).sum();
        let spent = self.check_sums(&invoices, &on_invoice)? + below_zero;
        let sum = |field: &str| notes.iter().map(|note| cents(&note[field])).sum::<i64>();
        prop_assert_eq!(sum("credit_amount_cents"), sum("balance_amount_cents") + spent);
        self.check_wallet(&invoices).await
    }

    async fn invoices(&self) -> Vec<Value> {
        let invoices = self.caller.all("/v1/invoices/").await;
        if !self.ways.refreshes {
            return invoices;
        }
        for draft in invoices.iter().filter(|one| one["status"] == "draft") {
            self.caller.post(&format!("/v1/invoices/{}/refresh", text(&draft["id"])), &json!({})).await;
        }
        self.caller.all("/v1/invoices/").await
    }

    /// Each invoice is the sum of its fees, with tax and less credit, and numbers have no gap; the credit that they took.
    fn check_sums(&self, invoices: &[Value], on_invoice: &BTreeMap<String, Vec<Line>>) -> Result<i64, TestCaseError> {
        let (mut numbers, mut spent) = (Vec::new(), 0);
        for invoice in invoices {
            let fees = on_invoice.get(&text(&invoice["id"])).map(Vec::as_slice).unwrap_or_default();
            let (subtotal, tax) = (cents(&invoice["subtotal_cents"]), cents(&invoice["tax_amount_cents"]));
            prop_assert_eq!(fees.iter().map(|line| line.cents).sum::<i64>(), subtotal);
            prop_assert_eq!(tax_on(fees), tax, "{}", invoice);
            let by_notes = cents(&invoice["credit_notes_amount_cents"]);
            let by_coupon = self.check_coupon(invoice, fees)?;
            let by_wallet = cents(&invoice["prepaid_credit_amount_cents"]);
            let total = cents(&invoice["total_cents"]);
            prop_assert_eq!(total, subtotal - by_coupon + tax - taken_off(invoice) - by_notes - by_wallet);
            let paid = self.paid(&text(&invoice["id"]));
            let settled = paid == total && matches!(invoice["status"].as_str(), Some("paid" | "finalized"));
            prop_assert_eq!(invoice["status"] == "paid", settled, "{} were paid of {}", paid, invoice);
            spent += if invoice["status"] == "voided" { 0 } else { by_notes };
            if invoice["status"] == "draft" {
                let issued: DateTime<Utc> = text(&invoice["issued_at"]).parse().unwrap();
                prop_assert!(self.ways.grace > 0 && issued > self.now, "still a draft at {}: {invoice}", self.now);
            } else {
                numbers.push(text(&invoice["invoice_number"]));
            }
        }
        numbers.sort();
        let gapless: Vec<String> = (1..=numbers.len()).map(|number| format!("INV-{number:06}")).collect();
        prop_assert_eq!(numbers, gapless);
        Ok(spent)
    }
}

fn cents(value: &Value) -> i64 {
    text(value).parse().unwrap()
}

#[test]
fn random_lives_are_billed_as_a_naive_model_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&[]));
    let numbers = std::cell::Cell::new(0);
    let config = Config { cases: 16, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let lives = (any_ways(), proptest::collection::vec(any_act(), 4..14));
    let outcome = TestRunner::new(config).run(&lives, |(ways, acts)| {
        numbers.set(numbers.get() + 1);
        runtime.block_on(async {
            let mut life = Life::begin(&server, numbers.get(), ways).await;
            for (hours, act) in acts {
                life.move_clock(hours).await;
                life.act(act).await;
                life.check().await?;
            }
            // Beyond the end of what still runs, and of the last days of grace.
            life.move_clock(45 * 24).await;
            life.check().await
        })
    });
    let log = server.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    outcome.unwrap_or_else(|fault| panic!("{fault}\n{}", told[told.len().saturating_sub(3)..].join("\n")));
}

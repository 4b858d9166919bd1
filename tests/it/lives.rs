//! Random lives of subscriptions in a sandbox, against a naive model: after each step everything owed so far is billed once, to the
//! cent, every invoice adds up, and numbers have no gap (I4, I5, I6).
//!
//! The model knows days, months and multiplication; it shares no code with the product. Instants are whole hours, each step later
//! than the one before.

use crate::harness::Server;
use crate::wire::{Caller, text};
use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Cents a month, and whether they are due as it begins.
const PLANS: [(i64, bool); 3] = [(3_100, false), (6_200, false), (4_650, true)];
/// Cents of a call (at the end of the period), and of a ping (as it is accepted).
const CALL: i64 = 10;
const PING: i64 = 7;
const ADD_ON: i64 = 500;

#[derive(Clone, Copy, Debug)]
enum Act {
    Subscribe(usize),
    Use(i64),
    ChangePlan(usize),
    PauseAndResume,
    AddOn,
    Void,
    Terminate,
    Wait,
}

fn any_act() -> impl Strategy<Value = (i64, Act)> {
    let act = prop_oneof![
        3 => (0_usize..3).prop_map(Act::Subscribe),
        5 => (1_i64..4).prop_map(Act::Use),
        3 => (1_usize..3).prop_map(Act::ChangePlan),
        1 => Just(Act::PauseAndResume),
        1 => Just(Act::AddOn),
        1 => Just(Act::Void),
        2 => Just(Act::Terminate),
        2 => Just(Act::Wait),
    ];
    (prop_oneof![3 => 1_i64..72, 2 => 200_i64..1_500], act)
}

/// A subscription from its start to its end.
#[derive(Clone, Debug)]
struct Stay {
    id: String,
    external_id: String,
    plan: usize,
    from: DateTime<Utc>,
    /// When it ended, and whether another plan went on.
    to: Option<(DateTime<Utc>, bool)>,
    /// When, and how many calls; each with one ping.
    uses: Vec<(DateTime<Utc>, i64)>,
}

/// Kind or metric, subscription, start of the stretch: how often and how much, fees of 0 left out.
type Owed = BTreeMap<(String, String, DateTime<Utc>), Vec<i64>>;

struct Life {
    caller: Caller,
    customer: String,
    plans: Vec<String>,
    now: DateTime<Utc>,
    stays: Vec<Stay>,
    add_ons: usize,
    sent: usize,
}

fn month_start(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().with_day(1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc()
}

fn half_up(numerator: i64, denominator: i64) -> i64 {
    (numerator * 2 + denominator) / (denominator * 2)
}

impl Stay {
    /// What is owed up to and with `now`.
    fn owed(&self, now: DateTime<Utc>, owed: &mut Owed) {
        let (cents, in_advance) = PLANS[self.plan];
        let end = self.to.map(|(to, _)| to);
        let mut month = month_start(self.from);
        while month <= now && end.is_none_or(|end| month < end) {
            let next = month + Months::new(1);
            let (first, last) = (self.from.max(month), end.map_or(next, |end| end.min(next)));
            let days_of_month = (next - month).num_days();
            // The day of an end counts, but for that of a change, which is the other plan's.
            let after = match self.to {
                Some((to, handed_over)) if to < next => to.date_naive() + TimeDelta::days(i64::from(!handed_over)),
                _ => next.date_naive(),
            };
            let paid_until = if in_advance { next.date_naive() } else { after };
            let days = (paid_until - first.date_naive()).num_days();
            let mut add = |what: &str, cents: i64| {
                if cents != 0 {
                    owed.entry((what.into(), self.id.clone(), first)).or_default().push(cents);
                }
            };
            if in_advance || last <= now {
                add("subscription", half_up(cents * days, days_of_month));
            }
            let uses = || self.uses.iter().filter(|(at, _)| (first..last).contains(at));
            if last <= now {
                add("calls", uses().map(|(_, calls)| calls * CALL).sum());
            }
            uses().for_each(|_| add("pings", PING));
            month = next;
        }
    }
}

impl Life {
    async fn begin(server: &Server, number: usize) -> Self {
        let admin = Caller::admin(server);
        let made = admin.post("/v1/organizations/", &json!({"name": format!("life {number}"), "sandbox": true})).await;
        let caller = Caller::key(server, &text(&made["api_key"]["raw_key"]));
        let now: DateTime<Utc> = "2026-01-10T05:00:00Z".parse().unwrap();
        let mut life = Self { caller, customer: String::new(), plans: vec![], now, stays: vec![], add_ons: 0, sent: 0 };
        life.move_clock(0).await;
        let mut metrics = Vec::new();
        for code in ["calls", "pings"] {
            let body = json!({"code": code, "name": code, "aggregation_type": "count"});
            metrics.push(text(&life.caller.post("/v1/billable_metrics/", &body).await["id"]));
        }
        for (place, (cents, in_advance)) in PLANS.iter().enumerate() {
            let body = json!({"code": format!("p{place}"), "name": "P", "interval": "monthly", "currency": "USD",
                "amount_cents": cents, "pay_in_advance": in_advance, "charges": [
                    {"billable_metric_id": metrics[0], "charge_model": "standard", "properties": {"amount": "0.10"}},
                    {"billable_metric_id": metrics[1], "charge_model": "standard", "properties": {"amount": "0.07"},
                        "pay_in_advance": true}]});
            life.plans.push(text(&life.caller.post("/v1/plans/", &body).await["id"]));
        }
        let add_on = json!({"code": "extra", "name": "Extra", "amount_cents": ADD_ON, "amount_currency": "USD"});
        life.caller.post("/v1/add_ons/", &add_on).await;
        let customer = json!({"external_id": "ada", "name": "Ada", "currency": "USD", "timezone": "UTC"});
        life.customer = text(&life.caller.post("/v1/customers/", &customer).await["id"]);
        life
    }

    async fn move_clock(&mut self, hours: i64) {
        self.now += TimeDelta::hours(hours);
        let body = json!({"now": self.now.to_rfc3339()});
        let request = self.caller.request(Method::PUT, "/v1/organizations/current/clock").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
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
                self.stays.push(Stay { id, external_id, plan, from: self.now, to: None, uses: vec![] });
            }
            (Act::Use(calls), Some(place)) => self.send(place, calls).await,
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
            (Act::Terminate, Some(place)) => {
                let path = format!("/v1/subscriptions/{}", self.stays[place].id);
                let answer = self.caller.request(Method::DELETE, &path).send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 204);
                self.stays[place].to = Some((self.now, false));
            }
            _ => {}
        }
    }

    async fn send(&mut self, place: usize, calls: i64) {
        let mut events = Vec::new();
        for number in 0..=calls {
            self.sent += 1;
            events.push(json!({"transaction_id": format!("t{}", self.sent), "external_customer_id": "ada",
                "external_subscription_id": self.stays[place].external_id, "properties": {},
                "code": if number == 0 { "pings" } else { "calls" }, "timestamp": self.now.to_rfc3339()}));
        }
        self.caller.post("/v1/events/batch", &json!({"events": events})).await;
        self.stays[place].uses.push((self.now, calls));
        // What is paid in advance is billed before the clock answers.
        self.move_clock(0).await;
    }

    async fn change(&mut self, place: usize, by: usize) {
        let old = self.stays[place].clone();
        let plan = (old.plan + by) % PLANS.len();
        let body = json!({"plan_id": self.plans[plan], "when": "now"});
        self.caller.post(&format!("/v1/subscriptions/{}/change_plan", old.id), &body).await;
        self.stays[place].to = Some((self.now, true));
        let running = self.caller.all(&format!("/v1/subscriptions/?external_id={}", old.external_id)).await;
        let new = running.iter().find(|one| one["status"] == "active").unwrap();
        self.stays.push(Stay { id: text(&new["id"]), plan, from: self.now, uses: vec![], ..old });
    }

    async fn void(&mut self) {
        let unpaid = self.caller.all("/v1/invoices/?status=finalized").await;
        // What credit was given for is not taken back besides.
        let notes = self.caller.all("/v1/credit_notes/").await;
        let credited = |invoice: &&Value| notes.iter().any(|note| note["invoice_id"] == invoice["id"]);
        if let Some(invoice) = unpaid.iter().rfind(|invoice| !credited(invoice)) {
            self.caller.post(&format!("/v1/invoices/{}/void", text(&invoice["id"])), &json!({})).await;
        }
    }

    /// Everything owed is billed, once, and nothing else; and it adds up.
    async fn check(&self) -> Result<(), TestCaseError> {
        let mut wanted = Owed::new();
        self.stays.iter().for_each(|stay| stay.owed(self.now, &mut wanted));
        let fees = self.caller.all("/v1/fees/?order_by=created_at:asc").await;
        let mut found = Owed::new();
        let mut on_invoice: BTreeMap<String, i64> = BTreeMap::new();
        let (mut add_ons, cents) = (0, |value: &Value| text(value).parse::<i64>().unwrap());
        for fee in &fees {
            let amount = cents(&fee["amount_cents"]);
            *on_invoice.entry(text(&fee["invoice_id"])).or_default() += amount;
            if fee["fee_type"] == "add_on" {
                add_ons += 1;
            } else if amount != 0 {
                let what = if fee["fee_type"] == "charge" { &fee["metric_code"] } else { &fee["fee_type"] };
                let from: DateTime<Utc> = text(&fee["period_start"]).parse().unwrap();
                found.entry((text(what), text(&fee["subscription_id"]), from)).or_default().push(amount);
            }
        }
        prop_assert_eq!(&found, &wanted, "at {}", self.now);
        prop_assert_eq!(add_ons, self.add_ons);
        let invoices = self.caller.all("/v1/invoices/").await;
        let (mut numbers, mut spent) = (Vec::new(), 0);
        for invoice in &invoices {
            let subtotal = cents(&invoice["subtotal_cents"]);
            prop_assert_eq!(on_invoice.get(&text(&invoice["id"])).copied().unwrap_or_default(), subtotal);
            let by_notes = cents(&invoice["credit_notes_amount_cents"]);
            prop_assert_eq!(cents(&invoice["total_cents"]), subtotal + cents(&invoice["tax_amount_cents"]) - by_notes);
            spent += if invoice["status"] == "voided" { 0 } else { by_notes };
            numbers.push(text(&invoice["invoice_number"]));
        }
        // Credit is spent once: what is left and what invoices took is what was given (I7).
        let notes = self.caller.all("/v1/credit_notes/").await;
        let sum = |field: &str| notes.iter().map(|note| cents(&note[field])).sum::<i64>();
        prop_assert_eq!(sum("credit_amount_cents"), sum("balance_amount_cents") + spent);
        numbers.sort();
        let gapless: Vec<String> = (1..=invoices.len()).map(|number| format!("INV-{number:06}")).collect();
        prop_assert_eq!(numbers, gapless);
        Ok(())
    }
}

#[test]
fn random_lives_are_billed_as_a_naive_model_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&[]));
    let numbers = std::cell::Cell::new(0);
    let config = Config { cases: 12, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let lives = proptest::collection::vec(any_act(), 4..14);
    let outcome = TestRunner::new(config).run(&lives, |acts| {
        numbers.set(numbers.get() + 1);
        runtime.block_on(async {
            let mut life = Life::begin(&server, numbers.get()).await;
            for (hours, act) in acts {
                life.move_clock(hours).await;
                life.act(act).await;
                life.check().await?;
            }
            // Beyond the end of what still runs.
            life.move_clock(31 * 24).await;
            life.check().await
        })
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
}

//! What a life is billed as its usage reaches thresholds; done, and checked against the model.

use super::model::{Stay, month_start};
use super::{Life, cents};
use crate::wire::text;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Cents of a call, and of usage at which a plan bills: once, and at each further amount above that.
const CALL: i64 = 10;
pub const ONCE: i64 = 20;
pub const EACH: i64 = 30;

/// What is known of a subscription's usage when it was looked at last.
#[derive(Clone, Debug)]
pub struct Look {
    month: DateTime<Utc>,
    before: i64,
    crossed: usize,
}

impl Look {
    pub fn first(zone: Tz, at: DateTime<Utc>) -> Self {
        Self { month: month_start(zone, at), before: 0, crossed: 0 }
    }
}

/// An invoice that a threshold owes.
#[derive(Clone, Debug)]
pub struct Bill {
    subscription: String,
    from: DateTime<Utc>,
    usage: i64,
    /// Not taken back.
    stands: bool,
    /// The bill before it, which it takes off.
    before: Option<usize>,
}

fn calls_between(stay: &Stay, from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> i64 {
    let inside = stay.uses.iter().filter(|(at, _)| from <= *at && to.is_none_or(|to| *at < to));
    inside.map(|(_, calls)| calls * CALL).sum()
}

/// How many amounts `total` has reached.
fn reached(total: i64) -> usize {
    (1..=total).filter(|cents| *cents == ONCE || (*cents > ONCE && (cents - ONCE) % EACH == 0)).count()
}

/// Subscription and start of a stretch.
type Stretch = (String, DateTime<Utc>);

impl Life {
    /// Usage of `place` came in; what that owes at once.
    pub(super) fn look(&mut self, place: usize) {
        let stay = &self.stays[place];
        if !self.ways.thresholds || stay.to.is_some() {
            return;
        }
        let month = month_start(self.ways.zone, self.now);
        let mut look = stay.look.clone();
        if look.month < month {
            look.before += calls_between(stay, look.month, Some(month));
            look.month = month;
        }
        let from = stay.from.max(month);
        let usage = calls_between(stay, from, None);
        let levels = reached(look.before + usage);
        let id = stay.id.clone();
        let before = self.last_bill(&(id.clone(), from));
        let is_more = before.is_none_or(|place| self.bills[place].usage < usage);
        if levels > look.crossed && usage > 0 && is_more {
            self.bills.push(Bill { subscription: id, from, usage, stands: true, before });
        }
        look.crossed = look.crossed.max(levels);
        self.stays[place].look = look;
    }

    fn last_bill(&self, (subscription, from): &Stretch) -> Option<usize> {
        let of_stretch = |bill: &Bill| bill.stands && bill.subscription == *subscription && bill.from == *from;
        self.bills.iter().rposition(of_stretch)
    }

    /// Takes an invoice of a threshold back; one that a later invoice has taken off stays.
    pub(super) async fn void_bill(&mut self, invoice: &Value) {
        let place = self.threshold_invoices().await.iter().position(|one| one["id"] == invoice["id"]).unwrap();
        let bill = &self.bills[place];
        let stretch = (bill.subscription.clone(), bill.from);
        let is_taken = self.last_bill(&stretch) != Some(place) || self.is_billed_by_period(&stretch).await;
        let path = format!("/v1/invoices/{}/void", text(&invoice["id"]));
        let answer = self.caller.request(Method::POST, &path).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), if is_taken { 409 } else { 200 }, "{bill:?}");
        self.bills[place].stands = is_taken;
    }

    async fn is_billed_by_period(&self, stretch: &Stretch) -> bool {
        let standing: Vec<Value> = self.caller.all("/v1/invoices/").await;
        let standing: Vec<&Value> = standing
            .iter()
            .filter(|one| one["invoice_type"] == "subscription" && one["status"] != "voided")
            .map(|one| &one["id"])
            .collect();
        let fees = self.caller.all("/v1/fees/?fee_type=charge").await;
        fees.iter().any(|fee| standing.contains(&&fee["invoice_id"]) && stretch_of(fee).as_ref() == Some(stretch))
    }

    async fn threshold_invoices(&self) -> Vec<Value> {
        let mut all = self.caller.all("/v1/invoices/?order_by=created_at:asc").await;
        all.retain(|one| one["invoice_type"] == "progressive_billing");
        all
    }

    /// Each crossing is billed once by all usage of its period so far, less the bill before; a period takes off the last one.
    pub(super) async fn check_thresholds(&mut self, invoices: &[Value], fees: &[Value]) -> Result<(), TestCaseError> {
        let found = self.threshold_invoices().await;
        prop_assert_eq!(found.len(), self.bills.len(), "{:?} at {}", self.bills, self.now);
        let gross = |one: &Value| {
            let [fees, coupons, taxes] = ["subtotal_cents", "coupons_amount_cents", "tax_amount_cents"];
            cents(&one[fees]) - cents(&one[coupons]) + cents(&one[taxes])
        };
        for (invoice, bill) in found.iter().zip(&self.bills) {
            prop_assert_eq!(cents(&invoice["subtotal_cents"]), bill.usage, "{}", invoice);
            prop_assert_eq!(text(&invoice["subscription_id"]), bill.subscription.clone());
            let before = bill.before.map_or(0, |place| gross(&found[place]));
            prop_assert_eq!(taken_off(invoice), before, "{}", invoice);
            prop_assert_eq!(invoice["status"] != "voided", bill.stands);
        }
        let mut stretches: BTreeMap<String, Vec<Stretch>> = BTreeMap::new();
        for fee in fees.iter().filter(|fee| fee["metric_code"] == "calls") {
            stretches.entry(text(&fee["invoice_id"])).or_default().extend(stretch_of(fee));
        }
        for invoice in invoices.iter().filter(|one| one["invoice_type"] != "progressive_billing") {
            let id = text(&invoice["id"]);
            if !self.taken_off.contains_key(&id) {
                let of_invoice = stretches.remove(&id).unwrap_or_default();
                let bills = of_invoice.iter().filter_map(|stretch| self.last_bill(stretch));
                let wanted = bills.map(|place| gross(&found[place])).sum();
                self.taken_off.insert(id.clone(), wanted);
            }
            prop_assert_eq!(taken_off(invoice), self.taken_off[&id], "{}", invoice);
        }
        Ok(())
    }
}

/// What was billed before, as an invoice says.
pub(super) fn taken_off(invoice: &Value) -> i64 {
    cents(&invoice["progressive_billing_credit_amount_cents"])
}

fn stretch_of(fee: &Value) -> Option<Stretch> {
    let from = text(&fee["period_start"]).parse().ok()?;
    (fee["metric_code"] == "calls").then(|| (text(&fee["subscription_id"]), from))
}

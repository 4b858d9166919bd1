//! What a step expects against what it did, key by key. A key that is not known here is a difference.

use super::play::Stage;
use crate::wire::text;
use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use std::fmt::Display;

/// What came of a case.
pub(super) struct Outcome {
    id: String,
    pub(super) differences: Vec<String>,
    pub(super) assertions: usize,
}

impl Outcome {
    pub(super) fn of(case: &Value) -> Self {
        Self { id: text(&case["id"]), differences: Vec::new(), assertions: 0 }
    }

    pub(super) fn differs(&mut self, key: &str, want: &dyn Display, got: &dyn Display) {
        self.differences.push(format!("{}: {key}: want {want}, got {got}", self.id));
    }

    fn compare(&mut self, key: &str, want: &Value, got: &Value) {
        self.assertions += 1;
        if plain(want) != plain(got) {
            self.differs(key, want, got);
        }
    }
}

/// Numbers and decimal texts compare by their text: both sides write the shortest form.
fn plain(value: &Value) -> String {
    text(value)
}

/// One step with the invoices before and after it.
pub(super) struct Step<'a> {
    pub(super) stage: &'a Stage,
    pub(super) step: &'a Value,
    pub(super) place: String,
    pub(super) before: Vec<Value>,
    pub(super) after: Vec<Value>,
}

impl Step<'_> {
    pub(super) async fn compare(&self, expected: &Map<String, Value>, outcome: &mut Outcome) {
        for (key, want) in expected {
            let place = format!("{} {key}", self.place);
            match key.as_str() {
                "note" | "reason" | "formula" => {}
                "invoice" => self.invoice(want, &place, outcome).await,
                "invoices" => self.invoices(want, &place, outcome).await,
                "new_invoices" => {
                    let new = self.after.len() - self.before.len().min(self.after.len());
                    outcome.compare(&place, want, &json!(new));
                }
                "invoices_total" => outcome.compare(&place, want, &json!(self.after.len())),
                "current_usage" => self.usage(want, &place, outcome).await,
                "subscription_fee" => self.one_fee("subscription", want, &place, outcome).await,
                "commitment_fee" => self.one_fee("commitment", want, &place, outcome).await,
                "charge_fees" => self.charge_fees(want, &place, outcome).await,
                "credit_note" => self.credit_note(want, &place, outcome).await,
                "wallet_balance_cents" => {
                    let wallets = self.stage.wallets().await.unwrap_or_default();
                    let got = wallets.last().map_or(Value::Null, |wallet| wallet["balance_cents"].clone());
                    outcome.compare(&place, want, &got);
                }
                "ongoing_usage_cents" => {
                    let usage = self.stage.ongoing_usage().await.unwrap_or_default();
                    for (code, want) in want.as_object().into_iter().flatten() {
                        outcome.compare(&format!("{place}.{code}"), want, &usage[code.as_str()]);
                    }
                }
                "wallet_balances_cents" => self.by_wallet("balance_cents", want, &place, outcome).await,
                "credit_notes" => {
                    let count = self.stage.credit_notes().await.map(|notes| json!(notes.len()));
                    outcome.compare(&place, want, &count.unwrap_or_else(Value::String));
                }
                other => outcome.differs(&self.place, &"a key that is known", &other),
            }
        }
    }

    /// Invoices made or changed by the step, in the order in which they were made.
    fn changed(&self) -> impl Iterator<Item = &Value> {
        self.after.iter().filter(|invoice| !self.before.contains(invoice))
    }

    async fn plan_of(&self, invoice: &Value) -> Option<String> {
        let fees = self.stage.fees(invoice).await.ok()?;
        let plan = fees.iter().find_map(|fee| fee["plan_id"].as_str())?.to_string();
        self.stage.plans.iter().find(|(_, id)| **id == plan).map(|(code, _)| code.clone())
    }

    /// The invoice that an expectation is about: the last one changed, of the named plan where one is named.
    async fn wanted(&self, want: &Value) -> Option<Value> {
        let mut found = None;
        for invoice in self.changed() {
            let named = want.get("for_subscription").map(text);
            if named.is_none() || self.plan_of(invoice).await == named {
                found = Some(invoice.clone());
            }
        }
        found
    }

    async fn invoice(&self, want: &Value, place: &str, outcome: &mut Outcome) {
        let Some(invoice) = self.wanted(want).await else {
            outcome.differs(place, want, &"no invoice");
            return;
        };
        for (key, want) in want.as_object().into_iter().flatten() {
            let got = self.of_invoice(&invoice, key).await;
            match got {
                Some(got) => outcome.compare(&format!("{place}.{key}"), want, &got),
                None => outcome.differs(place, &"a key that is known", key),
            }
        }
    }

    async fn invoices(&self, want: &Value, place: &str, outcome: &mut Outcome) {
        let changed: Vec<&Value> = self.changed().collect();
        let Some(list) = want.as_array() else {
            outcome.compare(place, want, &json!(changed.len()));
            return;
        };
        outcome.compare(&format!("{place} (how many)"), &json!(list.len()), &json!(changed.len()));
        for ((number, want), invoice) in list.iter().enumerate().zip(changed) {
            for (key, want) in want.as_object().into_iter().flatten() {
                let got = self.of_invoice(invoice, key).await.unwrap_or(json!("an unknown key"));
                outcome.compare(&format!("{place}[{number}].{key}"), want, &got);
            }
        }
    }

    async fn of_invoice(&self, invoice: &Value, key: &str) -> Option<Value> {
        let cents = |field: &str| text(&invoice[field]).parse::<i64>().unwrap_or(i64::MIN);
        Some(match key {
            "total_amount_cents" => invoice["total_cents"].clone(),
            "fees_amount_cents" => invoice["subtotal_cents"].clone(),
            "taxes_amount_cents" => invoice["tax_amount_cents"].clone(),
            "coupons_amount_cents"
            | "credit_notes_amount_cents"
            | "prepaid_credit_amount_cents"
            | "progressive_billing_credit_amount_cents"
            | "status" => invoice[key].clone(),
            "type" => invoice["invoice_type"].clone(),
            "sub_total_excluding_taxes_amount_cents" => json!(cents("subtotal_cents") - cents("coupons_amount_cents")),
            "sub_total_including_taxes_amount_cents" => {
                json!(cents("subtotal_cents") - cents("coupons_amount_cents") + cents("tax_amount_cents"))
            }
            "issuing_date" => json!(self.local(&invoice["issued_at"])?.date_naive().to_string()),
            "taxes_rate" => {
                let net = cents("subtotal_cents") - cents("coupons_amount_cents");
                json!(five_places_percent(cents("tax_amount_cents"), net))
            }
            "for_subscription" => json!(self.plan_of(invoice).await?),
            "subscription_from" => json!(self.day_start(&self.flat_fee(invoice).await?["period_start"])?),
            "subscription_to" => json!(inclusive(&self.flat_fee(invoice).await?["period_end"])?),
            "charges_from" => self.flat_fee(invoice).await?["properties"]["charges_from"].clone(),
            "charges_to" => json!(inclusive(&self.flat_fee(invoice).await?["properties"]["charges_to"])?),
            _ => return None,
        })
    }

    async fn flat_fee(&self, invoice: &Value) -> Option<Value> {
        let fees = self.stage.fees(invoice).await.ok()?;
        fees.into_iter().find(|fee| fee["fee_type"] == "subscription")
    }

    fn local(&self, instant: &Value) -> Option<DateTime<Tz>> {
        let zone: Tz = self.stage.timezone.parse().ok()?;
        Some(parsed(instant)?.with_timezone(&zone))
    }

    /// Flat fees are owed by days: the start of the local day.
    fn day_start(&self, instant: &Value) -> Option<String> {
        let local = self.local(instant)?;
        let midnight = local.timezone().from_local_datetime(&local.date_naive().and_time(NaiveTime::MIN)).earliest()?;
        Some(midnight.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    async fn usage(&self, want: &Value, place: &str, outcome: &mut Outcome) {
        let usage = match self.stage.current_usage(self.step).await {
            Ok(usage) => usage,
            Err(fault) => return outcome.differs(place, want, &fault),
        };
        for (key, want) in want.as_object().into_iter().flatten() {
            let got = match key.as_str() {
                "units" => usage["charges"][0]["units"].clone(),
                "amount_cents" => usage["amount_cents"].clone(),
                _ => json!("an unknown key"),
            };
            outcome.compare(&format!("{place}.{key}"), want, &got);
        }
    }

    /// What the step estimated, else the note made last.
    async fn credit_note(&self, want: &Value, place: &str, outcome: &mut Outcome) {
        let note = match &self.stage.estimated {
            Some(estimate) => Some(estimate.clone()),
            None => self.stage.credit_notes().await.unwrap_or_default().last().cloned(),
        };
        let Some(note) = note else { return outcome.differs(place, want, &"no credit note") };
        for (key, want) in want.as_object().into_iter().flatten() {
            let got = match key.as_str() {
                "balance_after" | "balance_after_cents" => note["balance_amount_cents"].clone(),
                "taxes_rate" => {
                    let rates = note["applied_taxes"].as_array().into_iter().flatten();
                    json!(ten_millionths(rates.map(|tax| text(&tax["tax_rate"]))))
                }
                _ => note.get(key).cloned().unwrap_or_else(|| json!("an unknown key")),
            };
            outcome.compare(&format!("{place}.{key}"), want, &got);
        }
    }

    async fn by_wallet(&self, field: &str, want: &Value, place: &str, outcome: &mut Outcome) {
        let wallets = self.stage.wallets().await.unwrap_or_default();
        for (code, want) in want.as_object().into_iter().flatten() {
            let wallet = wallets.iter().find(|wallet| wallet["code"] == json!(code));
            let got = wallet.map_or(Value::Null, |wallet| wallet[field].clone());
            outcome.compare(&format!("{place}.{code}"), want, &got);
        }
    }

    /// The fees of one kind on the invoices that the step changed.
    async fn fees_of(&self, kind: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for invoice in self.changed() {
            let fees = self.stage.fees(invoice).await.unwrap_or_default();
            found.extend(fees.into_iter().filter(|fee| fee["fee_type"] == kind));
        }
        found
    }

    async fn one_fee(&self, kind: &str, want: &Value, place: &str, outcome: &mut Outcome) {
        let fees = self.fees_of(kind).await;
        let Some(fee) = fees.last() else {
            outcome.differs(place, want, &"no such fee");
            return;
        };
        for (key, want) in want.as_object().into_iter().flatten() {
            let got = of_fee(fee, key);
            let got = if same(key, want, &got) { want.clone() } else { got };
            outcome.compare(&format!("{place}.{key}"), want, &got);
        }
    }

    /// Each expected fee must be another one of those made, equal in every key it names.
    async fn charge_fees(&self, want: &Value, place: &str, outcome: &mut Outcome) {
        let mut free = self.fees_of("charge").await;
        for (number, want) in want.as_array().into_iter().flatten().enumerate() {
            let keys: Vec<(&String, &Value)> = want.as_object().into_iter().flatten().collect();
            outcome.assertions += keys.len();
            let equal = |fee: &Value| keys.iter().all(|(key, want)| same(key, want, &of_fee(fee, key)));
            match free.iter().position(equal) {
                Some(found) => _ = free.remove(found),
                None => {
                    let got: Vec<Value> = free
                        .iter()
                        .map(|fee| keys.iter().map(|(key, _)| ((*key).clone(), of_fee(fee, key))).collect())
                        .collect();
                    outcome.differs(&format!("{place}[{number}]"), want, &json!(got));
                }
            }
        }
    }
}

fn of_fee(fee: &Value, key: &str) -> Value {
    match key {
        "metric" => fee["metric_code"].clone(),
        "true_up" => json!(fee["properties"]["true_up"] == true),
        "filter" => fee["properties"].get("filter").cloned().unwrap_or(Value::Null),
        "grouped_by" => fee["properties"].get("group").cloned().unwrap_or(Value::Null),
        "taxes_rate" => json!(percent(&text(&fee["taxes_rate"]))),
        "amount_cents"
        | "precise_amount_cents"
        | "precise_coupons_amount_cents"
        | "units"
        | "taxes_amount_cents"
        | "taxes_precise_amount_cents"
        | "total_amount_cents" => fee[key].clone(),
        _ => json!(format!("'{key}' is not known")),
    }
}

/// Equal, or a coupon's share as it was published: with five places, cut off after each coupon.
fn same(key: &str, want: &Value, got: &Value) -> bool {
    let published = |value: &Value| {
        let text = plain(value);
        let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
        format!("{whole}{:0<5.5}", places).parse::<i64>().ok()
    };
    let shares = || Some((published(want)? - published(got)?).abs() <= 1);
    plain(want) == plain(got) || (key == "precise_coupons_amount_cents" && shares() == Some(true))
}

/// The sum of fractions as percent.
fn ten_millionths(fractions: impl Iterator<Item = String>) -> String {
    let sum: i64 = fractions
        .map(|fraction| {
            let (whole, places) = fraction.split_once('.').unwrap_or((&fraction, ""));
            format!("{whole}{places:0<7.7}").parse().unwrap_or(i64::MIN)
        })
        .sum();
    percent(format!("{}.{:07}", sum / 10_000_000, sum % 10_000_000).trim_end_matches('0'))
}

/// A ratio as percent with five places, rounded half up.
fn five_places_percent(part: i64, whole: i64) -> String {
    let scaled = (part * 20_000_000 + whole) / (2 * whole.max(1));
    percent(format!("{}.{:07}", scaled / 10_000_000, scaled % 10_000_000).trim_end_matches('0'))
}

/// A fraction as percent: the decimal point two places to the right.
pub(super) fn percent(fraction: &str) -> String {
    let (whole, places) = fraction.split_once('.').unwrap_or((fraction, ""));
    let padded = format!("{places:0<2}");
    let (before, after) = padded.split_at(2);
    let whole = format!("{whole}{before}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if after.is_empty() { whole.to_string() } else { format!("{whole}.{after}") }
}

fn parsed(instant: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(instant.as_str()?).ok()?.with_timezone(&Utc))
}

/// The last second before an end that is exclusive with us.
fn inclusive(end: &Value) -> Option<String> {
    Some((parsed(end)? - TimeDelta::seconds(1)).to_rfc3339_opts(SecondsFormat::Secs, true))
}

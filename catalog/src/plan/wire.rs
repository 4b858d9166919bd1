//! Plans as the contract spells them, with the options beyond it.

use crate::fields::SharedChecks;
use domain::catalog::{ChargeModel, Interval};
use domain::ids::{ChargeId, MetricFilterId, MetricId, PlanId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, Loc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use utoipa::ToSchema;

/// Longest description.
const MAX_DESCRIPTION: usize = 10_000;

/// A new plan.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PlanCreate {
    /// 1–255 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `weekly`, `monthly`, `quarterly`, `semiannual` or `yearly`; never changes.
    #[schema(value_type = String, example = "monthly")]
    pub interval: Interval,
    /// Flat fee per period.
    #[serde(default)]
    pub amount_cents: i64,
    /// ISO 4217, of all prices.
    #[serde(default = "crate::organization::wire::default_currency")]
    pub currency: String,
    /// Days before the flat fee begins.
    #[serde(default)]
    pub trial_period_days: u32,
    /// Flat fee at the start of the period.
    #[serde(default)]
    pub pay_in_advance: bool,
    /// Usage billed monthly though the interval is longer.
    #[serde(default)]
    pub bill_charges_monthly: bool,
    /// Least that a period costs in all.
    pub minimum_commitment: Option<MinimumCommitment>,
    /// Amounts of usage that are billed as soon as they are reached.
    #[serde(default)]
    pub usage_thresholds: Vec<UsageThreshold>,
    /// Taxes of all its fees.
    #[serde(default)]
    pub tax_codes: Vec<String>,
    /// What usage costs.
    #[serde(default)]
    pub charges: Vec<ChargeInput>,
}

/// Changes of a plan: only what is sent; `charges` replaces them all. Each change is a new version.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct PlanUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Flat fee per period.
    pub amount_cents: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Days before the flat fee begins.
    pub trial_period_days: Option<u32>,
    /// Flat fee at the start of the period.
    pub pay_in_advance: Option<bool>,
    /// Usage billed monthly though the interval is longer.
    pub bill_charges_monthly: Option<bool>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<MinimumCommitment>)]
    pub minimum_commitment: Option<Option<MinimumCommitment>>,
    /// Replaces them all.
    pub usage_thresholds: Option<Vec<UsageThreshold>>,
    /// Replaces them all.
    pub tax_codes: Option<Vec<String>>,
    /// Replaces them all.
    pub charges: Option<Vec<ChargeInput>>,
    /// Refused when it differs.
    pub code: Option<String>,
    /// Refused when it differs.
    #[schema(value_type = Option<String>)]
    pub interval: Option<Interval>,
}

/// Least that a period costs in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinimumCommitment {
    /// At least 1.
    pub amount_cents: i64,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
    /// Taxes of the fee that fills up to it.
    #[serde(default)]
    pub tax_codes: Vec<String>,
}

/// An amount of usage that is billed as soon as it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageThreshold {
    /// At least 1.
    pub amount_cents: i64,
    /// Repeats each such amount.
    #[serde(default)]
    pub recurring: bool,
    /// Title on invoices.
    pub threshold_display_name: Option<String>,
}

/// A charge of a plan.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ChargeInput {
    /// What is charged.
    #[schema(value_type = uuid::Uuid)]
    pub billable_metric_id: MetricId,
    /// How.
    #[schema(value_type = String, example = "standard")]
    pub charge_model: ChargeModel,
    /// Prices in currency units; see the price models.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// Prices of events with certain properties.
    #[serde(default)]
    pub filters: Vec<ChargeFilterInput>,
    /// Billed per event as accepted.
    #[serde(default)]
    pub pay_in_advance: bool,
    /// Proration of the quantity.
    #[serde(default)]
    pub prorated: bool,
    /// Shown on an invoice of its own or not.
    #[serde(default = "yes")]
    pub invoiceable: bool,
    /// Least amount of the charge in a period.
    #[serde(default)]
    pub min_amount_cents: i64,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
    /// Taxes of its fees.
    #[serde(default)]
    pub tax_codes: Vec<String>,
    /// Groups by the event property `target_wallet_code`, and that wallet pays.
    #[serde(default)]
    pub accepts_target_wallet: bool,
}

fn yes() -> bool {
    true
}

/// A filter of a charge, in one of two forms: the contract's (`billable_metric_filter_id` and a list of values, each of
/// which becomes a filter of its own), or an object of several keys with several values each.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ChargeFilterInput {
    /// Contract's form: the metric's filter.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub billable_metric_filter_id: Option<MetricFilterId>,
    /// A list of values, or an object `{"region": ["eu", "us"], "tier": ["gold"]}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub values: Value,
    /// Prices that overlay the charge's own.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
}

/// A plan with its charges.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlanResponse {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: PlanId,
    /// Unique in the organization.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Period length.
    #[schema(value_type = String)]
    pub interval: Interval,
    /// Flat fee per period.
    pub amount_cents: i64,
    /// ISO 4217.
    pub currency: String,
    /// Days before the flat fee begins.
    pub trial_period_days: u32,
    /// Flat fee at the start of the period.
    pub pay_in_advance: bool,
    /// Usage billed monthly though the interval is longer.
    pub bill_charges_monthly: bool,
    /// Least that a period costs in all.
    pub minimum_commitment: Option<MinimumCommitment>,
    /// Amounts of usage that are billed as soon as they are reached.
    pub usage_thresholds: Vec<UsageThreshold>,
    /// Taxes of all its fees.
    pub tax_codes: Vec<String>,
    /// What usage costs.
    pub charges: Vec<ChargeOutput>,
    /// Grows with each change that rating can see.
    pub version: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A charge as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChargeOutput {
    /// Kept over versions.
    #[schema(value_type = uuid::Uuid)]
    pub id: ChargeId,
    /// Of which plan.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// What is charged.
    #[schema(value_type = uuid::Uuid)]
    pub billable_metric_id: MetricId,
    /// How.
    #[schema(value_type = String)]
    pub charge_model: ChargeModel,
    /// Prices as they were sent.
    #[schema(value_type = Object)]
    pub properties: Value,
    /// Prices of events with certain properties.
    pub filters: Vec<ChargeFilterOutput>,
    /// Billed per event as accepted.
    pub pay_in_advance: bool,
    /// Proration of the quantity.
    pub prorated: bool,
    /// Shown on an invoice of its own or not.
    pub invoiceable: bool,
    /// Least amount of the charge in a period.
    pub min_amount_cents: i64,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
    /// Taxes of its fees.
    pub tax_codes: Vec<String>,
    /// Groups by the event property `target_wallet_code`.
    pub accepts_target_wallet: bool,
    /// When the line came into the plan.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the line was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A charge's filter as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChargeFilterOutput {
    /// key → accepted values; all keys must match.
    pub values: BTreeMap<String, Vec<String>>,
    /// Prices that overlay the charge's own.
    #[schema(value_type = Object)]
    pub properties: Value,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
}

/// Made-up usage.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PlanSimulateRequest {
    /// Units of every charge, at least 0; a number or a decimal text.
    pub units: http_api::ExactDecimal,
}

impl PlanCreate {
    /// The bounds of all fields but those of charges.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("code", &self.code);
        checks.name("name", &self.name);
        check_description(&mut checks, self.description.as_ref());
        checks.at_least("amount_cents", self.amount_cents, 0);
        checks.currency("currency", &self.currency);
        checks.days("trial_period_days", self.trial_period_days);
        check_commitment(&mut checks, self.minimum_commitment.as_ref());
        check_thresholds(&mut checks, &self.usage_thresholds);
        check_tax_codes(&mut checks, &[Loc::from("tax_codes")], &self.tax_codes);
        checks.finish()
    }
}

impl PlanUpdate {
    /// The bounds of all fields but those of charges.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.name("name", name);
        }
        check_description(&mut checks, self.description.as_ref().and_then(Option::as_ref));
        checks.at_least("amount_cents", self.amount_cents.unwrap_or(0), 0);
        if let Some(currency) = &self.currency {
            checks.currency("currency", currency);
        }
        checks.days("trial_period_days", self.trial_period_days.unwrap_or(0));
        check_commitment(&mut checks, self.minimum_commitment.as_ref().and_then(Option::as_ref));
        check_thresholds(&mut checks, self.usage_thresholds.as_deref().unwrap_or_default());
        check_tax_codes(&mut checks, &[Loc::from("tax_codes")], self.tax_codes.as_deref().unwrap_or_default());
        checks.finish()
    }
}

fn check_description(checks: &mut Checks, description: Option<&String>) {
    if let Some(description) = description {
        checks.length("description", description, 0, MAX_DESCRIPTION);
    }
}

fn check_commitment(checks: &mut Checks, commitment: Option<&MinimumCommitment>) {
    let Some(commitment) = commitment else { return };
    let place = |field: &'static str| [Loc::from("minimum_commitment"), Loc::from(field)];
    check_positive(checks, &place("amount_cents"), commitment.amount_cents);
    if let Some(name) = &commitment.invoice_display_name {
        checks.length_at(place("invoice_display_name"), name, 0, 255);
    }
    check_tax_codes(checks, &place("tax_codes"), &commitment.tax_codes);
}

fn check_thresholds(checks: &mut Checks, thresholds: &[UsageThreshold]) {
    let mut seen = HashSet::new();
    for (index, threshold) in thresholds.iter().enumerate() {
        let place = |field: &'static str| [Loc::from("usage_thresholds"), Loc::from(index), Loc::from(field)];
        check_positive(checks, &place("amount_cents"), threshold.amount_cents);
        if !seen.insert((threshold.amount_cents, threshold.recurring)) {
            let input = Value::from(threshold.amount_cents);
            checks.fault("value_error", place("amount_cents"), "the same threshold stands twice", &input);
        }
        if let Some(name) = &threshold.threshold_display_name {
            checks.length_at(place("threshold_display_name"), name, 0, 255);
        }
    }
}

fn check_positive(checks: &mut Checks, place: &[Loc], cents: i64) {
    if cents < 1 {
        let msg = "Input should be greater than or equal to 1";
        checks.fault("greater_than_equal", place.iter().cloned(), msg, &Value::from(cents));
    }
}

/// Codes of taxes: each 1–255 characters, none twice.
pub(crate) fn check_tax_codes(checks: &mut Checks, place: &[Loc], codes: &[String]) {
    let mut seen = HashSet::new();
    for (index, code) in codes.iter().enumerate() {
        let here = || place.iter().cloned().chain([Loc::from(index)]);
        checks.length_at(here(), code, 1, 255);
        if !seen.insert(code) {
            checks.fault("value_error", here(), "the code stands twice", &Value::from(code.as_str()));
        }
    }
}

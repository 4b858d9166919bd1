//! What the catalog describes: customers, metrics, plans with their charges, subscriptions, each with its version.
//!
//! A version is never changed once written; editing makes the next one, and a fee names the versions it used (I3).
//! A period is priced by the version in force when the period began; a plan created after that (a subscription that starts
//! in the past) counts with its first version.

use crate::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use crate::money::{Currency, MinorUnits};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How the events of a metric become one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Number of events.
    Count,
    /// Sum of a property.
    Sum,
    /// Greatest value of a property.
    Max,
    /// Number of distinct values of a property, exact.
    UniqueCount,
    /// Time-weighted average of the running total.
    WeightedSum,
    /// Value of the newest event.
    Latest,
    /// Sum of an expression.
    Custom,
    /// Least value of a property.
    Min,
    /// Mean of a property.
    Average,
}

/// Rounding of a metric's quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingFunction {
    /// Half away from zero.
    Round,
    /// Toward +∞.
    Ceil,
    /// Toward −∞.
    Floor,
}

/// A declared filter key of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricFilter {
    /// Property name.
    pub key: String,
    /// Allowed values; empty allows any.
    pub values: Vec<String>,
}

/// One version of a billable metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Stable id.
    pub id: MetricId,
    /// 1, 2, … : grows with each edit.
    pub version: u32,
    /// From when this version holds.
    pub valid_from: Timestamp,
    /// Events with this code belong to it.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// How events become a quantity.
    pub aggregation: Aggregation,
    /// The aggregated property; needed by all but count and custom.
    pub field_name: Option<String>,
    /// Expression of a custom metric.
    pub expression: Option<String>,
    /// Whether units persist over periods.
    pub recurring: bool,
    /// Rounding of the quantity.
    pub rounding: Option<(RoundingFunction, u32)>,
    /// What charges may filter by: declared keys with their allowed values. They leave no event out: one that no filter of a
    /// charge takes is priced by the charge's own properties.
    pub filters: Vec<MetricFilter>,
}

/// How a quantity becomes an amount. The properties are validated when the plan is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeModel {
    /// Units × price.
    Standard,
    /// Each range at its own price.
    Graduated,
    /// All units at the price of the range they reach.
    Volume,
    /// Started packages.
    Package,
    /// A share of the quantity, with fixed fees.
    Percentage,
    /// A share per range.
    GraduatedPercentage,
    /// A given amount, or units × price.
    Custom,
    /// Σ price × quantity of each event.
    Dynamic,
}

/// One charge in one version of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Kept over versions as long as the charge is the same line of the plan.
    pub id: ChargeId,
    /// What is charged.
    pub metric_id: MetricId,
    /// How.
    pub model: ChargeModel,
    /// Prices as the contract spells them, numbers in their decimal text.
    pub properties: serde_json::Value,
    /// Title on invoices; else the metric's name.
    pub invoice_display_name: Option<String>,
    /// Least amount of the charge in a period.
    pub min_amount: MinorUnits,
    /// Billed per event as accepted.
    pub pay_in_advance: bool,
    /// Proration of the quantity.
    pub prorated: bool,
    /// Shown on an invoice of its own or not.
    pub invoiceable: bool,
    /// Filters, in order.
    pub filters: Vec<ChargeFilter>,
}

/// One filter of a charge: events that match it are priced by its properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFilter {
    /// key → accepted values, all keys must match.
    pub values: std::collections::BTreeMap<String, Vec<String>>,
    /// Prices that overlay the charge's own.
    pub properties: serde_json::Value,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
}

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Seven local days.
    Weekly,
    /// A month.
    Monthly,
    /// Three months.
    Quarterly,
    /// Six months.
    Semiannual,
    /// Twelve months.
    Yearly,
}

/// What periods are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingTime {
    /// First of the month, Monday, 1 January.
    Calendar,
    /// The local day the subscription started.
    Anniversary,
}

/// One version of a plan with its charges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Stable id.
    pub id: PlanId,
    /// 1, 2, … : grows with each edit.
    pub version: u32,
    /// From when this version holds.
    pub valid_from: Timestamp,
    /// Unique in the organization.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// Period length, fixed for all versions.
    pub interval: Interval,
    /// Flat fee per period.
    pub amount: MinorUnits,
    /// Currency of all its prices.
    pub currency: Currency,
    /// Flat fee at the start of the period instead of its end.
    pub pay_in_advance: bool,
    /// Days before the flat fee begins.
    pub trial_period_days: u32,
    /// Usage billed monthly though the interval is longer.
    pub bill_charges_monthly: bool,
    /// In the order they were given.
    pub charges: Vec<Charge>,
}

/// A customer, with the timezones that were in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Stable id.
    pub id: CustomerId,
    /// Tenant.
    pub organization: OrganizationId,
    /// The client's own id.
    pub external_id: String,
    /// Shown on invoices.
    pub name: String,
    /// IANA zones by the instant from which they hold, oldest first; never empty.
    pub timezones: Vec<(Timestamp, String)>,
    /// Days until an invoice is due.
    pub net_payment_term_days: u32,
    /// Days a draft stays open.
    pub invoice_grace_period_days: u32,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// Not yet started.
    Pending,
    /// Running.
    Active,
    /// Suspended; periods run on.
    Paused,
    /// Ended by cancel.
    Canceled,
    /// Ended by terminate.
    Terminated,
}

/// What the end of a subscription bills of the period it falls in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// What is owed up to the end; the last day counts whole.
    #[default]
    Bills,
    /// What is owed up to the end; the last day belongs to the plan it was changed to.
    HandsOver,
    /// Nothing.
    BillsNothing,
}

/// Where what was paid ahead and not used goes when a subscription ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnusedAdvance {
    /// To later invoices.
    #[default]
    Credit,
    /// Back to the customer, as far as it was paid; the rest is credit.
    Refund,
    /// Off what is due of the invoice that charged it; the rest is credit.
    Offset,
    /// Nowhere.
    Skip,
}

/// A subscription as rating and billing need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Stable id.
    pub id: SubscriptionId,
    /// Tenant.
    pub organization: OrganizationId,
    /// The client's own id.
    pub external_id: String,
    /// Whose.
    pub customer_id: CustomerId,
    /// To what.
    pub plan_id: PlanId,
    /// State now.
    pub status: SubscriptionStatus,
    /// Anchor of periods.
    pub billing_time: BillingTime,
    /// First instant of usage; absent while pending.
    pub started_at: Option<Timestamp>,
    /// First instant that is no longer part of it.
    pub ended_at: Option<Timestamp>,
    /// Order of creation, for "the oldest".
    pub created_at: Timestamp,
    /// Flat fee at the period's start.
    pub pay_in_advance: bool,
    /// Trial days of this subscription.
    pub trial_period_days: u32,
    /// The first start of a chain of plan changes, from which periods and the trial are counted; absent: `started_at`.
    pub anchor_at: Option<Timestamp>,
    /// What its end bills.
    pub ending: Ending,
    /// Where what was paid ahead and not used goes at its end.
    pub unused_advance: UnusedAdvance,
}

impl Subscription {
    /// The instant from which periods and the trial are counted; absent while it has not started.
    #[must_use]
    pub fn anchor(&self) -> Option<Timestamp> {
        self.started_at.map(|started_at| self.anchor_at.unwrap_or(started_at))
    }
}

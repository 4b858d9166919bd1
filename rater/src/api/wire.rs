//! How usage and events are spelled on the wire.

use crate::rated::RatedCharge;
use aggregator::reads::{HourCount, Rejection};
use domain::event::StoredEvent;
use domain::money::MinorUnits;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// An event as stored. `properties` is what was sent, byte for byte but for line breaks.
#[derive(Serialize, ToSchema)]
pub struct EventRecord {
    /// Derived from organization and transaction_id.
    pub id: Uuid,
    /// The sender's own id.
    pub transaction_id: String,
    /// Empty when the event named only a subscription.
    pub external_customer_id: String,
    /// Left out when the event named only a customer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_subscription_id: String,
    /// Code of the metric.
    pub code: String,
    /// When the usage happened.
    pub timestamp: String,
    /// As received.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
    /// Left out when it was not sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub precise_total_amount_cents: String,
    /// When it was accepted.
    pub created_at: String,
}

impl From<StoredEvent> for EventRecord {
    fn from(event: StoredEvent) -> Self {
        // A void that came before its event has no properties; everything else was checked when it was accepted.
        let properties = RawValue::from_string(event.properties).ok();
        Self {
            id: Uuid::from_u128(event.id.0),
            transaction_id: event.transaction_id,
            external_customer_id: event.external_customer_id,
            external_subscription_id: event.external_subscription_id,
            code: event.code,
            timestamp: event.timestamp.to_string(),
            properties: properties.unwrap_or_else(|| RawValue::NULL.to_owned()),
            precise_total_amount_cents: event.precise_total_amount_cents,
            created_at: event.ingested_at.to_string(),
        }
    }
}

/// What came of looking at an event again.
#[derive(Serialize, ToSchema)]
pub struct ReprocessRecord {
    /// Which event.
    pub event_id: Uuid,
    /// `reprocessing` or `no_active_subscriptions`.
    pub status: &'static str,
    /// Active subscriptions whose running period was rated again.
    pub subscriptions_checked: usize,
}

/// Events per hour.
#[derive(Serialize, ToSchema)]
pub struct VolumeRecord {
    /// Hours with events, oldest first.
    pub data_points: Vec<VolumePoint>,
}

/// One hour.
#[derive(Serialize, ToSchema)]
pub struct VolumePoint {
    /// `YYYY-MM-DD HH:00`, UTC.
    pub timestamp: String,
    /// Events in it.
    pub count: u64,
}

impl From<HourCount> for VolumePoint {
    fn from(hour: HourCount) -> Self {
        let timestamp = hour.hour.to_chrono().format("%Y-%m-%d %H:00").to_string();
        Self { timestamp, count: hour.events }
    }
}

/// Something accepted that is not billed as it was sent.
#[derive(Serialize, ToSchema)]
pub struct RejectionRecord {
    /// Why.
    pub reason: &'static str,
    /// When it was accepted, and so rejected.
    pub rejected_at: String,
    /// The copy as it was sent.
    #[serde(flatten)]
    pub event: EventRecord,
}

impl From<Rejection> for RejectionRecord {
    fn from(rejection: Rejection) -> Self {
        Self {
            reason: rejection.reason.name(),
            rejected_at: rejection.rejected_at.to_string(),
            event: rejection.event.into(),
        }
    }
}

/// What the usage of one period comes to.
#[derive(Serialize, ToSchema)]
pub struct UsageRecord {
    /// Start of the period.
    pub from_datetime: String,
    /// Its end; the first instant that no longer belongs to it.
    pub to_datetime: String,
    /// Sum of the charges, in minor units.
    pub amount_cents: String,
    /// Currency of the plan.
    pub currency: String,
    /// A line for each charge, filter and group.
    pub charges: Vec<ChargeUsageRecord>,
}

/// What one charge's usage comes to.
#[derive(Serialize, ToSchema)]
pub struct ChargeUsageRecord {
    /// What is charged.
    pub billable_metric: MetricRecord,
    /// The quantity, exact.
    pub units: String,
    /// In minor units, rounded once.
    pub amount_cents: String,
    /// How it is charged.
    #[schema(value_type = String)]
    pub charge_model: domain::catalog::ChargeModel,
    /// Filter and group of the line; empty for the charge's own prices. Several accepted values are joined by `,`.
    pub filters: BTreeMap<String, String>,
    /// Events in it.
    pub events_count: u64,
}

/// What the running period of one subscription comes to.
#[derive(Serialize, ToSchema)]
pub struct SubscriptionUsageRecord {
    /// Which subscription.
    pub subscription_id: Uuid,
    /// Start of the period.
    pub billing_period_start: String,
    /// Its end; the first instant that no longer belongs to it.
    pub billing_period_end: String,
    /// Sum of the charges, in minor units.
    pub current_usage_amount_cents: String,
}

/// Usage by day.
#[derive(Serialize, ToSchema)]
pub struct TrendRecord {
    /// Which subscription.
    pub subscription_id: Uuid,
    /// First local day.
    pub start_date: String,
    /// Last local day.
    pub end_date: String,
    /// Every day between them, oldest first.
    pub data_points: Vec<TrendPoint>,
}

/// One local day.
#[derive(Serialize, ToSchema)]
pub struct TrendPoint {
    /// The day.
    pub date: String,
    /// Units of all metrics, added up.
    pub value: String,
    /// Events of all metrics.
    pub events_count: u64,
}

impl TrendPoint {
    /// A day without usage.
    #[must_use]
    pub fn nothing(day: chrono::NaiveDate) -> Self {
        Self { date: day.to_string(), value: "0".into(), events_count: 0 }
    }
}

/// A metric in short.
#[derive(Serialize, ToSchema)]
pub struct MetricRecord {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// How events become a quantity.
    #[schema(value_type = String)]
    pub aggregation_type: domain::catalog::Aggregation,
}

impl ChargeUsageRecord {
    /// A rated charge without what only billing needs.
    #[must_use]
    pub fn of(rated: &RatedCharge) -> Self {
        let accepted = rated.line.filter_values.iter().map(|(key, values)| (key.clone(), values.join(",")));
        let grouped = rated.line.group.0.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()));
        Self {
            billable_metric: MetricRecord {
                code: rated.metric.code.clone(),
                name: rated.metric.name.clone(),
                aggregation_type: rated.metric.aggregation,
            },
            // People look at how much there is; its share of the period is what the amount is made of.
            units: rated.full_units.as_ref().unwrap_or(&rated.units).to_string(),
            amount_cents: rated.amount_cents.to_string(),
            charge_model: rated.charge.model,
            filters: accepted.chain(grouped).collect(),
            events_count: rated.events_count,
        }
    }
}

/// The sum of rated charges.
///
/// # Errors
/// When it passes 64 bits of minor units.
pub fn sum_of(charges: &[RatedCharge]) -> Result<MinorUnits, domain::money::MoneyError> {
    charges.iter().try_fold(MinorUnits::ZERO, |sum, charge| sum.plus(charge.amount_cents))
}

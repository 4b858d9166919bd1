//! Usage alerts as the contract spells them.

use crate::ledger::alerts::{StoredAlert, Trigger};
use domain::ids::{MetricId, SubscriptionId};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A new alert.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct UsageAlertCreate {
    /// Whose usage.
    #[schema(value_type = Uuid)]
    pub subscription_id: SubscriptionId,
    /// Of which metric.
    #[schema(value_type = Uuid)]
    pub billable_metric_id: MetricId,
    /// More than 0.
    pub threshold_value: ExactDecimal,
    /// Fires at each multiple in a period, not only at the first.
    #[serde(default)]
    pub recurring: bool,
    /// At most 255 characters.
    pub name: Option<String>,
}

/// Changes of an alert: only what is sent. With another threshold or kind it begins to count anew.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct UsageAlertUpdate {
    /// More than 0.
    pub threshold_value: Option<ExactDecimal>,
    /// Fires at each multiple in a period.
    pub recurring: Option<bool>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UsageAlertResponse)]
pub struct UsageAlertRecord {
    /// Stable id.
    pub id: Uuid,
    /// Tenant.
    pub organization_id: Uuid,
    /// Whose usage.
    pub subscription_id: Uuid,
    /// Of which metric.
    pub billable_metric_id: Uuid,
    /// How much of it.
    pub threshold_value: String,
    /// Fires at each multiple in a period.
    pub recurring: bool,
    /// Title.
    pub name: Option<String>,
    /// How often it fired in the period it was looked at last; of a recurring one the multiple that was reached.
    pub times_triggered: i64,
    /// When it fired last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub triggered_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// The running period against an alert.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UsageAlertStatusResponse)]
pub struct UsageAlertStatus {
    /// Which alert.
    pub alert_id: Uuid,
    /// Usage so far.
    pub current_usage: String,
    /// What it is compared with.
    pub threshold_value: String,
    /// Usage in percent of that, to two places, not capped.
    pub usage_percentage: String,
    /// Start of the period.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_start: Timestamp,
    /// End of the period.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_end: Timestamp,
}

/// A firing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UsageAlertTriggerResponse)]
pub struct UsageAlertTriggerRecord {
    /// Stable id.
    pub id: Uuid,
    /// Of which alert.
    pub usage_alert_id: Uuid,
    /// Usage that was found.
    pub current_usage: String,
    /// What it was compared with.
    pub threshold_value: String,
    /// Code of the metric.
    pub metric_code: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub triggered_at: Timestamp,
}

fn checked_threshold(checks: &mut Checks, sent: &ExactDecimal) -> Quantity {
    let threshold = Quantity::from(sent.0.clone());
    if !threshold.is_positive() {
        checks.broken("threshold_value", "Input should be greater than 0", sent.to_string());
    }
    threshold
}

fn check_name(checks: &mut Checks, name: Option<&String>) {
    if let Some(name) = name {
        checks.length("name", name, 0, 255);
    }
}

impl UsageAlertCreate {
    /// The threshold.
    ///
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<Quantity, ApiError> {
        let mut checks = Checks::new();
        let threshold = checked_threshold(&mut checks, &self.threshold_value);
        check_name(&mut checks, self.name.as_ref());
        checks.finish()?;
        Ok(threshold)
    }
}

impl UsageAlertUpdate {
    /// The alert with the changes.
    ///
    /// # Errors
    /// 422 with every fault.
    pub fn apply(&self, kept: &StoredAlert, now: Timestamp) -> Result<StoredAlert, ApiError> {
        let mut checks = Checks::new();
        let threshold = self.threshold_value.as_ref().map(|sent| checked_threshold(&mut checks, sent));
        check_name(&mut checks, self.name.as_ref().and_then(Option::as_ref));
        checks.finish()?;
        Ok(StoredAlert {
            threshold: threshold.unwrap_or_else(|| kept.threshold.clone()),
            recurring: self.recurring.unwrap_or(kept.recurring),
            name: self.name.clone().unwrap_or_else(|| kept.name.clone()),
            updated_at: now,
            ..kept.clone()
        })
    }
}

impl UsageAlertRecord {
    /// As it is shown.
    #[must_use]
    pub fn of(alert: &StoredAlert) -> Self {
        Self {
            id: alert.id,
            organization_id: alert.organization.0,
            subscription_id: alert.subscription.0,
            billable_metric_id: alert.metric.0,
            threshold_value: alert.threshold.to_string(),
            recurring: alert.recurring,
            name: alert.name.clone(),
            times_triggered: alert.times_triggered,
            triggered_at: alert.triggered_at,
            created_at: alert.created_at,
            updated_at: alert.updated_at,
        }
    }
}

/// Places of a percentage.
const PERCENT_PLACES: i32 = 2;

impl UsageAlertStatus {
    /// Of a usage in a period.
    #[must_use]
    pub fn of(alert: &StoredAlert, usage: &Quantity, (start, end): (Timestamp, Timestamp)) -> Self {
        let hundredfold = usage * &Quantity::from(100_i64);
        // Four places more than are shown decide which way the last of these is rounded.
        let exact = hundredfold.divided(&alert.threshold, PERCENT_PLACES.unsigned_abs() + 4).unwrap_or(Quantity::ZERO);
        Self {
            alert_id: alert.id,
            current_usage: usage.to_string(),
            threshold_value: alert.threshold.to_string(),
            usage_percentage: exact.rounded(domain::catalog::RoundingFunction::Round, PERCENT_PLACES).to_string(),
            billing_period_start: start,
            billing_period_end: end,
        }
    }
}

impl UsageAlertTriggerRecord {
    /// As it is shown.
    #[must_use]
    pub fn of(trigger: &Trigger) -> Self {
        Self {
            id: trigger.id,
            usage_alert_id: trigger.alert,
            current_usage: trigger.usage.to_string(),
            threshold_value: trigger.threshold.to_string(),
            metric_code: trigger.metric_code.clone(),
            triggered_at: trigger.at,
        }
    }
}

//! Billable metrics as the contract spells them, and the rules that their fields keep together.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use domain::catalog::{Aggregation, Metric, MetricFilter, RoundingFunction};
use domain::expression::Expression;
use domain::ids::{MetricFilterId, MetricId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, Loc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use std::collections::HashSet;
use utoipa::ToSchema;

/// Most decimal places of a rounding (contract).
const MAX_ROUNDING_PRECISION: i64 = 15;
/// Longest expression of a custom metric: far beyond what a person writes.
const MAX_EXPRESSION: usize = domain::expression::MAX_LENGTH;
/// Longest description.
const MAX_DESCRIPTION: usize = 10_000;

/// A billable metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BillableMetricResponse)]
pub struct MetricRecord {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: MetricId,
    /// Events with this code belong to it; never changes.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// How events become a quantity; never changes.
    #[schema(value_type = String, example = "sum")]
    pub aggregation_type: Aggregation,
    /// The aggregated property.
    pub field_name: Option<String>,
    /// Expression of a custom metric.
    pub expression: Option<String>,
    /// Whether units persist over periods.
    pub recurring: bool,
    /// `round`, `ceil` or `floor`.
    #[schema(value_type = Option<String>)]
    pub rounding_function: Option<RoundingFunction>,
    /// Decimal places, 0–15; absent: 0.
    pub rounding_precision: Option<u32>,
    /// Grows with each change that rating can see.
    pub version: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl MetricRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            code: row.text("code")?,
            name: row.text("name")?,
            description: row.optional_text("description")?,
            aggregation_type: row.named("aggregation_type")?,
            field_name: row.optional_text("field_name")?,
            expression: row.optional_text("expression")?,
            recurring: row.flag("recurring")?,
            rounding_function: row.optional_named("rounding_function")?,
            rounding_precision: row.optional_small("rounding_precision")?,
            version: row.small("version")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }

    /// The version that rating uses, in force from `valid_from`.
    pub(crate) fn to_version(&self, valid_from: Timestamp, filters: Vec<MetricFilter>) -> Metric {
        Metric {
            id: self.id,
            version: self.version,
            valid_from,
            code: self.code.clone(),
            name: self.name.clone(),
            aggregation: self.aggregation_type,
            field_name: self.field_name.clone(),
            expression: self.expression.clone(),
            recurring: self.recurring,
            rounding: self.rounding_function.map(|function| (function, self.rounding_precision.unwrap_or(0))),
            filters,
        }
    }

    /// The rules over several fields, and the bounds of each.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("code", &self.code);
        checks.name("name", &self.name);
        if let Some(description) = &self.description {
            checks.length("description", description, 0, MAX_DESCRIPTION);
        }
        self.check_field_name(&mut checks);
        self.check_expression(&mut checks);
        self.check_recurring(&mut checks);
        if let Some(precision) = self.rounding_precision {
            checks.at_most("rounding_precision", i64::from(precision), MAX_ROUNDING_PRECISION);
            if self.rounding_function.is_none() {
                checks.broken("rounding_precision", "rounding_precision needs a rounding_function", precision);
            }
        }
        checks.finish()
    }

    fn check_field_name(&self, checks: &mut Checks) {
        let needed = !matches!(self.aggregation_type, Aggregation::Count | Aggregation::Custom);
        match &self.field_name {
            Some(name) => checks.length("field_name", name, usize::from(needed), 255),
            None if needed => {
                let msg = "field_name is required for this aggregation_type";
                checks.broken("field_name", msg, Value::Null);
            }
            None => {}
        }
    }

    fn check_expression(&self, checks: &mut Checks) {
        let needed = self.aggregation_type == Aggregation::Custom;
        match self.expression.as_deref().map(str::trim) {
            Some(text) => {
                checks.length("expression", text, usize::from(needed), MAX_EXPRESSION);
                if let (true, Err(fault)) = (needed && !text.is_empty(), Expression::parse(text)) {
                    checks.broken("expression", format!("expression {fault}"), text);
                }
            }
            None if needed => {
                checks.broken("expression", "expression is required for aggregation_type 'custom'", Value::Null);
            }
            None => {}
        }
    }

    fn check_recurring(&self, checks: &mut Checks) {
        use Aggregation::{Average, Custom, Min};
        if self.recurring && matches!(self.aggregation_type, Custom | Min | Average) {
            let msg = "a recurring metric aggregates by count, sum, max, latest, unique_count or weighted_sum";
            checks.broken("recurring", msg, true);
        }
    }
}

/// A new metric.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct MetricCreate {
    /// 1–255 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `count`, `sum`, `max`, `min`, `average`, `latest`, `unique_count`, `weighted_sum` or `custom`; never changes.
    #[schema(value_type = String, example = "sum")]
    pub aggregation_type: Aggregation,
    /// The aggregated property; needed by all but count and custom.
    pub field_name: Option<String>,
    /// Needed by custom.
    pub expression: Option<String>,
    /// Whether units persist over periods.
    #[serde(default)]
    pub recurring: bool,
    /// `round`, `ceil` or `floor`.
    #[schema(value_type = Option<String>)]
    pub rounding_function: Option<RoundingFunction>,
    /// Decimal places, 0–15.
    pub rounding_precision: Option<u32>,
    /// Filter keys with their allowed values.
    #[serde(default)]
    pub filters: Vec<MetricFilterCreate>,
}

impl MetricCreate {
    pub(crate) fn into_record(self, now: Timestamp) -> MetricRecord {
        MetricRecord {
            id: MetricId::random(),
            code: self.code,
            name: self.name,
            description: self.description,
            aggregation_type: self.aggregation_type,
            field_name: self.field_name,
            expression: self.expression,
            recurring: self.recurring,
            rounding_function: self.rounding_function,
            rounding_precision: self.rounding_precision,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Changes of a metric: only what is sent. Code and aggregation cannot change.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct MetricUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub field_name: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub expression: Option<Option<String>>,
    /// Whether units persist over periods.
    pub recurring: Option<bool>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub rounding_function: Option<Option<RoundingFunction>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<u32>)]
    pub rounding_precision: Option<Option<u32>>,
    /// Refused when it differs.
    pub code: Option<String>,
    /// Refused when it differs.
    #[schema(value_type = Option<String>)]
    pub aggregation_type: Option<Aggregation>,
}

impl MetricUpdate {
    /// The metric with the changes.
    ///
    /// # Errors
    /// 422 with every fault, also when code or aggregation would change.
    pub(crate) fn apply(&self, kept: &MetricRecord, now: Timestamp) -> Result<MetricRecord, ApiError> {
        let mut checks = Checks::new();
        if let Some(code) = self.code.as_ref().filter(|code| **code != kept.code) {
            checks.broken("code", "the code of a metric cannot change: events carry it", code.as_str());
        }
        if self.aggregation_type.is_some_and(|sent| sent != kept.aggregation_type) {
            checks.broken(
                "aggregation_type",
                "the aggregation of a metric cannot change: make a new metric",
                Value::Null,
            );
        }
        checks.finish()?;
        let changed = MetricRecord {
            name: self.name.clone().unwrap_or_else(|| kept.name.clone()),
            description: self.description.clone().unwrap_or_else(|| kept.description.clone()),
            field_name: self.field_name.clone().unwrap_or_else(|| kept.field_name.clone()),
            expression: self.expression.clone().unwrap_or_else(|| kept.expression.clone()),
            recurring: self.recurring.unwrap_or(kept.recurring),
            rounding_function: self.rounding_function.unwrap_or(kept.rounding_function),
            rounding_precision: self.rounding_precision.unwrap_or(kept.rounding_precision),
            updated_at: now,
            ..kept.clone()
        };
        changed.check()?;
        Ok(changed)
    }
}

/// A filter key with its allowed values.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct MetricFilterCreate {
    /// Property name, 1–255 characters.
    pub key: String,
    /// Allowed values; empty allows any. Numbers and booleans count as their text.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub values: Vec<Value>,
}

impl MetricFilterCreate {
    /// The filter, its faults told under `path`.
    pub(crate) fn checked(&self, checks: &mut Checks, path: &[Loc]) -> MetricFilter {
        let at = |field: &'static str| path.iter().cloned().chain([Loc::from(field)]).collect::<Vec<_>>();
        checks.length_at(at("key"), &self.key, 1, 255);
        let mut values = Vec::with_capacity(self.values.len());
        let mut seen = HashSet::new();
        for (index, value) in self.values.iter().enumerate() {
            let place = at("values").into_iter().chain([Loc::from(index)]).collect::<Vec<_>>();
            let Some(text) = value_text(value) else {
                checks.fault("string_type", place, "Input should be a text, a number or a boolean", value);
                continue;
            };
            checks.length_at(place.clone(), &text, 1, 255);
            if !seen.insert(text.clone()) {
                checks.fault("value_error", place, "the value stands twice", value);
            }
            values.push(text);
        }
        MetricFilter { key: self.key.clone(), values }
    }
}

/// A filter value as events are compared with it: numbers and booleans by their JSON text.
fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Filters of a new metric: each checked, no key twice.
///
/// # Errors
/// 422 with every fault.
pub(crate) fn checked_filters(filters: &[MetricFilterCreate]) -> Result<Vec<MetricFilter>, ApiError> {
    let mut checks = Checks::new();
    let mut keys = HashSet::new();
    let mut checked = Vec::with_capacity(filters.len());
    for (index, filter) in filters.iter().enumerate() {
        let path = [Loc::from("filters"), Loc::from(index)];
        checked.push(filter.checked(&mut checks, &path));
        if !keys.insert(filter.key.as_str()) {
            let place = path.into_iter().chain([Loc::from("key")]);
            checks.fault("value_error", place, "the key stands twice", &Value::from(filter.key.as_str()));
        }
    }
    checks.finish()?;
    Ok(checked)
}

/// A declared filter key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BillableMetricFilterResponse)]
pub struct MetricFilterRecord {
    /// Stable id, named by charge filters.
    #[schema(value_type = uuid::Uuid)]
    pub id: MetricFilterId,
    /// Of which metric.
    #[schema(value_type = uuid::Uuid)]
    pub billable_metric_id: MetricId,
    /// Property name.
    pub key: String,
    /// Allowed values; empty allows any.
    pub values: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl MetricFilterRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            billable_metric_id: row.parsed("metric_id")?,
            key: row.text("filter_key")?,
            values: row.json("allowed_values")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// Numbers of metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BillableMetricStats {
    /// In all.
    pub total: i64,
    /// By aggregation.
    pub by_aggregation_type: std::collections::BTreeMap<String, i64>,
}

/// A plan that charges a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MetricPlan {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: domain::ids::PlanId,
    /// Unique in the organization.
    pub code: String,
    /// Shown.
    pub name: String,
    /// Period length.
    pub interval: String,
    /// Flat fee.
    pub amount_cents: i64,
    /// ISO 4217.
    pub currency: String,
}

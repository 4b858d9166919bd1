//! Filters of a charge: both wire forms become one, values checked against what the metric allows. Two filters may say the same:
//! the first prices what both match.

use crate::metric::wire::MetricFilterRecord;
use crate::plan::wire::ChargeFilterInput;
use domain::catalog::ChargeFilter;
use http_api::{ApiError, Checks, Loc};
use serde_json::Value;
use std::collections::BTreeMap;

/// Matches any event that has the property.
pub const ANY_VALUE: &str = "*any value*";

/// The filters of one charge, in order, each with the position of what was sent. Faults of form go into `checks` under `place`.
///
/// # Errors
/// 400 when a filter names what the metric does not declare or allow (contract).
pub(crate) fn checked(
    filters: &[ChargeFilterInput],
    declared: &[MetricFilterRecord],
    checks: &mut Checks,
    place: &[Loc],
) -> Result<Vec<(usize, ChargeFilter)>, ApiError> {
    let mut read = Vec::new();
    for (index, filter) in filters.iter().enumerate() {
        let here: Vec<Loc> = place.iter().cloned().chain([Loc::from("filters"), Loc::from(index)]).collect();
        if let Some(name) = &filter.invoice_display_name {
            checks.length_at(here.iter().cloned().chain(["invoice_display_name".into()]), name, 0, 255);
        }
        for values in keys_and_values(filter, declared, checks, &here)? {
            let filter = ChargeFilter {
                values,
                properties: Value::Object(filter.properties.clone()),
                invoice_display_name: filter.invoice_display_name.clone(),
            };
            read.push((index, filter));
        }
    }
    Ok(read)
}

type KeysAndValues = BTreeMap<String, Vec<String>>;

fn keys_and_values(
    filter: &ChargeFilterInput,
    declared: &[MetricFilterRecord],
    checks: &mut Checks,
    here: &[Loc],
) -> Result<Vec<KeysAndValues>, ApiError> {
    let at_values: Vec<Loc> = here.iter().cloned().chain(["values".into()]).collect();
    match (&filter.values, filter.billable_metric_filter_id) {
        (Value::Array(list), Some(id)) if !list.is_empty() => {
            let known = declared.iter().find(|known| known.id == id).ok_or_else(|| {
                let detail = format!("{}: the metric has no filter {id}", shown(here));
                ApiError::bad_request("unknown_metric_filter", detail)
            })?;
            let values = texts(list, checks, &at_values);
            allowed(known, &values, &at_values)?;
            // Contract: each value becomes a filter of its own.
            Ok(values.into_iter().map(|value| KeysAndValues::from([(known.key.clone(), vec![value])])).collect())
        }
        (Value::Object(object), None) if !object.is_empty() => {
            let mut keys = KeysAndValues::new();
            for (key, value) in object {
                let at_key: Vec<Loc> = at_values.iter().cloned().chain([Loc::from(key.clone())]).collect();
                keys.insert(key.clone(), values_of_key(key, value, declared, checks, &at_key)?);
            }
            Ok(vec![keys])
        }
        _ => {
            let msg =
                "give billable_metric_filter_id and a list of values, or an object such as {\"region\": [\"eu\"]}";
            checks.fault("value_error", at_values, msg, &filter.values);
            Ok(Vec::new())
        }
    }
}

fn values_of_key(
    key: &str,
    value: &Value,
    declared: &[MetricFilterRecord],
    checks: &mut Checks,
    place: &[Loc],
) -> Result<Vec<String>, ApiError> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        single => std::slice::from_ref(single),
    };
    checks.length_at(place.iter().cloned(), key, 1, 255);
    if list.is_empty() {
        checks.fault("too_short", place.iter().cloned(), "name at least one value", value);
    }
    let mut values = texts(list, checks, place);
    // Sorted, so that filters that say the same look the same.
    values.sort_unstable();
    match declared.iter().find(|known| known.key == key) {
        Some(known) => allowed(known, &values, place)?,
        // A metric that declares no filters at all may be filtered by anything; one that declares some has said which.
        None if declared.is_empty() => {}
        None => {
            let keys = declared.iter().map(|known| known.key.as_str()).collect::<Vec<_>>().join(", ");
            let detail = format!("{}: the metric declares no filter '{key}', but {keys}", shown(place));
            return Err(ApiError::bad_request("unknown_metric_filter", detail));
        }
    }
    Ok(values)
}

/// The texts of a list, numbers and booleans as their JSON text.
fn texts(list: &[Value], checks: &mut Checks, place: &[Loc]) -> Vec<String> {
    let mut texts = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let here = || place.iter().cloned().chain([Loc::from(index)]);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                checks.fault("string_type", here(), "Input should be a valid string", other);
                continue;
            }
        };
        checks.length_at(here(), &text, 1, 255);
        if texts.contains(&text) {
            checks.fault("value_error", here(), "the value stands twice", value);
        }
        texts.push(text);
    }
    texts
}

fn allowed(known: &MetricFilterRecord, values: &[String], place: &[Loc]) -> Result<(), ApiError> {
    let unknown = values.iter().find(|value| {
        let listed = known.values.is_empty() || known.values.contains(value);
        !listed && value.as_str() != ANY_VALUE
    });
    let Some(value) = unknown else { return Ok(()) };
    let shown_value: String = value.chars().take(64).collect();
    let detail = format!(
        "{}: '{shown_value}' is not a value of the metric's filter '{}' ({})",
        shown(place),
        known.key,
        known.values.join(", ")
    );
    Err(ApiError::bad_request("filter_value_not_allowed", detail))
}

/// A place as people write it: `charges[0].filters[1].values`.
fn shown(place: &[Loc]) -> String {
    let mut text = String::new();
    for step in place {
        match step {
            Loc::Name(name) if text.is_empty() => text.push_str(name),
            Loc::Name(name) => {
                text.push('.');
                text.push_str(name);
            }
            Loc::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

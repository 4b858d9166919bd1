//! A charge filter's own prices over those of the charge, and the properties a charge is grouped by.

use super::properties::PropertyError;
use serde_json::Value;

/// Spellings of which a model reads the first that is there: a filter that names one must not be beaten by another that it
/// inherits from its charge.
const ALTERNATIVES: [&[&str]; 5] = [
    &["amount", "unit_price", "custom_amount"],
    &["rate", "percentage"],
    &["graduated_ranges", "tiers"],
    &["volume_ranges", "tiers"],
    &["grouped_by", "pricing_group_keys"],
];

/// The properties that hold for a filter: the charge's, overlaid by the filter's.
#[must_use]
pub fn overlaid(charge: &Value, filter: &Value) -> Value {
    let (Some(base), Some(own)) = (charge.as_object(), filter.as_object()) else {
        return if filter.is_object() { filter.clone() } else { charge.clone() };
    };
    let mut merged = base.clone();
    for spellings in ALTERNATIVES {
        if spellings.iter().any(|key| own.contains_key(*key)) {
            merged.retain(|key, _| !spellings.contains(&key.as_str()));
        }
    }
    merged.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(merged)
}

/// The event properties that split a charge into one fee per combination of their values: `grouped_by`, else
/// `pricing_group_keys`; none when absent.
///
/// # Errors
/// When it is not a list of different non-empty names.
pub fn group_keys(properties: &Value) -> Result<Vec<String>, PropertyError> {
    let named = ["grouped_by", "pricing_group_keys"]
        .into_iter()
        .find_map(|name| properties.get(name).filter(|value| !value.is_null()).map(|value| (name, value)));
    let Some((name, value)) = named else {
        return Ok(Vec::new());
    };
    let wrong = |reason: &str| PropertyError { path: name.into(), reason: reason.into() };
    let list = value.as_array().ok_or_else(|| wrong("must be a list of property names"))?;
    let mut keys: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        let key = item.as_str().filter(|key| !key.is_empty()).ok_or_else(|| wrong("must hold only property names"))?;
        if keys.iter().any(|known| known == key) {
            return Err(wrong("names a property twice"));
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}

//! Reading a charge's properties: every mistake is collected with the path of its field, none stops at the first.

use crate::quantity::Quantity;
use serde_json::{Map, Value};

/// One mistake in a charge's properties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {reason}")]
pub struct PropertyError {
    /// Where, such as `graduated_ranges[1].to_value`.
    pub path: String,
    /// What is wrong, to be read after the path.
    pub reason: String,
}

/// The properties of one charge (or of one range in them) being read.
pub(super) struct Properties<'a> {
    fields: Option<&'a Map<String, Value>>,
    prefix: String,
    errors: Vec<PropertyError>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(properties: &'a Value) -> Self {
        let mut read = Self { fields: properties.as_object(), prefix: String::new(), errors: Vec::new() };
        if read.fields.is_none() {
            read.report(PropertyError { path: "properties".into(), reason: "must be an object".into() });
        }
        read
    }

    /// Ends reading: the value, or all that was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<PropertyError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            None if self.errors.is_empty() => {
                // Readers report what they refuse; if one ever does not, the refusal must not be without a word.
                Err(vec![PropertyError { path: "properties".into(), reason: "cannot be read".into() }])
            }
            _ => Err(self.errors),
        }
    }

    pub(super) fn report(&mut self, error: PropertyError) {
        self.errors.push(error);
    }

    pub(super) fn reject(&mut self, key: &str, reason: impl Into<String>) {
        let path =
            if key.is_empty() { self.prefix.trim_end_matches('.').into() } else { format!("{}{key}", self.prefix) };
        self.report(PropertyError { path, reason: reason.into() });
    }

    /// The field's value; absent when it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.and_then(|fields| fields.get(key)).filter(|value| !value.is_null())
    }

    /// A number, if the field is there.
    pub(super) fn number(&mut self, key: &str) -> Option<Quantity> {
        let value = self.get(key)?;
        match Quantity::from_json(value) {
            Ok(number) => Some(number),
            Err(error) => {
                self.reject(key, error.to_string());
                None
            }
        }
    }

    /// A number that must not be negative, if the field is there.
    pub(super) fn amount(&mut self, key: &str) -> Option<Quantity> {
        let number = self.number(key)?;
        if number.is_negative() {
            self.reject(key, "must not be negative");
        }
        Some(number)
    }

    /// The first of `keys` that is there, not negative; one of them must be.
    pub(super) fn required_amount(&mut self, keys: [&str; 2]) -> Option<Quantity> {
        let [first, other] = keys;
        let key = if self.get(first).is_some() { first } else { other };
        if self.get(key).is_none() {
            self.reject(first, format!("is required (or '{other}')"));
        }
        self.amount(key)
    }

    /// A whole number that must not be negative, if the field is there.
    pub(super) fn count(&mut self, key: &str) -> Option<u64> {
        let number = self.amount(key)?;
        let count = number.to_string().parse().ok();
        if count.is_none() && !number.is_negative() {
            self.reject(key, "must be a whole number below 2^64");
        }
        count
    }

    /// A property name, or `default` when the field is not there.
    pub(super) fn name(&mut self, key: &str, default: &str) -> Option<String> {
        let Some(value) = self.get(key) else {
            return Some(default.to_owned());
        };
        let name = value.as_str().filter(|name| !name.is_empty());
        if name.is_none() {
            self.reject(key, "must be a property name");
        }
        name.map(str::to_owned)
    }

    /// Reads the objects of a list in order, each with paths of its own; absent when one of them has a mistake, so that none
    /// is reported twice.
    pub(super) fn each_object<T>(
        &mut self,
        key: &str,
        mut read_one: impl FnMut(&mut Properties<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(list) = self.get(key)?.as_array() else {
            self.reject(key, "must be a list");
            return None;
        };
        let mut items = Vec::with_capacity(list.len());
        let known_errors = self.errors.len();
        for (index, value) in list.iter().enumerate() {
            let prefix = format!("{}{key}[{index}].", self.prefix);
            let mut item = Properties { fields: value.as_object(), prefix, errors: Vec::new() };
            if item.fields.is_none() {
                item.reject("", "must be an object");
            }
            items.extend(read_one(&mut item));
            self.errors.append(&mut item.errors);
        }
        (self.errors.len() == known_errors).then_some(items)
    }
}

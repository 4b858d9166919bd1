//! The values of one row under the names of an event: mapping, constants, and the rest as properties.

use super::options::{EVENT_FIELDS, ImportOptions};
use serde_json::{Map, Value};

/// The fields of one event as the file gave them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Event fields other than properties.
    pub fields: Map<String, Value>,
    /// Properties.
    pub properties: Map<String, Value>,
}

impl Columns {
    /// Sorts a row's values: mapped columns first by their mapping, columns named like an event field to that field, all others
    /// to the properties; constants last, over everything.
    pub(super) fn of(row: &Map<String, Value>, options: &ImportOptions) -> Result<Self, String> {
        let mut columns = Self::default();
        for (column, value) in row {
            match options.mappings.iter().find(|mapping| mapping.column == *column) {
                Some(mapping) if mapping.field == "-" => (),
                Some(mapping) => columns.put(&mapping.field, value.clone())?,
                None if column == "properties" => columns.put_all(value)?,
                None => columns.put(column, value.clone())?,
            }
        }
        for setting in &options.settings {
            columns.put(&setting.field, super::records::csv_value(&setting.value))?;
        }
        Ok(columns)
    }

    fn put(&mut self, field: &str, value: Value) -> Result<(), String> {
        if EVENT_FIELDS.contains(&field) {
            let empty = value.is_null() || value.as_str().is_some_and(str::is_empty);
            if !empty {
                self.fields.insert(field.to_string(), value);
            }
            return Ok(());
        }
        let name = field.strip_prefix("properties.").unwrap_or(field);
        if name.is_empty() {
            return Err("has a value in a column without a name".to_string());
        }
        self.properties.insert(name.to_string(), value);
        Ok(())
    }

    fn put_all(&mut self, properties: &Value) -> Result<(), String> {
        match properties {
            Value::Object(members) => {
                self.properties.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
                Ok(())
            }
            // A CSV column may hold the JSON text of an object.
            Value::String(text) if text.trim().is_empty() => Ok(()),
            Value::String(text) => match http_api::strict_json::parse(text.as_bytes()) {
                Ok(parsed @ Value::Object(_)) => self.put_all(&parsed),
                _ => Err("properties: is neither an object nor the JSON text of one".to_string()),
            },
            Value::Null => Ok(()),
            _ => Err("properties: is neither an object nor the JSON text of one".to_string()),
        }
    }

    /// An event field as text: texts as they are, numbers in their decimal text.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        match self.fields.get(field)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

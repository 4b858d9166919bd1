//! What the command line says about the meaning of columns.

use super::records::Format;
use crate::client::retry;
use chrono_tz::Tz;
use http_api::Secret;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The fields of an event that a column or a constant can fill; anything else is a property.
pub(super) const EVENT_FIELDS: [&str; 7] = [
    "transaction_id",
    "timestamp",
    "code",
    "external_customer_id",
    "external_subscription_id",
    "precise_total_amount_cents",
    "properties",
];

/// `column=field`: what the file calls a column, and which field of the event it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Name in the file.
    pub column: String,
    /// An event field, `properties.NAME`, or `-` to leave the column out.
    pub field: String,
}

/// `field=value`: a constant of every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// An event field or `properties.NAME`.
    pub field: String,
    /// Its value.
    pub value: String,
}

fn field_name(field: &str) -> Result<String, String> {
    let property = field.strip_prefix("properties.").is_some_and(|name| !name.is_empty());
    if property || (EVENT_FIELDS.contains(&field) && field != "properties") {
        return Ok(field.to_string());
    }
    let fields: Vec<&str> = EVENT_FIELDS.into_iter().filter(|known| *known != "properties").collect();
    Err(format!("'{field}' is no event field: use {} or properties.NAME", fields.join(", ")))
}

impl FromStr for Mapping {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (column, field) = text.split_once('=').ok_or("is not column=field")?;
        let field = if field == "-" { field.to_string() } else { field_name(field)? };
        Ok(Self { column: column.to_string(), field })
    }
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (field, value) = text.split_once('=').ok_or("is not field=value")?;
        Ok(Self { field: field_name(field)?, value: value.to_string() })
    }
}

/// All options of one import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Files in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Base address of the HTTP API.
    pub url: String,
    /// Whose events they are.
    pub api_key: Secret,
    /// When the file's name does not tell.
    pub format: Option<Format>,
    /// Renamed columns.
    pub mappings: Vec<Mapping>,
    /// Constants.
    pub settings: Vec<Setting>,
    /// Zone of times that carry none.
    pub timezone: Option<Tz>,
    /// Columns or event fields whose values make the id; empty: file and line.
    pub id_from: Vec<String>,
    /// Events in one request.
    pub chunk: usize,
    /// Longest time without any success before it gives up.
    pub patience: Duration,
    /// Forget saved positions.
    pub restart: bool,
    /// Where positions are saved; else beside each file.
    pub position_dir: Option<PathBuf>,
}

impl ImportOptions {
    /// A digest of everything that decides which events a file becomes and whose they are: a position saved under another one
    /// says nothing about this import.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mappings = self.mappings.iter().map(|mapping| format!("map {}={}", mapping.column, mapping.field));
        let settings = self.settings.iter().map(|setting| format!("set {}={}", setting.field, setting.value));
        let rest = [
            format!("url {}", self.url),
            format!("key {}", self.api_key.reveal()),
            format!("zone {:?}", self.timezone.map(Tz::name)),
            format!("id {:?} {:?}", self.id_from, self.format),
        ];
        for part in mappings.chain(settings).chain(rest) {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.finalize().to_hex()[..32].to_string()
    }
}

/// Runs a request under the import's patience, telling `on_pause` why it waits.
pub(super) async fn patiently<T, F: Future<Output = Result<T, crate::client::ApiFailure>>>(
    options: &ImportOptions,
    on_pause: impl FnMut(&crate::client::ApiFailure, Duration),
    attempt: impl FnMut() -> F,
) -> Result<T, crate::client::ApiFailure> {
    retry::retrying(options.patience, on_pause, attempt).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_names_a_column_and_a_field_that_exists() {
        assert_eq!(
            "TIMESTAMP=timestamp".parse(),
            Ok(Mapping { column: "TIMESTAMP".into(), field: "timestamp".into() })
        );
        assert_eq!(
            "n=properties.tokens".parse(),
            Ok(Mapping { column: "n".into(), field: "properties.tokens".into() })
        );
        assert_eq!("secret=-".parse(), Ok(Mapping { column: "secret".into(), field: "-".into() }));
        let fault = "who=customer".parse::<Mapping>().unwrap_err();
        assert!(fault.contains("'customer' is no event field") && fault.contains("external_customer_id"), "{fault}");
        assert!("code".parse::<Setting>().is_err());
        assert_eq!("code=a=b".parse(), Ok(Setting { field: "code".into(), value: "a=b".into() }));
    }
}

//! One row to one event of the HTTP API.

use super::columns::Columns;
use super::options::ImportOptions;
use super::records::Record;
use super::timestamps::instant;
use serde_json::{Map, Value};

/// What standard input is called on the command line.
const STANDARD_INPUT: &str = "-";

/// A row ready to be sent, or the reason why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// Line in the file, or number in the list.
    pub line: u64,
    /// One line of NDJSON without its end, or what is wrong with the row.
    pub event: Result<String, String>,
}

/// Makes the event of one record of the file whose ids begin with `stem`.
pub(super) fn prepare(record: &Record, stem: &str, options: &ImportOptions) -> Prepared {
    let event = record.fields.clone().and_then(|row| event_of(&row, record.line, stem, options));
    Prepared { line: record.line, event: event.map(|event| Value::Object(event).to_string()) }
}

fn event_of(
    row: &Map<String, Value>,
    line: u64,
    stem: &str,
    options: &ImportOptions,
) -> Result<Map<String, Value>, String> {
    let columns = Columns::of(row, options)?;
    let required = |field: &str| {
        let hint = format!(
            "{field}: is missing; name its column with --map COLUMN={field} or set it with --set {field}=VALUE"
        );
        columns.text(field).ok_or(hint)
    };
    let code = required("code")?;
    let timestamp =
        instant(&required("timestamp")?, options.timezone).map_err(|fault| format!("timestamp: {fault}"))?;
    if columns.text("external_customer_id").is_none() && columns.text("external_subscription_id").is_none() {
        required("external_customer_id")?;
    }
    let id = match columns.text("transaction_id") {
        Some(id) if options.id_from.is_empty() => id,
        _ => transaction_id(row, &columns, line, stem, options)?,
    };
    let mut event = Map::new();
    event.insert("transaction_id".into(), id.into());
    event.insert("code".into(), code.into());
    event.insert("timestamp".into(), timestamp.to_string().into());
    for field in ["external_customer_id", "external_subscription_id", "precise_total_amount_cents"] {
        if let Some(text) = columns.text(field) {
            event.insert(field.into(), text.into());
        }
    }
    event.insert("properties".into(), Value::Object(columns.properties));
    Ok(event)
}

/// The row's id: the values of `--id-from`, else file and line. A code that every row gets by `--set` is part of it either way:
/// importing one file once for each of several metrics makes as many events of each row.
fn transaction_id(
    row: &Map<String, Value>,
    columns: &Columns,
    line: u64,
    stem: &str,
    options: &ImportOptions,
) -> Result<String, String> {
    if options.id_from.is_empty() && stem == STANDARD_INPUT {
        return Err("transaction_id: is missing, and standard input has no name to make ids from; use --id-from".into());
    }
    let mut parts = if options.id_from.is_empty() { vec![stem.to_string(), line.to_string()] } else { Vec::new() };
    for name in &options.id_from {
        let text = row.get(name).map(plain).or_else(|| columns.text(name));
        parts.push(text.ok_or_else(|| format!("--id-from: the row has no '{name}'"))?);
    }
    if let Some(code) = options.settings.iter().find(|setting| setting.field == "code") {
        parts.push(code.value.clone());
    }
    // The separator is escaped inside a part, so that two different rows never meet in one id.
    let escaped: Vec<String> = parts.iter().map(|part| part.replace('%', "%25").replace(':', "%3A")).collect();
    Ok(escaped.join(":"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::super::options::{Mapping, Setting};
    use super::*;
    use http_api::Secret;
    use serde_json::json;
    use std::time::Duration;

    fn options(mappings: &[&str], settings: &[&str], id_from: &[&str]) -> ImportOptions {
        ImportOptions {
            files: vec![],
            url: "http://localhost".into(),
            api_key: Secret::new("k"),
            format: None,
            mappings: mappings.iter().map(|text| text.parse::<Mapping>().unwrap()).collect(),
            settings: settings.iter().map(|text| text.parse::<Setting>().unwrap()).collect(),
            timezone: Some(chrono_tz::UTC),
            id_from: id_from.iter().map(ToString::to_string).collect(),
            chunk: 10,
            patience: Duration::from_secs(1),
            restart: false,
            position_dir: None,
        }
    }

    fn prepared(row: Value, options: &ImportOptions) -> Result<Value, String> {
        let Value::Object(fields) = row else { panic!("a row is an object") };
        let seen = prepare(&Record { line: 7, fields: Ok(fields) }, "usage.csv", options);
        seen.event.map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_mapped_row_becomes_an_event_whose_other_columns_are_properties() {
        let options = options(
            &["TIMESTAMP=timestamp", "Who=external_customer_id", "internal=-"],
            &["code=tokens", "properties.region=eu"],
            &[],
        );
        let row = json!({"TIMESTAMP": "2023-11-16 18:15:46", "Who": "acme", "internal": "x", "n": 374});
        assert_eq!(
            prepared(row, &options).unwrap(),
            json!({"transaction_id": "usage.csv:7:tokens", "code": "tokens", "timestamp": "2023-11-16T18:15:46Z",
                   "external_customer_id": "acme", "properties": {"n": 374, "region": "eu"}})
        );
    }

    #[test]
    fn ids_from_columns_never_meet_by_their_separator() {
        let options = options(&[], &[], &["a", "b"]);
        let row = |a: &str, b: &str| json!({"a": a, "b": b, "code": "c", "timestamp": "2026-01-01T00:00:00Z", "external_customer_id": "k"});
        let id = |row| prepared(row, &options).unwrap()["transaction_id"].clone();
        assert_eq!(id(row("x", "y")), "x:y");
        assert_ne!(id(row("x:", "y")), id(row("x", ":y")));
        let Err(fault) =
            prepared(json!({"code": "c", "timestamp": "2026-01-01", "external_customer_id": "k"}), &options)
        else {
            panic!("the row has no id column")
        };
        assert_eq!(fault, "--id-from: the row has no 'a'");
    }

    #[test]
    fn rows_of_standard_input_need_ids_of_their_own() {
        let row = json!({"code": "c", "timestamp": "2026-01-01T00:00:00Z", "external_customer_id": "k"});
        let Value::Object(fields) = row else { panic!("a row is an object") };
        let piped = |options| prepare(&Record { line: 1, fields: Ok(fields.clone()) }, "-", &options).event;
        assert!(piped(options(&[], &[], &[])).unwrap_err().contains("--id-from"));
        assert!(piped(options(&[], &[], &["code"])).is_ok());
    }

    #[test]
    fn an_own_transaction_id_is_kept_and_properties_keep_their_digits() {
        let row = json!({"transaction_id": "t-1", "code": "c", "timestamp": "2026-01-01T00:00:00Z",
                         "external_subscription_id": "s", "properties": {"n": 0}, "extra": true});
        let seen = prepared(row, &options(&[], &[], &[])).unwrap();
        assert_eq!(seen["transaction_id"], "t-1");
        assert_eq!(seen["properties"], json!({"n": 0, "extra": true}));
    }

    #[test]
    fn a_row_without_code_time_or_customer_says_which_and_how_to_give_it() {
        let whole = json!({"code": "c", "timestamp": "2026-01-01T00:00:00Z", "external_customer_id": "k"});
        for field in ["code", "timestamp", "external_customer_id"] {
            let mut row = whole.clone();
            row[field] = json!("");
            let fault = prepared(row, &options(&[], &[], &[])).unwrap_err();
            assert!(fault.starts_with(field) && fault.contains("--map") && fault.contains("--set"), "{fault}");
        }
    }
}

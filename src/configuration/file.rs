//! The TOML file: sections of scalar keys, nothing unknown.

use super::layers::{Layers, Source, nearest};
use super::settings::{SETTINGS, find};
use std::path::Path;
use toml::{Table, Value};

/// Sets what the file's text says; unknown sections and keys, and lists or tables as values, are problems.
pub(super) fn set_from_file(text: &str, path: &Path, layers: &mut Layers, problems: &mut Vec<String>) {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(fault) => {
            problems.push(format!("configuration file {}: {}", path.display(), fault.to_string().trim_end()));
            return;
        }
    };
    for (section, content) in table {
        let Value::Table(keys) = content else {
            problems.push(unknown(path, &section));
            continue;
        };
        for (key, value) in keys {
            let name = format!("{section}.{key}");
            match (find(&name), scalar(&value)) {
                (None, _) => problems.push(unknown(path, &name)),
                (Some(_), None) => problems.push(format!(
                    "{name} in {}: is a {}, wanted one text, number or boolean",
                    path.display(),
                    value.type_str()
                )),
                (Some(setting), Some(scalar)) => layers.set(setting, scalar, Source::File(path.to_path_buf())),
            }
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn unknown(path: &Path, name: &str) -> String {
    let hint = nearest(name, SETTINGS.iter().map(|setting| setting.name))
        .map_or_else(|| "`tollgate check-config` prints all keys".to_string(), |near| format!("did you mean {near}?"));
    format!("configuration file {}: unknown key '{name}' ({hint})", path.display())
}

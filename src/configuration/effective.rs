//! The configuration in force as a TOML file, without secrets.

use super::layers::Layers;
use super::settings::SETTINGS;
use std::fmt::Write;

/// A file that would set what is in force now, each line with where its value came from. Secrets show only whether they are set.
#[must_use]
pub fn effective_toml(layers: &Layers) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in SETTINGS.iter() {
        if setting.section() != section {
            section = setting.section();
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{section}]"); // A String takes every write.
        }
        let given = layers.get(setting.name);
        let line = match (given.text.is_empty(), setting.secret) {
            (true, _) => format!("# {} is not set", setting.key()),
            (false, true) => format!("# {} is set and not shown", setting.key()),
            (false, false) => format!("{} = {}", setting.key(), literal(&given.text, setting.default)),
        };
        let _ = writeln!(text, "{line:<50} # {}", given.source); // As above.
    }
    text
}

fn literal(text: &str, default: &str) -> String {
    let bare = default.parse::<i64>().is_ok() || matches!(default, "true" | "false");
    if bare { text.to_string() } else { toml::Value::String(text.to_string()).to_string() }
}

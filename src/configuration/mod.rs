//! Configuration: one table of settings, four places to set them, and errors that name the place.
//!
//! Purpose: every setting is a row of [`settings::SETTINGS`], so that its flag, its environment variable, its file key, its
//! default and its help cannot drift apart. Flag beats environment beats file beats default.
//!
//! It refuses an unknown flag or file key (a typing error must not silently leave a default in force), values that do not
//! parse, and values that contradict one another. An unknown `TOLLGATE_…` variable is only a warning: orchestrators inject such
//! names for services that are called `tollgate`.
//!
//! Failure behaviour: all mistakes are collected and told at once, each with where it was set.

mod checks;
mod effective;
mod file;
mod flags;
mod layers;
pub mod settings;
mod typed;
mod values;

pub use checks::ADMIN_SECRET_LEAST_CHARS;
pub use effective::effective_toml;
pub use flags::SettingFlags;
pub use layers::{Layers, Source};
pub use typed::{ClickHouseServer, Configuration, LogFormat};

use std::path::PathBuf;

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", problems.join("\n"))]
pub struct ConfigurationError {
    /// One line each: where it was set, what is wrong, what to do.
    pub problems: Vec<String>,
}

/// A configuration, where each value came from, and what was odd but not wrong.
#[derive(Debug)]
pub struct Loaded {
    /// The values as the program uses them.
    pub configuration: Configuration,
    /// The same as texts with their origin.
    pub layers: Layers,
    /// One line each, for the log.
    pub warnings: Vec<String>,
}

/// Reads flags, environment and file into one configuration.
///
/// # Errors
/// Lists every unknown key, unreadable value and contradiction.
pub fn load(flags: &SettingFlags) -> Result<Loaded, ConfigurationError> {
    load_over(flags, &[])
}

/// The same over other defaults, `(section.key, text)`: what a service started by itself has.
///
/// # Errors
/// As [`load`].
pub fn load_over(flags: &SettingFlags, defaults: &[(&str, &str)]) -> Result<Loaded, ConfigurationError> {
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    load_from(flags, defaults, environment)
}

fn load_from(
    flags: &SettingFlags,
    defaults: &[(&str, &str)],
    environment: impl Iterator<Item = (String, std::ffi::OsString)>,
) -> Result<Loaded, ConfigurationError> {
    let mut layers = Layers::defaults();
    for (name, text) in defaults {
        layers.set_default(name, text);
    }
    let mut problems = Vec::new();
    let (variables, mut warnings) = layers::known_variables(environment, &mut problems);
    if let Some(path) = flags.config_file(&variables) {
        read_file(&path, &mut layers, &mut problems);
    }
    layers.set_from_environment(variables);
    layers.set_from_flags(flags);
    let configuration = typed::Configuration::from_layers(&layers, &mut problems);
    if let Some(configuration) = &configuration {
        checks::check(configuration, &layers, &mut problems);
        warnings.extend(checks::unused(configuration, &layers));
    }
    match configuration {
        Some(configuration) if problems.is_empty() => Ok(Loaded { configuration, layers, warnings }),
        _ => Err(ConfigurationError { problems }),
    }
}

fn read_file(path: &PathBuf, layers: &mut Layers, problems: &mut Vec<String>) {
    match std::fs::read_to_string(path) {
        Ok(text) => file::set_from_file(&text, path, layers, problems),
        Err(fault) => problems.push(format!("configuration file {}: {fault}", path.display())),
    }
}

#[cfg(test)]
mod tests;

//! Values as texts, each with where it was set; a later layer replaces an earlier one.

use super::flags::SettingFlags;
use super::settings::{self, SETTINGS, Setting};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Variables that belong to tests, tools or the choice of the file, and are no settings.
const OTHER_VARIABLES: [&str; 6] = [
    "TOLLGATE_ENGINE_BIN",
    "TOLLGATE_ENGINE_PASSWORD",
    "TOLLGATE_GOLDEN_RATING",
    "TOLLGATE_GOLDEN_SCENARIOS",
    "TOLLGATE_IMPORT_API_KEY",
    "TOLLGATE_IMPORT_URL",
];

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere.
    Default,
    /// In this file.
    File(PathBuf),
    /// In this variable.
    Environment(String),
    /// By this flag.
    Flag(&'static str),
}

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// As it was written.
    pub text: String,
    /// Where.
    pub source: Source,
}

/// One value per setting.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<&'static str, Given>,
}

impl Layers {
    /// Every setting at its default.
    #[must_use]
    pub fn defaults() -> Self {
        let given = |setting: &'static Setting| Given { text: setting.default.to_string(), source: Source::Default };
        Self { values: SETTINGS.iter().map(|setting| (setting.name, given(setting))).collect() }
    }

    /// Another default: what a service started by itself has.
    pub(super) fn set_default(&mut self, name: &str, text: &str) {
        if let Some(setting) = settings::find(name) {
            self.set(setting, text.to_string(), Source::Default);
        }
    }

    pub(super) fn set(&mut self, setting: &'static Setting, text: String, source: Source) {
        self.values.insert(setting.name, Given { text, source });
    }

    /// The value in force.
    ///
    /// # Panics
    /// When the table has no such setting: a mistake of ours that every test of the configuration meets.
    #[must_use]
    pub fn get(&self, name: &str) -> &Given {
        &self.values[name]
    }

    pub(super) fn set_from_environment(&mut self, variables: Variables) {
        for (setting, text) in variables.settings {
            self.set(setting, text, Source::Environment(setting.variable()));
        }
    }

    pub(super) fn set_from_flags(&mut self, flags: &SettingFlags) {
        for (setting, text) in flags.given() {
            self.set(setting, text.clone(), Source::Flag(setting.flag));
        }
    }

    /// How to name a setting to the person who set it: the variable, the flag, or the key with its file.
    #[must_use]
    pub fn place(&self, name: &str) -> String {
        let setting_name = settings::find(name).map_or(name, |setting| setting.name);
        match &self.get(name).source {
            Source::Default => setting_name.to_string(),
            Source::File(path) => format!("{setting_name} in {}", path.display()),
            Source::Environment(variable) => variable.clone(),
            Source::Flag(flag) => format!("--{flag}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Environment(variable) => f.write_str(variable),
            Source::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// What of the environment is ours.
#[derive(Debug, Default)]
pub(super) struct Variables {
    settings: Vec<(&'static Setting, String)>,
    /// `TOLLGATE_CONFIG`: the file to read.
    pub(super) config_file: Option<PathBuf>,
}

/// Picks our variables out of an environment. Unknown ones become warnings, those that are not UTF-8 problems. An empty
/// variable counts as not set: compose files pass `X=${X}` on.
pub(super) fn known_variables(
    environment: impl Iterator<Item = (String, OsString)>,
    problems: &mut Vec<String>,
) -> (Variables, Vec<String>) {
    let by_variable: BTreeMap<String, &'static Setting> =
        SETTINGS.iter().map(|setting| (setting.variable(), setting)).collect();
    let (mut variables, mut warnings) = (Variables::default(), Vec::new());
    for (name, value) in environment.filter(|(name, _)| name.starts_with("TOLLGATE_")) {
        if value.is_empty() {
            continue;
        }
        if name == "TOLLGATE_CONFIG" {
            variables.config_file = Some(PathBuf::from(value));
            continue;
        }
        let Some(&setting) = by_variable.get(&name) else {
            warnings.extend(unknown_variable(&name, by_variable.keys().map(String::as_str)));
            continue;
        };
        match value.into_string() {
            Ok(text) => variables.settings.push((setting, text)),
            Err(_) => problems.push(format!("{name}: is not UTF-8 text")),
        }
    }
    warnings.sort();
    (variables, warnings)
}

fn unknown_variable<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if OTHER_VARIABLES.contains(&name) {
        return None;
    }
    let hint = nearest(name, known).map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    Some(format!("{name} is no setting and is ignored{hint}"))
}

/// The most similar candidate, when one is similar enough to be a typing error.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A typing error changes about one letter in four; more is another word.
    let most = (word.chars().count() / 4).max(2);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

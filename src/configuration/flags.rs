//! The settings as flags, made from the table, and `--config`.

use super::layers::Variables;
use super::settings::{SETTINGS, Setting};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use std::path::PathBuf;

/// The setting flags that were given.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags {
    config: Option<PathBuf>,
    given: Vec<(&'static Setting, String)>,
}

impl SettingFlags {
    pub(super) fn config_file(&self, variables: &Variables) -> Option<PathBuf> {
        self.config.clone().or_else(|| variables.config_file.clone())
    }

    pub(super) fn given(&self) -> &[(&'static Setting, String)] {
        &self.given
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    let argument = Arg::new(setting.name)
        .long(setting.flag)
        .value_name(setting.value)
        .help(format!("{}{default} [env: {}]", setting.help, setting.variable()))
        .help_heading("Settings (flag beats environment beats file beats default)");
    if setting.value == "true|false" { argument.num_args(0..=1).default_missing_value("true") } else { argument }
}

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration file (TOML) [env: TOLLGATE_CONFIG]");
        command.arg(config).args(SETTINGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS
            .iter()
            .filter_map(|setting| matches.get_one::<String>(setting.name).map(|text| (setting, text.clone())))
            .collect();
        Ok(Self { config: matches.get_one::<PathBuf>("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

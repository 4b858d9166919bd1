//! The log: standard error, as text or as one JSON object a line.

use crate::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging as configured; a second call in one process changes nothing.
pub fn start(configuration: &Configuration) {
    // The configuration has checked the filter; should it not parse here, "info" says more than nothing.
    let filter = configuration.log_level.parse().unwrap_or_else(|_| EnvFilter::new("info"));
    begin(configuration.log_format, filter);
}

/// Starts logging in a command that answers on standard output: warnings and errors only.
pub fn start_quiet(configuration: &Configuration) {
    begin(configuration.log_format, EnvFilter::new("warn"));
}

fn begin(format: LogFormat, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(fault) = started {
        tracing::debug!(%fault, "logging runs already");
    }
}

/// Starts logging in an engine process: its parent writes the lines into its own log, so they carry no time and no colour.
pub fn start_engine(standalone: bool) {
    let filter = EnvFilter::new("info");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = if standalone { builder.try_init() } else { builder.without_time().with_target(false).try_init() };
    if let Err(fault) = started {
        tracing::debug!(%fault, "logging runs already");
    }
}

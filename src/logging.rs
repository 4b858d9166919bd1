//! The log: standard error, as text or as one JSON object a line.

use crate::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging; a second call in one process changes nothing.
pub fn start(configuration: &Configuration) {
    // The configuration has checked the filter; should it not parse here, "info" says more than nothing.
    let filter = configuration.log_level.parse().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match configuration.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(fault) = started {
        tracing::debug!(%fault, "logging runs already");
    }
}

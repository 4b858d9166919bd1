//! Values against each other: what is fine alone and wrong together.

use super::layers::Layers;
use super::typed::Configuration;

/// Shortest admin secret. 32 characters of a 64-letter alphabet are 192 bits; even of hexadecimal digits, 128.
pub const ADMIN_SECRET_LEAST_CHARS: usize = 32;

/// Adds every contradiction to `problems`.
pub(super) fn check(configuration: &Configuration, layers: &Layers, problems: &mut Vec<String>) {
    if let Some(secret) = &configuration.admin_secret {
        let chars = secret.reveal().chars().count();
        if chars < ADMIN_SECRET_LEAST_CHARS {
            problems.push(format!(
                "{}: has {chars} characters, at least {ADMIN_SECRET_LEAST_CHARS} are needed (openssl rand -hex 32 makes one)",
                layers.place("admin.secret")
            ));
        }
    }
    if configuration.drain > configuration.request_timeout {
        problems.push(format!(
            "{} ({} s) is longer than {} ({} s): no request lives that long",
            layers.place("server.drain_seconds"),
            configuration.drain.as_secs(),
            layers.place("server.request_timeout_seconds"),
            configuration.request_timeout.as_secs()
        ));
    }
}

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
    let (drain, body) = (configuration.drain, configuration.ingest_limits.body_timeout);
    if drain < body {
        problems.push(format!(
            "{} ({} s) is shorter than {} ({} s): each stop would cut off requests that are within their time",
            layers.place("server.drain_seconds"),
            drain.as_secs(),
            layers.place("ingest.body_timeout_seconds"),
            body.as_secs()
        ));
    }
    let largest = configuration.ingest_limits.max_body_bytes;
    if configuration.kafka.as_ref().is_some_and(|kafka| kafka.queue_bytes < largest) {
        problems.push(format!(
            "{} is less than {}: a request of that size could never be taken",
            layers.place("kafka.queue_bytes"),
            layers.place("ingest.max_body_bytes")
        ));
    }
    if configuration.ingest_memory_bytes < largest {
        problems.push(format!(
            "{} is less than {}: a request of that size could never be taken",
            layers.place("ingest.memory_bytes"),
            layers.place("ingest.max_body_bytes")
        ));
    }
}

/// What is set and has no effect.
pub(super) fn unused(configuration: &Configuration, layers: &Layers) -> Option<String> {
    let is_unused = configuration.kafka.is_none() && !layers.get("kafka.brokers").text.is_empty();
    is_unused.then(|| {
        let place = layers.place("kafka.brokers");
        format!("{place} is set, but {} is direct: events do not go through Kafka", layers.place("ingest.mode"))
    })
}

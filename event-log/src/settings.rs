//! How to reach the brokers, and which timeouts must fit into which.

use rdkafka::ClientConfig;
use serde::Deserialize;
use std::time::Duration;

/// Largest record: 256 KiB of lines (architecture, "The log").
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Settings of the log, section `kafka` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    /// Bootstrap list, `host:port,host:port`.
    pub brokers: String,
    /// Topic of events.
    pub topic: String,
    /// Which log this topic is, counted from 1: the next topic that replaces it has the next number. Part of every event's
    /// position; 0 is the log of an installation without brokers.
    pub epoch: u16,
    /// Topic of lines that could not be read.
    pub dead_letter_topic: String,
    /// Partitions of the topic when it is created; verified when it exists.
    pub partitions: u16,
    /// Replicas when it is created; 0 takes the brokers' default.
    pub replication: u16,
    /// Fewest replicas that must hold a record before it is acknowledged; 0 takes the brokers' default.
    pub min_insync_replicas: u16,
    /// How long the log keeps events, in hours; the least that lets a store that was down catch up.
    pub retention_hours: u32,
    /// `lz4`, `zstd` or `none`.
    pub compression: String,
    /// How long a small record waits for more lines, in milliseconds.
    pub linger_ms: u64,
    /// How long librdkafka tries to deliver a record, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// One attempt, in milliseconds.
    pub request_timeout_ms: u64,
    /// Bytes of unacknowledged lines held in memory; past it requests are answered 503 before anything is accepted.
    pub queue_bytes: usize,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: String,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// User.
    pub sasl_username: Option<String>,
    /// Password; never logged.
    pub sasl_password: Option<Secret>,
    /// Certificate authority, a PEM file.
    pub ssl_ca_location: Option<String>,
}

/// A text that `Debug` does not show.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: "tollgate-events".into(),
            epoch: 1,
            dead_letter_topic: "tollgate-events.dead-letters".into(),
            partitions: 6,
            replication: 0,
            min_insync_replicas: 0,
            // A week: a store that breaks on a Friday evening is repaired on Monday with days to spare.
            retention_hours: 24 * 7,
            compression: "lz4".into(),
            linger_ms: 4,
            delivery_timeout_ms: 20_000,
            request_timeout_ms: 5_000,
            queue_bytes: 128 * 1024 * 1024,
            security_protocol: "plaintext".into(),
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca_location: None,
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("kafka.{key}: {reason}")]
pub struct SettingsError {
    /// Which key of section `kafka`.
    pub key: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl KafkaSettings {
    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn check(&self, request_timeout: Duration) -> Result<(), SettingsError> {
        let refuse = |key, reason: &str| Err(SettingsError { key, reason: reason.into() });
        if self.brokers.trim().is_empty() {
            return refuse("brokers", "names no broker; give host:port[,host:port…]");
        }
        if self.partitions == 0 {
            return refuse("partitions", "must be at least 1");
        }
        if self.epoch == 0 {
            return refuse("epoch", "must be at least 1: 0 is the log of an installation without brokers");
        }
        if !["lz4", "zstd", "none"].contains(&self.compression.as_str()) {
            return refuse("compression", "takes lz4, zstd or none");
        }
        if self.request_timeout_ms >= self.delivery_timeout_ms {
            return refuse(
                "request_timeout_ms",
                "must be shorter than delivery_timeout_ms, or no attempt is ever repeated",
            );
        }
        if u128::from(self.delivery_timeout_ms) >= request_timeout.as_millis() {
            return refuse(
                "delivery_timeout_ms",
                "must be shorter than the gateway's request timeout, or clients are cut off before the answer is known",
            );
        }
        if self.queue_bytes < 4 * MAX_RECORD_BYTES {
            return refuse("queue_bytes", "must hold at least four records (1048576)");
        }
        Ok(())
    }

    /// What every client of these brokers needs.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("security.protocol", &self.security_protocol);
        config.set("socket.keepalive.enable", "true");
        config.set("reconnect.backoff.max.ms", "1000");
        let optional = [
            ("sasl.mechanism", self.sasl_mechanism.as_deref()),
            ("sasl.username", self.sasl_username.as_deref()),
            ("sasl.password", self.sasl_password.as_ref().map(|secret| secret.0.as_str())),
            ("ssl.ca.location", self.ssl_ca_location.as_deref()),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                config.set(key, value);
            }
        }
        config
    }

    /// The idempotent producer: a record is either in the log once or reported as failed.
    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("compression.codec", &self.compression);
        // Lines are packed into records before they get here; waiting again would only add latency.
        config.set("linger.ms", "0");
        config.set("message.timeout.ms", self.delivery_timeout_ms.to_string());
        config.set("request.timeout.ms", self.request_timeout_ms.to_string());
        config.set("message.max.bytes", (4 * MAX_RECORD_BYTES).to_string());
        // The byte limit is ours (queue_bytes), decided before a request is read. librdkafka's own limits stand well above
        // it: a message-count limit that bites first would refuse what was already admitted.
        config.set("queue.buffering.max.messages", "10000000");
        config.set("queue.buffering.max.kbytes", (2 * self.queue_bytes / 1024).max(64 * 1024).to_string());
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings { brokers: "127.0.0.1:9092".into(), ..KafkaSettings::default() }
    }

    #[test]
    fn timeouts_that_do_not_fit_into_each_other_are_refused_by_name() {
        let minute = Duration::from_secs(60);
        assert_eq!(settings().check(minute), Ok(()));
        let key_of = |settings: KafkaSettings, timeout| settings.check(timeout).unwrap_err().key;
        assert_eq!(key_of(settings(), Duration::from_secs(20)), "delivery_timeout_ms");
        assert_eq!(key_of(KafkaSettings { request_timeout_ms: 20_000, ..settings() }, minute), "request_timeout_ms");
        assert_eq!(key_of(KafkaSettings { compression: "snappy".into(), ..settings() }, minute), "compression");
        assert_eq!(key_of(KafkaSettings { brokers: " ".into(), ..settings() }, minute), "brokers");
    }

    #[test]
    fn a_password_is_not_shown_by_debug() {
        let settings = KafkaSettings { sasl_password: Some(Secret("hunter2".into())), ..settings() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

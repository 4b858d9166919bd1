//! How to reach the brokers, and which settings must fit into which.
//!
//! - [`KafkaSettings::from_values`]: texts of section `kafka` of the configuration to checked settings; every problem at once,
//!   each with its key
//! - [`KEYS`]: that section, for help texts and for finding unknown keys
//! - `check.rs`: settings against each other, and files that must be readable; `client.rs`: librdkafka's names for them
//!
//! It refuses to show a password: [`Secret`] has no readable `Debug`, and no error quotes a value of a secret key.

mod check;
mod client;
mod values;

pub use values::{KEYS, Key};

use std::path::PathBuf;

/// Largest record: 256 KiB of lines (architecture, "The log").
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Settings of the log, section `kafka` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Bootstrap list, `host:port,host:port`.
    pub brokers: String,
    /// Topic of events; its name ends in `-` and the epoch.
    pub topic: String,
    /// Which log this is, from 1 (0 is direct mode): grows when a topic is replaced by a larger one.
    pub epoch: u16,
    /// Topic of lines that could not be read.
    pub dead_letter_topic: String,
    /// Consumer group that all aggregators of one event store share: its committed offsets say how far the store is.
    pub group: String,
    /// Name of this aggregator in its group, the same at each start: one that was killed then gets its partitions back at once.
    /// No two running processes may have the same. None: another start is another member.
    pub instance: Option<String>,
    /// Partitions of the topic when it is created; verified when it exists.
    pub partitions: u16,
    /// Replicas when it is created; 0 takes the brokers' default.
    pub replication: u16,
    /// Fewest replicas that must hold a record before it is acknowledged; 0 takes the brokers' default.
    pub min_insync_replicas: u16,
    /// How long the log keeps events, in hours; the least that lets a store that was down catch up.
    pub retention_hours: u32,
    /// How records travel and are kept.
    pub compression: Compression,
    /// How long a small record waits for more lines, in milliseconds.
    pub linger_ms: u64,
    /// How long librdkafka tries to deliver a record, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// One attempt, in milliseconds.
    pub request_timeout_ms: u64,
    /// Bytes of unacknowledged lines held in memory; past it requests are answered 503 before anything is accepted.
    pub queue_bytes: usize,
    /// How connections are secured.
    pub security_protocol: SecurityProtocol,
    /// How this client proves who it is, where the protocol has SASL.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// User.
    pub sasl_username: Option<String>,
    /// Password; never logged.
    pub sasl_password: Option<Secret>,
    /// Certificates of authorities that may vouch for brokers, a PEM file; the system's when absent.
    pub ssl_ca: Option<PathBuf>,
    /// This client's own certificate, a PEM file.
    pub ssl_certificate: Option<PathBuf>,
    /// Its private key, a PEM file.
    pub ssl_key: Option<PathBuf>,
    /// Password of that key; never logged.
    pub ssl_key_password: Option<Secret>,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast: half a core per gigabyte and second.
    Lz4,
    /// Smaller, about four times the work.
    Zstd,
}

/// How connections to the brokers are secured, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Authenticated over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether connections are TLS.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether this client proves who it is by user and password.
    #[must_use]
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a user and password are proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself is sent: only over TLS.
    Plain,
    /// Challenge and response.
    ScramSha256,
    /// Challenge and response.
    ScramSha512,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; not for logs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: "tollgate-events-1".into(),
            epoch: 1,
            dead_letter_topic: "tollgate-dead-letters".into(),
            group: "tollgate-aggregator".into(),
            instance: None,
            partitions: 6,
            replication: 0,
            min_insync_replicas: 0,
            // A week: a store that breaks on a Friday evening is repaired on Monday with days to spare.
            retention_hours: 24 * 7,
            compression: Compression::Lz4,
            linger_ms: 4,
            delivery_timeout_ms: 20_000,
            request_timeout_ms: 5_000,
            queue_bytes: 128 * 1024 * 1024,
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca: None,
            ssl_certificate: None,
            ssl_key: None,
            ssl_key_password: None,
        }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("kafka.{key}: {reason}")]
pub struct SettingsError {
    /// Which key of section `kafka`.
    pub key: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl SettingsError {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

//! Settings as librdkafka calls them.

use super::{Compression, KafkaSettings, MAX_RECORD_BYTES, SaslMechanism, Secret, SecurityProtocol};
use rdkafka::ClientConfig;

impl KafkaSettings {
    /// What every client of these brokers needs.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("security.protocol", self.security_protocol.name());
        config.set("socket.keepalive.enable", "true");
        config.set("reconnect.backoff.max.ms", "1000");
        // Asking whether a topic exists must not make it: brokers do by default, with one partition.
        config.set("allow.auto.create.topics", "false");
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
        let optional = [
            ("sasl.mechanism", self.sasl_mechanism.map(|mechanism| mechanism.name().to_owned())),
            ("sasl.username", self.sasl_username.clone()),
            ("sasl.password", secret(&self.sasl_password)),
            ("ssl.ca.location", path(&self.ssl_ca)),
            ("ssl.certificate.location", path(&self.ssl_certificate)),
            ("ssl.key.location", path(&self.ssl_key)),
            ("ssl.key.password", secret(&self.ssl_key_password)),
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
        config.set("compression.codec", self.compression.name());
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

impl Compression {
    /// As configuration and librdkafka write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl SecurityProtocol {
    /// As configuration and librdkafka write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    /// As configuration and librdkafka write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

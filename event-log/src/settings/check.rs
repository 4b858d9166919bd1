//! Settings against each other: what is fine alone and wrong together. Files are opened, so that a missing one is told at start
//! and not as a connection that never comes.

use super::{KafkaSettings, MAX_RECORD_BYTES, SaslMechanism, SecurityProtocol, SettingsError};
use std::path::PathBuf;
use std::time::Duration;

/// Longest name of a topic; Kafka's own limit.
const MAX_TOPIC_CHARS: usize = 249;
/// Kafka's limit of 249 less '-' and an epoch, with room to spare.
const MAX_INSTANCE_CHARS: usize = 240;
/// Longest linger: past a second, a single request waits longer than clients expect of any write.
const MAX_LINGER_MS: u64 = 1_000;

/// What Kafka takes in names.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl KafkaSettings {
    /// Checks that the settings fit together and into `answer_within`, the least time that a request is left to end.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn check(&self, answer_within: Duration) -> Result<(), SettingsError> {
        self.problems(answer_within).into_iter().next().map_or(Ok(()), Err)
    }

    /// Every setting that does not fit.
    pub(super) fn problems(&self, answer_within: Duration) -> Vec<SettingsError> {
        let mut problems = Vec::new();
        self.check_brokers(&mut problems);
        self.check_topics(&mut problems);
        self.check_times(answer_within, &mut problems);
        if self.queue_bytes < 4 * MAX_RECORD_BYTES {
            problems.push(SettingsError::new("queue_bytes", "must hold at least four records (1048576)"));
        }
        self.check_sasl(&mut problems);
        self.check_tls(&mut problems);
        problems
    }

    fn check_brokers(&self, problems: &mut Vec<SettingsError>) {
        if self.brokers.trim().is_empty() {
            problems.push(SettingsError::new("brokers", "names no broker; give host:port[,host:port…]"));
            return;
        }
        let is_address = |broker: &str| {
            broker.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if let Some(broker) = self.brokers.split(',').find(|broker| !is_address(broker)) {
            problems.push(SettingsError::new("brokers", format!("'{}' is not host:port", broker.trim())));
        }
    }

    fn check_topics(&self, problems: &mut Vec<SettingsError>) {
        let mut refuse = |key, reason: &str| problems.push(SettingsError::new(key, reason));
        for (key, topic) in [("topic", &self.topic), ("dead_letter_topic", &self.dead_letter_topic)] {
            if topic.is_empty() || topic.len() > MAX_TOPIC_CHARS || !is_name(topic) {
                refuse(key, "takes 1 to 249 letters, digits, '.', '_' and '-'");
            }
        }
        if !self.topic.ends_with(&format!("-{}", self.epoch)) || self.epoch == 0 {
            refuse("topic", "must end in '-' and the epoch, a number from 1 to 65535");
        }
        if self.topic == self.dead_letter_topic {
            refuse("dead_letter_topic", "must not be the topic of events: dead letters would be read as events again");
        }
        if self.instance.as_ref().is_some_and(|instance| instance.len() > MAX_INSTANCE_CHARS || !is_name(instance)) {
            refuse("instance", "takes at most 240 letters, digits, '.', '_' and '-'");
        }
        if self.partitions == 0 {
            refuse("partitions", "must be at least 1");
        }
        if self.retention_hours == 0 {
            refuse("retention_hours", "must be at least 1: the log would forget events before the store has them");
        }
        if self.replication > 1 && self.min_insync_replicas >= self.replication {
            refuse("min_insync_replicas", "must be less than replication: one broker down would stop ingestion");
        }
        if self.replication == 1 && self.min_insync_replicas > 1 {
            refuse("min_insync_replicas", "is more than replication: nothing would ever be acknowledged");
        }
    }

    fn check_times(&self, answer_within: Duration, problems: &mut Vec<SettingsError>) {
        let mut refuse = |key, reason: &str| problems.push(SettingsError::new(key, reason));
        if self.linger_ms > MAX_LINGER_MS {
            refuse("linger_ms", "must be at most 1000: every request waits that long");
        }
        if self.request_timeout_ms <= self.linger_ms {
            refuse("request_timeout_ms", "must be longer than linger_ms");
        }
        if self.request_timeout_ms >= self.delivery_timeout_ms {
            refuse("request_timeout_ms", "must be shorter than delivery_timeout_ms, or no attempt is ever repeated");
        }
        if u128::from(self.delivery_timeout_ms) + u128::from(self.linger_ms) >= answer_within.as_millis() {
            refuse(
                "delivery_timeout_ms",
                "with linger_ms must be shorter than the time a request is left to end (server.drain_seconds), or \
                 clients are cut off before the answer is known",
            );
        }
    }

    fn check_sasl(&self, problems: &mut Vec<SettingsError>) {
        let given = [
            ("sasl_mechanism", self.sasl_mechanism.is_some()),
            ("sasl_username", self.sasl_username.is_some()),
            ("sasl_password", self.sasl_password.is_some()),
        ];
        let wanted = self.security_protocol.has_sasl();
        for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given != wanted) {
            let reason = match wanted {
                true => format!("is needed for security_protocol {}", self.security_protocol.name()),
                false => "needs security_protocol sasl_ssl (or sasl_plaintext)".into(),
            };
            problems.push(SettingsError::new(key, reason));
        }
        let in_the_clear = (SecurityProtocol::SaslPlaintext, Some(SaslMechanism::Plain));
        if (self.security_protocol, self.sasl_mechanism) == in_the_clear {
            let reason = "PLAIN sends the password itself: use security_protocol sasl_ssl, or SCRAM-SHA-512";
            problems.push(SettingsError::new("sasl_mechanism", reason));
        }
    }

    fn check_tls(&self, problems: &mut Vec<SettingsError>) {
        let files: [(_, &Option<PathBuf>); 3] =
            [("ssl_ca", &self.ssl_ca), ("ssl_certificate", &self.ssl_certificate), ("ssl_key", &self.ssl_key)];
        for (key, path) in files {
            let Some(path) = path else { continue };
            if !self.security_protocol.has_tls() {
                problems.push(SettingsError::new(key, "needs security_protocol ssl or sasl_ssl"));
            } else if let Err(fault) = std::fs::read(path) {
                problems.push(SettingsError::new(key, format!("cannot read {}: {fault}", path.display())));
            }
        }
        match (&self.ssl_certificate, &self.ssl_key) {
            (Some(_), None) => problems.push(SettingsError::new("ssl_key", "is needed beside ssl_certificate")),
            (None, Some(_)) => problems.push(SettingsError::new("ssl_certificate", "is needed beside ssl_key")),
            _ => {}
        }
        if self.ssl_key_password.is_some() && self.ssl_key.is_none() {
            problems.push(SettingsError::new("ssl_key_password", "needs ssl_key"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn settings() -> KafkaSettings {
        KafkaSettings { brokers: "127.0.0.1:9092".into(), ..KafkaSettings::default() }
    }

    fn keys(settings: &KafkaSettings) -> Vec<&'static str> {
        settings.problems(MINUTE).into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn times_that_do_not_fit_into_each_other_are_refused_by_name() {
        assert_eq!(settings().check(MINUTE), Ok(()));
        assert_eq!(settings().check(Duration::from_secs(20)).unwrap_err().key, "delivery_timeout_ms");
        assert_eq!(keys(&KafkaSettings { request_timeout_ms: 20_000, ..settings() }), ["request_timeout_ms"]);
        assert_eq!(keys(&KafkaSettings { linger_ms: 5_000, ..settings() }), ["linger_ms", "request_timeout_ms"]);
        assert_eq!(keys(&KafkaSettings { queue_bytes: 1_000_000, ..settings() }), ["queue_bytes"]);
    }

    #[test]
    fn brokers_and_topics_that_cannot_be_are_refused_by_name() {
        for wrong in [" ", "host", "host:99999", "a:1,,b:2", ":9092"] {
            assert_eq!(keys(&KafkaSettings { brokers: wrong.into(), ..settings() }), ["brokers"], "{wrong}");
        }
        assert_eq!(keys(&KafkaSettings { brokers: "a:1, [::1]:2".into(), ..settings() }), [""; 0]);
        assert_eq!(keys(&KafkaSettings { topic: "a b-1".into(), ..settings() }), ["topic"]);
        assert_eq!(keys(&KafkaSettings { epoch: 2, ..settings() }), ["topic"]);
        assert_eq!(keys(&KafkaSettings { dead_letter_topic: settings().topic, ..settings() }), ["dead_letter_topic"]);
        for wrong in ["a b".to_owned(), "n".repeat(241)] {
            assert_eq!(keys(&KafkaSettings { instance: Some(wrong), ..settings() }), ["instance"]);
        }
        let fragile = KafkaSettings { replication: 3, min_insync_replicas: 3, ..settings() };
        assert_eq!(keys(&fragile), ["min_insync_replicas"]);
    }

    #[test]
    fn credentials_without_their_protocol_and_a_protocol_without_its_credentials_are_refused() {
        let sasl = KafkaSettings { security_protocol: SecurityProtocol::SaslSsl, ..settings() };
        assert_eq!(keys(&sasl), ["sasl_mechanism", "sasl_username", "sasl_password"]);
        let alone = KafkaSettings { sasl_password: Some(Secret::new("p")), ..settings() };
        assert_eq!(keys(&alone), ["sasl_password"]);
        let in_the_clear = KafkaSettings {
            security_protocol: SecurityProtocol::SaslPlaintext,
            sasl_mechanism: Some(SaslMechanism::Plain),
            sasl_username: Some("u".into()),
            ..alone
        };
        assert_eq!(keys(&in_the_clear), ["sasl_mechanism"]);
        let missing = KafkaSettings {
            security_protocol: SecurityProtocol::Ssl,
            ssl_ca: Some("/nowhere/ca.pem".into()),
            ssl_certificate: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
            ..settings()
        };
        assert_eq!(keys(&missing), ["ssl_ca", "ssl_key"]);
        assert!(missing.check(MINUTE).unwrap_err().reason.starts_with("cannot read /nowhere/ca.pem"));
    }
}

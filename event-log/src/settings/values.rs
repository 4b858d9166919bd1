//! Section `kafka` of the configuration: its keys, and their texts as settings.

use super::{Compression, KafkaSettings, SaslMechanism, Secret, SecurityProtocol, SettingsError};
use std::path::PathBuf;
use std::time::Duration;

/// One key of section `kafka`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the section.
    pub name: &'static str,
    /// What a value looks like, for help texts.
    pub value: &'static str,
    /// Text of the default; empty when there is none.
    pub default: &'static str,
    /// Never printed.
    pub secret: bool,
    /// What it does, one line.
    pub help: &'static str,
}

const fn key(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, value, default, secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> Key {
    Key { name, value: "SECRET", default: "", secret: true, help }
}

/// Every key of section `kafka`, in the order they are shown.
pub static KEYS: &[Key] = &[
    key("brokers", "LIST", "", "Kafka brokers to begin with, host:port[,host:port…]"),
    key("topic", "NAME", "tollgate-events-1", "Topic of events; its name ends in the epoch, -1 and up"),
    key("dead_letter_topic", "NAME", "tollgate-dead-letters", "Topic of lines that could not be read"),
    key("group", "NAME", "tollgate-aggregator", "Consumer group of all aggregators of one event store"),
    key(
        "instance",
        "NAME",
        "",
        "This aggregator's own name, kept over restarts: after a crash it reads on at once; `up` has one by itself",
    ),
    key("partitions", "COUNT", "6", "Partitions of the topic: created so, verified for ever after"),
    key("replication", "COUNT", "0", "Replicas of each partition; 0: the brokers' default"),
    key(
        "min_insync_replicas",
        "COUNT",
        "0",
        "Replicas that must hold an event before it is acknowledged; 0: the brokers' default",
    ),
    key("retention_hours", "HOURS", "168", "How long the log keeps events: what a store that was down can catch up"),
    key("compression", "lz4|zstd|none", "lz4", "How events travel and are kept"),
    key("linger_ms", "MS", "4", "How long an event waits for company before it is sent"),
    key("delivery_timeout_ms", "MS", "20000", "How long a record is tried before its requests are answered 503"),
    key("request_timeout_ms", "MS", "5000", "How long one attempt waits for the brokers"),
    key(
        "queue_bytes",
        "BYTES",
        "134217728",
        "Memory for unacknowledged events; beyond it clients get 503 with Retry-After",
    ),
    key("security_protocol", "NAME", "plaintext", "plaintext, ssl, sasl_plaintext or sasl_ssl"),
    key("sasl_mechanism", "NAME", "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    key("sasl_username", "NAME", "", "User at the brokers"),
    secret("sasl_password", "Password at the brokers"),
    key("ssl_ca", "FILE", "", "PEM certificates that may vouch for brokers; else the system's"),
    key("ssl_certificate", "FILE", "", "PEM certificate of this client"),
    key("ssl_key", "FILE", "", "PEM private key of this client"),
    secret("ssl_key_password", "Password of that key"),
];

impl KafkaSettings {
    /// Checked settings from texts: `value_of(key)` is what the configuration says, `None` takes the default.
    /// `answer_within` is the least time that a request under way is left to end: the gateway's drain time.
    ///
    /// # Errors
    /// Every problem there is, each with its key; a value of a secret key is never quoted.
    pub fn from_values(
        value_of: impl Fn(&str) -> Option<String>,
        answer_within: Duration,
    ) -> Result<Self, Vec<SettingsError>> {
        let mut reader = Reader { value_of, problems: Vec::new() };
        let settings = reader.settings();
        let mut problems = reader.problems;
        if problems.is_empty() {
            problems = settings.problems(answer_within);
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

struct Reader<F> {
    value_of: F,
    problems: Vec<SettingsError>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn settings(&mut self) -> KafkaSettings {
        let default = KafkaSettings::default();
        let topic = self.text("topic").unwrap_or(default.topic);
        let epoch = self.epoch(&topic).unwrap_or(default.epoch);
        let protocols = [
            SecurityProtocol::Plaintext,
            SecurityProtocol::Ssl,
            SecurityProtocol::SaslPlaintext,
            SecurityProtocol::SaslSsl,
        ]
        .map(|protocol| (protocol.name(), protocol));
        let mechanisms = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512]
            .map(|mechanism| (mechanism.name(), mechanism));
        let codecs = [Compression::Lz4, Compression::Zstd, Compression::None]
            .map(|compression| (compression.name(), compression));
        KafkaSettings {
            brokers: self.text("brokers").unwrap_or(default.brokers),
            topic,
            epoch,
            dead_letter_topic: self.text("dead_letter_topic").unwrap_or(default.dead_letter_topic),
            group: self.text("group").unwrap_or(default.group),
            instance: self.text("instance"),
            partitions: self.number("partitions").unwrap_or(default.partitions),
            replication: self.number("replication").unwrap_or(default.replication),
            min_insync_replicas: self.number("min_insync_replicas").unwrap_or(default.min_insync_replicas),
            retention_hours: self.number("retention_hours").unwrap_or(default.retention_hours),
            compression: self.choice("compression", &codecs).unwrap_or(default.compression),
            linger_ms: self.number("linger_ms").unwrap_or(default.linger_ms),
            delivery_timeout_ms: self.number("delivery_timeout_ms").unwrap_or(default.delivery_timeout_ms),
            request_timeout_ms: self.number("request_timeout_ms").unwrap_or(default.request_timeout_ms),
            queue_bytes: self.number("queue_bytes").unwrap_or(default.queue_bytes),
            security_protocol: self.choice("security_protocol", &protocols).unwrap_or(default.security_protocol),
            sasl_mechanism: self.choice("sasl_mechanism", &mechanisms),
            sasl_username: self.text("sasl_username"),
            sasl_password: self.text("sasl_password").map(Secret::new),
            ssl_ca: self.text("ssl_ca").map(PathBuf::from),
            ssl_certificate: self.text("ssl_certificate").map(PathBuf::from),
            ssl_key: self.text("ssl_key").map(PathBuf::from),
            ssl_key_password: self.text("ssl_key_password").map(Secret::new),
        }
    }

    /// An empty text is none: that is how orchestrators unset a variable.
    fn text(&self, name: &'static str) -> Option<String> {
        (self.value_of)(name).filter(|text| !text.is_empty())
    }

    fn number<N: std::str::FromStr>(&mut self, name: &'static str) -> Option<N> {
        let text = self.text(name)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.problems.push(SettingsError::new(name, format!("'{text}' is not a whole number in range")));
        }
        number
    }

    fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            self.problems.push(SettingsError::new(name, format!("'{text}' is none of {}", names.join(", "))));
        }
        chosen.map(|(_, value)| *value)
    }

    fn epoch(&mut self, topic: &str) -> Option<u16> {
        let epoch = topic.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).filter(|epoch| *epoch > 0);
        if epoch.is_none() {
            let reason = format!("'{topic}' must end in '-' and the epoch, a number from 1 to 65535: {topic}-1");
            self.problems.push(SettingsError::new("topic", reason));
        }
        epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn read(values: &[(&str, &str)]) -> Result<KafkaSettings, Vec<SettingsError>> {
        let value_of = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        KafkaSettings::from_values(value_of, MINUTE)
    }

    #[test]
    fn the_defaults_that_are_shown_are_those_that_are_used() {
        let shown: Vec<_> =
            KEYS.iter().map(|key| (key.name, if key.name == "brokers" { "b:1" } else { key.default })).collect();
        let unset = KafkaSettings { brokers: "b:1".into(), ..KafkaSettings::default() };
        assert_eq!(read(&shown), Ok(unset.clone()));
        assert_eq!(read(&[("brokers", "b:1")]), Ok(unset));
    }

    #[test]
    fn every_key_is_read() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let values = [
            ("brokers", "a:1,b:2"),
            ("topic", "usage-7"),
            ("dead_letter_topic", "dead"),
            ("group", "readers"),
            ("instance", "reader-1"),
            ("partitions", "12"),
            ("replication", "3"),
            ("min_insync_replicas", "2"),
            ("retention_hours", "24"),
            ("compression", "ZSTD"),
            ("linger_ms", "2"),
            ("delivery_timeout_ms", "9000"),
            ("request_timeout_ms", "3000"),
            ("queue_bytes", "4194304"),
            ("security_protocol", "SASL_SSL"),
            ("sasl_mechanism", "scram-sha-512"),
            ("sasl_username", "u"),
            ("sasl_password", "hunter2"),
            ("ssl_ca", file),
            ("ssl_certificate", file),
            ("ssl_key", file),
            ("ssl_key_password", "hunter3"),
        ];
        assert!(KEYS.iter().all(|key| values.iter().any(|(name, _)| *name == key.name)), "a key is not tested here");
        let settings = read(&values).unwrap();
        let expected = KafkaSettings {
            brokers: "a:1,b:2".into(),
            topic: "usage-7".into(),
            epoch: 7,
            dead_letter_topic: "dead".into(),
            group: "readers".into(),
            instance: Some("reader-1".into()),
            partitions: 12,
            replication: 3,
            min_insync_replicas: 2,
            retention_hours: 24,
            compression: Compression::Zstd,
            linger_ms: 2,
            delivery_timeout_ms: 9_000,
            request_timeout_ms: 3_000,
            queue_bytes: 4_194_304,
            security_protocol: SecurityProtocol::SaslSsl,
            sasl_mechanism: Some(SaslMechanism::ScramSha512),
            sasl_username: Some("u".into()),
            sasl_password: Some(Secret::new("hunter2")),
            ssl_ca: Some(file.into()),
            ssl_certificate: Some(file.into()),
            ssl_key: Some(file.into()),
            ssl_key_password: Some(Secret::new("hunter3")),
        };
        assert_eq!(settings, expected);
        assert!(!format!("{settings:?}").contains("hunter"));
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_key() {
        let values = [
            ("brokers", "b:1"),
            ("topic", "events"),
            ("partitions", "many"),
            ("compression", "snappy"),
            ("security_protocol", "tls"),
            ("sasl_mechanism", "GSSAPI"),
            ("linger_ms", "-1"),
        ];
        let problems = read(&values).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["topic", "partitions", "compression", "linger_ms", "security_protocol", "sasl_mechanism"]);
        assert!(problems[2].to_string().starts_with("kafka.compression: 'snappy' is none of lz4, zstd, none"));
    }
}

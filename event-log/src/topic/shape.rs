//! What a topic of events must look like so that nothing that was acknowledged is lost in it.

use super::{LARGEST_MESSAGE_BYTES, TopicError};
use crate::settings::KafkaSettings;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::HashMap;

/// What a topic turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Partitions.
    pub partitions: u16,
    /// Replicas of each.
    pub replication: u16,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u16,
    /// `retention.ms`; `None`: for ever.
    pub retention_millis: Option<u64>,
    /// `retention.bytes`; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup_policy: String,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// Whether the brokers told all this; else they told partitions and replicas, and the rest is what was asked for.
    pub is_told: bool,
}

impl KafkaSettings {
    /// `retention.ms` that the settings ask for.
    pub(super) fn retention_millis(&self) -> u64 {
        u64::from(self.retention_hours) * 3_600_000
    }

    /// Why a topic that is missing cannot be made, and what to do.
    pub(super) fn not_made(&self, code: RDKafkaErrorCode) -> String {
        let by_hand = format!(
            "make it: {} partitions, retention.ms {} or more, retention.bytes -1, cleanup.policy delete, max.message.bytes \
             {LARGEST_MESSAGE_BYTES}",
            self.partitions,
            self.retention_millis()
        );
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                format!("is not there, and this user may not make it: grant it Create, or have somebody {by_hand}")
            }
            RDKafkaErrorCode::InvalidReplicationFactor => format!(
                "is not there, and there are too few brokers for kafka.replication {}: start them, or lower the setting",
                self.replication
            ),
            _ => format!("is not there, and the brokers do not make it ({code}): {by_hand}"),
        }
    }
}

impl TopicShape {
    /// From the brokers' answer; a negative limit means none.
    pub(super) fn read(partitions: u16, replication: u16, entries: &HashMap<String, String>) -> Self {
        let text = |name: &str| entries.get(name).map_or("", String::as_str);
        Self {
            partitions,
            replication,
            min_insync_replicas: text("min.insync.replicas").parse().unwrap_or(1),
            retention_millis: text("retention.ms").parse().ok(),
            retention_bytes: text("retention.bytes").parse().ok(),
            cleanup_policy: text("cleanup.policy").to_owned(),
            max_message_bytes: text("max.message.bytes").parse().unwrap_or(0),
            is_told: true,
        }
    }

    /// Of brokers that do not tell a topic's configuration.
    pub(super) fn on_trust(partitions: u16, replication: u16, settings: &KafkaSettings) -> Self {
        Self {
            partitions,
            replication,
            min_insync_replicas: settings.min_insync_replicas.max(1),
            retention_millis: Some(settings.retention_millis()),
            retention_bytes: None,
            cleanup_policy: "delete".to_owned(),
            max_message_bytes: LARGEST_MESSAGE_BYTES,
            is_told: false,
        }
    }

    /// Checks it against what the settings ask for.
    ///
    /// # Errors
    /// The first thing that is wrong, and what to do.
    pub(super) fn verify(&self, settings: &KafkaSettings) -> Result<(), TopicError> {
        let problem = self.wrong_numbers(settings).or_else(|| self.wrong_keeping(settings));
        problem.map_or(Ok(()), |problem| Err(TopicError::Wrong { topic: settings.topic.clone(), problem }))
    }

    /// The same of a topic that is only read: it may be closed.
    pub(super) fn verify_readable(&self, settings: &KafkaSettings) -> Result<(), TopicError> {
        let taken_for_open = if self.is_closed() { LARGEST_MESSAGE_BYTES } else { self.max_message_bytes };
        Self { max_message_bytes: taken_for_open, ..self.clone() }.verify(settings)
    }

    fn wrong_numbers(&self, settings: &KafkaSettings) -> Option<String> {
        let Self { partitions, replication, min_insync_replicas, .. } = self;
        if *partitions != settings.partitions {
            return Some(format!(
                "has {partitions} partitions, kafka.partitions says {}: set it to {partitions}, or name the topic of a new \
                 epoch; partitions are never added",
                settings.partitions
            ));
        }
        if settings.replication != 0 && *replication < settings.replication {
            return Some(format!(
                "has {replication} replicas, kafka.replication asks for {}: reassign its partitions or lower the setting",
                settings.replication
            ));
        }
        if settings.min_insync_replicas != 0 && *min_insync_replicas < settings.min_insync_replicas {
            return Some(format!(
                "has min.insync.replicas {min_insync_replicas}, kafka.min_insync_replicas asks for {}: alter the topic's \
                 configuration",
                settings.min_insync_replicas
            ));
        }
        if *replication > 1 && min_insync_replicas >= replication {
            return Some(format!(
                "needs all {replication} replicas in sync: one broker down would stop ingestion; lower min.insync.replicas"
            ));
        }
        None
    }

    fn wrong_keeping(&self, settings: &KafkaSettings) -> Option<String> {
        let wanted = settings.retention_millis();
        if let Some(kept) = self.retention_millis.filter(|kept| *kept < wanted) {
            return Some(format!(
                "keeps events for {kept} ms, kafka.retention_hours asks for {wanted} ms: alter retention.ms"
            ));
        }
        if let Some(bytes) = self.retention_bytes {
            return Some(format!(
                "drops events past {bytes} bytes, stored or not: alter retention.bytes to -1 and watch the disk"
            ));
        }
        if self.cleanup_policy != "delete" {
            return Some(format!(
                "has cleanup.policy {}: records have no keys, compaction refuses or drops them; alter it to delete",
                self.cleanup_policy
            ));
        }
        if self.is_closed() {
            return Some("is closed: the log has grown; name the topic of its newest epoch".into());
        }
        if self.max_message_bytes < LARGEST_MESSAGE_BYTES {
            return Some(format!(
                "takes messages of {} bytes, {LARGEST_MESSAGE_BYTES} are needed: alter max.message.bytes",
                self.max_message_bytes
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_shape_is_refused_with_what_to_do() {
        let settings = KafkaSettings {
            brokers: "b:1".into(),
            partitions: 6,
            replication: 3,
            min_insync_replicas: 2,
            ..Default::default()
        };
        let good = TopicShape {
            partitions: 6,
            replication: 3,
            min_insync_replicas: 2,
            retention_millis: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            cleanup_policy: "delete".into(),
            max_message_bytes: 1_048_576,
            is_told: true,
        };
        assert!(good.verify(&settings).is_ok());
        assert!(TopicShape { retention_millis: None, ..good.clone() }.verify(&settings).is_ok());
        let told = |shape: TopicShape| shape.verify(&settings).unwrap_err().to_string();
        assert!(told(TopicShape { partitions: 4, ..good.clone() }).contains("has 4 partitions"));
        assert!(told(TopicShape { replication: 2, ..good.clone() }).contains("kafka.replication"));
        assert!(told(TopicShape { min_insync_replicas: 1, ..good.clone() }).contains("kafka.min_insync_replicas"));
        assert!(told(TopicShape { min_insync_replicas: 3, ..good.clone() }).contains("one broker down"));
        assert!(told(TopicShape { retention_millis: Some(1), ..good.clone() }).contains("retention.ms"));
        assert!(told(TopicShape { retention_bytes: Some(1), ..good.clone() }).contains("retention.bytes"));
        assert!(told(TopicShape { cleanup_policy: "compact".into(), ..good.clone() }).contains("cleanup.policy"));
        assert!(told(TopicShape { max_message_bytes: 1_000_000, ..good.clone() }).contains("max.message.bytes"));
        let closed = TopicShape { max_message_bytes: 1, ..good };
        assert!(told(closed.clone()).contains("is closed"));
        assert!(closed.verify_readable(&settings).is_ok(), "what is in it is still to be read");
    }

    #[test]
    fn a_topic_that_cannot_be_made_is_told_with_who_may_and_how() {
        let settings = KafkaSettings { replication: 3, ..KafkaSettings::default() };
        let told = |code| settings.not_made(code);
        let refused = told(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(
            refused.contains("grant it Create") && refused.contains("6 partitions, retention.ms 604800000"),
            "{refused}"
        );
        assert_eq!(refused, told(RDKafkaErrorCode::ClusterAuthorizationFailed));
        assert!(told(RDKafkaErrorCode::InvalidReplicationFactor).contains("kafka.replication 3"));
        assert!(told(RDKafkaErrorCode::PolicyViolation).contains("PolicyViolation"));
    }

    #[test]
    fn what_the_brokers_say_is_read_with_a_negative_limit_as_none() {
        let entries = [("retention.ms", "-1"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")];
        let entries = entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let shape = TopicShape::read(6, 1, &entries);
        assert_eq!((shape.retention_millis, shape.retention_bytes, shape.min_insync_replicas), (None, None, 1));
    }
}

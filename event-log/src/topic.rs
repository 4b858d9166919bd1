//! The topic of events: created when it is missing, verified when it is there.
//!
//! It refuses to change an existing topic: adding partitions would move ids to other partitions and break "first wins" (I2).

use crate::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::time::Duration;

/// What a topic turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Partitions.
    pub partitions: u16,
    /// Replicas of each.
    pub replication: u16,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u16,
}

/// Why the topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Brokers do not answer or refuse.
    #[error("the brokers at {brokers} cannot be used: {source}")]
    Brokers {
        /// Bootstrap list.
        brokers: String,
        /// What librdkafka says.
        #[source]
        source: KafkaError,
    },
    /// It exists with another shape.
    #[error("topic '{topic}' {problem}")]
    Wrong {
        /// Which topic.
        topic: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Makes sure that the topic is there with the shape the settings ask for.
///
/// # Errors
/// [`TopicError`] with what to change.
pub async fn ensure(settings: &KafkaSettings, patience: Duration) -> Result<TopicShape, TopicError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client().create().map_err(|source| unusable(settings, source))?;
    let options = AdminOptions::new().operation_timeout(Some(patience)).request_timeout(Some(patience));
    create(settings, &admin, &options, &settings.topic).await?;
    create(settings, &admin, &options, &settings.dead_letter_topic).await?;
    let shape = describe(settings, &admin, &options, patience).await?;
    verify(settings, &shape)?;
    Ok(shape)
}

fn unusable(settings: &KafkaSettings, source: KafkaError) -> TopicError {
    TopicError::Brokers { brokers: settings.brokers.clone(), source }
}

async fn create(
    settings: &KafkaSettings,
    admin: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    topic: &str,
) -> Result<(), TopicError> {
    let retention = (u64::from(settings.retention_hours) * 3_600_000).to_string();
    let in_sync = settings.min_insync_replicas.to_string();
    let record_limit = (4 * crate::settings::MAX_RECORD_BYTES).to_string();
    let replication = if settings.replication == 0 { -1 } else { i32::from(settings.replication) };
    let mut wanted = NewTopic::new(topic, i32::from(settings.partitions), TopicReplication::Fixed(replication))
        .set("retention.ms", &retention)
        .set("max.message.bytes", &record_limit);
    if settings.min_insync_replicas > 0 {
        wanted = wanted.set("min.insync.replicas", &in_sync);
    }
    let outcome = admin.create_topics([&wanted], options).await.map_err(|source| unusable(settings, source))?;
    for created in outcome {
        match created {
            Ok(_) => tracing::info!(topic, partitions = settings.partitions, "created the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(unusable(settings, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

async fn describe(
    settings: &KafkaSettings,
    admin: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    patience: Duration,
) -> Result<TopicShape, TopicError> {
    let metadata = loop_until_led(settings, admin, patience).await?;
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(&settings.topic)], options)
        .await
        .map_err(|source| unusable(settings, source))?;
    let mut entries = HashMap::new();
    for answer in described {
        let resource = answer.map_err(|code| unusable(settings, KafkaError::AdminOp(code)))?;
        entries.extend(resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())));
    }
    let min_insync = entries.get("min.insync.replicas").and_then(|text| text.parse().ok()).unwrap_or(1);
    Ok(TopicShape { partitions: metadata.0, replication: metadata.1, min_insync_replicas: min_insync })
}

/// Partitions and replicas, once every partition has a leader: a topic just created is known before it is led.
async fn loop_until_led(
    settings: &KafkaSettings,
    admin: &AdminClient<DefaultClientContext>,
    patience: Duration,
) -> Result<(u16, u16), TopicError> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let metadata = admin
            .inner()
            .fetch_metadata(Some(&settings.topic), Duration::from_secs(5))
            .map_err(|source| unusable(settings, source))?;
        let partitions =
            metadata.topics().first().map(rdkafka::metadata::MetadataTopic::partitions).unwrap_or_default();
        let all_led = !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0);
        if all_led {
            let replicas = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
            return Ok((
                u16::try_from(partitions.len()).unwrap_or(u16::MAX),
                u16::try_from(replicas).unwrap_or(u16::MAX),
            ));
        }
        if tokio::time::Instant::now() >= deadline {
            let problem = "has partitions without a leader; are enough brokers up?".into();
            return Err(TopicError::Wrong { topic: settings.topic.clone(), problem });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn verify(settings: &KafkaSettings, shape: &TopicShape) -> Result<(), TopicError> {
    let wrong = |problem| Err(TopicError::Wrong { topic: settings.topic.clone(), problem });
    if shape.partitions != settings.partitions {
        return wrong(format!(
            "has {} partitions, kafka.partitions says {}: set it to {}, or name a new topic; partitions are never added",
            shape.partitions, settings.partitions, shape.partitions
        ));
    }
    if settings.replication != 0 && shape.replication < settings.replication {
        return wrong(format!(
            "has {} replicas, kafka.replication asks for {}: reassign its partitions or lower the setting",
            shape.replication, settings.replication
        ));
    }
    if settings.min_insync_replicas != 0 && shape.min_insync_replicas < settings.min_insync_replicas {
        return wrong(format!(
            "has min.insync.replicas {}, kafka.min_insync_replicas asks for {}: alter the topic's configuration",
            shape.min_insync_replicas, settings.min_insync_replicas
        ));
    }
    if shape.replication > 1 && shape.min_insync_replicas >= shape.replication {
        return wrong(format!(
            "needs all {} replicas in sync: one broker down would stop ingestion; lower min.insync.replicas",
            shape.replication
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings {
            brokers: "b:1".into(),
            partitions: 6,
            replication: 3,
            min_insync_replicas: 2,
            ..Default::default()
        }
    }

    #[test]
    fn each_wrong_shape_is_refused_with_what_to_do() {
        let good = TopicShape { partitions: 6, replication: 3, min_insync_replicas: 2 };
        assert!(verify(&settings(), &good).is_ok());
        let told = |shape| verify(&settings(), &shape).unwrap_err().to_string();
        assert!(told(TopicShape { partitions: 4, ..good.clone() }).contains("has 4 partitions"));
        assert!(told(TopicShape { replication: 2, ..good.clone() }).contains("kafka.replication"));
        assert!(told(TopicShape { min_insync_replicas: 1, ..good.clone() }).contains("kafka.min_insync_replicas"));
        assert!(told(TopicShape { min_insync_replicas: 3, ..good }).contains("one broker down"));
    }
}

//! The topic of events: created when it is missing, verified when it is there.
//!
//! - [`ensure`] for gateways, [`ensure_readable`] for aggregators, [`examine`] for `tollgate check-config`, which changes nothing
//! - `shape.rs`: what a topic must look like
//! - `growth.rs`: more partitions, as the topic of a new epoch
//!
//! It refuses to change an existing topic: adding partitions would move ids to other partitions and break "first wins" (I2).

mod growth;
mod shape;

pub use growth::{Growth, ends, epochs, grow, is_closed, newest};
pub use shape::TopicShape;

use crate::complaints::complaint_about;
use crate::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Largest message that producers send: a record of lines and its frame, uncompressed, with room to spare.
const LARGEST_MESSAGE_BYTES: usize = 4 * crate::settings::MAX_RECORD_BYTES;

/// Why the topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Brokers do not answer or refuse.
    #[error("the brokers at {brokers} cannot be used: {source}{complaint}")]
    Brokers {
        /// Bootstrap list.
        brokers: String,
        /// What the client met on its way there, such as a refused password; empty or after `; `.
        complaint: String,
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

impl TopicError {
    /// The brokers of `settings` cannot be used.
    pub(crate) fn unusable(settings: &KafkaSettings, source: KafkaError) -> Self {
        Self::Brokers { brokers: settings.brokers.clone(), complaint: String::new(), source }
    }
}

/// Makes sure that the topic is there with the shape the settings ask for.
///
/// # Errors
/// [`TopicError`] with what to change.
pub async fn ensure(settings: &KafkaSettings, patience: Duration) -> Result<TopicShape, TopicError> {
    explained(settings, ensured(settings, patience, TopicShape::verify).await).await
}

/// The same for whoever only reads it: it may be closed.
///
/// # Errors
/// [`TopicError`] with what to change.
pub async fn ensure_readable(settings: &KafkaSettings, patience: Duration) -> Result<TopicShape, TopicError> {
    explained(settings, ensured(settings, patience, TopicShape::verify_readable).await).await
}

async fn ensured(
    settings: &KafkaSettings,
    patience: Duration,
    verify: fn(&TopicShape, &KafkaSettings) -> Result<(), TopicError>,
) -> Result<TopicShape, TopicError> {
    let admin = Admin::connect(settings, patience)?;
    for topic in [&settings.topic, &settings.dead_letter_topic] {
        // Who may not make topics may well use one that somebody made: it is not asked for what is there.
        if admin.led(topic).await?.is_none() {
            admin.create(topic, Creation::Real).await?;
        }
    }
    let shape = admin.describe().await?;
    verify(&shape, settings)?;
    Ok(shape)
}

/// Looks whether the topic is there with the shape the settings ask for; `None` when it is not there, and a start would
/// create it: the brokers were asked whether they would, of it and of the topic of dead letters.
///
/// # Errors
/// [`TopicError`] with what to change.
pub async fn examine(settings: &KafkaSettings, patience: Duration) -> Result<Option<TopicShape>, TopicError> {
    explained(settings, examined(settings, patience).await).await
}

async fn examined(settings: &KafkaSettings, patience: Duration) -> Result<Option<TopicShape>, TopicError> {
    let admin = Admin::connect(settings, patience)?;
    let mut found = None;
    if admin.partitions_and_leaders().await?.is_some() {
        let shape = admin.describe().await?;
        shape.verify(settings)?;
        found = Some(shape);
    }
    for topic in [&settings.topic, &settings.dead_letter_topic] {
        if admin.led(topic).await?.is_none() {
            admin.create(topic, Creation::Rehearsed).await?;
        }
    }
    Ok(found)
}

/// Adds to brokers that cannot be used what the client met on its way there.
async fn explained<T>(settings: &KafkaSettings, outcome: Result<T, TopicError>) -> Result<T, TopicError> {
    let Err(TopicError::Brokers { brokers, source, .. }) = outcome else { return outcome };
    let complaint = complaint_about(settings).await.map(|text| format!("; {text}")).unwrap_or_default();
    Err(TopicError::Brokers { brokers, complaint, source })
}

/// Whether the brokers do not know the request at all. Some that speak Kafka's protocol have no administration.
fn is_unsupported(fault: &KafkaError) -> bool {
    matches!(fault, KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature))
}

/// A client that may create and describe topics.
struct Admin<'a> {
    settings: &'a KafkaSettings,
    client: Arc<AdminClient<DefaultClientContext>>,
    options: AdminOptions,
    patience: Duration,
}

/// Whether a topic is made, or the brokers only say whether they would make it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creation {
    Real,
    Rehearsed,
}

/// Partitions, least replicas of one, and whether each has a leader.
struct Led {
    partitions: u16,
    replication: u16,
    all: bool,
}

impl<'a> Admin<'a> {
    fn connect(settings: &'a KafkaSettings, patience: Duration) -> Result<Self, TopicError> {
        let client = settings.client().create();
        let client = client.map_err(|source| TopicError::unusable(settings, source))?;
        let options = AdminOptions::new().operation_timeout(Some(patience)).request_timeout(Some(patience));
        Ok(Self { settings, client: Arc::new(client), options, patience })
    }

    fn unusable(&self, source: KafkaError) -> TopicError {
        TopicError::unusable(self.settings, source)
    }

    async fn create(&self, topic: &str, creation: Creation) -> Result<(), TopicError> {
        let settings = self.settings;
        let retention = settings.retention_millis().to_string();
        let in_sync = settings.min_insync_replicas.to_string();
        let record_limit = LARGEST_MESSAGE_BYTES.to_string();
        let replication = if settings.replication == 0 { -1 } else { i32::from(settings.replication) };
        let mut wanted = NewTopic::new(topic, i32::from(settings.partitions), TopicReplication::Fixed(replication))
            .set("retention.ms", &retention)
            .set("retention.bytes", "-1")
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &record_limit);
        if settings.min_insync_replicas > 0 {
            wanted = wanted.set("min.insync.replicas", &in_sync);
        }
        let rehearsed = AdminOptions::new().request_timeout(Some(self.patience)).validate_only(true);
        let options = if creation == Creation::Rehearsed { &rehearsed } else { &self.options };
        let outcome = self.client.create_topics([&wanted], options).await.map_err(|source| self.unusable(source))?;
        for created in outcome {
            match created {
                Ok(_) if creation == Creation::Rehearsed => {}
                Ok(_) => tracing::info!(topic, partitions = settings.partitions, "created the topic"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(TopicError::Wrong { topic: topic.to_owned(), problem: settings.not_made(code) });
                }
            }
        }
        Ok(())
    }

    /// Its shape, once every partition has a leader: a topic just created is known before it is led.
    async fn describe(&self) -> Result<TopicShape, TopicError> {
        let deadline = Instant::now() + self.patience;
        let led = loop {
            match self.partitions_and_leaders().await? {
                Some(led) if led.all => break led,
                _ if Instant::now() >= deadline => {
                    let problem = "has partitions without a leader; are enough brokers up?".into();
                    return Err(TopicError::Wrong { topic: self.settings.topic.clone(), problem });
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        match self.entries().await {
            Ok(entries) => {
                let entries = entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default()));
                Ok(TopicShape::read(led.partitions, led.replication, &entries.collect()))
            }
            Err(TopicError::Brokers { source, .. }) if is_unsupported(&source) => {
                let topic = &self.settings.topic;
                tracing::warn!(
                    topic,
                    "the brokers do not tell the topic's configuration: that it keeps events is taken on trust"
                );
                Ok(TopicShape::on_trust(led.partitions, led.replication, self.settings))
            }
            Err(fault) => Err(fault),
        }
    }

    /// The topic's configuration.
    async fn entries(&self) -> Result<Vec<ConfigEntry>, TopicError> {
        let topic = [&ResourceSpecifier::Topic(&self.settings.topic)];
        let described =
            self.client.describe_configs(topic, &self.options).await.map_err(|source| self.unusable(source))?;
        let mut entries = Vec::new();
        for answer in described {
            entries.extend(answer.map_err(|code| self.unusable(KafkaError::AdminOp(code)))?.entries);
        }
        Ok(entries)
    }

    /// `None` when there is no such topic.
    async fn partitions_and_leaders(&self) -> Result<Option<Led>, TopicError> {
        self.led(&self.settings.topic).await
    }

    /// The same of any topic.
    async fn led(&self, topic: &str) -> Result<Option<Led>, TopicError> {
        let (client, name, patience) = (Arc::clone(&self.client), topic.to_owned(), self.patience);
        let ask = move || client.inner().fetch_metadata(Some(&name), patience);
        let answer = tokio::task::spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled));
        let metadata = answer.map_err(|source| self.unusable(source))?;
        let found = metadata.topics().first();
        let refusal = found.and_then(MetadataTopic::error).map(RDKafkaErrorCode::from);
        if refusal == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            let problem = "may not be looked at by this user: grant it Describe on the topic, gateways Write too, aggregators \
                           Read, and Create unless somebody else makes it; or is kafka.sasl_username another?";
            return Err(TopicError::Wrong { topic: topic.to_owned(), problem: problem.to_owned() });
        }
        let partitions = found.map(MetadataTopic::partitions).unwrap_or_default();
        if partitions.is_empty() {
            return Ok(None);
        }
        let replication = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
        Ok(Some(Led {
            partitions: u16::try_from(partitions.len()).unwrap_or(u16::MAX),
            replication: u16::try_from(replication).unwrap_or(u16::MAX),
            all: partitions.iter().all(|partition| partition.leader() >= 0),
        }))
    }
}

//! Growing under traffic. The number of partitions of a topic never changes (I2: copies of an id must meet), so more partitions
//! are another topic: the next epoch.
//!
//! | step | who | what holds afterwards |
//! |---|---|---|
//! | 1 | [`grow`] | the topic of the next epoch is there, led and verified |
//! | 2 | [`grow`] | the old topic is closed: each of its leaders refuses every record, so its ends are final |
//! | 3 | gateways, by themselves | a producer that is refused looks for the newest epoch and goes on there ([`crate::intake`]); until then its requests hear 503 and are sent again, which is safe |
//! | 4 | aggregators | an epoch's records are written only once every earlier epoch is written to its [`ends`]: copies of an id on both sides still meet in order, and one of them counts |
//!
//! Closing uses what Kafka has: `max.message.bytes` 1. Each step may be repeated: a `grow` that died is run again.
//!
//! It refuses to delete the old topic: a fee's cut names its positions, and a replay begins there.

use super::{Admin, TopicError, TopicShape, ensure, explained};
use crate::consumer::high_watermarks;
use crate::settings::KafkaSettings;
use rdkafka::admin::{AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// `max.message.bytes` of a closed topic: no batch of records is that small.
const CLOSED_BYTES: usize = 1;
/// Between two looks at a configuration that was changed just now.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a changed configuration takes to reach all brokers, mostly; asking earlier would put empty records into the log.
const SPREADING: Duration = Duration::from_millis(500);

/// What growing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Settings of the new epoch, for the configuration.
    pub settings: KafkaSettings,
    /// Where each partition of the old topic ends for ever: the offset its next record would have had.
    pub ends: BTreeMap<u16, u64>,
}

impl KafkaSettings {
    /// The same log at another epoch.
    #[must_use]
    pub fn at_epoch(&self, epoch: u16, partitions: u16) -> Self {
        let base = self.topic.strip_suffix(&format!("-{}", self.epoch)).unwrap_or(&self.topic);
        Self { topic: format!("{base}-{epoch}"), epoch, partitions, ..self.clone() }
    }
}

/// Makes the topic of the next epoch with `partitions`, closes this one, and says where it ends.
///
/// # Errors
/// [`TopicError`]. Before the new topic is there and good, nothing of the old one is touched.
pub async fn grow(settings: &KafkaSettings, partitions: u16, patience: Duration) -> Result<Growth, TopicError> {
    let next = settings.epoch.checked_add(1).filter(|_| partitions > settings.partitions);
    let next = next.ok_or_else(|| TopicError::Wrong {
        topic: settings.topic.clone(),
        problem: format!("has {} partitions: name a larger number", settings.partitions),
    })?;
    let grown = settings.at_epoch(next, partitions);
    ensure(&grown, patience).await?;
    let admin = Admin::connect(settings, patience)?;
    admin.close().await?;
    admin.wait_until_closed().await?;
    let ends = ends(settings, patience).await?;
    tracing::info!(from = settings.topic, to = grown.topic, partitions, "the log has grown");
    Ok(Growth { settings: grown, ends })
}

/// The settings of the epoch to write to, from those of any: later topics of the same name are followed, each once the one
/// before it is closed. Until then a growth is under way, and writing to both would part copies of an id.
///
/// # Errors
/// When the brokers do not answer.
pub async fn newest(settings: &KafkaSettings, patience: Duration) -> Result<KafkaSettings, TopicError> {
    explained(settings, found_newest(settings, patience).await).await
}

async fn found_newest(settings: &KafkaSettings, patience: Duration) -> Result<KafkaSettings, TopicError> {
    let mut newest = settings.clone();
    while let Some(next) = neighbour(&newest, newest.epoch.checked_add(1), patience).await? {
        if Admin::connect(&newest, patience)?.is_open().await? {
            break;
        }
        newest = next;
    }
    Ok(newest)
}

/// The settings of every epoch there is, oldest first, from those of any; of none when no topic is there yet: those given.
///
/// # Errors
/// When the brokers do not answer.
pub async fn epochs(settings: &KafkaSettings, patience: Duration) -> Result<Vec<KafkaSettings>, TopicError> {
    explained(settings, found_epochs(settings, patience).await).await
}

async fn found_epochs(settings: &KafkaSettings, patience: Duration) -> Result<Vec<KafkaSettings>, TopicError> {
    let mut epochs = Vec::new();
    let mut earliest = settings.clone();
    while let Some(before) = neighbour(&earliest, earliest.epoch.checked_sub(1), patience).await? {
        epochs.insert(0, before.clone());
        earliest = before;
    }
    let is_there = Admin::connect(settings, patience)?.partitions_and_leaders().await?.is_some();
    let mut latest = settings.clone();
    let mut later = Vec::new();
    while let Some(next) = neighbour(&latest, latest.epoch.checked_add(1), patience).await? {
        later.push(next.clone());
        latest = next;
    }
    if is_there || (epochs.is_empty() && later.is_empty()) {
        epochs.push(settings.clone());
    }
    epochs.extend(later);
    Ok(epochs)
}

/// The settings of another epoch, if its topic is there.
async fn neighbour(
    settings: &KafkaSettings,
    epoch: Option<u16>,
    patience: Duration,
) -> Result<Option<KafkaSettings>, TopicError> {
    let Some(epoch) = epoch.filter(|epoch| *epoch > 0) else { return Ok(None) };
    let other = settings.at_epoch(epoch, settings.partitions);
    let led = Admin::connect(&other, patience)?.partitions_and_leaders().await?;
    Ok(led.map(|led| settings.at_epoch(epoch, led.partitions)))
}

/// Whether the topic is there and takes no more records.
///
/// # Errors
/// When the brokers do not answer.
pub async fn is_closed(settings: &KafkaSettings, patience: Duration) -> Result<bool, TopicError> {
    let admin = Admin::connect(settings, patience)?;
    Ok(admin.partitions_and_leaders().await?.is_some() && !admin.is_open().await?)
}

/// Where each partition of a closed topic ends for ever; waits until every leader refuses records.
///
/// # Errors
/// When the topic is not closed, or not within `patience`.
pub async fn ends(settings: &KafkaSettings, patience: Duration) -> Result<BTreeMap<u16, u64>, TopicError> {
    let admin = Admin::connect(settings, patience)?;
    if admin.describe().await?.max_message_bytes != CLOSED_BYTES {
        return Err(admin.wrong("is not closed: it has no end yet"));
    }
    let client: FutureProducer =
        settings.client().set("acks", "all").create().map_err(|source| admin.unusable(source))?;
    let deadline = Instant::now() + patience;
    tokio::time::sleep(SPREADING).await;
    for partition in 0..settings.partitions {
        while !refuses(&client, settings, partition).await.map_err(|source| admin.unusable(source))? {
            if Instant::now() >= deadline {
                return Err(admin.wrong(&format!("is closed, but partition {partition} still takes records")));
            }
        }
    }
    high_watermarks(settings, settings.partitions, patience).await.map_err(|source| admin.unusable(source))
}

/// Whether a partition's leader refuses records. One that does not yet takes an empty record, which holds no lines.
async fn refuses(client: &FutureProducer, settings: &KafkaSettings, partition: u16) -> Result<bool, KafkaError> {
    let record: FutureRecord<'_, (), [u8]> =
        FutureRecord::to(&settings.topic).partition(i32::from(partition)).payload(b"");
    match client.send(record, Duration::ZERO).await {
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => Ok(true),
        Err((error, _)) => Err(error),
        Ok(_) => Ok(false),
    }
}

impl Admin<'_> {
    /// Whether the topic is there and takes records.
    async fn is_open(&self) -> Result<bool, TopicError> {
        if self.partitions_and_leaders().await?.is_none() {
            return Ok(false);
        }
        let entries = self.entries().await?;
        let limit =
            entries.iter().find(|entry| entry.name == "max.message.bytes").and_then(|entry| entry.value.as_ref());
        Ok(limit.is_none_or(|limit| *limit != CLOSED_BYTES.to_string()))
    }

    /// Makes the topic refuse every record; its other settings stay.
    async fn close(&self) -> Result<(), TopicError> {
        let entries = self.entries().await?;
        let closed = CLOSED_BYTES.to_string();
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(&self.settings.topic));
        for entry in entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic) {
            wanted = wanted.set(&entry.name, entry.value.as_deref().unwrap_or_default());
        }
        let wanted = wanted.set("max.message.bytes", &closed);
        let outcome =
            self.client.alter_configs([&wanted], &self.options).await.map_err(|source| self.unusable(source))?;
        match outcome.into_iter().find_map(Result::err) {
            Some((_, code)) => Err(self.unusable(KafkaError::AdminOp(code))),
            None => Ok(()),
        }
    }

    /// A configuration that the brokers took is told by them a moment later.
    async fn wait_until_closed(&self) -> Result<(), TopicError> {
        let deadline = Instant::now() + self.patience;
        while self.is_open().await? {
            if Instant::now() >= deadline {
                return Err(self.wrong("does not close: its max.message.bytes stays as it was"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn wrong(&self, problem: &str) -> TopicError {
        TopicError::Wrong { topic: self.settings.topic.clone(), problem: problem.to_owned() }
    }
}

impl TopicShape {
    /// Whether the topic takes no more records.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.max_message_bytes == CLOSED_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_epoch_is_the_same_log_under_its_number() {
        let first = KafkaSettings::default();
        let tenth = first.at_epoch(10, 48);
        assert_eq!((tenth.topic.as_str(), tenth.epoch, tenth.partitions), ("tollgate-events-10", 10, 48));
        assert_eq!(tenth.at_epoch(1, first.partitions), first);
    }
}

//! How far the readers of the log are: "every record below this offset of this partition is in the store".
//!
//! That is exactly what the group's committed offsets say: they are committed after the insert, they move also past records that
//! held only copies, dead letters or nothing, and any process can ask for them. A table of our own would say the same later.
//! Reading the log again from its start sets them back: whoever waits, waits until that is through.

use crate::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at the committed offsets.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For one question to the brokers.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why it is not known that everything is in.
#[derive(Debug, thiserror::Error)]
pub enum FrontierError {
    /// The brokers do not answer.
    #[error("the log cannot be asked how far it is: {0}")]
    Brokers(#[from] KafkaError),
    /// A partition does not get there in time.
    #[error(
        "partition {partition} of topic '{topic}' is in the store up to offset {written}, needed is {needed}: \
         {stands} for {waited} s (group '{group}')"
    )]
    Standstill {
        /// Topic of events.
        topic: String,
        /// The group whose progress this is.
        group: String,
        /// Which partition.
        partition: u16,
        /// Every record below is in the store.
        written: u64,
        /// Every record below was in the log when the wait began.
        needed: u64,
        /// "it has not moved" or "it has been moving too slowly".
        stands: &'static str,
        /// Seconds.
        waited: u64,
    },
}

/// Where the readers of a topic are, asked from outside of them; cheap to clone.
#[derive(Clone)]
pub struct Frontier {
    consumer: Arc<BaseConsumer>,
    topic: String,
    group: String,
    partitions: u16,
}

impl Frontier {
    /// Of the group that reads the topic of `settings`.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(settings: &KafkaSettings, group: &str) -> Result<Self, KafkaError> {
        let consumer = settings.client().set("group.id", group).set("enable.auto.commit", "false").create()?;
        let (topic, partitions) = (settings.topic.clone(), settings.partitions);
        Ok(Self { consumer: Arc::new(consumer), topic, group: group.to_owned(), partitions })
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer, &str) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let answer = tokio::task::spawn_blocking(move || question(&consumer, &topic));
        answer.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The offset that the next record of each partition gets.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn high_watermarks(&self) -> Result<BTreeMap<u16, u64>, KafkaError> {
        let marks = self.watermarks().await?;
        Ok(marks.into_iter().map(|(partition, (_, high))| (partition, high)).collect())
    }

    /// The offset of the oldest record that each partition still holds, and the offset that its next record gets.
    async fn watermarks(&self) -> Result<BTreeMap<u16, (u64, u64)>, KafkaError> {
        let partitions = self.partitions;
        self.ask(move |consumer, topic| {
            let of = |partition: u16| {
                let (low, high) = consumer.fetch_watermarks(topic, i32::from(partition), ANSWER_WITHIN)?;
                Ok((partition, (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0))))
            };
            (0..partitions).map(of).collect()
        })
        .await
    }

    /// The number of partitions of a topic; `None` when there is no such topic. Cheap enough to be asked every second.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn partitions_of(&self, topic: &str) -> Result<Option<u16>, KafkaError> {
        let topic = topic.to_owned();
        self.ask(move |consumer, _| {
            let metadata = consumer.fetch_metadata(Some(&topic), ANSWER_WITHIN)?;
            let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
            Ok(u16::try_from(partitions).ok().filter(|partitions| *partitions > 0))
        })
        .await
    }

    /// Whether everything below `ends` is in the store.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn is_written_up_to(&self, ends: &BTreeMap<u16, u64>) -> Result<bool, KafkaError> {
        let marks = self.watermarks().await?;
        Ok(farthest_behind(ends, &self.written_or_gone(&marks).await?).is_none())
    }

    /// As [`Self::written_below`]; what the log does not hold any more is not waited for. The brokers forget a group that was
    /// away for long, and then all that is left of an old log is its end.
    async fn written_or_gone(&self, marks: &BTreeMap<u16, (u64, u64)>) -> Result<BTreeMap<u16, u64>, KafkaError> {
        let mut written = self.written_below().await?;
        for (partition, (oldest, _)) in marks {
            let below = written.entry(*partition).or_insert(0);
            *below = (*below).max(*oldest);
        }
        Ok(written)
    }

    /// The offset of each partition below which everything is in the store; 0 where nothing was committed.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn written_below(&self) -> Result<BTreeMap<u16, u64>, KafkaError> {
        let partitions = self.partitions;
        let began = Instant::now();
        loop {
            let asked = self.ask(move |consumer, topic| {
                let mut asked = TopicPartitionList::new();
                for partition in 0..partitions {
                    asked.add_partition(topic, i32::from(partition));
                }
                let committed = consumer.committed_offsets(asked, ANSWER_WITHIN)?;
                Ok(super::consumer::numbers_of(&committed))
            });
            match asked.await {
                Err(error) if is_choosing_coordinator(&error) && began.elapsed() < ANSWER_WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                answer => return answer,
            }
        }
    }

    /// Waits until every record that is in the log now is in the store, and answers with the offset of each partition
    /// below which everything is.
    ///
    /// # Errors
    /// [`FrontierError::Standstill`] names the partition that is farthest behind after `patience`.
    pub async fn wait(&self, patience: Duration) -> Result<BTreeMap<u16, u64>, FrontierError> {
        let marks = self.watermarks().await?;
        let needed = marks.iter().map(|(partition, (_, high))| (*partition, *high)).collect();
        let began = Instant::now();
        let at_first = self.written_or_gone(&marks).await?;
        let mut written = at_first.clone();
        loop {
            let Some((partition, missing)) = farthest_behind(&needed, &written) else { return Ok(written) };
            if began.elapsed() >= patience {
                let below = needed[&partition] - missing;
                let moved = at_first.get(&partition) != written.get(&partition);
                return Err(FrontierError::Standstill {
                    topic: self.topic.clone(),
                    group: self.group.clone(),
                    partition,
                    written: below,
                    needed: needed[&partition],
                    stands: if moved { "it has been moving too slowly" } else { "it has not moved" },
                    waited: began.elapsed().as_secs(),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
            written = self.written_or_gone(&marks).await?;
        }
    }

    /// Makes the group read again from these offsets on. No reader may be running: the brokers refuse it then.
    ///
    /// # Errors
    /// When the brokers refuse; the error names an unknown member when a reader is still there.
    pub async fn set(&self, next: BTreeMap<u16, u64>) -> Result<(), KafkaError> {
        self.ask(move |consumer, topic| {
            let mut offsets = TopicPartitionList::new();
            for (partition, offset) in next {
                let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
                offsets.add_partition_offset(topic, i32::from(partition), offset)?;
            }
            consumer.commit(&offsets, CommitMode::Sync)
        })
        .await
    }

    /// The offset of the first record of each partition that was stamped at or after `millis` since 1970; the log's end where
    /// there is none.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn offsets_at(&self, millis: i64) -> Result<BTreeMap<u16, u64>, KafkaError> {
        let partitions = self.partitions;
        let ends = self.high_watermarks().await?;
        let found = self
            .ask(move |consumer, topic| {
                let mut asked = TopicPartitionList::new();
                for partition in 0..partitions {
                    asked.add_partition_offset(topic, i32::from(partition), Offset::Offset(millis))?;
                }
                consumer.offsets_for_times(asked, ANSWER_WITHIN)
            })
            .await?;
        let entries = found.elements();
        let offset_of = |partition: u16| {
            let entry = entries.iter().find(|entry| entry.partition() == i32::from(partition))?;
            match entry.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            }
        };
        Ok(ends.into_iter().map(|(partition, end)| (partition, offset_of(partition).unwrap_or(end))).collect())
    }
}

/// Whether the brokers are about to settle which of them keeps the group's offsets: after the death of one, and on a cluster that
/// never had a group. It takes a second or two.
fn is_choosing_coordinator(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// The partition that lacks most records, the first of several, and how many.
fn farthest_behind(needed: &BTreeMap<u16, u64>, written: &BTreeMap<u16, u64>) -> Option<(u16, u64)> {
    let missing = |(partition, needed): (&u16, &u64)| {
        (*partition, needed.saturating_sub(written.get(partition).copied().unwrap_or(0)))
    };
    needed
        .iter()
        .map(missing)
        .filter(|(_, missing)| *missing > 0)
        .max_by_key(|(partition, missing)| (*missing, Reverse(*partition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_that_lacks_most_is_named() {
        let needed = BTreeMap::from([(0, 10), (1, 0), (2, 7)]);
        assert_eq!(farthest_behind(&needed, &BTreeMap::from([(0, 9), (2, 3)])), Some((2, 4)));
        assert_eq!(farthest_behind(&needed, &BTreeMap::from([(0, 10), (2, 8)])), None);
    }
}

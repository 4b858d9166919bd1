//! Lines that cannot be read, kept where somebody can look at them: one record each in a topic of their own.
//!
//! The record's value is the line, byte by byte; its headers say `reason`, `topic`, `epoch`, `partition`, `offset` and `line`. A line
//! that is read again after a crash may stand here twice, under the same position.

use crate::settings::KafkaSettings;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use std::time::Duration;

/// One line, and why it is here.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// Partition of its record.
    pub partition: u16,
    /// Offset of its record.
    pub offset: u64,
    /// Line in the record, from 0.
    pub line: u32,
    /// Why it cannot be read.
    pub reason: &'a str,
    /// The line without its end.
    pub bytes: &'a [u8],
}

/// Writes to the dead-letter topic.
pub struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    of_topic: String,
    epoch: u16,
    patience: Duration,
}

impl DeadLetters {
    /// Connects lazily.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn start(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: settings.producer().create()?,
            topic: settings.dead_letter_topic.clone(),
            of_topic: settings.topic.clone(),
            epoch: settings.epoch,
            patience: Duration::from_millis(settings.delivery_timeout_ms),
        })
    }

    /// Returns once the brokers hold the line.
    ///
    /// # Errors
    /// When they do not within the delivery time-out; the line may be there all the same.
    pub async fn publish(&self, letter: DeadLetter<'_>) -> Result<(), KafkaError> {
        let numbers = [
            ("epoch", self.epoch.to_string()),
            ("partition", letter.partition.to_string()),
            ("offset", letter.offset.to_string()),
            ("line", letter.line.to_string()),
        ];
        let mut headers = OwnedHeaders::new()
            .insert(Header { key: "reason", value: Some(letter.reason) })
            .insert(Header { key: "topic", value: Some(&self.of_topic) });
        for (key, value) in &numbers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record: FutureRecord<'_, (), [u8]> = FutureRecord::to(&self.topic).payload(letter.bytes).headers(headers);
        let sent = self.producer.send(record, Timeout::After(self.patience)).await;
        sent.map(drop).map_err(|(error, _)| error)
    }
}

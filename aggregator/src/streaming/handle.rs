//! The writer's handle: start, look, close.

use super::shared::Shared;
use super::task::{self, Parts};
use super::types::{Progress, StreamingConfig, StreamingError};
use crate::connection::{Connection, StoreConfig};
use crate::direct::WriterState;
use domain::snapshot::SnapshotCell;
use event_log::consumer::LogConsumer;
use event_log::dead_letters::DeadLetters;
use event_log::settings::KafkaSettings;
use event_log::topic;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A member of the group that writes the log into the store; cheap to clone. Any number of them may run, in any processes.
#[derive(Clone)]
pub struct StreamingWriter {
    close: mpsc::Sender<oneshot::Sender<()>>,
    shared: Arc<Shared>,
}

impl StreamingWriter {
    /// Migrates the schema, creates or verifies the topics, joins the group and starts the writer's task.
    ///
    /// # Errors
    /// When the store or the brokers cannot be reached now, or are not as the settings say. Once started, it outlives both
    /// being away.
    pub async fn start(
        store: StoreConfig,
        kafka: KafkaSettings,
        config: StreamingConfig,
        catalog: SnapshotCell,
    ) -> Result<Self, StreamingError> {
        let connection = Connection::new(store);
        crate::schema::migrate(&connection).await?;
        let shape = topic::ensure_readable(&kafka, config.broker_patience).await?;
        let refused = |error: event_log::KafkaError| StreamingError::Log(error.to_string());
        let dead_letters = DeadLetters::start(&kafka).map_err(refused)?;
        let log = LogConsumer::join(&kafka, &kafka.group).map_err(refused)?;
        let shared = Arc::new(Shared::new(log.heard()));
        let (close, closing) = mpsc::channel(1);
        task::start(Parts {
            connection,
            config,
            catalog,
            log,
            dead_letters,
            epoch: kafka.epoch,
            partitions: shape.partitions,
            shared: Arc::clone(&shared),
            closing,
        });
        Ok(Self { close, shared })
    }

    /// Whether it makes progress; cheap.
    #[must_use]
    pub fn state(&self) -> WriterState {
        self.shared.state()
    }

    /// How far it is with the partitions it owns; cheap.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// Stores and commits what was read, leaves the group, and returns.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.close.send(done).await.is_ok() {
            // An error means that the task has ended, which is what was asked for.
            let _ = closed.await;
        }
    }
}

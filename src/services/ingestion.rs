//! How accepted events get into the store: by this process's own writer, or through the log.
//!
//! | mode | takes events | stores them |
//! |---|---|---|
//! | direct | [`DirectSink`] | the same writer; 2xx once the insert is on disk |
//! | streaming | [`KafkaSink`]; 2xx once the brokers hold them | [`LogFollower`], here or in another process |
//!
//! At the end the sink goes first: what it took is in the log, and the writer stores of it what it has read. The rest is read
//! by the next start, or by another member of the group.

use super::event_sink::DirectSink;
use super::kafka_sink::KafkaSink;
use super::operations::Readiness;
use super::purpose::Purpose;
use crate::configuration::Configuration;
use crate::failure::Failure;
use aggregator::direct::WriterState;
use aggregator::streaming::{LogFollower, StreamingConfig};
use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use domain::snapshot::SnapshotCell;
use event_log::intake::LogIntake;
use event_log::settings::KafkaSettings;
use ingest_gateway::EventSink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For the brokers to answer at the start: an election after the death of one takes some seconds.
const BROKER_PATIENCE: Duration = Duration::from_secs(30);
/// Requests have ended when the sink is closed, so what it still holds is of those that were cut off.
const SINK_CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The event store as this process sees it.
pub(super) struct StoreAtHand<'a> {
    pub(super) config: StoreConfig,
    pub(super) store: &'a EventStore,
    /// Where the direct writer keeps what it has answered and not stored; present where the store is embedded.
    pub(super) journal: Option<PathBuf>,
    /// A name that this process has at each start, if it has one.
    pub(super) instance: Option<String>,
}

/// The ends of the way into the store that this process has.
#[derive(Default)]
pub(super) struct Ingestion {
    direct: Option<DirectWriter>,
    log_in: Option<Arc<KafkaSink>>,
    log_out: Option<LogFollower>,
    sink: Option<Arc<dyn EventSink>>,
}

impl Ingestion {
    /// Starts what `purpose` takes.
    ///
    /// # Errors
    /// The first end that cannot start, in its own words.
    pub(super) async fn start(
        configuration: &Configuration,
        purpose: Purpose,
        at_hand: Option<StoreAtHand<'_>>,
        catalog: &SnapshotCell,
    ) -> Result<Self, Failure> {
        match &configuration.kafka {
            Some(kafka) => Self::streaming(kafka, purpose, at_hand, catalog).await,
            None => Self::direct(configuration, purpose, at_hand, catalog).await,
        }
    }

    async fn direct(
        configuration: &Configuration,
        purpose: Purpose,
        at_hand: Option<StoreAtHand<'_>>,
        catalog: &SnapshotCell,
    ) -> Result<Self, Failure> {
        let Some(at_hand) = at_hand.filter(|store| purpose.writes_events(store.journal.is_some())) else {
            return Ok(Self::default());
        };
        let StoreAtHand { config, store, journal, .. } = at_hand;
        let limits = DirectConfig { max_bytes: configuration.ingest_memory_bytes, journal, ..DirectConfig::default() };
        let writer = DirectWriter::start(config, limits, catalog.clone()).await.map_err(Failure::trouble)?;
        let readers = store.clone().behind(writer.progress());
        let sink: Arc<dyn EventSink> = Arc::new(DirectSink::new(writer.clone(), readers));
        Ok(Self { direct: Some(writer), sink: Some(sink), ..Self::default() })
    }

    async fn streaming(
        kafka: &KafkaSettings,
        purpose: Purpose,
        at_hand: Option<StoreAtHand<'_>>,
        catalog: &SnapshotCell,
    ) -> Result<Self, Failure> {
        let mut ingestion = Self::default();
        if purpose.takes_events() {
            let intake = LogIntake::start(kafka, BROKER_PATIENCE).await.map_err(Failure::trouble)?;
            let store = at_hand.as_ref().map(|at_hand| at_hand.store.clone());
            let sink = Arc::new(KafkaSink::new(intake, store));
            ingestion.log_in = Some(sink.clone());
            ingestion.sink = Some(sink);
        }
        if let Some(at_hand) = at_hand.filter(|store| purpose.writes_events(store.journal.is_some())) {
            store_what_direct_mode_left(&at_hand, catalog).await?;
            let mut kafka = kafka.clone();
            kafka.instance = kafka.instance.or(at_hand.instance);
            let config = StreamingConfig { broker_patience: BROKER_PATIENCE, ..StreamingConfig::default() };
            let writer = LogFollower::start(at_hand.config, kafka, config, catalog.clone()).await;
            ingestion.log_out = Some(writer.map_err(Failure::trouble)?);
        }
        Ok(ingestion)
    }

    /// The store for readers of this process: they see all that was answered, where that is this process's to say.
    pub(super) fn seen_by_readers(&self, store: EventStore) -> EventStore {
        match &self.direct {
            Some(writer) => store.behind(writer.progress()),
            None => store,
        }
    }

    /// Where the gateway hands events to.
    pub(super) fn sink(&self) -> Option<Arc<dyn EventSink>> {
        self.sink.clone()
    }

    /// The reader of the log, where this process has it.
    pub(super) fn log_reader(&self) -> Option<LogFollower> {
        self.log_out.clone()
    }

    /// Each end must make progress.
    pub(super) fn add_checks(&self, readiness: &mut Readiness) {
        if let Some(sink) = self.sink.clone() {
            readiness.add(if self.log_in.is_some() { "log" } else { "writer" }, move || {
                let state = match sink.readiness() {
                    ingest_gateway::Readiness::Ready => Ok(()),
                    ingest_gateway::Readiness::NotReady { reason } => Err(reason),
                };
                async move { state }
            });
        }
        if let Some(writer) = self.log_out.clone() {
            readiness.add("aggregator", move || {
                let state = match writer.state() {
                    WriterState::Ready => Ok(()),
                    WriterState::NotReady(reason) => Err(reason),
                };
                async move { state }
            });
        }
    }

    /// Flushes and closes every end.
    pub(super) async fn close(&self) {
        if let Some(writer) = &self.direct {
            writer.close().await;
        }
        if let Some(sink) = &self.log_in {
            sink.close(SINK_CLOSE_PATIENCE).await;
        }
        if let Some(writer) = &self.log_out {
            writer.close().await;
        }
    }
}

/// A data directory that changes over to streaming may hold a journal of answered events: they go into the store first, so that
/// copies of them in the log find them.
async fn store_what_direct_mode_left(at_hand: &StoreAtHand<'_>, catalog: &SnapshotCell) -> Result<(), Failure> {
    let Some(journal) = at_hand.journal.as_ref().filter(|journal| journal.exists()) else { return Ok(()) };
    let limits = DirectConfig { journal: Some(journal.clone()), ..DirectConfig::default() };
    let writer =
        DirectWriter::start(at_hand.config.clone(), limits, catalog.clone()).await.map_err(Failure::trouble)?;
    let stored = at_hand.store.clone().behind(writer.progress()).committed_cut().await;
    writer.close().await;
    stored.map_err(Failure::trouble)?;
    // With the files SQLite keeps beside it: left alone they would be taken for the next journal's.
    for suffix in ["-wal", "-shm", ""] {
        let mut file = journal.clone().into_os_string();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(Failure::trouble(fault)),
            _ => {}
        }
    }
    tracing::info!("what direct mode had in its journal is in the store");
    Ok(())
}

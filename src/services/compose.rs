//! Which crate gives what: the one place that knows all of them.
//!
//! In the order of one event: the gateway takes it, the writer stores it; the catalog says whose it is, the rater how much, the
//! invoicer what it costs; the scheduler when.

use super::event_sink::{DirectSink, NoSink};
use super::event_store::{EventStoreServer, engine_problem};
use super::operations::Readiness;
use super::{Purpose, documentation};
use crate::configuration::Configuration;
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use aggregator::{DirectConfig, DirectWriter, EventStore};
use axum::Router;
use catalog::state::CatalogState;
use catalog::{Catalog, Database};
use engine::EngineState;
use http_api::{AuthState, Secret, SharedClock, SystemClock};
use ingest_gateway::{EventSink, GatewayState};
use invoicer::{BillingRuns, FeeProver, InvoicerState, Portions, Scheduler, StoreInputs};
use rater::{Rater, RaterState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::openapi::OpenApi;

/// Longest wait for the ledger's connections at the end; a billing run under way keeps one, and is resumed by the next start.
const LEDGER_CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// The parts of a running program.
pub(super) struct Parts {
    auth: AuthState,
    catalog: Catalog,
    store: EventStore,
    writer: Option<DirectWriter>,
    sink: Arc<dyn EventSink>,
    runs: BillingRuns,
    rater: Rater,
    gateway: GatewayState,
    engine: Option<watch::Receiver<EngineState>>,
    scheduler: Option<Arc<JoinHandle<()>>>,
    tidying: JoinHandle<()>,
    time_keeping: JoinHandle<()>,
}

impl Parts {
    /// Opens and migrates the stores, starts the writer and what runs in the background.
    ///
    /// # Errors
    /// The first part that cannot start, in its own words.
    pub(super) async fn open(
        configuration: &Configuration,
        directory: &DataDirectory,
        event_store: &EventStoreServer,
        admin_secret: &Secret,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let clock: SharedClock = Arc::new(SystemClock);
        let database = open_ledger(configuration, directory).await?;
        let catalog = Catalog::open(database.clone()).await.map_err(Failure::trouble)?;
        let auth = AuthState::new(catalog.snapshot(), Some(admin_secret.clone()), clock.clone());
        let store = EventStore::open(event_store.config()).await.map_err(Failure::trouble)?;
        let writer = start_writer(configuration, directory, event_store, &catalog, purpose).await?;
        let store = match &writer {
            Some(writer) => store.behind(writer.progress()),
            None => store,
        };
        let sink: Arc<dyn EventSink> = match &writer {
            Some(writer) => Arc::new(DirectSink::new(writer.clone(), store.clone())),
            None => Arc::new(NoSink),
        };
        let rater = Rater::new(store.clone());
        let inputs = StoreInputs::new(catalog.clone(), rater.clone(), clock.clone());
        let runs = BillingRuns::open(database, Arc::new(inputs), clock.clone(), Portions::default())
            .await
            .map_err(Failure::trouble)?;
        let scheduler = start_billing(configuration, &runs, &clock, purpose).await?;
        let time_keeping = tokio::spawn(catalog.clone().keep_time(clock.clone()));
        let tidying = tokio::spawn(catalog.clone().tidy(auth.usage.clone(), clock));
        let limits = configuration.ingest_limits;
        let gateway = GatewayState::new(auth.clone(), sink.clone(), Arc::new(catalog.clone()), limits);
        let engine = event_store.state();
        Ok(Self { auth, catalog, store, writer, sink, runs, rater, gateway, engine, scheduler, tidying, time_keeping })
    }

    /// Every part that must make progress for the whole to be ready.
    pub(super) fn add_checks(&self, readiness: &mut Readiness) {
        if let Some(engine) = self.engine.clone() {
            readiness.add("engine", move || {
                let state = engine_problem(&engine);
                async move { state }
            });
        }
        let store = self.store.clone();
        readiness.add("event_store", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|fault| fault.to_string()) }
        });
        let sink = self.sink.clone();
        readiness.add("writer", move || {
            let state = match sink.readiness() {
                ingest_gateway::Readiness::Ready => Ok(()),
                ingest_gateway::Readiness::NotReady { reason } => Err(reason),
            };
            async move { state }
        });
        let database = self.catalog.database().clone();
        readiness.add("ledger", move || {
            let database = database.clone();
            async move { catalog::billing::change_mark(&database).await.map(|_| ()).map_err(|fault| fault.to_string()) }
        });
        if let Some(scheduler) = self.scheduler.clone() {
            readiness.add("scheduler", move || {
                let ended = scheduler.is_finished();
                async move { if ended { Err("automatic billing has ended; the log says why".to_string()) } else { Ok(()) } }
            });
        }
    }

    /// All routers as one, with the rest of the contract, request ids and logs around them.
    pub(super) fn router(&self, operations: Router) -> Router {
        let mut catalog = CatalogState::new(self.catalog.clone(), self.auth.clone());
        catalog.clock_moved.push(Arc::new(self.runs.clone()));
        catalog.wiped.push(Arc::new(self.runs.clone()));
        catalog.add_on_applied = Some(Arc::new(self.runs.clone()));
        catalog.subscriptions_changed = Some(Arc::new(self.runs.clone()));
        let rater = RaterState { rater: self.rater.clone(), catalog: self.catalog.clone(), auth: self.auth.clone() };
        let prover = FeeProver::new(self.catalog.clone(), self.rater.clone());
        let invoicer = InvoicerState { runs: self.runs.clone(), prover, auth: self.auth.clone() };
        let document = documentation::document();
        let router = operations
            .merge(documentation::router(document.clone()))
            .merge(ingest_gateway::router(self.gateway.clone()))
            .merge(catalog::router(catalog))
            .merge(rater::router(rater))
            .merge(invoicer::router(invoicer));
        http_api::finish(router.merge(not_built(&document)))
    }

    /// Flushes and closes. A billing run under way stays in the ledger and is resumed by the next start.
    pub(super) async fn close(self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.abort();
        }
        self.runs.stop().await;
        self.tidying.abort();
        self.time_keeping.abort();
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        if let Err(fault) = self.catalog.store_key_usage(&self.auth.usage).await {
            tracing::warn!(%fault, "when keys were last used was not written down");
        }
        if tokio::time::timeout(LEDGER_CLOSE_PATIENCE, self.catalog.database().close()).await.is_err() {
            tracing::info!("the ledger is still in use by a billing run, which the next start resumes");
        }
    }
}

/// The rest of the contract: each of its routes that no part above serves answers 501.
fn not_built(document: &OpenApi) -> Router {
    let routed: Vec<_> = documentation::operations(document).map(|(method, path, _)| (method, path)).collect();
    catalog::routes_not_built::not_built(&routed)
}

async fn open_ledger(configuration: &Configuration, directory: &DataDirectory) -> Result<Database, Failure> {
    let opened = match &configuration.database_url {
        Some(url) => Database::open(url.reveal()).await,
        None => Database::open_in(directory.path()).await,
    };
    opened.map_err(Failure::trouble)
}

/// The one writer. A command on somebody else's ClickHouse server starts none: the server's gateway holds that right.
async fn start_writer(
    configuration: &Configuration,
    directory: &DataDirectory,
    event_store: &EventStoreServer,
    catalog: &Catalog,
    purpose: Purpose,
) -> Result<Option<DirectWriter>, Failure> {
    if purpose == Purpose::Command && configuration.clickhouse.is_some() {
        return Ok(None);
    }
    let config = DirectConfig {
        max_bytes: configuration.ingest_memory_bytes,
        journal: configuration.clickhouse.is_none().then(|| directory.journal()),
        ..DirectConfig::default()
    };
    let writer =
        DirectWriter::start(event_store.config(), config, catalog.snapshot()).await.map_err(Failure::trouble)?;
    Ok(Some(writer))
}

/// Resumes what a dead process left and, when configured, bills as periods end.
async fn start_billing(
    configuration: &Configuration,
    runs: &BillingRuns,
    clock: &SharedClock,
    purpose: Purpose,
) -> Result<Option<Arc<JoinHandle<()>>>, Failure> {
    if purpose == Purpose::Command {
        return Ok(None);
    }
    runs.resume().await.map_err(Failure::trouble)?;
    if !configuration.billing_automatic {
        return Ok(None);
    }
    let scheduler = Scheduler::new(runs.clone()).run(configuration.billing_check, clock.clone());
    Ok(Some(Arc::new(tokio::spawn(scheduler))))
}

/// The OpenAPI document of each part.
pub(super) fn documents() -> Vec<OpenApi> {
    vec![ingest_gateway::openapi(), catalog::openapi(), rater::openapi(), invoicer::openapi()]
}

//! Which crate gives what: the one place that knows all of them.
//!
//! In the order of one event: the gateway takes it, the writer stores it ([`super::ingestion`]); the catalog says whose it is, the
//! rater how much, the invoicer what it costs ([`super::billing`]); the scheduler when.
//!
//! A process has the parts its [`Purpose`] takes; every process has the catalog, for keys and metrics.

use super::billing::{Billing, Ledger};
use super::event_store::{EventStoreServer, engine_problem};
use super::ingestion::{Ingestion, StoreAtHand};
use super::operations::Readiness;
use super::purpose::Purpose;
use super::status::{self, Source};
use super::watch::Watch;
use super::{documentation, log_routes};
use crate::configuration::Configuration;
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use aggregator::EventStore;
use axum::Router;
use catalog::state::CatalogState;
use catalog::{Catalog, Database};
use engine::EngineState;
use http_api::{AuthState, Secret, SharedClock, SystemClock};
use ingest_gateway::GatewayState;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use utoipa::openapi::OpenApi;

/// Longest wait for the ledger's connections at the end; a billing run under way keeps one, and is resumed by the next start.
const LEDGER_CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Longest wait at the start for an event store that is elsewhere: started at the same moment, an engine needs some seconds, and a server
/// with many parts more.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// What every part of a process stands on.
pub(super) struct Ground<'a> {
    pub(super) configuration: &'a Configuration,
    /// Absent in a service by itself, whose ledger is configured.
    pub(super) directory: Option<&'a DataDirectory>,
    /// Absent in a gateway that has none to show events from.
    pub(super) event_store: Option<&'a EventStoreServer>,
    /// Absent: admin routes are closed.
    pub(super) admin_secret: Option<&'a Secret>,
}

/// The parts of a running program.
pub(super) struct Parts {
    purpose: Purpose,
    auth: AuthState,
    catalog: Catalog,
    store: Option<EventStore>,
    ingestion: Ingestion,
    gateway: Option<GatewayState>,
    billing: Option<Billing>,
    engine: Option<watch::Receiver<EngineState>>,
    background: Vec<AbortHandle>,
}

impl Parts {
    /// Opens and migrates the stores, starts the writers and what runs in the background.
    ///
    /// # Errors
    /// The first part that cannot start, in its own words.
    pub(super) async fn open(ground: Ground<'_>, purpose: Purpose) -> Result<Self, Failure> {
        let configuration = ground.configuration;
        let clock: SharedClock = Arc::new(SystemClock);
        let catalog = Catalog::open(open_ledger(&ground).await?).await.map_err(Failure::trouble)?;
        let auth = AuthState::new(catalog.snapshot(), ground.admin_secret.cloned(), clock.clone());
        if let Some(server) =
            ground.event_store.filter(|server| purpose.needs_store_at_start() && !server.is_embedded())
        {
            EventStore::await_server(&server.config(), STORE_PATIENCE).await.map_err(Failure::trouble)?;
        }
        let store = open_store(ground.event_store, purpose).await?;
        if let Some(store) = store.as_ref().filter(|_| configuration.kafka.is_none() && purpose.reads_usage()) {
            refuse_to_forget_the_log(store, purpose).await?;
        }
        let instance = ground.directory.map(DataDirectory::instance).transpose()?;
        let at_hand = ground.event_store.zip(store.as_ref()).map(|(server, store)| StoreAtHand {
            instance: instance.clone(),
            config: server.config(),
            store,
            // What is embedded lies in the data directory, and so does its journal.
            journal: ground.directory.filter(|_| server.is_embedded()).map(DataDirectory::journal),
        });
        let ingestion = Ingestion::start(configuration, purpose, at_hand, &catalog.snapshot()).await?;
        let store = store.map(|store| ingestion.seen_by_readers(store));
        let billing = match store.as_ref().filter(|_| purpose.reads_usage()) {
            Some(store) => {
                let ledger = Ledger { catalog: &catalog, instance: instance.as_deref() };
                Some(Billing::open(configuration, purpose, ledger, store, &clock).await?)
            }
            None => None,
        };
        let gateway = ingestion
            .sink()
            .filter(|_| purpose.takes_events())
            .map(|sink| GatewayState::new(auth.clone(), sink, Arc::new(catalog.clone()), configuration.ingest_limits));
        let mut background = Vec::new();
        if purpose.serves_api() {
            background.push(tokio::spawn(catalog.clone().keep_time(clock.clone())).abort_handle());
        }
        background.push(tokio::spawn(catalog.clone().tidy(auth.usage.clone(), clock)).abort_handle());
        let watch = Watch {
            catalog: catalog.clone(),
            directory: ground.directory.map(|directory| directory.path().to_path_buf()),
            tells_of_ledger: billing.is_some(),
        };
        background.push(tokio::spawn(watch.keep()).abort_handle());
        let engine = ground.event_store.and_then(EventStoreServer::state);
        Ok(Self { purpose, auth, catalog, store, ingestion, gateway, billing, engine, background })
    }

    /// Every part that must make progress for the whole to be ready.
    pub(super) fn add_checks(&self, readiness: &mut Readiness) {
        if let Some(engine) = self.engine.clone() {
            readiness.add("engine", move || {
                let state = engine_problem(&engine);
                async move { state }
            });
        }
        // A gateway takes events also while the store is away.
        if let Some(store) = self.store.clone().filter(|_| self.billing.is_some()) {
            readiness.add("event_store", move || {
                let store = store.clone();
                async move { store.ping().await.map_err(|fault| fault.to_string()) }
            });
        }
        self.ingestion.add_checks(readiness);
        // Gateways and aggregators go on with the keys and metrics they know: taking them out of service would stop ingestion.
        let Some(billing) = &self.billing else { return };
        let database = self.catalog.database().clone();
        readiness.add("ledger", move || {
            let database = database.clone();
            async move { database.ping().await.map_err(|fault| fault.to_string()) }
        });
        billing.add_checks(readiness);
    }

    /// The page that shows how all parts are.
    pub(super) fn status(
        &self,
        readiness: Arc<Readiness>,
        metrics: Option<PrometheusHandle>,
        streaming: bool,
    ) -> Router {
        let runs = self.billing.as_ref().map(Billing::runs);
        status::router(Source { purpose: self.purpose, streaming, readiness, metrics, auth: self.auth.clone(), runs })
    }

    /// The routers of all parts as one, with request ids and logs around them.
    pub(super) fn router(&self, operations: Router) -> Router {
        let mut router = operations;
        if let Some(gateway) = &self.gateway {
            router = router.merge(ingest_gateway::router(gateway.clone()));
        }
        if let Some(reader) = self.ingestion.log_reader() {
            router = router.merge(log_routes::router(reader, self.auth.clone()));
        }
        if let Some(billing) = self.billing.as_ref().filter(|_| self.purpose.serves_api()) {
            let document = documentation::document();
            let catalog = billing.taking_part_in(CatalogState::new(self.catalog.clone(), self.auth.clone()));
            router = router
                .merge(documentation::router(document.clone()))
                .merge(catalog::router(catalog))
                .merge(billing.router(&self.catalog, &self.auth))
                .merge(not_built(&document));
        }
        http_api::finish(router)
    }

    /// Flushes and closes. A billing run under way stays in the ledger and is resumed by the next start.
    pub(super) async fn close(self) {
        if let Some(billing) = &self.billing {
            billing.stop().await;
        }
        self.background.iter().for_each(AbortHandle::abort);
        self.ingestion.close().await;
        if let Err(fault) = self.catalog.store_key_usage(&self.auth.usage).await {
            tracing::warn!(%fault, "when keys were last used was not written down");
        }
        if tokio::time::timeout(LEDGER_CLOSE_PATIENCE, self.catalog.database().close()).await.is_err() {
            tracing::info!("the ledger is still in use by a billing run, which the next start resumes");
        }
    }
}

/// The rest of the contract: each of its routes that no part of the product serves answers 501.
fn not_built(document: &OpenApi) -> Router {
    let routed: Vec<_> = documentation::operations(document).map(|(method, path, _)| (method, path)).collect();
    catalog::routes_not_built::not_built(&routed)
}

async fn open_ledger(ground: &Ground<'_>) -> Result<Database, Failure> {
    let opened = match (&ground.configuration.database_url, ground.directory) {
        (Some(url), _) => Database::open(url.reveal()).await,
        (None, Some(directory)) => Database::open_in(directory.path()).await,
        (None, None) => return Err(Failure::Trouble("no ledger is named: set --database-url".to_string())),
    };
    opened.map_err(Failure::trouble)
}

/// A gateway only shows events from the store, so it starts also while that is away.
async fn open_store(server: Option<&EventStoreServer>, purpose: Purpose) -> Result<Option<EventStore>, Failure> {
    let Some(server) = server else { return Ok(None) };
    if !purpose.reads_usage() {
        return Ok(Some(EventStore::unopened(server.config())));
    }
    EventStore::open(server.config()).await.map(Some).map_err(Failure::trouble)
}

/// A store that is written from a log may lack what is still in the log. Whoever bills it must know the log; a server may go on
/// without it, when the log is at its end for good.
async fn refuse_to_forget_the_log(store: &EventStore, purpose: Purpose) -> Result<(), Failure> {
    let cut = store.committed_cut().await.map_err(Failure::trouble)?;
    if cut.iter().all(|(epoch, ..)| epoch == 0) {
        return Ok(());
    }
    let problem = "this event store is written from a log, and events may still be in that log: name it with \
                   --ingest streaming --kafka-brokers LIST";
    if purpose == Purpose::Command {
        return Err(Failure::Trouble(problem.to_string()));
    }
    tracing::warn!("{problem}, or be sure that all of it was read");
    Ok(())
}

/// The OpenAPI document of each part.
pub(super) fn documents() -> Vec<OpenApi> {
    vec![ingest_gateway::openapi(), catalog::openapi(), rater::openapi(), invoicer::openapi(), log_routes::openapi()]
}

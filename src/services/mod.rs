//! How the parts become one program, and how they are taken down.
//!
//! Up: address, engine, ledger, store, the ends of ingestion, routers, listener; [`compose`] alone knows which crate gives what,
//! [`purpose`] which parts a process has.
//! Down, in the other order: no new connections, requests under way end, the scheduler and billing runs stop (the next start
//! resumes them), the writer commits what it took, the ledger closes, the engine ends. Each step has a bound, so that the whole
//! takes at most [`Configuration::drain`] and a minute.
//!
//! It refuses to hide a part that failed to start: the first failure is the one line the user sees, and whatever was started
//! before it is ended.

mod access;
mod billing;
mod compose;
mod documentation;
mod event_sink;
mod event_store;
mod ingestion;
mod kafka_sink;
mod log_routes;
mod operations;
mod purpose;
mod scratch;
mod server;
mod signals;
mod status;
mod watch;

pub use access::Access;
pub use purpose::{Purpose, Service};
pub use scratch::ScratchStore;
pub use signals::Signals;

use crate::configuration::Configuration;
use crate::data_directory::{DataDirectory, Running};
use crate::failure::Failure;
use compose::{Ground, Parts};
use event_store::EventStoreServer;
use http_api::Secret;
use operations::Readiness;
use server::Serving;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Longest time the parts may take to flush and close after requests have ended.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// All services of one process.
pub struct Services {
    url: String,
    serving: Serving,
    readiness: Arc<Readiness>,
    parts: Parts,
    event_store: Option<EventStoreServer>,
    directory: Option<DataDirectory>,
    drain: Duration,
}

impl Services {
    /// Starts everything on a data directory and returns once requests are answered.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line that says what to do.
    pub async fn start(
        configuration: &Configuration,
        directory: DataDirectory,
        admin_secret: &Secret,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let listen = match purpose {
            Purpose::Command => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Purpose::Everything | Purpose::One(_) => configuration.listen,
        };
        let bound = server::bind(listen).await.map_err(Failure::Trouble)?;
        raise_open_files();
        let event_store = EventStoreServer::start(configuration, &directory).await?;
        Self::serve(configuration, bound, (Some(directory), Some(event_store)), Some(admin_secret), purpose).await
    }

    /// Starts one service, whose stores and brokers are elsewhere; returns once requests are answered.
    ///
    /// # Errors
    /// As [`Services::start`].
    pub async fn start_one(configuration: &Configuration, service: Service) -> Result<Self, Failure> {
        let bound = server::bind(configuration.listen).await.map_err(Failure::Trouble)?;
        raise_open_files();
        let event_store = EventStoreServer::elsewhere(configuration);
        let admin_secret = configuration.admin_secret.as_ref();
        Self::serve(configuration, bound, (None, event_store), admin_secret, Purpose::One(service)).await
    }

    async fn serve(
        configuration: &Configuration,
        bound: server::Bound,
        (directory, event_store): (Option<DataDirectory>, Option<EventStoreServer>),
        admin_secret: Option<&Secret>,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let url = format!("http://{}", reachable(bound.address));
        let metrics = operations::start_metrics();
        let ground =
            Ground { configuration, directory: directory.as_ref(), event_store: event_store.as_ref(), admin_secret };
        let parts = Parts::open(ground, purpose).await?;
        let mut readiness = Readiness::default();
        parts.add_checks(&mut readiness);
        let readiness = Arc::new(readiness);
        let status = parts.status(readiness.clone(), metrics.clone(), configuration.kafka.is_some());
        let router = parts.router(operations::router(readiness.clone(), metrics, &url).merge(status));
        // Before the first answer: who sees us ready finds us here.
        if let Some((directory, event_store)) = directory.as_ref().zip(event_store.as_ref()) {
            Running { pid: std::process::id(), url: url.clone(), engine: event_store.access() }
                .write(directory.path())?;
        }
        let serving = bound.serve(router);
        Ok(Self { url, serving, readiness, parts, event_store, directory, drain: configuration.drain })
    }

    /// Base address, as this machine reaches it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Drains, flushes and ends everything; see the module's head.
    pub async fn stop(self) {
        self.readiness.stop();
        self.serving.drain(self.drain).await;
        if tokio::time::timeout(CLOSE_PATIENCE, self.parts.close()).await.is_err() {
            tracing::warn!("the services did not close in time; what was acknowledged is on disk");
        }
        if let Some(event_store) = self.event_store {
            event_store.stop().await;
        }
        if let Some(directory) = &self.directory {
            Running::remove(directory.path());
        }
    }
}

/// Raises this process's limit of open files to what the system allows; the engine inherits it. Shells start programs with
/// 1,024, which a few thousand connections or a month's parts of the store pass.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, allowed)| setrlimit(Resource::RLIMIT_NOFILE, allowed, allowed));
    if let Err(fault) = raised {
        tracing::warn!(%fault, "the limit of open files stays as it is");
    }
}

/// Whether the address is free to listen on.
///
/// # Errors
/// What [`Services::start`] would say.
pub async fn check_address(address: SocketAddr) -> Result<(), String> {
    server::bind(address).await.map(|_| ())
}

/// An address a client on this machine can use: "all interfaces" is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

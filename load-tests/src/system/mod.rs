//! A system of its own: the processes of a given shape, brokers and event store among them, started in a folder and stopped.
//!
//! For [`crate::chaos`], which does things to it, and for [`mod@crate::bench`], which measures it. With proxies, clients send events
//! through them, one a gateway, and services reach the event store through one; the audit speaks to the system directly.
//!
//! It refuses to clean up after itself: the folder belongs to whoever named it.

mod brokers;
pub mod member;
pub(crate) mod process;
pub mod proxy;
pub(crate) mod store;

use crate::measure::process::Root;
use anyhow::{Context, bail};
use brokers::Brokers;
use member::{Member, Role, Surroundings};
use proxy::Proxy;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use store::Store;

/// A debug build on busy cores recovers a store of many crashes in some seconds; longer than this is a fault of its own.
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// What is set up.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Our processes, in the order in which they are started.
    pub roles: Vec<Role>,
    /// Whether the event store is a process of its own.
    pub store_apart: bool,
    /// Brokers: 1, 3, or none for direct ingestion.
    pub brokers: Option<u8>,
    /// Whether proxies stand between clients, services and event store.
    pub proxies: bool,
}

/// What it is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The binary.
    pub tollgate: PathBuf,
    /// The script that starts brokers.
    pub kafka: PathBuf,
    /// Where data and logs go.
    pub folder: PathBuf,
    /// Of what the proxies draw.
    pub seed: u64,
}

/// A running system. Fields are dropped in order: those who use something end before it.
#[derive(Debug)]
pub struct System {
    pub(crate) members: Vec<Member>,
    /// One for each member that takes events.
    pub(crate) clients: Vec<Proxy>,
    pub(crate) store: Option<Store>,
    pub(crate) brokers: Option<Brokers>,
    pub(crate) surroundings: Surroundings,
    http: reqwest::Client,
}

impl System {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// What did not start, with its last words.
    pub async fn start(shape: &Shape, parts: &Parts) -> anyhow::Result<Self> {
        let folder = &parts.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let store = match shape.store_apart {
            true => Some(Store::start(&parts.tollgate, folder, parts.seed).await?),
            false => None,
        };
        let brokers = match shape.brokers {
            Some(count) => Some(Brokers::start(&parts.kafka, &folder.join("kafka"), count).await?),
            None => None,
        };
        let store_url = |store: &Store| if shape.proxies { store.proxy.url() } else { store.url() };
        let surroundings = Surroundings {
            tollgate: parts.tollgate.clone(),
            folder: folder.clone(),
            secret: random_secret(),
            store: store.as_ref().map(|store| (store_url(store), store.password.clone())),
            brokers: brokers.as_ref().map(|brokers| brokers.bootstrap().to_owned()),
        };
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let mut system = Self { members: Vec::new(), clients: Vec::new(), store, brokers, surroundings, http };
        for (nth, role) in shape.roles.iter().enumerate() {
            system.members.push(system.surroundings.member(*role, nth)?);
            // Each finds what the one before it has made, as a first installation is started.
            system.wait_until_ready().await?;
        }
        if shape.proxies {
            let fronts: Vec<SocketAddr> = system.fronts().map(|member| member.listen).collect();
            for (front, nth) in fronts.into_iter().zip(1..) {
                system.clients.push(Proxy::start(front, parts.seed.wrapping_add(nth)).await?);
            }
        }
        Ok(system)
    }

    fn fronts(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role.takes_events())
    }

    /// Where the audit asks.
    pub(crate) fn url(&self) -> String {
        let api = self.members.iter().find(|member| matches!(member.role, Role::Server | Role::Api));
        api.map_or_else(String::new, |api| format!("http://{}", api.listen))
    }

    /// Where clients send events, through proxies where there are any.
    #[must_use]
    pub fn ingest_urls(&self) -> Vec<String> {
        match self.clients.as_slice() {
            [] => self.fronts().map(|front| format!("http://{}", front.listen)).collect(),
            clients => clients.iter().map(Proxy::url).collect(),
        }
    }

    /// Where events are taken without a proxy.
    #[must_use]
    pub fn direct_ingest_url(&self) -> String {
        self.fronts().next().map_or_else(String::new, |front| format!("http://{}", front.listen))
    }

    /// Where `/metrics` are.
    #[must_use]
    pub fn metrics_urls(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://{}", member.listen)).collect()
    }

    /// Its processes, for measuring what they cost.
    ///
    /// # Errors
    /// When a broker's process cannot be told.
    pub fn roots(&self) -> anyhow::Result<Vec<Root>> {
        let root = |role: Role, pid: Option<u32>| pid.map(|pid| Root { label: role.name().to_owned(), pid });
        let mut roots: Vec<Root> =
            self.members.iter().filter_map(|member| root(member.role, member.process.pid())).collect();
        roots.extend(self.store.iter().filter_map(|store| root(Role::Engine, store.engine.pid())));
        for pid in self.brokers.as_ref().map_or(Ok(Vec::new()), Brokers::pids)? {
            roots.extend(root(Role::Broker, Some(pid)));
        }
        Ok(roots)
    }

    pub(crate) fn secret(&self) -> &str {
        &self.surroundings.secret
    }

    /// Connections that the proxies cut or answered 503 so far.
    pub(crate) fn harmed(&self) -> u64 {
        self.clients.iter().chain(self.store.as_ref().map(|store| &store.proxy)).map(Proxy::harmed).sum()
    }

    /// The event store first: a service that does not find it when it starts ends.
    pub(crate) async fn start_what_is_down(&mut self) -> anyhow::Result<()> {
        if let Some(store) = &mut self.store {
            store.start_again().await?;
        }
        self.members.iter_mut().try_for_each(|member| member.process.start_again())
    }

    /// Ends every member of a role in order.
    pub(crate) async fn end(&mut self, role: Role) -> anyhow::Result<()> {
        for member in self.members.iter_mut().filter(|member| member.role == role) {
            member.process.terminate().await?;
        }
        Ok(())
    }

    /// Brings everything back; answers how long that took and what had ended though nobody killed it.
    pub(crate) async fn recover(&mut self) -> anyhow::Result<(Duration, Vec<String>)> {
        let start = Instant::now();
        let mut problems = Vec::new();
        let engine = self.store.as_mut().map(|store| (Role::Engine, &mut store.engine));
        let members = self.members.iter_mut().map(|member| (member.role, &mut member.process));
        for (role, process) in engine.into_iter().chain(members) {
            if let Some(status) = process.ended_by_itself()? {
                problems.push(format!("{role} ended by itself ({status}): {}", process.last_words()));
                process.kill()?;
            }
        }
        self.start_what_is_down().await?;
        self.wait_until_ready().await?;
        Ok((start.elapsed(), problems))
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.wait_until_ready(&self.http).await?;
        }
        Ok(())
    }

    /// Stops it in order; that it does drain and end is part of what is tested. Brokers stay, and so do folders.
    pub(crate) async fn stop_in_order(&mut self) -> anyhow::Result<()> {
        // Those who take events first, who bill last.
        for member in self.members.iter_mut().rev() {
            member.process.terminate().await?;
        }
        if let Some(store) = &mut self.store {
            store.engine.terminate().await?;
        }
        Ok(())
    }
}

impl Member {
    async fn wait_until_ready(&mut self, http: &reqwest::Client) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut last = String::new();
        let role = self.role;
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.ended_by_itself()? {
                bail!("{role} ended before it was ready ({status}); it said: {}", self.process.last_words());
            }
            match http.get(format!("http://{}/readyz", self.listen)).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                // What is not ready is told in the body; without a body, that there is none.
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("{role} was not ready within {READY_WITHIN:?}: {last}; it said: {}", self.process.last_words())
    }
}

pub(crate) fn random_secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

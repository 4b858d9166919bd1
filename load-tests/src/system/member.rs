//! Our processes: what each does, and how it is started.

use super::process::{Process, Recipe};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A process of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `tollgate up`: gateway, writer or aggregator, rater, invoicer in one process.
    Server,
    /// `tollgate gateway`, one of two.
    Gateway,
    /// `tollgate aggregator`, one of two.
    Aggregator,
    /// `tollgate rater`: billing runs.
    Rater,
    /// `tollgate api`.
    Api,
    /// The event store's engine.
    Engine,
    /// One of three brokers, drawn.
    Broker,
}

/// A process of ours, and where it answers.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) listen: SocketAddr,
    pub(crate) process: Process,
}

/// What all members share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) tollgate: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) secret: String,
    /// URL and password of an event store apart.
    pub(crate) store: Option<(String, String)>,
    /// Bootstrap list of the brokers.
    pub(crate) brokers: Option<String>,
}

impl Role {
    /// Whether clients send events to it.
    #[must_use]
    pub fn takes_events(self) -> bool {
        matches!(self, Role::Server | Role::Gateway)
    }

    /// One word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Gateway => "gateway",
            Role::Aggregator => "aggregator",
            Role::Rater => "rater",
            Role::Api => "api",
            Role::Engine => "engine",
            Role::Broker => "broker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Server => "the server",
            Role::Gateway => "a gateway",
            Role::Aggregator => "an aggregator",
            Role::Rater => "the rater",
            Role::Api => "the api",
            Role::Engine => "the engine",
            Role::Broker => "a broker",
        })
    }
}

impl Surroundings {
    /// Starts a member; `nth` tells those of one role apart.
    pub(crate) fn member(&self, role: Role, nth: usize) -> anyhow::Result<Member> {
        let listen = super::free_address()?;
        let name = format!("{}-{nth}", subcommand(role));
        let mut arguments = self.arguments(role, listen, &self.folder.join(&name));
        if role == Role::Aggregator {
            // One that is killed comes back under its name.
            arguments.extend(["--kafka-instance".into(), name.clone().into()]);
        }
        let recipe = Recipe {
            program: self.tollgate.clone(),
            arguments,
            variables: self.variables(),
            log: self.folder.join(format!("{name}.log")),
        };
        Ok(Member { role, listen, process: Process::start(recipe)? })
    }

    fn arguments(&self, role: Role, listen: SocketAddr, data: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![subcommand(role).into(), "--listen".into(), listen.to_string().into()];
        let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        add("--data-dir", data.into());
        if let Some(brokers) = &self.brokers {
            add("--ingest", "streaming".into());
            add("--kafka-brokers", brokers.into());
        }
        if let Some((url, _)) = self.store.as_ref().filter(|_| role != Role::Gateway) {
            add("--clickhouse-url", url.into());
        }
        if role != Role::Server {
            add("--database-url", format!("sqlite://{}", self.folder.join("ledger.db").display()).into());
        }
        arguments
    }

    fn variables(&self) -> BTreeMap<&'static str, String> {
        let mut variables = BTreeMap::from([
            ("TOLLGATE_ADMIN_SECRET", self.secret.clone()),
            // Rounds bill by themselves, when all of their events are in.
            ("TOLLGATE_BILLING_AUTOMATIC", "false".to_owned()),
        ]);
        variables.extend(self.store.iter().map(|(_, password)| ("TOLLGATE_CLICKHOUSE_PASSWORD", password.clone())));
        variables
    }
}

fn subcommand(role: Role) -> &'static str {
    if role == Role::Server { "up" } else { role.name() }
}

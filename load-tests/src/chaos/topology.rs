//! Shapes of system that chaos can set up, from the smallest installation to the largest.

use crate::system::Shape;
use crate::system::member::Role;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt;

/// A shape of system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// `tollgate up` with its own engine, direct ingestion.
    Embedded,
    /// `tollgate up`, direct ingestion, the event store a process of its own behind a proxy.
    Apart,
    /// `tollgate up`, streaming through three brokers, the event store behind a proxy.
    Streaming,
    /// Two gateways, two aggregators, a rater and an API, three brokers, the event store behind a proxy.
    Services,
}

impl Topology {
    /// Whether the event store is behind a proxy of ours.
    #[must_use]
    pub fn has_store_proxy(self) -> bool {
        self != Topology::Embedded
    }

    /// Whether events travel through three brokers.
    #[must_use]
    pub fn has_brokers(self) -> bool {
        matches!(self, Topology::Streaming | Topology::Services)
    }

    /// What is set up.
    #[must_use]
    pub fn shape(self) -> Shape {
        let roles = match self {
            // The API makes the schema of the ledger, which the others find.
            Topology::Services => {
                vec![Role::Api, Role::Rater, Role::Aggregator, Role::Aggregator, Role::Gateway, Role::Gateway]
            }
            _ => vec![Role::Server],
        };
        let brokers = self.has_brokers().then_some(3);
        Shape { roles, store_apart: self.has_store_proxy(), brokers, proxies: true }
    }

    /// Its name as a folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Topology::Embedded => "embedded",
            Topology::Apart => "apart",
            Topology::Streaming => "streaming",
            Topology::Services => "services",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Topology::Embedded => "embedded",
            Topology::Apart => "store apart",
            Topology::Streaming => "streaming",
            Topology::Services => "services",
        })
    }
}

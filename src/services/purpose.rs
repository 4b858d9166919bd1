//! What a process is started for, and which parts that takes.

use invoicer::Executes;

/// A service that can run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Events over HTTP into the log.
    Gateway,
    /// The log into the event store.
    Aggregator,
    /// Billing runs.
    Rater,
    /// Catalog, usage and invoices over HTTP.
    Api,
}

/// What the services are started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `tollgate up`: everything, until told to stop.
    Everything,
    /// One service, until told to stop; its stores and brokers are elsewhere.
    One(Service),
    /// One command on a stopped data directory: a loopback port of the system's choice, no events over HTTP, no automatic billing.
    Command,
}

impl Purpose {
    /// Takes events over HTTP.
    pub(super) fn takes_events(self) -> bool {
        matches!(self, Self::Everything | Self::One(Service::Gateway))
    }

    /// Brings events into the store. A command does where the store is embedded: nobody else can.
    pub(super) fn writes_events(self, store_is_embedded: bool) -> bool {
        match self {
            Self::Everything | Self::One(Service::Aggregator) => true,
            Self::Command => store_is_embedded,
            Self::One(_) => false,
        }
    }

    /// Reads the store to answer people or to bill; a gateway that has one only shows events from it.
    pub(super) fn reads_usage(self) -> bool {
        !matches!(self, Self::One(Service::Gateway | Service::Aggregator))
    }

    /// Waits at its start for an event store that is elsewhere. A gateway goes on without; a command says at once that nobody is there.
    pub(super) fn needs_store_at_start(self) -> bool {
        !matches!(self, Self::One(Service::Gateway) | Self::Command)
    }

    /// Serves catalog, usage and invoices.
    pub(super) fn serves_api(self) -> bool {
        matches!(self, Self::Everything | Self::Command | Self::One(Service::Api))
    }

    /// Which billing runs it executes. The API by itself writes down that one is wanted, and the rater finds it; a sandbox is
    /// billed before the request that moved its clock is answered, hence by the API.
    pub(super) fn executes(self) -> Executes {
        match self {
            Self::One(Service::Api) => Executes::Sandboxes,
            Self::One(Service::Rater) => Executes::Live,
            Self::Everything | Self::Command | Self::One(_) => Executes::Every,
        }
    }

    /// Bills as periods end, when that is configured.
    pub(super) fn bills_automatically(self) -> bool {
        matches!(self, Self::Everything | Self::One(Service::Rater))
    }

    /// Goes on until told to stop, hence takes up runs that a dead process left.
    pub(super) fn stays(self) -> bool {
        self != Self::Command
    }
}

//! Load generator, exactness audit and benchmarks of Tollgate.
//!
//! Purpose: tell an architect how much a given installation takes, how fast it answers, what it costs in CPU, and whether
//! every acknowledged event is stored and rated, exactly once. It drives the system over HTTP alone, as a client would, and
//! believes nothing that the system says about itself where it can count for itself.
//!
//! Where to look, in the order of a run:
//! - [`workload`]: what is sent, as pure functions of a seed; [`profiles`]: the shapes of load
//! - [`setup`]: the organization, metrics, plan and customers, through the API
//! - [`drive`]: sends it on schedule over [`client`]
//! - [`oracle`]: what must be stored and rated; [`audit`]: whether it is
//! - [`measure`]: latencies, CPU, memory, freshness; [`report`]: table, JSON, HTML
//! - [`mod@bench`]: the fixed set of measurements, with baselines
//! - [`billing`]: a billing run over many subscriptions, from nothing to issued invoices
//! - [`rating`]: rating of a whole month, in this process beside an engine: the one profile that goes past HTTP
//! - [`capacity`]: a ladder of rates, the cost of each stage, what other rates need
//! - [`chaos`]: the crash matrix
//! - [`system`]: a system of its own for both
//! - [`cli`]: the commands
//!
//! Invariants checked from outside: I1 (2xx is durable, 4xx stored nothing), I2 (once), I9 (restamped copies are counted).

pub mod audit;
pub mod bench;
pub mod billing;
pub mod capacity;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod drive;
pub mod measure;
pub mod oracle;
pub mod profiles;
pub mod rating;
pub mod report;
pub mod run;
pub mod setup;
pub mod system;
pub mod workload;

//! What is measured, from outside the system: latencies, rates, CPU, memory, freshness.

pub mod exposition;
pub mod freshness;
pub mod latency;
pub mod machine;
pub mod process;
pub mod ratio;
pub mod sampler;
pub mod timeline;

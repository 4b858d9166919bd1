//! How much one request may ask of the gateway. Everything a client can make long, deep or slow has a bound here.

use crate::parse::ParseLimits;
use std::time::Duration;

/// Bounds of one request; part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Bytes of a JSON body as received, compressed or not; 413 past it.
    pub max_body_bytes: usize,
    /// Bytes of a JSON body once decompressed, and of an NDJSON line that is only skipped; 413 past it.
    pub max_decompressed_bytes: usize,
    /// Bytes of one NDJSON line; a longer line is rejected, the stream goes on.
    pub max_line_bytes: usize,
    /// Containers within containers inside an event.
    pub max_depth: u32,
    /// Events in one JSON batch.
    pub max_batch_events: usize,
    /// How long a JSON body may take to arrive; how long an NDJSON stream may stand still. 408 past it.
    pub body_timeout: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            // A full batch of 10,000 events may hold 3 KiB an event.
            max_body_bytes: 32 << 20,
            max_decompressed_bytes: 32 << 20,
            max_line_bytes: 1 << 20,
            max_depth: 64,
            max_batch_events: 10_000,
            // 32 MiB in 30 s: a sender of 10 Mbit/s.
            body_timeout: Duration::from_secs(30),
        }
    }
}

impl GatewayLimits {
    /// The bounds that concern the parser.
    #[must_use]
    pub fn parse(&self) -> ParseLimits {
        ParseLimits { max_depth: self.max_depth, max_events: self.max_batch_events }
    }
}

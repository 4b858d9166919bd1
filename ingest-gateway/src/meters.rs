//! What the gateway counts: a few counter updates per request, none per event.
//!
//! - `tollgate_gateway_events_accepted_total`: new events that are durable.
//! - `tollgate_gateway_events_duplicates_total`: events answered 2xx whose id was known.
//! - `tollgate_gateway_events_refused_total{reason}`: events refused; a body that could not be read counts as one.
//! - `tollgate_gateway_request_seconds{route}`, `tollgate_gateway_body_bytes_total` (after decompression).

use crate::body::BodyError;
use crate::parse::Problems;
use crate::sink::SinkError;
use std::time::Instant;

/// What a body that could not be read counts as.
const UNREAD: usize = 1;

pub(crate) fn accepted(events: usize, duplicates: usize) {
    // usize to u64 is lossless on every target.
    metrics::counter!("tollgate_gateway_events_accepted_total").increment((events - duplicates) as u64);
    if duplicates > 0 {
        metrics::counter!("tollgate_gateway_events_duplicates_total").increment(duplicates as u64);
    }
}

pub(crate) fn refused(reason: &'static str, events: usize) {
    metrics::counter!("tollgate_gateway_events_refused_total", "reason" => reason).increment(events as u64);
}

pub(crate) fn refused_problems(problems: &Problems) {
    let reason = if problems.has_unknown_code() { "unknown_code" } else { "invalid" };
    refused(reason, problems.events.max(UNREAD));
}

pub(crate) fn refused_by_sink(error: &SinkError, events: usize) {
    let reason = match error {
        SinkError::Overloaded { .. } => "overloaded",
        SinkError::Unavailable { .. } => "store_unavailable",
        SinkError::MaybeKept { .. } => "maybe_kept",
    };
    refused(reason, events);
}

pub(crate) fn refused_body(error: &BodyError) {
    match error {
        BodyError::TooLarge(_) | BodyError::TooLargeDecompressed(_) => refused("too_large", UNREAD),
        BodyError::TimedOut(_) => refused("timeout", UNREAD),
        BodyError::BrokenEncoding { .. } => refused("broken_encoding", UNREAD),
        BodyError::BrokeOff(_) => refused("broke_off", UNREAD),
        BodyError::Sink(error) => refused_by_sink(error, UNREAD),
    }
}

pub(crate) fn body_bytes(bytes: usize) {
    metrics::counter!("tollgate_gateway_body_bytes_total").increment(bytes as u64);
}

/// Records the time of a request when it is dropped, also when the client hangs up.
pub(crate) struct RequestTimer {
    route: &'static str,
    started: Instant,
}

impl RequestTimer {
    pub(crate) fn start(route: &'static str) -> Self {
        Self { route, started: Instant::now() }
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        metrics::histogram!("tollgate_gateway_request_seconds", "route" => self.route).record(self.started.elapsed());
    }
}

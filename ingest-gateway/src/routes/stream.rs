//! NDJSON: an event a line, any number of lines, in constant memory.
//!
//! Lines are gathered into batches and handed to the sink while the next ones are read; at most [`IN_FLIGHT`] batches wait for
//! the sink, then the connection is read no further. Every line counted as ingested or duplicate is durable (I1). Bad lines are
//! rejected, counted, and the first [`MAX_LISTED_PROBLEMS`] listed (I9).
//!
//! Failure: when the stream breaks off (the client's fault or ours), what was handed to the sink before is waited for. If
//! something became durable the answer is 201 with `aborted`: the first line of which nothing is certain, and why; sending
//! from that line on again is safe. If nothing did, the answer is the error itself, and lines not yet handed over are dropped.
//!
//! Rate limits slow a stream down; only one that finds its budget used up at the start is refused (429).

use super::accept::charge;
use crate::body::BodyError;
use crate::body::encoding::Encoding;
use crate::body::lines::{Line, LineCutter};
use crate::body::reader::BodyReader;
use crate::codes::CodeBook;
use crate::meters;
use crate::parse::{MAX_LISTED_PROBLEMS, Place, Problems, parse_event};
use crate::rate::Limits;
use crate::sink::{Accepted, SinkError};
use crate::state::GatewayState;
use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::event_batch::EventBatch;
use http_api::{ApiError, Authenticated};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Events handed to the sink at once.
const BATCH_EVENTS: usize = 4_096;
/// Bytes of events handed to the sink at once.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that may wait for the sink while the next one is read.
const IN_FLIGHT: usize = 3;
/// How long lines wait for others before they are handed over: a stream that trickles is stored as it trickles.
const HAND_OVER_AFTER: Duration = Duration::from_millis(200);

/// What became of a stream of lines.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(super) struct StreamAnswer {
    /// New events, durable.
    ingested: usize,
    /// Events whose id was known.
    duplicates: usize,
    /// Lines that were refused.
    rejected: usize,
    /// The first 100 of them.
    errors: Vec<LineError>,
    /// Present when the stream broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    aborted: Option<Aborted>,
}

/// Why one line was refused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LineError {
    /// From 1.
    line: usize,
    /// Absent when it is the line as a whole.
    field: Option<&'static str>,
    /// What is wrong.
    reason: String,
}

/// Where and why a stream broke off.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Aborted {
    /// The first line that may not be stored: send it and all after it again.
    line: usize,
    /// What happened.
    reason: String,
}

/// Why a stream ends before its end.
enum Stop {
    Body(BodyError),
    /// The sink failed on the batch that began at this line.
    Sink {
        line: usize,
        error: SinkError,
    },
}

/// A batch that the sink is storing.
struct InFlight {
    first_line: usize,
    events: usize,
    outcome: JoinHandle<Result<Accepted, SinkError>>,
}

struct Intake<'a> {
    state: &'a GatewayState,
    caller: &'a Authenticated,
    limits: Limits,
    codes: CodeBook,
    batch: EventBatch,
    /// The line read last.
    line: usize,
    /// Where `batch` began.
    first_line: usize,
    /// Events charged to the limits before they came.
    prepaid: usize,
    in_flight: VecDeque<InFlight>,
    answer: StreamAnswer,
}

/// Takes the events of an NDJSON request.
pub(super) async fn take_stream(
    state: &GatewayState,
    caller: &Authenticated,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let encoding = Encoding::of(&parts.headers).inspect_err(|_| meters::refused("media_type", 1))?;
    // What the stream holds at most: the batches with the sink, the one being gathered, a line begun.
    let room = (IN_FLIGHT + 1) * BATCH_BYTES + state.limits.max_line_bytes;
    let _permit = state.sink.admit(room).inspect_err(|error| meters::refused_by_sink(error, 1))?;
    charge(state, caller, 1)?;
    let mut intake = Intake::new(state, caller);
    let end = intake.read_all(BodyReader::new(body, encoding, usize::MAX)).await;
    intake.answer(end).await
}

impl<'a> Intake<'a> {
    fn new(state: &'a GatewayState, caller: &'a Authenticated) -> Self {
        let codes = CodeBook::of(state, caller);
        let batch = EventBatch::new(caller.organization, codes.now());
        let (limits, answer) = (Limits::of(caller), StreamAnswer::default());
        let in_flight = VecDeque::with_capacity(IN_FLIGHT);
        Self { state, caller, limits, codes, batch, line: 0, first_line: 1, prepaid: 1, in_flight, answer }
    }

    async fn read_all(&mut self, mut reader: BodyReader) -> Result<(), Stop> {
        let mut cutter = LineCutter::new(self.state.limits.max_line_bytes);
        while let Some(chunk) = self.next_chunk(&mut reader).await? {
            meters::body_bytes(chunk.len());
            let mut rest: &[u8] = &chunk;
            while let Some(line) = cutter.next(&mut rest) {
                self.take_line(line).await;
                if self.batch.len() >= BATCH_EVENTS || self.batch.byte_size() >= BATCH_BYTES {
                    self.hand_over().await?;
                }
            }
            if cutter.skipped() > self.state.limits.max_decompressed_bytes {
                // Not a long line but a bomb: decompressing it to its end would cost more than it cost to send.
                return Err(Stop::Body(BodyError::TooLargeDecompressed(self.state.limits.max_decompressed_bytes)));
            }
        }
        if let Some(line) = cutter.last() {
            self.take_line(line).await;
        }
        self.hand_over().await?;
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// The next chunk; meanwhile lines that have waited long enough are handed over.
    async fn next_chunk(&mut self, reader: &mut BodyReader) -> Result<Option<Bytes>, Stop> {
        let timeout = self.state.limits.body_timeout;
        let deadline = Instant::now() + timeout;
        if !self.batch.is_empty() {
            match tokio::time::timeout(HAND_OVER_AFTER.min(timeout), reader.next()).await {
                Ok(outcome) => return outcome.map_err(Stop::Body),
                Err(_) => self.hand_over().await?,
            }
        }
        reader.next_before(deadline, timeout).await.map_err(Stop::Body)
    }

    async fn take_line(&mut self, line: Line<'_>) {
        self.line += 1;
        match line {
            Line::TooLong => {
                let reason = format!("the line is longer than {} bytes", self.state.limits.max_line_bytes);
                self.reject("line_too_long", None, reason);
            }
            Line::Text(text) if text.trim_ascii().is_empty() => {}
            Line::Text(text) => self.take_event(text).await,
        }
    }

    async fn take_event(&mut self, text: &[u8]) {
        let mut outcome = self.parse(text);
        if outcome.as_ref().is_err_and(Problems::has_unknown_code) && self.codes.refresh().await {
            outcome = self.parse(text);
        }
        let Err(problems) = outcome else { return };
        let reason = if problems.has_unknown_code() { "unknown_code" } else { "invalid" };
        if let Some(problem) = problems.listed.first() {
            let field = match problem.place {
                Place::Event { field, .. } => field.map(|field| field.name()),
                Place::Events | Place::Header(_) => None,
            };
            self.reject(reason, field, problem.flaw.to_string());
        }
    }

    fn parse(&mut self, text: &[u8]) -> Result<(), Problems> {
        let entry = self.codes.entry();
        let knows_code = |code: &str| entry.metrics.contains_key(code);
        parse_event(text, self.state.limits.parse(), &knows_code, &mut self.batch)
    }

    fn reject(&mut self, kind: &'static str, field: Option<&'static str>, reason: String) {
        meters::refused(kind, 1);
        self.answer.rejected += 1;
        if self.answer.errors.len() < MAX_LISTED_PROBLEMS {
            self.answer.errors.push(LineError { line: self.line, field, reason });
        }
    }

    /// Hands the gathered lines to the sink, as soon as it and the limits have room for them.
    async fn hand_over(&mut self) -> Result<(), Stop> {
        let first_line = std::mem::replace(&mut self.first_line, self.line + 1);
        let next = EventBatch::new(self.caller.organization, self.codes.now());
        let batch = std::mem::replace(&mut self.batch, next);
        if batch.is_empty() {
            return Ok(());
        }
        if self.in_flight.len() == IN_FLIGHT {
            self.settle_oldest().await?;
        }
        let events = batch.len();
        let unpaid = events - std::mem::take(&mut self.prepaid).min(events);
        self.state.limiter.charge_when_possible(&self.limits, unpaid).await;
        let sink = self.state.sink.clone();
        // A task of its own, so that the sink works on it while the next lines are read.
        let outcome = tokio::spawn(async move { sink.accept(Arc::new(batch)).await });
        self.in_flight.push_back(InFlight { first_line, events, outcome });
        Ok(())
    }

    /// Waits for the batch handed over first.
    async fn settle_oldest(&mut self) -> Result<(), Stop> {
        let Some(InFlight { first_line, events, outcome }) = self.in_flight.pop_front() else { return Ok(()) };
        let outcome = outcome.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "the event sink failed");
            let reason = "it stopped unexpectedly".to_owned();
            Err(SinkError::MaybeKept { reason, retry_after: Duration::from_secs(1) })
        });
        match outcome {
            Ok(accepted) => {
                let duplicates = accepted.duplicates.len();
                meters::accepted(events, duplicates);
                self.answer.ingested += events - duplicates;
                self.answer.duplicates += duplicates;
                Ok(())
            }
            Err(error) => {
                meters::refused_by_sink(&error, events);
                Err(Stop::Sink { line: first_line, error })
            }
        }
    }

    async fn answer(mut self, end: Result<(), Stop>) -> Result<Response, ApiError> {
        if let Err(first) = end {
            self.abort(first).await?;
        }
        Ok((StatusCode::CREATED, Json(self.answer)).into_response())
    }

    /// Waits for what is with the sink, then says where the stream broke off.
    ///
    /// # Errors
    /// When nothing of the stream became durable: why.
    async fn abort(&mut self, first: Stop) -> Result<(), ApiError> {
        let mut stop = first;
        while !self.in_flight.is_empty() {
            // A batch of earlier lines than those the stream broke off at: what it says comes first.
            if let (Err(earlier), Stop::Body(_)) = (self.settle_oldest().await, &stop) {
                stop = earlier;
            }
        }
        if let Stop::Body(error) = &stop {
            meters::refused_body(error);
        }
        let is_stored = self.answer.ingested + self.answer.duplicates > 0;
        let (line, error) = match stop {
            Stop::Body(error) => (self.first_line, ApiError::from(error)),
            Stop::Sink { line, error } => (line, ApiError::from(error)),
        };
        if !is_stored {
            return Err(error);
        }
        tracing::info!(organization = %self.caller.organization, line, %error, "a stream of events broke off");
        self.answer.aborted = Some(Aborted { line, reason: error.to_string() });
        Ok(())
    }
}

//! Sends a stream on schedule, and writes down what became of each request.
//!
//! Open loop: every request has the instant at which it is due, fixed beforehand; senders take the next one due, wait for its
//! instant, send it. When all senders wait for slow answers, later requests go out late, and their latency counts from when
//! they were due: a stall of the system shows in full (no coordinated omission). Closed loop: each sender sends its next
//! request as soon as the last one is answered; latency counts from the sending.
//!
//! The load runs on threads of its own (one by default: the generator shares the machine with the system), each a
//! single-threaded runtime, so that no request crosses threads. Waiting has the resolution of the runtime's timer: a
//! request may go out up to 1 ms late, which its latency includes.

mod dispenser;
pub mod journal;
mod sender;

pub use dispenser::{Dispenser, Pacing, SATURATED_AFTER};

use crate::client::connection::Head;
use crate::client::target::Target;
use crate::measure::timeline::Timeline;
use crate::workload::encode::Encoding;
use crate::workload::render::{Renderer, UnsafeName};
use crate::workload::stream::Stream;
use futures::future::join_all;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use journal::Journal;
use sender::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Everything that decides how a stream is sent.
#[derive(Clone, Debug)]
pub struct Drive {
    /// What is sent.
    pub stream: Stream,
    /// When.
    pub pacing: Pacing,
    /// Where to: connections are shared out among them in turn.
    pub targets: Vec<Target>,
    /// API key.
    pub key: String,
    /// Whether answers carry the events.
    pub echo: bool,
    /// Connections.
    pub senders: usize,
    /// Threads that serve them.
    pub threads: usize,
    /// Longest time until an answer.
    pub limit: Duration,
    /// Tries per request while it is not refused for good.
    pub attempts: u32,
    /// Whether to end when the system cannot follow.
    pub stops_at_saturation: bool,
}

/// Why a drive cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Names that cannot be rendered.
    #[error(transparent)]
    Name(#[from] UnsafeName),
    /// A key or path that cannot stand in a request.
    #[error("{0} cannot stand in an HTTP request")]
    Header(&'static str),
    /// The operating system refused a thread or a runtime.
    #[error("cannot start a sender thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A sender thread panicked: its part of the journal is lost, so nothing can be audited.
    #[error("a sender thread failed; nothing can be said about this run")]
    Lost,
}

/// A drive under way.
#[derive(Debug)]
pub struct Running {
    dispenser: Arc<Dispenser>,
    timeline: Arc<Mutex<Timeline>>,
    threads: Vec<std::thread::JoinHandle<Journal>>,
}

impl Drive {
    /// Starts the senders.
    ///
    /// # Errors
    /// Any [`DriveError`] but `Lost`.
    pub fn start(self) -> Result<Running, DriveError> {
        let heads = self.targets.iter().map(|target| self.heads(target)).collect::<Result<Vec<Heads>, _>>()?;
        let aims: Vec<(&Target, &Heads)> = self.targets.iter().zip(&heads).collect();
        let mut next_aim = aims.iter().cycle();
        let renderer = Renderer::new(&self.stream)?;
        let dispenser = Arc::new(Dispenser::new(self.pacing.clone(), self.stops_at_saturation));
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let mut threads = Vec::with_capacity(self.threads);
        for thread in 0..self.threads.max(1) {
            // Sender s belongs to thread s modulo threads.
            let count = (self.senders + self.threads.max(1) - 1 - thread) / self.threads.max(1);
            let mut senders: Vec<Sender> = Vec::with_capacity(count);
            for (target, heads) in next_aim.by_ref().take(count) {
                let shared = (renderer.clone(), dispenser.clone(), timeline.clone());
                senders.push(Sender::new(&self, target, (*heads).clone(), shared));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let body = move || runtime.block_on(run_all(senders));
            threads.push(std::thread::Builder::new().name(format!("sender-{thread}")).spawn(body)?);
        }
        Ok(Running { dispenser, timeline, threads })
    }

    fn heads(&self, target: &Target) -> Result<Heads, DriveError> {
        let head = |encoding: Encoding| self.head(target, encoding);
        Ok(Heads {
            single: head(Encoding::Single)?,
            json: head(Encoding::Json)?,
            json_gzip: head(Encoding::JsonGzip)?,
            ndjson: head(Encoding::Ndjson)?,
            ndjson_zstd: head(Encoding::NdjsonZstd)?,
            lago: head(Encoding::Lago)?,
            cloud_events: head(Encoding::CloudEvents)?,
        })
    }

    fn head(&self, target: &Target, encoding: Encoding) -> Result<Head, DriveError> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| DriveError::Header("the API key or host"));
        let path = format!("{}{}", target.prefix, encoding.path());
        let path: Uri = path.parse().map_err(|_| DriveError::Header("the path of the URL"))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(&target.authority)?);
        headers.insert(header::AUTHORIZATION, value(&format!("Bearer {}", self.key))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
        if let Some(compression) = encoding.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(compression));
        }
        if !self.echo {
            headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static("return=minimal"));
        }
        Ok(Head { method: Method::POST, path, headers })
    }
}

/// Heads of requests by encoding.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    single: Head,
    json: Head,
    json_gzip: Head,
    ndjson: Head,
    ndjson_zstd: Head,
    lago: Head,
    cloud_events: Head,
}

impl Heads {
    pub(crate) fn of(&self, encoding: Encoding) -> &Head {
        match encoding {
            Encoding::Single => &self.single,
            Encoding::Json => &self.json,
            Encoding::JsonGzip => &self.json_gzip,
            Encoding::Ndjson => &self.ndjson,
            Encoding::NdjsonZstd => &self.ndjson_zstd,
            Encoding::Lago => &self.lago,
            Encoding::CloudEvents => &self.cloud_events,
        }
    }
}

impl Running {
    /// Whether a sender is still at work.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.threads.iter().any(|thread| !thread.is_finished())
    }

    /// The figures so far.
    pub fn timeline(&self) -> MutexGuard<'_, Timeline> {
        lock(&self.timeline)
    }

    /// What hands out the requests.
    #[must_use]
    pub fn dispenser(&self) -> &Dispenser {
        &self.dispenser
    }

    /// Waits for the last answer and hands over all that was written down.
    ///
    /// # Errors
    /// [`DriveError::Lost`].
    pub fn finish(self) -> Result<(Journal, Timeline), DriveError> {
        let mut journal = Journal::default();
        for thread in self.threads {
            journal.append(thread.join().map_err(|_| DriveError::Lost)?);
        }
        let timeline = std::mem::take(&mut *lock(&self.timeline));
        Ok((journal, timeline))
    }
}

async fn run_all(senders: Vec<Sender>) -> Journal {
    let mut journal = Journal::default();
    for part in join_all(senders.into_iter().map(Sender::run)).await {
        journal.append(part);
    }
    journal
}

/// A panic while the lock is held leaves plain numbers behind, at worst one request short, and is reported by the join.
pub(crate) fn lock(timeline: &Mutex<Timeline>) -> MutexGuard<'_, Timeline> {
    timeline.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

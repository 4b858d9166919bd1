//! Whether the log moves: brokers that answer, acknowledgements that come. Readiness is tied to it, and so is admission: a
//! request that cannot be acknowledged is better refused at once than after the delivery time-out.
//!
//! Two signs, either of which stops admission:
//! - *acknowledgements stand still*: records wait, and none was settled for [`STILL`];
//! - *brokers do not answer*: every [`PULSE`] the topic's metadata is asked for; the last good answer (every partition has a
//!   leader) is older than [`SILENT`].
//!
//! Both outlast what heals by itself: a paused broker of three seconds, the election after a broker's death.

use crate::producer::LogProducer;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long records may wait without any being settled.
const STILL: Duration = Duration::from_secs(6);
/// How long the brokers may leave the question for metadata unanswered.
const SILENT: Duration = Duration::from_secs(10);
/// Between two questions; also how often the gauges are set.
const PULSE: Duration = Duration::from_secs(1);
/// How long one question waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is under way, and when something last moved. Times are milliseconds since `started`.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    waiting_records: AtomicU64,
    waiting_bytes: AtomicU64,
    moved_at: AtomicU64,
    reached_at: AtomicU64,
    was_reached: AtomicBool,
    /// Told when the brokers refuse a record as if the topic were closed.
    pub(crate) closed: Notify,
    /// What the last question for metadata came to, when it was not good.
    complaint: Mutex<String>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            waiting_records: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            moved_at: AtomicU64::new(0),
            reached_at: AtomicU64::new(0),
            was_reached: false.into(),
            closed: Notify::new(),
            complaint: Mutex::new("they have not been asked yet".into()),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A record of `bytes` was handed to the client.
    pub(crate) fn sent(&self, bytes: usize) {
        if self.waiting_records.fetch_add(1, Ordering::Relaxed) == 0 {
            self.moved_at.store(self.now(), Ordering::Relaxed);
        }
        self.waiting_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A record of `bytes` was acknowledged, refused or failed.
    pub(crate) fn settled(&self, bytes: usize) {
        self.moved_at.store(self.now(), Ordering::Relaxed);
        self.waiting_records.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of records that are neither acknowledged nor failed.
    pub(crate) fn waiting_bytes(&self) -> usize {
        usize::try_from(self.waiting_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    fn answered(&self, answer: Result<(), String>) {
        match answer {
            Ok(()) => {
                self.reached_at.store(self.now(), Ordering::Relaxed);
                self.was_reached.store(true, Ordering::Relaxed);
            }
            Err(complaint) => {
                tracing::debug!(complaint, "the brokers did not answer well");
                *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = complaint;
            }
        }
    }

    /// Why nothing should be admitted now, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        let now = self.now();
        let since = |mark: &AtomicU64| Duration::from_millis(now.saturating_sub(mark.load(Ordering::Relaxed)));
        let waiting = self.waiting_records.load(Ordering::Relaxed);
        let still = since(&self.moved_at);
        if waiting > 0 && still > STILL {
            return Some(format!("{waiting} records have had no acknowledgement for {} s", still.as_secs()));
        }
        let silent = since(&self.reached_at);
        if silent > SILENT {
            let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Some(format!("the brokers have not answered well for {} s: {complaint}", silent.as_secs()));
        }
        None
    }

    /// As [`Self::problem`]; besides, the brokers must have answered once since the start.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.was_reached.load(Ordering::Relaxed) {
            return self.problem();
        }
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(format!("the brokers have not answered yet: {complaint}"))
    }
}

/// Asks the brokers and sets the gauges for as long as the producer lives.
pub(crate) async fn keep_pulse(log: Weak<LogProducer>, progress: Arc<Progress>) {
    loop {
        let Some(log) = log.upgrade() else { return };
        // Counts of bytes and records as floats are exact up to 2⁵³.
        metrics::gauge!("tollgate_log_queue_bytes").set(log.reserved_bytes() as f64);
        metrics::gauge!("tollgate_log_unacknowledged_bytes").set(progress.waiting_bytes() as f64);
        metrics::gauge!("tollgate_log_unacknowledged_records")
            .set(progress.waiting_records.load(Ordering::Relaxed) as f64);
        let question = tokio::task::spawn_blocking(move || log.ask_brokers(ANSWER_WITHIN));
        progress.answered(question.await.unwrap_or_else(|panic| Err(panic.to_string())));
        tokio::time::sleep(PULSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(progress: &mut Arc<Progress>, by: Duration) {
        let inner = Arc::get_mut(progress).unwrap();
        inner.started = inner.started.checked_sub(by).unwrap();
    }

    #[test]
    fn records_without_acknowledgements_are_a_problem_until_one_is_settled() {
        let mut progress = Progress::new();
        progress.sent(100);
        progress.sent(50);
        assert_eq!((progress.problem(), progress.waiting_bytes()), (None, 150));
        later(&mut progress, Duration::from_secs(7));
        progress.answered(Ok(()));
        assert!(progress.problem().unwrap().starts_with("2 records have had no acknowledgement for 7 s"));
        progress.settled(100);
        assert_eq!((progress.problem(), progress.waiting_bytes()), (None, 50));
    }

    #[test]
    fn silent_brokers_are_a_problem_also_when_nothing_is_sent() {
        let mut progress = Progress::new();
        assert!(progress.problem().is_none(), "they have not had the time to answer");
        assert!(progress.not_ready().is_some(), "but nobody should send us traffic yet");
        progress.answered(Ok(()));
        assert_eq!(progress.not_ready(), None);
        progress.answered(Err("partition 3 has no leader".into()));
        assert_eq!(progress.not_ready(), None, "an election heals by itself");
        later(&mut progress, Duration::from_secs(11));
        assert!(progress.not_ready().unwrap().ends_with("partition 3 has no leader"));
        progress.answered(Ok(()));
        assert_eq!(progress.not_ready(), None);
    }
}

//! One connection's worth of load: take a request, wait until it is due, send it until its outcome is final, note it.

use super::dispenser::{Dispenser, Turn};
use super::journal::{Journal, Timing};
use super::{Drive, Heads, lock};
use crate::client::answer::{Counts, Outcome, Verdict, judge};
use crate::client::connection::Connection;
use crate::client::target::Target;
use crate::measure::timeline::{Finished, Timeline};
use crate::workload::encode::Encoding;
use crate::workload::render::Renderer;
use crate::workload::slots::Slots;
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Pause before the second attempt where the server names none; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts, also where the server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Sender {
    connection: Connection,
    heads: Heads,
    renderer: Renderer,
    dispenser: Arc<Dispenser>,
    timeline: Arc<Mutex<Timeline>>,
    journal: Journal,
    batch: u64,
    attempts: u32,
    notes_timing: bool,
    /// Kept between requests, so that a batch of 250 KB is not allocated anew for each.
    body: Vec<u8>,
    answer: Vec<u8>,
}

/// What came of all attempts of one request.
struct Delivery {
    outcome: Outcome,
    counts: Counts,
    retries: u64,
}

impl Sender {
    pub(super) fn new(
        drive: &Drive,
        target: &Target,
        heads: Heads,
        (renderer, dispenser, timeline): (Renderer, Arc<Dispenser>, Arc<Mutex<Timeline>>),
    ) -> Self {
        Self {
            connection: Connection::new(target.clone(), drive.limit),
            heads,
            renderer,
            dispenser,
            timeline,
            journal: Journal::default(),
            batch: drive.stream.batch,
            attempts: drive.attempts.max(1),
            notes_timing: drive.stream.slots != Slots::Fresh,
            body: Vec::new(),
            answer: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Journal {
        tokio::time::sleep_until(self.dispenser.start().into()).await;
        while let Some(turn) = self.dispenser.next(Instant::now()) {
            if let Some(due) = turn.due {
                tokio::time::sleep_until(due.into()).await;
            }
            if self.dispenser.stopped() {
                break;
            }
            self.serve(turn).await;
        }
        self.journal
    }

    async fn serve(&mut self, turn: Turn) {
        let sent = Instant::now();
        let due = turn.due.unwrap_or(sent);
        let encoding = self.renderer.encoding_of(turn.request);
        let Some(body) = self.render(turn.request, encoding) else { return };
        let bytes = body.len() as u64;
        let delivery = self.deliver(encoding, body).await;
        let answered = Instant::now();
        let start = self.dispenser.start();
        self.journal.note(turn.request, delivery.outcome);
        if self.notes_timing {
            let timing = Timing { sent: sent - start, answered: answered - start };
            self.journal.note_timing(turn.request, timing);
        }
        lock(&self.timeline).record(&Finished {
            at: answered - start,
            phase: turn.phase,
            outcome: delivery.outcome,
            events: self.batch,
            counts: delivery.counts,
            latency: answered - due,
            lateness: sent - due,
            retries: delivery.retries,
            bytes,
        });
    }

    /// `None` when the compressor failed: the request was never sent, and says so in the list of failures.
    fn render(&mut self, request: u64, encoding: Encoding) -> Option<Bytes> {
        let mut plain = std::mem::take(&mut self.body);
        plain.clear();
        self.renderer.body(request, &mut plain);
        match encoding.compressed(plain) {
            Ok(body) => Some(Bytes::from(body)),
            Err(error) => {
                lock(&self.timeline).failed(&format!("not sent: {error}"));
                None
            }
        }
    }

    async fn deliver(&mut self, encoding: Encoding, body: Bytes) -> Delivery {
        let mut retries = 0;
        let mut may_be_stored = false;
        let outcome = loop {
            let head = self.heads.of(encoding);
            let sent = self.connection.send(head, body.clone(), &mut self.answer).await;
            let (pause, reason) = match judge(sent, &self.answer, self.batch, encoding.acknowledgement()) {
                Verdict::Acknowledged(counts) => {
                    self.take_back(body);
                    return Delivery { outcome: Outcome::Acknowledged, counts, retries };
                }
                Verdict::Refused(reason) => {
                    lock(&self.timeline).failed(&reason);
                    break if may_be_stored { Outcome::Unknown } else { Outcome::Refused };
                }
                Verdict::Later(pause, reason) => (pause, reason),
                Verdict::Unknown(pause, reason) => {
                    may_be_stored = true;
                    (pause, reason)
                }
            };
            lock(&self.timeline).failed(&reason);
            if retries + 1 >= u64::from(self.attempts) {
                break if may_be_stored { Outcome::Unknown } else { Outcome::Refused };
            }
            tokio::time::sleep(pause_before_retry(pause, retries)).await;
            retries += 1;
        };
        Delivery { outcome, counts: Counts::default(), retries }
    }

    /// The buffer of the body, once nobody else holds it.
    fn take_back(&mut self, body: Bytes) {
        self.body = Vec::from(body);
    }
}

fn pause_before_retry(asked: Option<Duration>, retries: u64) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.pow(u32::try_from(retries.min(10)).unwrap_or(10));
    asked.unwrap_or(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_server_else_double_up_to_a_limit() {
        assert_eq!(pause_before_retry(Some(Duration::from_secs(1)), 7), Duration::from_secs(1));
        assert_eq!(pause_before_retry(Some(Duration::from_secs(60)), 0), LONGEST_PAUSE);
        let pauses: Vec<u128> = (0..4).map(|retries| pause_before_retry(None, retries).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400]);
        assert_eq!(pause_before_retry(None, 1_000), LONGEST_PAUSE);
    }
}

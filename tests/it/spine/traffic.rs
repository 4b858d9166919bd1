//! What is sent in the story of the spine, and how: streams of several senders with repeats, each batch until it is acknowledged.

use crate::account::METRICS;
use crate::trace::{rfc3339, rows};
use crate::wire::Caller;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) const SENDERS: usize = 4;
pub(super) const DAY: i64 = 86_400_000_000;
/// Customers with their timezone and the instant at which November 2023 begins there.
pub(super) const CUSTOMERS: [(&str, &str, &str); 4] = [
    ("acme", "UTC", "2023-11-01T00:00:00Z"),
    ("globex", "America/New_York", "2023-11-01T04:00:00Z"),
    ("initech", "Asia/Tokyo", "2023-10-31T15:00:00Z"),
    ("umbrella", "UTC", "2023-11-01T00:00:00Z"),
];

/// One copy of one event on its way.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) id: String,
    pub(super) customer: &'static str,
    pub(super) code: &'static str,
    pub(super) tokens: u64,
    pub(super) at: i64,
}

impl Copy {
    fn json(&self) -> Value {
        json!({
            "transaction_id": self.id, "external_customer_id": self.customer, "code": self.code,
            "timestamp": rfc3339(self.at), "properties": {"tokens": self.tokens},
        })
    }
}

/// What is sent, and what must come of it.
pub(super) struct Plan {
    /// Each sender's copies in order.
    pub(super) streams: Vec<Vec<Copy>>,
    /// Every copy of each id in some sender's order; the first of a single sender is the first accepted.
    pub(super) copies: HashMap<String, Vec<(usize, Copy)>>,
}

pub(super) fn plan(seed: u64) -> Plan {
    let mut chance = StdRng::seed_from_u64(seed);
    let rows = rows();
    // (sender, place in the stream, copy): originals at their own place, repeats anywhere.
    let mut placed: Vec<(usize, usize, Copy)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let customer = CUSTOMERS[number % CUSTOMERS.len()].0;
        let sender = chance.random_range(0..SENDERS);
        let repeat = chance.random_bool(0.1);
        let restamp = chance.random_bool(0.5).then(|| *[30 * DAY, 1_000_000, -1_000_000].choose(&mut chance).unwrap());
        let repeat_sender = if chance.random_bool(0.5) { sender } else { chance.random_range(0..SENDERS) };
        let repeat_place = chance.random_range(0..rows.len());
        for (code, tokens) in METRICS.iter().zip([0, row.context, row.generated]) {
            let id = format!("t-{number:05}-{code}");
            let original = Copy { id, customer, code, tokens, at: row.at };
            if repeat {
                let at = row.at + restamp.unwrap_or(0);
                placed.push((repeat_sender, repeat_place, Copy { at, ..original.clone() }));
            }
            placed.push((sender, number, original));
        }
    }
    // Stable: at one place a repeat stays before the original.
    placed.sort_by_key(|(_, place, _)| *place);
    let mut plan = Plan { streams: vec![Vec::new(); SENDERS], copies: HashMap::new() };
    for (sender, _, copy) in placed {
        plan.streams[sender].push(copy.clone());
        plan.copies.entry(copy.id.clone()).or_default().push((sender, copy));
    }
    plan
}

/// Sends one stream in batches of chance sizes and forms; each batch again until it is acknowledged.
pub(super) async fn send(caller: Caller, stream: Vec<Copy>, seed: u64, acknowledged: Arc<AtomicUsize>) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let form = chance.random_range(0..10);
        let size = if form == 0 { 1 } else { chance.random_range(1..=500) };
        let (batch, after) = rest.split_at(size.min(rest.len()));
        send_until_acknowledged(&caller, batch, form).await;
        acknowledged.fetch_add(batch.len(), Ordering::Relaxed);
        rest = after;
    }
}

async fn send_until_acknowledged(caller: &Caller, batch: &[Copy], form: u32) {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let request = match form {
            0 => caller.request(Method::POST, "/v1/events/").json(&batch[0].json()),
            1..=5 => {
                let events: Vec<Value> = batch.iter().map(Copy::json).collect();
                caller.request(Method::POST, "/v1/events/batch").json(&json!({"events": events}))
            }
            _ => {
                let lines: String = batch.iter().map(|copy| format!("{}\n", copy.json())).collect();
                caller
                    .request(Method::POST, "/v1/events/batch")
                    .header("content-type", "application/x-ndjson")
                    .body(lines)
            }
        };
        if is_acknowledged(request.header("prefer", "return=minimal"), batch.len()).await {
            return;
        }
        assert!(Instant::now() < deadline, "a batch was not acknowledged for three minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_acknowledged(request: reqwest::RequestBuilder, events: usize) -> bool {
    let Ok(answer) = request.send().await else { return false };
    let status = answer.status().as_u16();
    let Ok(body) = answer.text().await else { return false };
    if status == 503 {
        return false;
    }
    assert_eq!(status, 201, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    if body.get("aborted").is_some_and(|aborted| !aborted.is_null()) {
        return false;
    }
    if body.get("ingested").is_some() {
        let counted = body["ingested"].as_u64().unwrap() + body["duplicates"].as_u64().unwrap();
        assert_eq!(counted, events as u64, "{body}");
    }
    true
}

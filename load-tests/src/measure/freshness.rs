//! How long until an acknowledged event shows in a usage query: a customer of its own, one event at a time, polled until
//! its usage has grown.
//!
//! Two figures: from the 2xx to the moment from which on a usage query shows the event (the start of the first that does), and how long
//! these queries take to answer. A reader who asks waits for the second alone; how old an answer may be is the first.

use super::latency::{Latencies, Percentiles};
use crate::audit::state::Probe;
use crate::audit::usage::read_rated;
use crate::client::api::{Api, ApiError};
use crate::workload::facts::Kind;
use crate::workload::stream::customer_name;
use domain::time::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two events.
const INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks, at least: the resolution of the figure on a calm system.
const LOOK: Duration = Duration::from_millis(10);
/// A look is followed by so many times what it took: on a busy system looks would otherwise take a quarter of the engine, and what is
/// measured would be the measuring. The figure is too high by as much at most.
const PAUSE_PER_LOOK: u32 = 1;
/// An event that does not show within this counts with this.
const LONGEST: Duration = Duration::from_secs(30);

/// What the probe needs to know.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Takes events.
    pub gateway: Api,
    /// Speaks for the organization.
    pub api: Api,
    /// Prefix of transaction ids.
    pub prefix: String,
    /// Prefix of customers.
    pub population: String,
    /// Index of its customer.
    pub customer: u32,
    /// Its events lie before this instant.
    pub end: Timestamp,
}

/// What the probe saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Events, for the audit.
    pub probe: Probe,
    /// From the 2xx to the start of the first usage query that shows it.
    pub latencies: Latencies,
    /// What each of these queries took.
    pub answers: Latencies,
    /// By second of the run: the latency of an event acknowledged then.
    pub over_time: Vec<(Duration, Duration)>,
    /// Why it ended early.
    pub error: Option<String>,
}

impl Seen {
    /// Percentiles of the latencies.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        self.latencies.percentiles()
    }
}

/// Probes until `stop`.
pub async fn run(setting: Setting, start: Instant, stop: &AtomicBool) -> Seen {
    let mut seen = Seen { probe: Probe { prefix: setting.prefix.clone(), ..Probe::default() }, ..Seen::default() };
    if let Err(error) = probe(&setting, start, stop, &mut seen).await {
        seen.error = Some(error.to_string());
    }
    seen
}

async fn probe(setting: &Setting, start: Instant, stop: &AtomicBool, seen: &mut Seen) -> Result<(), ApiError> {
    let before = requests(setting).await?;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{}{number:06}", setting.prefix);
        // Until the answer is there, its outcome is unknown.
        seen.probe.unknown.push(name.clone());
        send(setting, &name).await?;
        seen.probe.unknown.pop();
        seen.probe.acknowledged += 1;
        let acknowledged = Instant::now();
        let wanted = before + Decimal::from(seen.probe.acknowledged);
        let latency = loop {
            let asked = Instant::now();
            let is_shown = requests(setting).await? >= wanted;
            seen.answers.record(asked.elapsed());
            if is_shown || acknowledged.elapsed() >= LONGEST {
                break asked.saturating_duration_since(acknowledged);
            }
            tokio::time::sleep((asked.elapsed() * PAUSE_PER_LOOK).max(LOOK)).await;
        };
        seen.latencies.record(latency);
        seen.over_time.push((acknowledged.saturating_duration_since(start), latency));
        tokio::time::sleep(INTERVAL.saturating_sub(acknowledged.elapsed())).await;
    }
    Ok(())
}

async fn send(setting: &Setting, name: &str) -> Result<(), ApiError> {
    let now = Timestamp::now().min(Timestamp(setting.end.0 - 1));
    let event = json!({
        "transaction_id": name, "code": Kind::Requests.code(), "timestamp": now.to_string(), "properties": {},
        "external_customer_id": customer_name(&setting.population, setting.customer),
    });
    setting.gateway.post("/v1/events/", &event, &[201]).await.map(drop)
}

async fn requests(setting: &Setting) -> Result<Decimal, ApiError> {
    let usage = read_rated(&setting.api, &setting.population, setting.customer).await?;
    Ok(usage.usage.units[Kind::Requests as usize])
}

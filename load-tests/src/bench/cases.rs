//! The cases of the bench and how one measurement of each is taken.

use super::BenchArgs;
use super::get_loop::{self, Gets};
use super::streaming::Streaming;
use crate::audit::state::State;
use crate::audit::usage::usage_path;
use crate::client::connection::Head;
use crate::client::target::Target;
use crate::drive::{Drive, Pacing};
use crate::measure::latency::Percentiles;
use crate::measure::machine::Reading;
use crate::measure::process::{Meter, Root, between, own_cpu};
use crate::measure::ratio::{cpu_per_million, per_second};
use crate::run::{fresh_tag, record};
use crate::setup::{Ground, Wanted};
use crate::workload::encode::Encoding;
use crate::workload::facts::{Spread, mix};
use crate::workload::slots::Slots;
use crate::workload::stream::{Stamps, Stream};
use anyhow::ensure;
use domain::time::Timestamp;
use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    Health,
    NullBatches,
    NullSingles,
    Minimal,
    Echo,
    Singles,
    CurrentUsage,
    Drain,
    EndToEnd,
}

/// In the order in which they are taken: each beside its baseline. The drain has something to drain after the batches.
pub(super) const STREAMING: [Case; 6] =
    [Case::NullSingles, Case::Singles, Case::NullBatches, Case::Minimal, Case::Drain, Case::EndToEnd];
/// The same of direct ingestion.
pub(super) const ALL: [Case; 7] =
    [Case::Health, Case::NullSingles, Case::Singles, Case::NullBatches, Case::Minimal, Case::Echo, Case::CurrentUsage];

/// One measurement of a case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    /// Events or requests a second.
    pub(super) per_second: f64,
    pub(super) latency: Percentiles,
    /// CPU seconds per million events or requests, by process.
    pub(super) cpu_per_million: BTreeMap<String, f64>,
    /// Cores kept busy by others than generator and server.
    pub(super) others: f64,
}

impl Case {
    pub(super) fn name(self) -> &'static str {
        match self {
            Case::Health => "GET /healthz, 200 connections",
            Case::NullBatches => "batches to a server that does nothing",
            Case::NullSingles => "single events to a server that does nothing",
            Case::Minimal => "batches, return=minimal",
            Case::Echo => "batches, events echoed",
            Case::Singles => "single events",
            Case::CurrentUsage => "current_usage, one at a time",
            Case::Drain => "aggregator drains the log",
            Case::EndToEnd => "batches, until the last event is stored",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Case::Health | Case::CurrentUsage => "requests/s",
            _ => "events/s",
        }
    }

    /// What it is compared with.
    pub(super) fn baseline(self) -> Option<Case> {
        match self {
            Case::Minimal | Case::Echo | Case::EndToEnd => Some(Case::NullBatches),
            Case::Singles => Some(Case::NullSingles),
            Case::Health | Case::NullBatches | Case::NullSingles | Case::CurrentUsage | Case::Drain => None,
        }
    }

    fn is_baseline(self) -> bool {
        matches!(self, Case::NullBatches | Case::NullSingles)
    }
}

/// Everything a measurement needs.
pub(super) struct Bench {
    target: Target,
    /// Takes events.
    ingest: Target,
    /// The system, where it streams and is ours.
    pub(super) streaming: Option<Streaming>,
    null: Target,
    key: String,
    population: String,
    customers: u32,
    period_end: Timestamp,
    batch: u64,
    senders: usize,
    single_senders: usize,
    duration: Duration,
    warm_up: Duration,
    watched: Vec<Root>,
    null_root: Root,
}

impl Bench {
    pub(super) fn new(
        args: &BenchArgs,
        ground: &Ground,
        wanted: &Wanted,
        (watched, streaming): (Vec<Root>, Option<Streaming>),
        null: Target,
        null_root: Root,
    ) -> anyhow::Result<Self> {
        let ingest = match &streaming {
            Some(streaming) => Target::parse(&streaming.system.direct_ingest_url())?,
            None => wanted.target.clone(),
        };
        Ok(Self {
            target: wanted.target.clone(),
            ingest,
            streaming,
            null,
            key: ground.key.clone(),
            population: wanted.population.clone(),
            customers: wanted.customers,
            period_end: ground.period.1,
            batch: args.batch.max(1),
            senders: args.senders.max(1),
            single_senders: args.single_senders.max(1),
            duration: args.duration,
            warm_up: args.warm_up,
            watched,
            null_root,
        })
    }

    /// Brings caches, connections and compilers of queries to temperature.
    pub(super) async fn warm_up(&mut self, case: Case, state: &mut State) -> anyhow::Result<()> {
        if !self.warm_up.is_zero() && case != Case::Drain {
            self.take(case, self.warm_up, state).await?;
        }
        Ok(())
    }

    pub(super) async fn measure(&mut self, case: Case, state: &mut State) -> anyhow::Result<Measurement> {
        self.take(case, self.duration, state).await
    }

    async fn take(&mut self, case: Case, length: Duration, state: &mut State) -> anyhow::Result<Measurement> {
        let left = self.set_up(case, state).await?;
        let roots = match &self.streaming {
            _ if case.is_baseline() => vec![self.null_root.clone()],
            Some(streaming) => streaming.roots()?,
            None => self.watched.clone(),
        };
        let mut meter = Meter::new(roots);
        let (before, own_before, machine) = (meter.read(), own_cpu(), Reading::now());
        let start = Instant::now();
        let (count, latency) = match case {
            Case::Health => self.gets(length, self.single_senders, &["/healthz".to_owned()]).await?,
            Case::CurrentUsage => self.gets(length, 1, &self.usage_paths(length)).await?,
            Case::Drain => (left, Percentiles::default()),
            _ => self.sends(case, length, state).await?,
        };
        if let (Case::Drain | Case::EndToEnd, Some(streaming)) = (case, &self.streaming) {
            streaming.until_stored(state).await?;
        }
        let elapsed = start.elapsed();
        let own = own_cpu().saturating_sub(own_before);
        let spent = between(&before, &meter.read());
        let all = own + spent.values().sum::<Duration>();
        let mut costs: BTreeMap<String, f64> = BTreeMap::new();
        for (name, cpu) in spent.into_iter().chain([("load generator".to_owned(), own)]) {
            costs.extend(cpu_per_million(cpu, count).map(|cost| (name, cost)));
        }
        Ok(Measurement {
            per_second: per_second(count, elapsed),
            latency,
            cpu_per_million: costs,
            others: machine.others_since(all),
        })
    }

    /// Brings the aggregator up or down; answers how many events are left for it to drain.
    async fn set_up(&mut self, case: Case, state: &State) -> anyhow::Result<u64> {
        let Some(streaming) = &mut self.streaming else { return Ok(0) };
        match case {
            Case::Drain => return streaming.aggregator_begins(state).await,
            Case::Singles | Case::Minimal | Case::Echo => streaming.without_aggregator(state).await?,
            Case::EndToEnd | Case::CurrentUsage => streaming.with_aggregator(state).await?,
            Case::Health | Case::NullBatches | Case::NullSingles => {}
        }
        Ok(0)
    }

    async fn gets(&self, length: Duration, connections: usize, paths: &[String]) -> anyhow::Result<(u64, Percentiles)> {
        let heads = paths.iter().map(|path| self.get_head(path)).collect::<anyhow::Result<Vec<Head>>>()?;
        let Gets { answered, failed, latencies } =
            get_loop::run(self.target.clone(), heads, connections, length).await?;
        ensure!(failed.is_none(), "a GET failed: {}", failed.unwrap_or_default());
        Ok((answered, latencies.percentiles()))
    }

    fn get_head(&self, path: &str) -> anyhow::Result<Head> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(&self.target.authority)?);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", self.key))?);
        Ok(Head { method: Method::GET, path: format!("{}{path}", self.target.prefix).parse()?, headers })
    }

    /// Customers in random order, so that no cache knows the next one; a thousand are more than a second's worth.
    fn usage_paths(&self, length: Duration) -> Vec<String> {
        let seed = mix(length.subsec_nanos().into());
        let customer = |nth: u64| u32::try_from(mix(seed ^ nth) % u64::from(self.customers)).unwrap_or(0);
        (0..1_000).map(|nth| usage_path(&self.population, customer(nth))).collect()
    }

    async fn sends(&mut self, case: Case, length: Duration, state: &mut State) -> anyhow::Result<(u64, Percentiles)> {
        let single = matches!(case, Case::Singles | Case::NullSingles);
        let stream = self.stream(if single { 1 } else { self.batch });
        let drive = Drive {
            stream: stream.clone(),
            pacing: Pacing::Closed(length),
            targets: vec![if case.is_baseline() { self.null.clone() } else { self.ingest.clone() }],
            key: self.key.clone(),
            echo: case == Case::Echo,
            senders: if single { self.single_senders } else { self.senders },
            threads: 1,
            limit: Duration::from_secs(60),
            attempts: 5,
            stops_at_saturation: false,
        };
        let running = drive.start()?;
        while running.is_running() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (mut journal, timeline) = running.finish()?;
        let summary = timeline.summary();
        if let Some(streaming) = self.streaming.as_mut().filter(|_| !case.is_baseline()) {
            streaming.note_acknowledged(summary.total.acknowledged);
        }
        if !case.is_baseline() {
            state.runs.push(record(stream, &mut journal, summary.total.retries, 200));
        }
        ensure!(summary.total.acknowledged > 0, "{}: nothing was acknowledged: {:?}", case.name(), summary.reasons);
        Ok((summary.total.acknowledged, summary.latency))
    }

    fn stream(&self, batch: u64) -> Stream {
        let base = Timestamp::now();
        let encodings = vec![if batch == 1 { Encoding::Single } else { Encoding::Json }];
        Stream {
            seed: mix(base.0.unsigned_abs()),
            tag: fresh_tag(base),
            population: self.population.clone(),
            spread: Spread { customers: self.customers, hot_permille: 0 },
            slots: Slots::Fresh,
            batch,
            encodings,
            stamps: Stamps { base, tick_nanos: 1_000, end: self.period_end },
        }
    }
}

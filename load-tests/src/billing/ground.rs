//! An organization with its customers, and the events of a round.

use crate::audit::settle::volume_between;
use crate::bench::server::Server;
use crate::client::api::Api;
use crate::client::target::Target;
use crate::drive::{Drive, Pacing, Running};
use crate::oracle::expected::{Usage, add_run};
use crate::oracle::fates::Fates;
use crate::run::{fresh_tag, watch};
use crate::setup::{Access, Wanted, prepare};
use crate::workload::encode::Encoding;
use crate::workload::facts::{Kind, Spread, mix};
use crate::workload::schedule::{Schedule, Segment};
use crate::workload::slots::Slots;
use crate::workload::stream::{Stamps, Stream};
use anyhow::ensure;
use domain::time::Timestamp;
use std::time::{Duration, Instant};

/// What the plan charges; events of the fourth kind, an eighth of all, are there and belong to no charge.
const CHARGED: [Kind; 3] = [Kind::Requests, Kind::Tokens, Kind::Peak];
/// Events of a request.
const BATCH: u64 = 1_000;
const SENDERS: usize = 16;
/// All at once: senders take the next request as they get their answers. Their time beyond the schedule ends 30 s after it, so the
/// schedule is long enough for a slow machine.
const EVENTS_A_SECOND: u64 = 50_000;
const LIMIT: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 8;
const SETTLED_WITHIN: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);

/// An organization of its own, with its customers.
pub(super) struct Account {
    pub(super) api: Api,
    target: Target,
    key: String,
    pub(super) population: String,
    subscriptions: u32,
}

impl Account {
    /// Makes it: every subscription begins at `started_at`.
    pub(super) async fn open(server: &Server, subscriptions: u32, started_at: Timestamp) -> anyhow::Result<Self> {
        let tag = fresh_tag(Timestamp::now());
        let wanted = Wanted {
            target: Target::parse(&server.url)?,
            access: Access::AdminSecret(server.secret.clone()),
            name: format!("Billing {tag}"),
            population: tag,
            // One more is made, as for the probe of other runs: it is a customer like the others, without events.
            customers: subscriptions - 1,
            interval: "monthly",
            charged: &CHARGED,
            started_at,
            limit: LIMIT,
        };
        let bar = watch::setup_bar();
        let ground = prepare(&wanted, &bar).await?;
        bar.finish_and_clear();
        let (api, target) = (ground.api, wanted.target);
        Ok(Self { api, target, key: ground.key, population: wanted.population, subscriptions })
    }

    pub(super) fn customers(&self) -> usize {
        self.subscriptions as usize
    }

    /// Sends the events of these months and waits until they are stored; answers what each customer used, month by month.
    pub(super) async fn send(&self, months: &[Timestamp], events: u64) -> anyhow::Result<Vec<Vec<Usage>>> {
        let periods = months.len() as u64 - 1;
        let a_month = (u64::from(self.subscriptions) * events / periods).max(BATCH);
        let mut usages = Vec::new();
        for month in months.windows(2) {
            usages.push(self.send_month((month[0], month[1]), a_month).await?);
        }
        Ok(usages)
    }

    async fn send_month(&self, month: (Timestamp, Timestamp), events: u64) -> anyhow::Result<Vec<Usage>> {
        let stream = self.stream(month, events);
        let length = Duration::from_millis(events * 1_000 / EVENTS_A_SECOND).max(Duration::from_secs(1));
        let rate = events.div_ceil(length.as_secs().max(1));
        let drive = Drive {
            stream: stream.clone(),
            pacing: Pacing::Open(Schedule::new(BATCH, &[Segment { length, rate }])),
            targets: vec![self.target.clone()],
            key: self.key.clone(),
            echo: false,
            senders: SENDERS,
            threads: 1,
            limit: LIMIT,
            attempts: ATTEMPTS,
            stops_at_saturation: false,
        };
        let running = drive.start()?;
        finished(&running).await;
        let (mut journal, timeline) = running.finish()?;
        let total = timeline.total();
        ensure!(total.refused + total.unknown == 0, "{} events refused, {} unknown", total.refused, total.unknown);
        let fates = Fates::of(&stream, &journal.outcomes());
        self.settled(month, fates.acknowledged.len()).await?;
        let mut usages = vec![Usage::none(); self.customers()];
        add_run(&mut usages, &stream, &fates.acknowledged);
        Ok(usages)
    }

    /// Fresh events in contract JSON, evenly over the month.
    fn stream(&self, month: (Timestamp, Timestamp), events: u64) -> Stream {
        let span = (month.1.0 - month.0.0).unsigned_abs();
        Stream {
            seed: mix(month.0.0.unsigned_abs()),
            // Ids of two months differ.
            tag: format!("{}{}", self.population, &month.0.to_string()[..7]),
            population: self.population.clone(),
            spread: Spread { customers: self.subscriptions - 1, hot_permille: 0 },
            slots: Slots::Fresh,
            batch: BATCH,
            encodings: vec![Encoding::Json],
            stamps: Stamps { base: month.0, tick_nanos: span / (events + 2 * BATCH) * 1_000, end: month.1 },
        }
    }

    async fn settled(&self, month: (Timestamp, Timestamp), acknowledged: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let seen = volume_between(&self.api, month.0, month.1).await?;
            if seen >= acknowledged {
                return Ok(());
            }
            ensure!(start.elapsed() < SETTLED_WITHIN, "{seen} of {acknowledged} events after {SETTLED_WITHIN:?}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn finished(running: &Running) {
    while running.is_running() {
        tokio::time::sleep(LOOK).await;
    }
}

//! What another rate needs, by the fitted costs and the prices file. Every count is a range: from the least to the most an event may cost.
#![expect(
    clippy::float_arithmetic,
    reason = "a model of measurements; money is counted in decimals from whole nodes and gigabytes"
)]
#![expect(clippy::cast_precision_loss, reason = "rates and bytes have fewer than 53 significant bits")]

use super::fit::Line;
use super::prices::{Node, Prices};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

const SECONDS_OF_DAY: f64 = 86_400.0;
/// 365.25 / 12.
const DAYS_OF_MONTH: f64 = 30.4375;
const GIGABYTE: f64 = 1e9;
/// Losing one gateway, aggregator or shard's node must not stop the rest; of brokers three keep a majority.
const LEAST_NODES: u64 = 2;
const LEAST_BROKERS: u64 = 3;

/// From least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Range {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// What one rate needs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sizing {
    /// At the peak.
    pub(super) events_per_second: u64,
    pub(super) partitions: u64,
    pub(super) gateways: Option<Range>,
    pub(super) brokers: Option<Range>,
    pub(super) aggregators: Option<Range>,
    /// Each on as many nodes as the store has replicas.
    pub(super) shards: Option<Range>,
    /// Of the store for its months and of the log for its days, all copies, with room left.
    pub(super) disk_gigabytes: Option<u64>,
    pub(super) monthly_low: Option<Decimal>,
    pub(super) monthly_high: Option<Decimal>,
}

/// What sizes follow from.
pub(super) struct Basis<'a> {
    pub(super) stages: &'a BTreeMap<String, Line>,
    pub(super) disk_bytes: &'a BTreeMap<String, f64>,
    pub(super) network_bytes: f64,
    pub(super) prices: &'a Prices,
}

impl Basis<'_> {
    pub(super) fn size(&self, rate: u64) -> Sizing {
        let prices = self.prices;
        let gateways = self.nodes("gateway", prices.gateway, rate, LEAST_NODES, 1);
        let brokers = self.nodes("broker", prices.broker, rate, LEAST_BROKERS, prices.log_replicas);
        let aggregators = self.nodes("aggregator", prices.aggregator, rate, LEAST_NODES, 1);
        let shards = self.nodes("engine", prices.engine, rate, 1, 1);
        let for_rate = rate.div_ceil(prices.partition_rate);
        let for_aggregators = aggregators.map_or(LEAST_NODES, |range| range.high);
        let disk_gigabytes = self.disk_gigabytes(rate);
        let monthly = |end: fn(Range) -> u64| {
            let nodes = [
                (gateways, prices.gateway.monthly, 1),
                (brokers, prices.broker.monthly, 1),
                (aggregators, prices.aggregator.monthly, 1),
                (shards, prices.engine.monthly, prices.store_replicas),
            ];
            let nodes: Option<Vec<Decimal>> = nodes
                .into_iter()
                .map(|(range, price, times)| Some(Decimal::from(end(range?)) * price * Decimal::from(times)))
                .collect();
            let disk = Decimal::from(disk_gigabytes?) * prices.disk.gigabyte_month;
            let sent = self.sent_gigabytes(rate)?;
            Some(nodes?.into_iter().sum::<Decimal>() + disk + Decimal::from(sent) * prices.network.gigabyte)
        };
        Sizing {
            events_per_second: rate,
            partitions: for_rate.max(for_aggregators).max(LEAST_BROKERS),
            gateways,
            brokers,
            aggregators,
            shards,
            disk_gigabytes,
            monthly_low: monthly(|range| range.low),
            monthly_high: monthly(|range| range.high),
        }
    }

    /// Nodes of a stage; `None` where it was not watched. `copies`: how often its work is done, as followers do what a leader does.
    fn nodes(&self, stage: &str, node: Node, rate: u64, least: u64, copies: u32) -> Option<Range> {
        let line = self.stages.get(stage)?;
        let usable = f64::from(node.cores) * self.prices.headroom();
        let count = |per_event: f64, copies: u32| {
            let cores = line.idle_cores + per_event * rate as f64 * f64::from(copies);
            whole(cores / usable).max(least)
        };
        Some(Range { low: count(line.per_event_low, 1), high: count(line.per_event_high, copies) })
    }

    fn disk_gigabytes(&self, rate: u64) -> Option<u64> {
        let prices = self.prices;
        let mean = rate as f64 / prices.peak_over_mean;
        let days_of_store = f64::from(prices.store_months) * DAYS_OF_MONTH;
        let store = self.disk_bytes.get("store")? * days_of_store * f64::from(prices.store_replicas);
        let log = self.disk_bytes.get("log")? * f64::from(prices.log_days) * f64::from(prices.log_replicas);
        Some(whole(mean * SECONDS_OF_DAY * (store + log) / prices.disk_headroom / GIGABYTE))
    }

    fn sent_gigabytes(&self, rate: u64) -> Option<u64> {
        let mean = rate as f64 / self.prices.peak_over_mean;
        Some(whole(mean * SECONDS_OF_DAY * DAYS_OF_MONTH * self.network_bytes / GIGABYTE))
    }
}

/// Rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of nodes and gigabytes: not negative, far below 2⁵³"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).ceil() as u64
}

/// What the sizes take for granted.
pub(super) fn assumptions(prices: &Prices, machine_cores: usize) -> Vec<String> {
    vec![
        format!("All stages and the generator ran on one machine of {machine_cores} cores; a core elsewhere does the same work."),
        format!("The peak uses {:.0} % of a node's cores; disks follow a mean of the peak by {}.", prices.headroom() * 100.0, prices.peak_over_mean),
        "The cost of an event does not grow with the store (measured up to 105 million events: 3 %).".into(),
        format!("Brokers: at least as if one copy were written, at most as if each of {} copies cost what the measured one does.", prices.log_replicas),
        "Disk is what grew while the ladder ran, parts that merges had replaced but not removed among it: an upper bound.".into(),
        "Beyond the measured rates the lines are drawn on straight: stages share nothing but the log and the store, which are sharded.".into(),
        "Rater, API and PostgreSQL are not in it: they follow subscriptions and questions, not events.".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis<T>(ask: impl FnOnce(Basis<'_>) -> T) -> T {
        let line = |micros: f64| Line {
            idle_cores: 0.0,
            per_event: micros / 1e6,
            per_event_low: micros / 2e6,
            per_event_high: micros / 1e6,
            worst_error: 0.0,
        };
        let stages = [("gateway", 2.0), ("broker", 1.0), ("aggregator", 2.5), ("engine", 7.0)];
        let stages = stages.into_iter().map(|(name, micros)| (name.to_owned(), line(micros))).collect();
        let disk_bytes = [("store".to_owned(), 100.0), ("log".to_owned(), 40.0)].into();
        let prices = Prices::read(None).unwrap();
        ask(Basis { stages: &stages, disk_bytes: &disk_bytes, network_bytes: 260.0, prices: &prices })
    }

    #[test]
    fn a_million_events_a_second_by_hand() {
        let sizing = basis(|basis| basis.size(1_000_000));
        // 2 cores of gateway, 0.6 of 4 usable; half as many at the least.
        assert_eq!(sizing.gateways, Some(Range { low: 2, high: 2 }));
        // 7 cores, 9.6 usable.
        assert_eq!(sizing.shards, Some(Range { low: 1, high: 1 }));
        // 1 core three times over, 4.8 usable: three keep a majority.
        assert_eq!(sizing.brokers, Some(Range { low: 3, high: 3 }));
        assert_eq!(sizing.partitions, 50);
        // 28.8 × 10⁹ events a day × (100 B × 395.6875 d × 2 + 40 B × 7 d × 3) = 2,303,352 GB, of which 0.7 may be used.
        assert_eq!(sizing.disk_gigabytes, Some(3_290_503));
        assert!(sizing.monthly_low <= sizing.monthly_high);
    }

    #[test]
    fn ten_times_the_events_never_need_less() {
        let sizes: Vec<Sizing> =
            [1_000, 10_000, 100_000, 1_000_000, 10_000_000].map(|rate| basis(|basis| basis.size(rate))).into();
        for pair in sizes.windows(2) {
            assert!(pair[0].monthly_high <= pair[1].monthly_high && pair[0].partitions <= pair[1].partitions);
            assert!(pair[0].shards.unwrap().high <= pair[1].shards.unwrap().high);
        }
    }

    #[test]
    fn a_stage_that_was_not_watched_is_not_guessed() {
        let stages = BTreeMap::new();
        let disk_bytes = BTreeMap::new();
        let prices = Prices::read(None).unwrap();
        let sizing =
            Basis { stages: &stages, disk_bytes: &disk_bytes, network_bytes: 0.0, prices: &prices }.size(1_000);
        assert_eq!(
            (sizing.gateways, sizing.shards, sizing.disk_gigabytes, sizing.monthly_low),
            (None, None, None, None)
        );
    }
}

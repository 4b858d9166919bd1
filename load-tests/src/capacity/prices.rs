//! What things cost and how full they may be: a file that the user edits. Unknown and missing keys are refused.

use anyhow::{Context, bail};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file as it is when none is given.
pub(super) const DEFAULT: &str = include_str!("prices.toml");

/// The file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    pub(super) currency: String,
    headroom: f64,
    pub(super) peak_over_mean: f64,
    pub(super) store_months: u32,
    pub(super) store_replicas: u32,
    pub(super) log_days: u32,
    pub(super) log_replicas: u32,
    pub(super) disk_headroom: f64,
    pub(super) partition_rate: u64,
    pub(super) gateway: Node,
    pub(super) broker: Node,
    pub(super) aggregator: Node,
    pub(super) engine: Node,
    pub(super) disk: DiskPrice,
    pub(super) network: NetworkPrice,
}

/// A kind of node.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) cores: u32,
    pub(super) monthly: Decimal,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskPrice {
    pub(super) gigabyte_month: Decimal,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkPrice {
    pub(super) gigabyte: Decimal,
}

impl Prices {
    /// The file, or the default.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Self::parse(DEFAULT) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} (--print-prices shows a valid one)", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let prices: Self = toml::from_str(text)?;
        let shares = [("headroom", prices.headroom), ("disk_headroom", prices.disk_headroom)];
        if let Some((name, share)) = shares.into_iter().find(|(_, share)| !(*share > 0.0 && *share <= 1.0)) {
            bail!("{name} must be above 0 and at most 1, not {share}");
        }
        if !(prices.peak_over_mean >= 1.0 && prices.peak_over_mean.is_finite()) {
            bail!("peak_over_mean must be at least 1, not {}", prices.peak_over_mean);
        }
        let counts = [
            ("partition_rate", prices.partition_rate),
            ("store_replicas", prices.store_replicas.into()),
            ("log_replicas", prices.log_replicas.into()),
            ("gateway.cores", prices.gateway.cores.into()),
            ("broker.cores", prices.broker.cores.into()),
            ("aggregator.cores", prices.aggregator.cores.into()),
            ("engine.cores", prices.engine.cores.into()),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            bail!("{name} must be above 0");
        }
        Ok(prices)
    }

    pub(super) fn headroom(&self) -> f64 {
        self.headroom
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_nonsense_is_refused_by_name() {
        Prices::parse(DEFAULT).unwrap();
        let refused = |from: &str, to: &str| Prices::parse(&DEFAULT.replace(from, to)).unwrap_err().to_string();
        assert!(refused("headroom = 0.6", "headroom = 1.6").contains("headroom"));
        assert!(refused("partition_rate = 20000", "partition_rate = 0").contains("partition_rate"));
        assert!(refused("peak_over_mean = 3.0", "peak_over_mean = 0.5").contains("peak_over_mean"));
        assert!(refused("currency", "curency").contains("curency"));
        assert!(refused("log_days = 7", "").contains("log_days"));
    }
}

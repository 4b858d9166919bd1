//! All measurements of all cases: medians, spreads, ratios.

use super::cases::{Case, Measurement};
use crate::measure::ratio::{median, share, spread};
use crate::report::table::table;
use crate::report::text::{figure, micros};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Measurements by case, in the order taken.
#[derive(Debug, Default)]
pub(super) struct Outcomes(Vec<(Case, Vec<Measurement>)>);

/// A case, summed up.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    case: &'static str,
    unit: &'static str,
    /// Median of the rates.
    median: Option<f64>,
    /// Distance of the least and the greatest as a share of the median.
    spread: Option<f64>,
    baseline: Option<&'static str>,
    /// Median of the ratios to the baseline, each taken in the same round.
    ratio: Option<f64>,
    /// Medians, by process.
    cpu_per_million: BTreeMap<String, f64>,
    /// Median of the cores that others kept busy.
    others: Option<f64>,
    measurements: &'a [Measurement],
}

impl Outcomes {
    pub(super) fn add(&mut self, case: Case, measurement: Measurement) {
        match self.0.iter_mut().find(|(known, _)| *known == case) {
            Some((_, measurements)) => measurements.push(measurement),
            None => self.0.push((case, vec![measurement])),
        }
    }

    pub(super) fn table(&self) -> String {
        let header = [
            "case",
            "median",
            "spread",
            "of baseline",
            "p50",
            "p99",
            "CPU s per million: server",
            "generator",
            "others' cores",
        ];
        let mut rows = table(&header);
        for (case, measurements) in &self.0 {
            let summary = self.summary(*case, measurements);
            let percent = |value: Option<f64>| {
                value.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share_to_percent(share)))
            };
            let middle = |of: fn(&Measurement) -> u64| {
                let mut values: Vec<u64> = measurements.iter().map(of).collect();
                values.sort_unstable();
                values.get(values.len() / 2).map_or_else(String::new, |value| micros(*value))
            };
            let own = summary.cpu_per_million.get("load generator").copied();
            let server = summary.cpu_per_million.iter().filter(|(name, _)| *name != "load generator");
            let server: Vec<String> = server.map(|(name, cost)| format!("{name} {}", figure(*cost))).collect();
            rows.add_row([
                case.name().to_owned(),
                format!("{} {}", summary.median.map_or_else(String::new, figure), case.unit()),
                percent(summary.spread),
                percent(summary.ratio),
                middle(|one| one.latency.p50),
                middle(|one| one.latency.p99),
                server.join("\n"),
                own.map_or_else(String::new, figure),
                summary.others.map_or_else(String::new, figure),
            ]);
        }
        rows.to_string()
    }

    fn summary<'a>(&'a self, case: Case, measurements: &'a [Measurement]) -> Summary<'a> {
        let rates: Vec<f64> = measurements.iter().map(|one| one.per_second).collect();
        let names: BTreeSet<&String> = measurements.iter().flat_map(|one| one.cpu_per_million.keys()).collect();
        let cost = |name: &String| {
            let costs: Vec<f64> =
                measurements.iter().filter_map(|one| one.cpu_per_million.get(name).copied()).collect();
            median(&costs).map(|cost| (name.clone(), cost))
        };
        let others: Vec<f64> = measurements.iter().map(|one| one.others).collect();
        Summary {
            case: case.name(),
            unit: case.unit(),
            median: median(&rates),
            spread: spread(&rates),
            baseline: case.baseline().map(Case::name),
            ratio: case.baseline().and_then(|baseline| self.ratio(measurements, baseline)),
            cpu_per_million: names.into_iter().filter_map(cost).collect(),
            others: median(&others),
            measurements,
        }
    }

    fn ratio(&self, measurements: &[Measurement], baseline: Case) -> Option<f64> {
        let (_, bases) = self.0.iter().find(|(case, _)| *case == baseline)?;
        let pairs = measurements.iter().zip(bases);
        let ratios: Vec<f64> = pairs.filter_map(|(one, base)| share(one.per_second, base.per_second)).collect();
        median(&ratios)
    }
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.len()))?;
        for (case, measurements) in &self.0 {
            sequence.serialize_element(&self.summary(*case, measurements))?;
        }
        sequence.end()
    }
}

#[expect(clippy::float_arithmetic, reason = "a share shown in percent")]
fn share_to_percent(share: f64) -> f64 {
    share * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::Percentiles;

    fn measurement(per_second: f64) -> Measurement {
        let cpu_per_million = BTreeMap::from([("load generator".to_owned(), 1.0)]);
        Measurement { per_second, latency: Percentiles::default(), cpu_per_million, others: 0.0 }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut outcomes = Outcomes::default();
        for (base, own) in [(100.0, 50.0), (200.0, 100.0), (400.0, 100.0)] {
            outcomes.add(Case::NullBatches, measurement(base));
            outcomes.add(Case::Minimal, measurement(own));
        }
        let document = serde_json::to_value(&outcomes).unwrap();
        assert_eq!(document[1]["ratio"], 0.5);
        assert_eq!(document[1]["median"], 100.0);
        assert_eq!(document[0]["ratio"], serde_json::Value::Null);
        assert!(outcomes.table().contains("50 %"));
    }
}

//! Shapes of load. Each file answers one question of capacity planning; all share one description, [`Shape`].

mod hot_customer;
mod mixed;
mod ramp;
mod retry_storm;
mod single;
mod spike;
mod steady;

use crate::workload::encode::Encoding;
use crate::workload::schedule::Segment;
use crate::workload::slots::Slots;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Names of the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One rate throughout.
    Steady,
    /// Ten rising levels up to the rate; stops at saturation.
    Ramp,
    /// A fifth of the rate, the full rate for a fifth of the time, a fifth again.
    Spike,
    /// A tenth of the events repeated, reordered, half of the repeats with a new timestamp.
    #[value(alias = "retry_storm")]
    RetryStorm,
    /// Half of all events belong to one customer.
    #[value(alias = "hot_customer")]
    HotCustomer,
    /// One event a request.
    #[value(aliases = ["single-events", "single_events"])]
    Single,
    /// JSON, gzip, NDJSON, zstd, Lago and CloudEvents in turn.
    #[value(aliases = ["mixed-dialects", "mixed_dialects"])]
    Mixed,
}

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Events a second at the highest.
    pub rate: u64,
    /// Time in all.
    pub duration: Duration,
    /// Events of a request.
    pub batch: u64,
}

/// A load in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Arrivals.
    pub segments: Vec<Segment>,
    /// Events of a request.
    pub batch: u64,
    /// Forms of the requests, in turn.
    pub encodings: Vec<Encoding>,
    /// Repeats.
    pub slots: Slots,
    /// Of a thousand events, those of customer 0 beyond its share.
    pub hot_permille: u32,
    /// Whether to stop once requests wait for a connection for longer than [`crate::drive::SATURATED_AFTER`].
    pub stops_at_saturation: bool,
}

impl Profile {
    /// The load this profile makes of a demand.
    #[must_use]
    pub fn shape(self, demand: &Demand) -> Shape {
        match self {
            Profile::Steady => steady::shape(demand),
            Profile::Ramp => ramp::shape(demand),
            Profile::Spike => spike::shape(demand),
            Profile::RetryStorm => retry_storm::shape(demand),
            Profile::HotCustomer => hot_customer::shape(demand),
            Profile::Single => single::shape(demand),
            Profile::Mixed => mixed::shape(demand),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::schedule::Schedule;

    const DEMAND: Demand = Demand { rate: 1_000, duration: Duration::from_secs(100), batch: 10 };

    #[test]
    fn every_profile_fills_the_duration_and_never_exceeds_the_rate() {
        for profile in Profile::value_variants() {
            let shape = profile.shape(&DEMAND);
            let length: Duration = shape.segments.iter().map(|segment| segment.length).sum();
            assert_eq!(length, DEMAND.duration, "{profile:?}");
            assert_eq!(shape.segments.iter().map(|segment| segment.rate).max(), Some(DEMAND.rate), "{profile:?}");
            assert!(!shape.encodings.is_empty(), "{profile:?}");
            assert!(Schedule::new(shape.batch, &shape.segments).requests() > 0, "{profile:?}");
        }
    }

    #[test]
    fn a_ramp_rises_to_the_full_rate_and_stops_when_the_system_cannot_follow() {
        let shape = Profile::Ramp.shape(&DEMAND);
        let rates: Vec<u64> = shape.segments.iter().map(|segment| segment.rate).collect();
        assert_eq!(rates, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
        assert!(shape.stops_at_saturation);
    }

    #[test]
    fn a_spike_ends_with_time_to_recover() {
        let rates: Vec<u64> = Profile::Spike.shape(&DEMAND).segments.iter().map(|segment| segment.rate).collect();
        assert_eq!(rates, [200, 1_000, 200]);
    }
}

//! How much does it take? Rising levels, each held, so that a queue that grows shows before the next level hides it.

use super::{Demand, Shape, steady};
use crate::workload::schedule::Segment;

const LEVELS: u32 = 10;

pub(super) fn shape(demand: &Demand) -> Shape {
    let level = |step: u32| Segment {
        length: demand.duration / LEVELS,
        rate: demand.rate * u64::from(step) / u64::from(LEVELS),
    };
    Shape { segments: (1..=LEVELS).map(level).collect(), stops_at_saturation: true, ..steady::shape(demand) }
}

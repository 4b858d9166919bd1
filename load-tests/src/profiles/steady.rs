//! What does it cost, and how fast does it answer, at one rate?

use super::{Demand, Shape};
use crate::workload::encode::Encoding;
use crate::workload::schedule::Segment;
use crate::workload::slots::Slots;

/// Contract JSON at one rate; the other profiles are this one with a difference.
pub(super) fn shape(demand: &Demand) -> Shape {
    Shape {
        segments: vec![Segment { length: demand.duration, rate: demand.rate }],
        batch: demand.batch,
        encodings: vec![Encoding::Json],
        slots: Slots::Fresh,
        hot_permille: 0,
        stops_at_saturation: false,
    }
}

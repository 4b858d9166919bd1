//! Does a burst hurt, and how long until it is forgotten?

use super::{Demand, Shape, steady};
use crate::workload::schedule::Segment;

pub(super) fn shape(demand: &Demand) -> Shape {
    let calm = Segment { length: demand.duration * 2 / 5, rate: demand.rate / 5 };
    let burst = Segment { length: demand.duration / 5, rate: demand.rate };
    Shape { segments: vec![calm, burst, calm], ..steady::shape(demand) }
}

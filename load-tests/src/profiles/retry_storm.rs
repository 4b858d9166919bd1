//! What happens when clients time out and send again: copies, out of order, half of them stamped anew?

use super::{Demand, Shape, steady};
use crate::workload::slots::Slots;

pub(super) fn shape(demand: &Demand) -> Shape {
    Shape { slots: Slots::repeating(demand.batch), ..steady::shape(demand) }
}

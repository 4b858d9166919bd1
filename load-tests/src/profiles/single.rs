//! What do clients cost that send one event a request?

use super::{Demand, Shape, steady};
use crate::workload::encode::Encoding;

pub(super) fn shape(demand: &Demand) -> Shape {
    Shape { batch: 1, encodings: vec![Encoding::Single], ..steady::shape(demand) }
}

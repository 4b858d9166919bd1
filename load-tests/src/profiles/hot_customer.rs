//! Does one busy customer slow everybody down?

use super::{Demand, Shape, steady};

pub(super) fn shape(demand: &Demand) -> Shape {
    Shape { hot_permille: 500, ..steady::shape(demand) }
}

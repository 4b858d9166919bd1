//! Do all ways of writing a batch cost the same and count the same?

use super::{Demand, Shape, steady};
use crate::workload::encode::Encoding;

pub(super) fn shape(demand: &Demand) -> Shape {
    let encodings = vec![
        Encoding::Json,
        Encoding::Ndjson,
        Encoding::JsonGzip,
        Encoding::NdjsonZstd,
        Encoding::Lago,
        Encoding::CloudEvents,
    ];
    Shape { encodings, ..steady::shape(demand) }
}

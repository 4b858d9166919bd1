//! Closed months in files: what was billed, the events it was made from, and the prices and names it was rated by. A fee is proved from these
//! files alone, whatever became of the installation.
//!
//! ```text
//! FOLDER/2026-01/manifest.json          written last: what is in the folder, each file with its SHA-256
//! FOLDER/2026-01/events-0000.parquet    events by their timestamps, one row each, as the store has them
//! FOLDER/2026-01/voids.parquet          what was taken out, whenever that was
//! FOLDER/2026-01/doubtful_ids.parquet   ids that were found more than once
//! FOLDER/2026-01/fees.ndjson.zst        fees on issued invoices whose period ended in the month: count, fingerprint, cut, versions, amounts
//! FOLDER/2026-01/catalog.ndjson.zst     customers, subscriptions, and all versions of plans and metrics of the organizations with such fees
//! ```
//!
//! Months are months of UTC. A month is written beside and takes its place whole; one that has got more events or fees since (late usage, bills of
//! longer periods) is written anew by the next run. It refuses to remove anything from the store or the ledger.

mod catalog_lines;
mod manifest;
mod month;
mod prove;
mod write;

pub use manifest::Manifest;
pub use month::Month;
pub use prove::prove;
pub use write::{Archivist, Written};

use crate::failure::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Level of zstd: three is its own default.
const LEVEL: i32 = 3;

/// Lines of JSON on their way into a file.
struct Lines(zstd::Encoder<'static, BufWriter<File>>);

impl Lines {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|fault| of_file(path, &fault))?;
        Ok(Self(zstd::Encoder::new(BufWriter::new(file), LEVEL).map_err(|fault| of_file(path, &fault))?))
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.0, line).map_err(Failure::trouble)?;
        self.0.write_all(b"\n").map_err(Failure::trouble)
    }

    fn end(self) -> Result<(), Failure> {
        let file = self.0.finish().and_then(|buffer| buffer.into_inner().map_err(std::io::IntoInnerError::into_error));
        file.and_then(|file| file.sync_all()).map_err(Failure::trouble)
    }
}

/// Hands out each line of a file of JSON lines until `wanted` answers no more.
fn each_line<T: DeserializeOwned>(path: &Path, mut wanted: impl FnMut(T) -> bool) -> Result<(), Failure> {
    let file = File::open(path).map_err(|fault| of_file(path, &fault))?;
    let unpacked = zstd::Decoder::new(file).map_err(|fault| of_file(path, &fault))?;
    for line in BufReader::new(unpacked).lines() {
        let line = line.map_err(|fault| of_file(path, &fault))?;
        if !wanted(serde_json::from_str(&line).map_err(|fault| of_file(path, &fault))?) {
            break;
        }
    }
    Ok(())
}

fn of_file(path: &Path, fault: &impl std::fmt::Display) -> Failure {
    Failure::Trouble(format!("{}: {fault}", path.display()))
}

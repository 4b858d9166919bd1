//! What a month's folder holds. A folder without one is not there.

use super::{Month, of_file};
use crate::failure::Failure;
use aggregator::transfer::ParquetFile;
use domain::position::Cut;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";
pub(super) const FEES: &str = "fees.ndjson.zst";
pub(super) const CATALOG: &str = "catalog.ndjson.zst";

/// A month's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Which month.
    pub month: Month,
    /// Version of the event store's schema, whose columns the files have.
    pub schema: u32,
    /// Up to where events are in it.
    pub cut: Cut,
    /// Events.
    pub events: u64,
    /// Fees.
    pub fees: u64,
    /// All months that had events then: a fee of a recurring metric may need earlier ones.
    pub months: Vec<Month>,
    /// The Parquet files.
    pub files: Vec<ParquetFile>,
    /// SHA-256 of each file, in hexadecimal digits.
    pub sha256: BTreeMap<String, String>,
}

impl Manifest {
    /// Of what lies in `folder`.
    pub(super) fn over(folder: &Path, content: Content) -> Result<Self, Failure> {
        let Content { month, schema, cut, events, fees, months, files } = content;
        let names = files.iter().map(|file| file.name.clone()).chain([FEES.to_owned(), CATALOG.to_owned()]);
        let sha256 = names.map(|name| Ok((name.clone(), sha256_of(&folder.join(name))?)));
        let sha256 = sha256.collect::<Result<_, Failure>>()?;
        Ok(Self { format: FORMAT, month, schema, cut, events, fees, months, files, sha256 })
    }

    /// A folder's; `None` when it has none.
    ///
    /// # Errors
    /// When it cannot be read as one.
    pub fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(of_file(&path, &fault)),
        };
        let manifest: Self = serde_json::from_slice(&text).map_err(|fault| of_file(&path, &fault))?;
        if manifest.format != FORMAT {
            let reason = format!("has format {}, this program reads {FORMAT}", manifest.format);
            return Err(of_file(&path, &reason));
        }
        Ok(Some(manifest))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(Failure::trouble)?;
        std::fs::write(&path, text).map_err(|fault| of_file(&path, &fault))
    }

    /// Refuses a file that is not the one that was written.
    pub(super) fn verify(&self, folder: &Path, name: &str) -> Result<(), Failure> {
        let path = folder.join(name);
        if self.sha256.get(name) == Some(&sha256_of(&path)?) {
            return Ok(());
        }
        Err(of_file(&path, &"is not the file that was archived: its SHA-256 differs from the manifest's"))
    }
}

/// What is known of a month when its files are written.
pub(super) struct Content {
    pub(super) month: Month,
    pub(super) schema: u32,
    pub(super) cut: Cut,
    pub(super) events: u64,
    pub(super) fees: u64,
    pub(super) months: Vec<Month>,
    pub(super) files: Vec<ParquetFile>,
}

fn sha256_of(path: &Path) -> Result<String, Failure> {
    let mut file = File::open(path).map_err(|fault| of_file(path, &fault))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(|fault| of_file(path, &fault))?;
        if read == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&buffer[..read]);
    }
}

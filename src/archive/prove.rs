//! A fee proved from an archive alone: its events go into an engine of their own, and the same code that proves a fee of the installation counts
//! them there.

use super::manifest::{CATALOG, FEES};
use super::{Manifest, Month, catalog_lines, each_line, of_file};
use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::services::ScratchStore;
use aggregator::EventStore;
use aggregator::transfer::ParquetStore;
use aggregator::usage::UsageWindow;
use domain::ids::FeeId;
use domain::position::Cut;
use domain::time::Timestamp;
use invoicer::ledger::fees::StoredFee;
use rater::{Proof, Rater};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Recounts a fee from an archive.
///
/// # Errors
/// When the archive has no such fee, lacks a month that it needs, or a file is not the one that was written.
pub async fn prove(configuration: &Configuration, archive: &Path, id: FeeId) -> Result<(StoredFee, Proof), Failure> {
    let months = months_of(archive)?;
    let (month, fee) = find(&months, id)?;
    let (folder, manifest) = &months[&month];
    manifest.verify(folder, CATALOG)?;
    let view = catalog_lines::read(&folder.join(CATALOG), fee.organization)?;
    let windows = invoicer::prove::usage_behind(&view, &fee).map_err(Failure::trouble)?;
    require_months(archive, &months, manifest, &windows)?;
    let scratch = ScratchStore::start(configuration).await?;
    let store = EventStore::open(scratch.config()).await.map_err(Failure::trouble)?;
    let outcome = async {
        load(&ParquetStore::new(scratch.config()), &months, &windows).await?;
        invoicer::prove::prove_over(&Rater::new(store), view, &fee).await.map_err(Failure::trouble)
    };
    let proof = outcome.await;
    scratch.stop().await;
    Ok((fee, proof?))
}

/// Table of the files that are read by need.
const EVENTS: &str = "events";

type Months = BTreeMap<Month, (PathBuf, Manifest)>;

/// What an archive holds.
fn months_of(archive: &Path) -> Result<Months, Failure> {
    let mut months = Months::new();
    for entry in std::fs::read_dir(archive).map_err(|fault| of_file(archive, &fault))? {
        let folder = entry.map_err(|fault| of_file(archive, &fault))?.path();
        let is_month = folder.file_name().is_some_and(|name| name.to_string_lossy().parse::<Month>().is_ok());
        if is_month && let Some(manifest) = Manifest::read(&folder)? {
            months.insert(manifest.month, (folder, manifest));
        }
    }
    if months.is_empty() {
        return Err(of_file(archive, &"is no archive: `tollgate archive` writes one"));
    }
    Ok(months)
}

fn find(months: &Months, id: FeeId) -> Result<(Month, StoredFee), Failure> {
    for (month, (folder, manifest)) in months {
        let mut found = None;
        each_line(&folder.join(FEES), |fee: StoredFee| {
            if fee.id == id {
                found = Some(fee);
            }
            found.is_none()
        })?;
        if let Some(fee) = found {
            manifest.verify(folder, FEES)?;
            return Ok((*month, fee));
        }
    }
    Err(Failure::Trouble(format!("the archive has no fee {id}")))
}

fn overlaps(month: Month, windows: &[UsageWindow]) -> bool {
    let (start, end): (Timestamp, Timestamp) = (month.start(), month.next().start());
    windows.iter().any(|window| window.from < end && start < window.to)
}

/// Every month that had events when the fee's was written, and that its usage reaches into, must be there.
fn require_months(
    archive: &Path,
    months: &Months,
    manifest: &Manifest,
    windows: &[UsageWindow],
) -> Result<(), Failure> {
    let needed = manifest.months.iter().filter(|month| overlaps(**month, windows));
    let missing: Vec<String> = needed.filter(|month| !months.contains_key(month)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(of_file(archive, &format!("the fee needs usage of months that are not there: {}", missing.join(", "))))
}

async fn load(scratch: &ParquetStore, months: &Months, windows: &[UsageWindow]) -> Result<(), Failure> {
    for (_, (folder, manifest)) in months.iter().filter(|(month, _)| overlaps(**month, windows)) {
        for file in manifest.files.iter().filter(|file| file.table == EVENTS) {
            if windows.iter().any(|window| file.may_hold(window.series.0)) {
                manifest.verify(folder, &file.name)?;
                scratch.load(file, folder).await?;
            }
        }
    }
    // What decides which events count is whole in each month's folder: the last written knows all that the others know.
    if let Some((folder, manifest)) = months.values().max_by_key(|(_, manifest)| reach(&manifest.cut)) {
        for file in manifest.files.iter().filter(|file| file.table != EVENTS) {
            manifest.verify(folder, &file.name)?;
            scratch.load(file, folder).await?;
        }
    }
    scratch.index().await.map_err(Failure::trouble)
}

/// Grows with every cut of one store.
fn reach(cut: &Cut) -> u128 {
    cut.iter().map(|(_, _, offset)| u128::from(offset) + 1).sum()
}

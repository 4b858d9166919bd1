//! Months out of an installation: whatever ended before a given month and is not in the folder as it is now.

use super::manifest::{CATALOG, Content, FEES};
use super::{Lines, Manifest, Month, catalog_lines, of_file};
use crate::failure::Failure;
use aggregator::transfer::{MonthOfEvents, ParquetStore};
use aggregator::{EventStore, StoreConfig};
use catalog::Catalog;
use catalog::billing::BillingScope;
use domain::ids::{FeeId, OrganizationId};
use domain::position::Cut;
use domain::time::Timestamp;
use invoicer::ledger::fees::{self, StoredFee};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Fees read at once: a kilobyte each.
const PAGE: i64 = 5_000;

/// Writes months of one installation.
pub struct Archivist {
    catalog: Catalog,
    parquet: ParquetStore,
    schema: u32,
    cut: Cut,
    /// All months with events.
    months: BTreeMap<Month, MonthOfEvents>,
}

/// What was done about a month.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Which.
    pub month: Month,
    /// Events in it.
    pub events: u64,
    /// Fees in it.
    pub fees: u64,
    /// Whether it was there already, with the same events and fees.
    pub unchanged: bool,
}

impl Archivist {
    /// Looks at what is there, up to what is in the store now.
    ///
    /// # Errors
    /// As the store.
    pub async fn open(catalog: Catalog, config: StoreConfig) -> Result<Self, Failure> {
        let store = EventStore::open(config.clone()).await.map_err(Failure::trouble)?;
        let schema = store.schema_version().await.map_err(Failure::trouble)?;
        let cut = store.committed_cut().await.map_err(Failure::trouble)?;
        let parquet = ParquetStore::new(config);
        let found = parquet.months(&cut).await.map_err(Failure::trouble)?;
        let months = found.into_iter().filter_map(|one| Some((Month::of_partition(&one.month)?, one))).collect();
        Ok(Self { catalog, parquet, schema, cut, months })
    }

    /// The months before `before` that have events or fees, in their order.
    ///
    /// # Errors
    /// As the ledger.
    pub async fn months_before(&self, before: Month) -> Result<Vec<Month>, Failure> {
        let mut months: BTreeSet<Month> = self.months.keys().copied().filter(|month| *month < before).collect();
        let all = (Timestamp(i64::MIN), before.start());
        self.each_fee(all, |fee| {
            months.insert(month_of_fee(fee));
            Ok(())
        })
        .await?;
        Ok(months.into_iter().collect())
    }

    /// Writes a month into `archive`, unless it is there as it is.
    ///
    /// # Errors
    /// When something cannot be read or written; a month that was there stays then.
    pub async fn write(&self, archive: &Path, month: Month) -> Result<Written, Failure> {
        let folder = archive.join(month.to_string());
        let beside = archive.join(format!("{month}.new"));
        recreate(&beside)?;
        let (fees, organizations) = self.write_fees(&beside.join(FEES), month).await?;
        let events = self.months.get(&month).map_or(0, |found| found.events);
        if Manifest::read(&folder)?.is_some_and(|there| (there.events, there.fees) == (events, fees)) {
            std::fs::remove_dir_all(&beside).map_err(|fault| of_file(&beside, &fault))?;
            return Ok(Written { month, events, fees, unchanged: true });
        }
        self.write_catalog(&beside.join(CATALOG), organizations).await?;
        let found = MonthOfEvents { month: month.partition(), events };
        let files = self.parquet.write(&found, &self.cut, &beside).await?;
        let months = self.months.keys().copied().collect();
        let (schema, cut) = (self.schema, self.cut.clone());
        Manifest::over(&beside, Content { month, schema, cut, events, fees, months, files })?.write(&beside)?;
        take_place(&beside, &folder)?;
        Ok(Written { month, events, fees, unchanged: false })
    }

    /// Writes the fees of a month; answers how many, and whose.
    async fn write_fees(&self, path: &Path, month: Month) -> Result<(u64, BTreeSet<OrganizationId>), Failure> {
        let mut lines = Lines::create(path)?;
        let (mut count, mut organizations) = (0, BTreeSet::new());
        self.each_fee((month.start(), month.next().start()), |fee| {
            count += 1;
            organizations.insert(fee.organization);
            lines.write(fee)
        })
        .await?;
        lines.end()?;
        Ok((count, organizations))
    }

    /// Every fee on an issued invoice whose period ended after the first and until the second instant.
    async fn each_fee(
        &self,
        ended: (Timestamp, Timestamp),
        mut on_fee: impl FnMut(&StoredFee) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after = FeeId(uuid::Uuid::nil());
        loop {
            let mut connection = self.catalog.database().pool().acquire().await.map_err(Failure::trouble)?;
            let page = fees::issued_and_ended(&mut connection, ended, after, PAGE).await.map_err(Failure::trouble)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            page.iter().try_for_each(&mut on_fee)?;
        }
    }

    async fn write_catalog(&self, path: &Path, organizations: BTreeSet<OrganizationId>) -> Result<(), Failure> {
        let mut lines = Lines::create(path)?;
        for organization in organizations {
            let scope = BillingScope::Organization(organization);
            let all = self.catalog.billing_catalog(scope).await.map_err(Failure::trouble)?;
            catalog_lines::write(&mut lines, organization, all)?;
        }
        lines.end()
    }
}

/// Periods are half open: one that ends as a month begins belongs to the month before.
fn month_of_fee(fee: &StoredFee) -> Month {
    Month::of(Timestamp(fee.to.0.saturating_sub(1)))
}

fn recreate(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(of_file(folder, &fault)),
        _ => (),
    }
    std::fs::create_dir_all(folder).map_err(|fault| of_file(folder, &fault))
}

/// Puts a new folder in the place of an old one. Stopped in between, the old one is there as `….old`.
fn take_place(new: &Path, folder: &Path) -> Result<(), Failure> {
    let old = PathBuf::from(format!("{}.old", folder.display()));
    let there = folder.exists();
    if there {
        recreate(&old)?;
        std::fs::rename(folder, &old).map_err(|fault| of_file(folder, &fault))?;
    }
    std::fs::rename(new, folder).map_err(|fault| of_file(folder, &fault))?;
    if there {
        std::fs::remove_dir_all(&old).map_err(|fault| of_file(&old, &fault))?;
    }
    Ok(())
}

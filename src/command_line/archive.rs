//! `tollgate archive`

use crate::archive::{Archivist, Month, Written};
use crate::configuration::{self, Configuration, SettingFlags};
use crate::data_directory::Running;
use crate::failure::Failure;
use crate::services::Access;
use crate::terminal;
use aggregator::StoreConfig;
use catalog::{Catalog, Database};
use clap::Args;
use domain::time::Timestamp;
use std::path::PathBuf;

/// Write closed months to Parquet, with what proves their fees
#[derive(Args, Debug)]
#[command(after_help = "\
Example: every month that is over
  tollgate archive /archive --data-dir /var/lib/tollgate
  tollgate prove 0d9b7a4e-3c1f-4f0e-9a76-5d0f0c1b2a33 --archive /archive

Works on a stopped data directory, else beside the `tollgate up` that runs on it: what that answered within the
last second may still be on its way, and is in the next run's. One folder a month of UTC:
events as Parquet, the fees whose periods ended in it, and the catalog's versions they were rated by. Months that
are there as they are now are left alone; run it as often as you like. Nothing is removed from the store.
Exit code: 0 all months are written, 2 they are not.")]
pub struct ArchiveCommand {
    /// Folder of the archive; made when it is missing
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Write months before this one [default: this month of UTC]
    #[arg(long, value_name = "2026-01")]
    before: Option<Month>,
    #[command(flatten)]
    settings: SettingFlags,
}

impl ArchiveCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        let access = Access::open(&self.settings).await?;
        let outcome = self.write().await;
        access.close().await;
        outcome
    }

    async fn write(&self) -> Result<(), Failure> {
        let configuration = configuration::load(&self.settings)?.configuration;
        let catalog = Catalog::open(ledger(&configuration).await?).await.map_err(Failure::trouble)?;
        let archivist = Archivist::open(catalog, store(&configuration)?).await?;
        let before = self.before.unwrap_or_else(|| Month::of(Timestamp::now()));
        let months = archivist.months_before(before).await?;
        let bar = terminal::count_bar("months", u64::try_from(months.len()).unwrap_or(u64::MAX));
        let mut table = terminal::table(&["month", "events", "fees", ""], &[1, 2]);
        for month in months {
            let Written { month, events, fees, unchanged } = archivist.write(&self.folder, month).await?;
            bar.inc(1);
            let what = if unchanged { "unchanged" } else { "written" };
            table.add_row([month.to_string(), events.to_string(), fees.to_string(), what.to_string()]);
        }
        bar.finish_and_clear();
        println!("{table}");
        Ok(())
    }
}

async fn ledger(configuration: &Configuration) -> Result<Database, Failure> {
    let opened = match &configuration.database_url {
        Some(url) => Database::open(url.reveal()).await,
        None => Database::open_in(&configuration.data_dir).await,
    };
    opened.map_err(Failure::trouble)
}

/// The store behind the data directory: of the process that runs on it, which is this one when it was stopped.
pub(super) fn store(configuration: &Configuration) -> Result<StoreConfig, Failure> {
    let engine = Running::read(&configuration.data_dir)?.engine;
    let database = configuration.clickhouse_database.clone();
    Ok(StoreConfig { url: engine.url, user: engine.user, password: engine.password, database })
}

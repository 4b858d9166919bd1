//! `tollgate store`

use crate::configuration::{self, SettingFlags};
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use crate::services::Access;
use crate::terminal;
use aggregator::StoreConfig;
use aggregator::transfer::{self, Progress, TransferError};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use std::path::PathBuf;

/// Take the event store out to files, or bring such files into another store
#[derive(Args, Debug)]
#[command(after_help = "\
Example: from the embedded engine to a ClickHouse server
  tollgate store export /backup/events --data-dir /var/lib/tollgate
  tollgate store import /backup/events --clickhouse-url http://clickhouse:8123 \\
      --data-dir /var/lib/tollgate-new")]
pub struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Export(Box<ExportCommand>),
    Import(Box<ImportCommand>),
}

/// Write everything that is stored into a folder (ClickHouse's Native format, zstd)
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate store export /backup/events --data-dir /var/lib/tollgate

Works on a stopped data directory, else on the store of the `tollgate up` that runs on it: then
what it answered within the last second may still be on its way. Broken off, the same command goes
on. Every file is counted and summed by the engine; `manifest.json` holds what is in the folder.
Exit code: 0 all of it is written, 2 it is not.")]
struct ExportCommand {
    /// Folder to write; empty, or of an export that broke off
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Bring an export into a store that is empty
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate store import /backup/events --data-dir /var/lib/tollgate-new

Rows keep their positions: fees rated on the old store are proved on the new one, and copies sent
again are known. Broken off, the same command goes on. A store with other rows in a partition of
the export is refused. Bring the ledger along by its own means (ledger.db, or pg_dump).
Exit code: 0 all of it is in and equal, 2 it is not.")]
struct ImportCommand {
    /// Folder that `store export` wrote
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    settings: SettingFlags,
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        Failure::Trouble(error.to_string())
    }
}

impl StoreCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Export(command) => command.run().await,
            Action::Import(command) => command.run().await,
        }
    }
}

impl ExportCommand {
    async fn run(self) -> Result<(), Failure> {
        let access = Access::open(&self.settings).await?;
        let outcome = self.export().await;
        access.close().await;
        outcome
    }

    async fn export(&self) -> Result<(), Failure> {
        let bar = terminal::count_bar("rows", 0);
        let manifest = transfer::export(&store(&self.settings)?, &self.folder, |now| show(&bar, now)).await?;
        bar.finish_and_clear();
        let (rows, files) = (manifest.rows(), manifest.files.len());
        println!("{rows} rows in {files} files, schema {}: {}", manifest.schema, self.folder.display());
        Ok(())
    }
}

impl ImportCommand {
    async fn run(self) -> Result<(), Failure> {
        let path = configuration::load(&self.settings)?.configuration.data_dir;
        if !path.join("tollgate.lock").exists() {
            // A new installation begins here.
            drop(DataDirectory::open(&path)?);
        }
        let access = Access::open(&self.settings).await?;
        let outcome = self.import().await;
        access.close().await;
        outcome
    }

    async fn import(&self) -> Result<(), Failure> {
        let bar = terminal::count_bar("rows", 0);
        let imported = transfer::import(&store(&self.settings)?, &self.folder, |now| show(&bar, now)).await?;
        bar.finish_and_clear();
        println!(
            "{} rows brought in, {} were there; all of them equal what was exported",
            imported.written, imported.known
        );
        Ok(())
    }
}

fn store(settings: &SettingFlags) -> Result<StoreConfig, Failure> {
    super::archive::store(&configuration::load(settings)?.configuration)
}

fn show(bar: &ProgressBar, now: Progress) {
    bar.set_length(now.of.max(now.rows));
    bar.set_position(now.rows);
}

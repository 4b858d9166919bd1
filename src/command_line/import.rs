//! `tollgate import`

use crate::failure::Failure;
use crate::import::{Format, ImportOptions, Mapping, Setting, run};
use clap::Args;
use http_api::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Send CSV, NDJSON or JSON files as events over HTTP, each row once however often it is run
#[derive(Args, Debug)]
#[command(after_help = "\
Example: one request log, billed by its tokens
  tollgate import trace.csv.gz --url http://127.0.0.1:8080 --api-key tg_live_… \\
    --map TIMESTAMP=timestamp --timezone UTC \\
    --set code=context_tokens --set external_customer_id=acme

A column named like an event field fills that field (transaction_id, timestamp, code,
external_customer_id, external_subscription_id, precise_total_amount_cents); every other
column becomes a property. The id is the column transaction_id, else it is made from the
columns of --id-from, else from the file's name and line (and the code, when --set gives it).

Exit code: 0 all rows are in the store; 1 some rows were refused, they are listed; 2 it could
not go on, run it again then: it goes on after the last acknowledged row.")]
pub struct ImportCommand {
    /// Files, plain, .gz or .zst; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Address of the HTTP API
    #[arg(long, value_name = "URL", env = "TOLLGATE_IMPORT_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// API key of the organization whose events they are
    #[arg(long, value_name = "KEY", env = "TOLLGATE_IMPORT_API_KEY", hide_env_values = true)]
    api_key: String,
    /// What the files hold, when their names do not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Fill an event field (or properties.NAME) from a column of another name; FIELD - leaves the column out
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    mappings: Vec<Mapping>,
    /// Fill an event field (or properties.NAME) with a constant
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<Setting>,
    /// Zone of times without one, such as UTC or Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<chrono_tz::Tz>,
    /// Make ids from these columns or event fields
    #[arg(long, value_name = "COLUMN,COLUMN…", value_delimiter = ',')]
    id_from: Vec<String>,
    /// Events in one request
    #[arg(long, value_name = "COUNT", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    chunk: u32,
    /// Give up after this many seconds without success
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
    /// Begin at the first row although a position was saved
    #[arg(long)]
    restart: bool,
    /// Where positions are saved [default: beside each file]
    #[arg(long, value_name = "DIR")]
    position_dir: Option<PathBuf>,
}

impl ImportCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        run(ImportOptions {
            files: self.files,
            url: self.url,
            api_key: Secret::new(self.api_key),
            format: self.format,
            mappings: self.mappings,
            settings: self.settings,
            timezone: self.timezone,
            id_from: self.id_from,
            chunk: self.chunk as usize,
            patience: Duration::from_secs(self.patience),
            restart: self.restart,
            position_dir: self.position_dir,
        })
        .await
    }
}

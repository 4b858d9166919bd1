//! `tollgate check-ledger`

use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Access;
use crate::terminal;
use clap::Args;
use serde_json::Value;

/// Verify every sum and balance of the ledger and print what is off
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate check-ledger --data-dir ./tollgate-data

Works on a stopped data directory, else through the `tollgate up` that runs on it.
Exit code: 0 everything adds up, 1 something is off, 2 it could not be looked at.")]
pub struct CheckLedgerCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl CheckLedgerCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        let access = Access::open(&self.settings).await?;
        let report = match access.api(None) {
            Ok(api) => api.get("/v1/ledger/check").await,
            Err(failure) => Err(failure),
        };
        access.close().await;
        told(&report?)
    }
}

fn told(report: &Value) -> Result<(), Failure> {
    if report["holds"] == true {
        println!("the ledger holds: {} invoices, {} fees", report["invoices"], report["fees"]);
        return Ok(());
    }
    let mut table = terminal::table(&["rule", "what", "why"], &[]);
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap_or_default().to_string();
    for problem in report["problems"].as_array().into_iter().flatten() {
        table.add_row(["rule", "what", "why"].map(|field| text(problem, field)));
    }
    println!("{table}");
    Err(Failure::AnswerIsNo(format!("{} things are off in the ledger", report["problems_total"])))
}

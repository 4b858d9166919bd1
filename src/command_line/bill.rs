//! `tollgate bill`

use crate::client::billing::run_to_end;
use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Access;
use crate::terminal;
use clap::Args;
use domain::time::Timestamp;
use serde_json::{Value, json};

/// Bill every period that has ended and is not billed yet
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate bill --as-of 2026-04-01T00:00:00Z --dry-run
  tollgate bill --organization 6b0f5a2e-54a6-4c37-8d2a-0d1d3f0c7c11

Works on a stopped data directory, else through the `tollgate up` that runs on it.
Billing the same periods again bills nothing.
Exit code: 0 the run completed, 1 it failed, 2 it could not be started.")]
pub struct BillCommand {
    /// Bill what falls due up to this instant (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    as_of: Option<Timestamp>,
    /// Only this organization [default: all]
    #[arg(long, value_name = "ID")]
    organization: Option<uuid::Uuid>,
    /// Rate, count and compare with the periods before, but write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|fault| fault.to_string())
}

impl BillCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        let access = Access::open(&self.settings).await?;
        let outcome = self.bill(&access).await;
        access.close().await;
        outcome
    }

    async fn bill(&self, access: &Access) -> Result<(), Failure> {
        let api = access.api(self.organization.map(|id| id.to_string()))?;
        let mut request = json!({"dry_run": self.dry_run});
        if let Some(as_of) = self.as_of {
            request["as_of"] = json!(as_of);
        }
        let bar = terminal::count_bar("billing", 0);
        let run = run_to_end(&api, &request, |run| {
            bar.set_length(run["subscriptions_total"].as_u64().unwrap_or_default());
            bar.set_position(run["subscriptions_done"].as_u64().unwrap_or_default());
            bar.set_message(run["status"].as_str().unwrap_or_default().to_string());
        })
        .await?;
        bar.finish_and_clear();
        println!("{}", summary(&run));
        let id = run["id"].as_str().unwrap_or_default();
        let report = api.get(&format!("/v1/billing_runs/{id}/report")).await?;
        println!("{}", plans(&report));
        if report["outliers_total"].as_u64().is_some_and(|total| total > 0) {
            println!("{}", outliers(&report));
        }
        if run["status"] == "failed" {
            let reason = run["error"].as_str().unwrap_or("the log says why");
            return Err(Failure::AnswerIsNo(format!("billing run {} failed: {reason}", run["id"])));
        }
        Ok(())
    }
}

fn summary(run: &Value) -> comfy_table::Table {
    let text = |field: &str| run[field].as_str().map_or_else(|| run[field].to_string(), str::to_string);
    let mut table = terminal::table(&["billing run", &text("id")], &[]);
    table.add_row(["status", &text("status")]);
    table.add_row(["as of", &text("as_of")]);
    table.add_row(["dry run", &text("dry_run")]);
    table.add_row(["subscriptions", &format!("{} of {}", text("subscriptions_done"), text("subscriptions_total"))]);
    table.add_row(["invoices created", &text("invoices_created")]);
    for (currency, cents) in run["total_cents"].as_object().into_iter().flatten() {
        let cents = cents.as_str().map_or_else(|| cents.to_string(), str::to_string);
        table.add_row([format!("total {currency}"), terminal::money(&cents, currency)]);
    }
    table
}

/// By plan and currency; of a dry run beside what the same subscriptions were billed before.
fn plans(report: &Value) -> comfy_table::Table {
    let mut table = terminal::table(&["plan", "subscriptions", "amount", "before"], &[1, 2, 3]);
    for row in report["plans"].as_array().into_iter().flatten() {
        let name = row["plan_name"].as_str().or(row["plan_code"].as_str()).unwrap_or("(deleted)").to_string();
        table.add_row([
            name,
            row["subscriptions"].to_string(),
            amount(row, "amount_cents"),
            amount(row, "previous_cents"),
        ]);
    }
    table
}

/// The first of those that stand out; the report has up to a thousand.
fn outliers(report: &Value) -> comfy_table::Table {
    const SHOWN: usize = 10;
    let total = format!("stand out: {}", report["outliers_total"]);
    let mut table = terminal::table(&[&total, "amount", "before"], &[1, 2]);
    for row in report["outliers"].as_array().into_iter().flatten().take(SHOWN) {
        let subscription = row["subscription_id"].as_str().unwrap_or_default().to_string();
        table.add_row([subscription, amount(row, "amount_cents"), amount(row, "previous_cents")]);
    }
    table
}

fn amount(row: &Value, field: &str) -> String {
    match (row[field].as_str(), row["currency"].as_str()) {
        (Some(cents), Some(currency)) => terminal::money(cents, currency),
        _ => String::new(),
    }
}

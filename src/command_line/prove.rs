//! `tollgate prove`

use crate::client::{Api, ApiFailure};
use crate::configuration::{self, SettingFlags};
use crate::failure::Failure;
use crate::services::Access;
use crate::{archive, logging, terminal};
use clap::Args;
use domain::ids::FeeId;
use rater::Figures;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Recount one fee from its events and say whether it holds
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate prove 0d9b7a4e-3c1f-4f0e-9a76-5d0f0c1b2a33
  tollgate prove 0d9b7a4e-3c1f-4f0e-9a76-5d0f0c1b2a33 --archive /archive

Works on a stopped data directory, else through the `tollgate up` that runs on it. With --archive it
needs neither: the events, the fee and the prices come from what `tollgate archive` wrote.
Exit code: 0 the fee holds, 1 it does not, 2 it could not be recounted.")]
pub struct ProveCommand {
    /// Id of the fee
    #[arg(value_name = "FEE_ID")]
    fee: uuid::Uuid,
    /// Organization the fee belongs to [default: looked for in all]
    #[arg(long, value_name = "ID")]
    organization: Option<uuid::Uuid>,
    /// Prove it from this archive alone
    #[arg(long, value_name = "FOLDER", conflicts_with = "organization")]
    archive: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

impl ProveCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        if let Some(archive) = &self.archive {
            return self.prove_from(archive).await;
        }
        let access = Access::open(&self.settings).await?;
        let outcome = self.prove(&access).await;
        access.close().await;
        outcome
    }

    async fn prove_from(&self, archive: &Path) -> Result<(), Failure> {
        let configuration = configuration::load(&self.settings)?.configuration;
        logging::start_quiet(&configuration);
        let (_, proof) = archive::prove(&configuration, archive, FeeId(self.fee)).await?;
        let mut table = terminal::table(&["", "billed", "recomputed"], &[1, 2]);
        let (billed, again) = (&proof.billed, &proof.recomputed);
        let fingerprint = |figures: &Figures| format!("{:032x}", figures.fingerprint);
        table.add_row(["events_count".to_string(), billed.events_count.to_string(), again.events_count.to_string()]);
        table.add_row(["event_fingerprint".to_string(), fingerprint(billed), fingerprint(again)]);
        table.add_row(["units".to_string(), billed.units.to_string(), again.units.to_string()]);
        table.add_row([
            "amount_cents".to_string(),
            billed.amount_cents.0.to_string(),
            again.amount_cents.0.to_string(),
        ]);
        println!("{table}");
        self.verdict(proof.holds, "the archive")
    }

    fn verdict(&self, holds: bool, source: &str) -> Result<(), Failure> {
        if holds {
            println!("fee {} holds", self.fee);
            return Ok(());
        }
        Err(Failure::AnswerIsNo(format!("fee {} does NOT hold: {source} has other events than were billed", self.fee)))
    }

    async fn prove(&self, access: &Access) -> Result<(), Failure> {
        let proof = self.find(access).await?;
        println!("{}", comparison(&proof));
        let since = &proof["since"];
        println!(
            "since then: {} late events, {} voided events",
            count(&since["late_events"]),
            count(&since["voided_events"])
        );
        self.verdict(proof["holds"] == true, "the store")
    }

    /// The proof, from the organization named or from the one that has the fee.
    async fn find(&self, access: &Access) -> Result<Value, Failure> {
        let organizations = match self.organization {
            Some(id) => vec![id.to_string()],
            None => organizations(&access.api(None)?).await?,
        };
        for organization in organizations {
            let api = access.api(Some(organization))?;
            match api.get(&format!("/v1/fees/{}/proof", self.fee)).await {
                Err(failure) if failure.status().is_some_and(|status| status == 404) => (),
                answer => return Ok(answer?),
            }
        }
        Err(Failure::Trouble(format!("there is no fee {}", self.fee)))
    }
}

/// Ids of all organizations, page by page.
async fn organizations(api: &Api) -> Result<Vec<String>, ApiFailure> {
    const PAGE: usize = 1_000;
    let mut ids = Vec::new();
    loop {
        let answer = api.get(&format!("/v1/organizations/?skip={}&limit={PAGE}", ids.len())).await?;
        let page: Vec<&str> = answer.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
        ids.extend(page.iter().map(ToString::to_string));
        if page.len() < PAGE {
            return Ok(ids);
        }
    }
}

fn count(value: &Value) -> String {
    value.as_array().map_or_else(|| text(value), |list| list.len().to_string())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn comparison(proof: &Value) -> comfy_table::Table {
    let mut table = terminal::table(&["", "billed", "recomputed"], &[1, 2]);
    for field in ["events_count", "event_fingerprint", "units", "amount_cents"] {
        table.add_row([field.to_string(), text(&proof["billed"][field]), text(&proof["recomputed"][field])]);
    }
    table
}

//! `tollgate up`

use super::service;
use crate::client::{Api, Credential};
use crate::configuration::{self, Configuration, SettingFlags};
use crate::data_directory::{DataDirectory, admin_secret};
use crate::demo;
use crate::failure::Failure;
use crate::logging;
use crate::services::{Purpose, Services, Signals};
use clap::Args;
use http_api::Secret;

/// Run everything in one process tree: HTTP API, event store, ledger, billing
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate up --demo
  tollgate up --data-dir /var/lib/tollgate --listen 0.0.0.0:8080 --log-format json
  tollgate up --ingest streaming --kafka-brokers 127.0.0.1:19092

Ready when GET /readyz answers 200. The first start prints the admin secret it generated,
unless TOLLGATE_ADMIN_SECRET is set. Ctrl-C or SIGTERM lets requests finish, writes what was
accepted and ends; a second one ends at once.")]
pub struct UpCommand {
    /// Bill a real trace of an LLM service, print usage and an invoice, and keep serving
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl UpCommand {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting, in one line.
    pub async fn run(self) -> Result<(), Failure> {
        let loaded = configuration::load(&self.settings)?;
        let configuration = loaded.configuration;
        logging::start(&configuration);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut signals = Signals::catch()?;
        let (services, secret) = tokio::select! {
            started = start(&configuration) => started?,
            // Nothing was acknowledged yet; what was started ends with this process.
            signal = signals.next() => return Err(Failure::Trouble(format!("{signal} before it was ready"))),
        };
        println!("Tollgate is up at {}", services.url());
        let demonstration =
            self.demo.then(|| tokio::spawn(demonstrate(services.url().to_string(), secret, configuration)));
        let signal = signals.next().await;
        tracing::info!("{signal}: finishing what is under way");
        if let Some(demonstration) = demonstration {
            demonstration.abort();
        }
        service::stop(services, &mut signals).await
    }
}

async fn start(configuration: &Configuration) -> Result<(Services, Secret), Failure> {
    let directory = DataDirectory::open(&configuration.data_dir)?;
    let admin = admin_secret(&directory, configuration.admin_secret.as_ref())?;
    if admin.generated_now {
        println!(
            "Admin secret, shown this once and kept in {}:\n  {}",
            directory.path().join("admin-secret").display(),
            admin.secret.reveal()
        );
    }
    let services = Services::start(configuration, directory, &admin.secret, Purpose::Everything).await?;
    Ok((services, admin.secret))
}

/// Runs the demo beside the server, which goes on whatever becomes of it.
async fn demonstrate(url: String, secret: Secret, configuration: Configuration) {
    let outcome = match Api::new(&url, Credential::Admin { secret, organization: None }) {
        Ok(api) => demo::run(&api, &[], &configuration.data_dir).await,
        Err(failure) => Err(failure.into()),
    };
    if let Err(failure) = outcome {
        tracing::error!("the demo did not get to its end: {failure}; the server goes on");
    }
}

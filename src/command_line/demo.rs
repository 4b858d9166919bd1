//! `tollgate demo`

use crate::client::{Api, Credential};
use crate::configuration::{self, SettingFlags};
use crate::demo;
use crate::failure::Failure;
use crate::logging;
use clap::Args;

/// Run the demo against services that are running: a real trace, billed over HTTP
#[derive(Args, Debug)]
#[command(after_help = "\
Example: an API and two gateways
  TOLLGATE_ADMIN_SECRET=… tollgate demo --url http://127.0.0.1:8081 \\
      --gateway-url http://127.0.0.1:8080,http://127.0.0.1:8090

Does what `tollgate up --demo` does: makes an organization with metrics, a plan and customers,
sends the trace (to the gateways by turns), bills its month, and prints usage and an invoice.
Keeps its key in demo.json of --data-dir; run again, it sends and bills nothing twice.")]
pub struct DemoCommand {
    /// Address of the API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Addresses of the gateways [default: that of the API]
    #[arg(long, value_name = "URL,URL…", value_delimiter = ',')]
    gateway_url: Vec<String>,
    #[command(flatten)]
    settings: SettingFlags,
}

impl DemoCommand {
    /// Runs it.
    ///
    /// # Errors
    /// When the services do not do what the demo asks.
    pub async fn run(self) -> Result<(), Failure> {
        let configuration = configuration::load(&self.settings)?.configuration;
        logging::start_quiet(&configuration);
        let secret = configuration.admin_secret.ok_or_else(|| {
            Failure::Trouble("TOLLGATE_ADMIN_SECRET is needed: the demo makes an organization".to_string())
        })?;
        std::fs::create_dir_all(&configuration.data_dir).map_err(Failure::trouble)?;
        let api = Api::new(&self.url, Credential::Admin { secret, organization: None })?;
        let gateways = self.gateway_url.iter().map(|url| api.at(url)).collect::<Result<Vec<_>, _>>()?;
        demo::run(&api, &gateways, &configuration.data_dir).await
    }
}

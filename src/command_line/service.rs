//! What `gateway`, `aggregator`, `rater` and `api` have in common: one service, its stores and brokers elsewhere.

use crate::configuration::{self, Configuration, ConfigurationError, SettingFlags};
use crate::failure::Failure;
use crate::logging;
use crate::services::{Service, Services, Signals};

/// What differs from `tollgate up` when nothing is set.
const DEFAULTS: &[(&str, &str)] = &[("ingest.mode", "streaming"), ("billing.automatic", "false")];

/// Serves until it is told to stop.
///
/// # Errors
/// What kept it from starting, in one line.
pub(super) async fn serve(settings: &SettingFlags, service: Service) -> Result<(), Failure> {
    let loaded = configuration::load_over(settings, DEFAULTS)?;
    require(&loaded.configuration, service)?;
    logging::start(&loaded.configuration);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::catch()?;
    let services = tokio::select! {
        started = Services::start_one(&loaded.configuration, service) => started?,
        signal = signals.next() => return Err(Failure::Trouble(format!("{signal} before it was ready"))),
    };
    println!("tollgate {} is up at {}", name(service), services.url());
    let signal = signals.next().await;
    tracing::info!("{signal}: finishing what is under way");
    stop(services, &mut signals).await
}

/// Drains and ends; a second signal does not wait for it.
pub(super) async fn stop(services: Services, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        () = services.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        signal = signals.next() => Err(Failure::Trouble(format!("{signal} again: ended at once; what was acknowledged is safe"))),
    }
}

fn name(service: Service) -> &'static str {
    match service {
        Service::Gateway => "gateway",
        Service::Aggregator => "aggregator",
        Service::Rater => "rater",
        Service::Api => "api",
    }
}

/// Everything a service by itself cannot do without, told at once.
fn require(configuration: &Configuration, service: Service) -> Result<(), Failure> {
    let (streams, ledger, store) =
        (configuration.kafka.is_some(), configuration.database_url.is_some(), configuration.clickhouse.is_some());
    let needs = [
        (streams, "--ingest: services started one by one meet in the log: 'streaming' is needed"),
        (
            ledger,
            "--database-url is needed: the catalog and ledger that all services share (postgres://… or sqlite://PATH)",
        ),
        (store || service == Service::Gateway, "--clickhouse-url is needed: the event store that all services share"),
        (
            configuration.admin_secret.is_some() || service != Service::Api,
            "TOLLGATE_ADMIN_SECRET is needed: without it nobody could make an organization",
        ),
    ];
    let problems: Vec<String> =
        needs.iter().filter(|(met, _)| !met).map(|(_, problem)| (*problem).to_string()).collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigurationError { problems }.into()) }
}

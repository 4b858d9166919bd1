//! Everything a run needs before its first event, made through the API: organization, metrics, plan, customers with one
//! subscription each. Repeating it changes nothing: what exists is taken.
//!
//! With the admin secret a run makes an organization of its own, so that nothing else is counted along. With an API key it
//! uses that key's organization; metrics and plan are shared between runs (their codes begin with `lt_`), customers are the
//! run's own, or those of the run named by `--population`.

mod catalog;
mod organization;
mod population;

use crate::audit::usage::{CustomerUsage, read_usage};
use crate::client::api::{Api, ApiError, Credential};
use crate::client::target::Target;
use crate::workload::facts::Kind;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use indicatif::ProgressBar;
use std::time::Duration;

/// Who pays for the run's organization.
#[derive(Clone, Debug)]
pub enum Access {
    /// Make an organization with the admin secret.
    AdminSecret(String),
    /// Use the organization of this key.
    ApiKey(String),
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Base URL.
    pub target: Target,
    /// How to get in.
    pub access: Access,
    /// Name of a new organization.
    pub name: String,
    /// Prefix of customers and subscriptions.
    pub population: String,
    /// How many of them; one more is made for the freshness probe.
    pub customers: u32,
    /// How long a billing period is: `monthly`, `quarterly`.
    pub interval: &'static str,
    /// What the plan charges: [`Kind::ALL`], where usage is to be audited.
    pub charged: &'static [Kind],
    /// Subscriptions begin before the first event: at this instant.
    pub started_at: Timestamp,
    /// Longest time until an answer.
    pub limit: Duration,
}

/// The ground a run stands on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Speaks for the organization.
    pub api: Api,
    /// Key that events are sent with.
    pub key: String,
    /// The organization.
    pub organization: OrganizationId,
    /// Whether this run made it: then nothing else is in it.
    pub own_organization: bool,
    /// The period the run begins in.
    pub period: (Timestamp, Timestamp),
    /// What customers had used before; empty when all are new.
    pub baseline: Vec<CustomerUsage>,
}

/// Makes or finds everything; `progress` counts customers.
///
/// # Errors
/// Any [`ApiError`]; repeating goes on where it stopped.
pub async fn prepare(wanted: &Wanted, progress: &ProgressBar) -> Result<Ground, ApiError> {
    let entered = organization::enter(wanted).await?;
    let metrics = catalog::metrics(&entered.api).await?;
    let plan = catalog::plan(&entered.api, &metrics, wanted).await?;
    let existed = population::create(&entered.api, wanted, &plan, progress).await?;
    let first = read_usage(&entered.api, &wanted.population, 0).await?;
    let baseline = if existed { population::usage(&entered.api, wanted).await? } else { Vec::new() };
    Ok(Ground {
        api: entered.api,
        key: entered.key,
        organization: entered.organization,
        own_organization: matches!(wanted.access, Access::AdminSecret(_)),
        period: (first.from, first.to),
        baseline,
    })
}

/// The client that speaks for an organization, by key or by admin secret.
///
/// # Errors
/// When no HTTP client can be made.
pub fn client(
    target: &Target,
    access: &Access,
    organization: Option<OrganizationId>,
    limit: Duration,
) -> Result<Api, reqwest::Error> {
    let credential = match access {
        Access::ApiKey(key) => Credential::ApiKey(key.clone()),
        Access::AdminSecret(secret) => {
            Credential::Admin { secret: secret.clone(), organization: organization.map(|id| id.to_string()) }
        }
    };
    Api::new(target.clone(), credential, limit)
}

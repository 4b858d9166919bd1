//! How a command gets at a data directory: it opens one that is stopped, else it asks the process that runs on it.
//!
//! Both ways end at the same HTTP API, so a command does the same thing either way.

use super::{Purpose, Services};
use crate::client::{Api, ApiFailure, Credential};
use crate::configuration::{self, Configuration, SettingFlags};
use crate::data_directory::{self, DataDirectory, Running};
use crate::failure::Failure;
use crate::logging;
use http_api::Secret;

/// An HTTP API with the operator's rights, and the services behind it when they are ours.
pub struct Access {
    url: String,
    secret: Secret,
    own: Option<Services>,
}

impl Access {
    /// Opens the configured data directory, or finds the process that runs on it.
    ///
    /// # Errors
    /// When there is no such directory, or neither way works.
    pub async fn open(flags: &SettingFlags) -> Result<Self, Failure> {
        let loaded = configuration::load(flags)?;
        let configuration = loaded.configuration;
        logging::start_quiet(&configuration);
        let path = &configuration.data_dir;
        if configuration.clickhouse.is_none() && !path.join("tollgate.lock").exists() {
            let problem = format!("{} is no data directory of tollgate: name one with --data-dir", path.display());
            return Err(Failure::Trouble(problem));
        }
        let configured = configuration.admin_secret.as_ref();
        if data_directory::is_held(path)? {
            return Self::running(&configuration);
        }
        let directory = DataDirectory::open(path)?;
        let secret = match configured {
            Some(secret) => secret.clone(),
            // Nobody will ask for it: it lives as long as this command.
            None => Secret::new(format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())),
        };
        let own = Services::start(&configuration, directory, &secret, Purpose::Command).await?;
        Ok(Self { url: own.url().to_string(), secret, own: Some(own) })
    }

    /// The process that runs on the configured data directory.
    ///
    /// # Errors
    /// When it cannot be found or its secret is not to be had.
    pub fn running(configuration: &Configuration) -> Result<Self, Failure> {
        let path = &configuration.data_dir;
        let secret = match &configuration.admin_secret {
            Some(secret) => Some(secret.clone()),
            None => data_directory::stored_admin_secret(path)?,
        };
        let secret = secret.ok_or_else(|| {
            let problem = "the process on this data directory has its admin secret from its environment: \
                           set TOLLGATE_ADMIN_SECRET to the same";
            Failure::Trouble(problem.to_string())
        })?;
        Ok(Self { url: Running::read(path)?.url, secret, own: None })
    }

    /// The API in the operator's name, for all organizations or for one.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn api(&self, organization: Option<String>) -> Result<Api, ApiFailure> {
        Api::new(&self.url, Credential::Admin { secret: self.secret.clone(), organization })
    }

    /// Ends what was started for the command.
    pub async fn close(self) {
        if let Some(services) = self.own {
            services.stop().await;
        }
    }
}

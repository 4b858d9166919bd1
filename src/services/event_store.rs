//! Where the events are kept: the embedded engine under supervision, or a ClickHouse server.

use crate::configuration::Configuration;
use crate::data_directory::{DataDirectory, EngineAccess};
use crate::failure::Failure;
use aggregator::StoreConfig;
use engine::{EngineCommand, EngineState, Supervisor};
use std::ffi::OsString;
use tokio::sync::watch;

/// Access to the event store, and the engine's process when it is ours.
pub(super) struct EventStoreServer {
    embedded: Option<Supervisor>,
    config: StoreConfig,
}

impl EventStoreServer {
    /// Starts the embedded engine, or takes the configured server as it is.
    ///
    /// # Errors
    /// One line that says what to do: a missing or damaged library, a directory that cannot be used.
    pub(super) async fn start(configuration: &Configuration, directory: &DataDirectory) -> Result<Self, Failure> {
        if let Some(server) = Self::elsewhere(configuration) {
            return Ok(server);
        }
        let library = match &configuration.engine_library {
            Some(path) => path.clone(),
            None => engine::find_library().map_err(Failure::trouble)?,
        };
        engine::check_library(&library).map_err(Failure::trouble)?;
        let arguments: Vec<OsString> = vec![
            "engine".into(),
            "--data-dir".into(),
            directory.engine().into(),
            "--library".into(),
            library.into(),
            "--memory-bytes".into(),
            configuration.engine_memory_bytes.to_string().into(),
            "--follow-stdin".into(),
        ];
        let program = std::env::current_exe().map_err(Failure::trouble)?;
        let supervisor =
            Supervisor::start(EngineCommand { program, args: arguments }).await.map_err(Failure::trouble)?;
        let config = StoreConfig {
            url: supervisor.url(),
            user: supervisor.user().to_string(),
            password: supervisor.password().to_string(),
            database: configuration.clickhouse_database.clone(),
        };
        Ok(Self { embedded: Some(supervisor), config })
    }

    /// The configured server; `None` when none is configured.
    pub(super) fn elsewhere(configuration: &Configuration) -> Option<Self> {
        let server = configuration.clickhouse.as_ref()?;
        let (url, user) = (server.url.clone(), server.user.clone());
        let (password, database) = (server.password.reveal().to_string(), configuration.clickhouse_database.clone());
        Some(Self { embedded: None, config: StoreConfig { url, user, password, database } })
    }

    /// How this program reaches it.
    pub(super) fn config(&self) -> StoreConfig {
        self.config.clone()
    }

    /// How tools on this machine reach it.
    pub(super) fn access(&self) -> EngineAccess {
        EngineAccess {
            url: self.config.url.clone(),
            user: self.config.user.clone(),
            password: self.config.password.clone(),
        }
    }

    /// Whether the engine is a process of ours.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// What the engine's process does, when it is ours.
    pub(super) fn state(&self) -> Option<watch::Receiver<EngineState>> {
        self.embedded.as_ref().map(Supervisor::state)
    }

    /// Ends the embedded engine; a server is left alone.
    pub(super) async fn stop(self) {
        if let Some(supervisor) = self.embedded {
            supervisor.stop().await;
        }
    }
}

/// One line when the engine is not running.
pub(super) fn engine_problem(state: &watch::Receiver<EngineState>) -> Result<(), String> {
    match &*state.borrow() {
        EngineState::Running { .. } => Ok(()),
        EngineState::Restarting { attempt, reason } => {
            Err(format!("the engine died ({reason}) and is being started again, attempt {attempt}"))
        }
        EngineState::Stopped => Err("the engine is stopped".to_string()),
    }
}

//! An event store that lives as long as one command: for what works on files alone.

use super::event_store::EventStoreServer;
use crate::configuration::Configuration;
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use aggregator::StoreConfig;
use tempfile::TempDir;

/// An embedded engine in a folder of its own, which goes when it is dropped.
pub struct ScratchStore {
    server: EventStoreServer,
    // In the order in which they are let go.
    _directory: DataDirectory,
    _folder: TempDir,
}

impl ScratchStore {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no engine's library, or no room.
    pub async fn start(configuration: &Configuration) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::trouble)?;
        let directory = DataDirectory::open(folder.path())?;
        // A configured server is somebody's store: never written for a command's sake.
        let own = Configuration { clickhouse: None, ..configuration.clone() };
        let server = EventStoreServer::start(&own, &directory).await?;
        Ok(Self { server, _directory: directory, _folder: folder })
    }

    /// How to reach it.
    #[must_use]
    pub fn config(&self) -> StoreConfig {
        self.server.config()
    }

    /// Ends it.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

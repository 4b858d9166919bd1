//! The event store as a process of its own, behind a proxy.

use super::process::{Process, Recipe};
use super::proxy::Proxy;
use anyhow::bail;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Loading the engine and the parts of a store that died often.
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Store {
    address: SocketAddr,
    pub(crate) password: String,
    pub(crate) proxy: Proxy,
    pub(crate) engine: Process,
}

impl Store {
    /// Starts it with its data in `folder`, and waits until it answers.
    pub(crate) async fn start(tollgate: &Path, folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let address = super::free_address()?;
        let password = super::random_secret();
        let data = folder.join("engine").into();
        let arguments = vec!["engine".into(), "--data-dir".into(), data, "--listen".into(), address.to_string().into()];
        let variables = BTreeMap::from([("TOLLGATE_ENGINE_PASSWORD", password.clone())]);
        let recipe = Recipe { program: tollgate.into(), arguments, variables, log: folder.join("engine.log") };
        let proxy = Proxy::start(address, seed).await?;
        let mut store = Self { address, password, proxy, engine: Process::start(recipe)? };
        store.wait().await?;
        Ok(store)
    }

    /// Where it answers without the proxy.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it where it is down, and waits until it answers.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.engine.start_again()?;
        self.wait().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.engine.ended_by_itself()? {
                bail!("the engine ended by itself ({status}); it said: {}", self.engine.last_words());
            }
            let answer = http.get(format!("http://{}/ping", self.address)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("the engine did not answer within {READY_WITHIN:?}; it said: {}", self.engine.last_words())
    }
}

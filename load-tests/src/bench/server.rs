//! A system of its own for `bench` and `billing`: `tollgate up` on an empty data directory, stopped at the end.

use crate::measure::process::{Root, tree_of};
use crate::system::process::signal;
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// First start: migrations, engine.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Draining and flushing.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Server {
    process: Child,
    /// What it logged; kept when it failed.
    log: PathBuf,
    pub(crate) url: String,
    pub(crate) secret: String,
    /// Removed at the end, where it is ours.
    temporary: Option<PathBuf>,
}

impl Server {
    pub(crate) async fn start(binary: &Path, data_dir: Option<&Path>, up_args: &str) -> anyhow::Result<Self> {
        let listen = free_address()?;
        let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let (folder, temporary) = match data_dir {
            Some(folder) => (folder.to_owned(), None),
            None => {
                let folder = std::env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
                (folder.clone(), Some(folder))
            }
        };
        let log = std::env::temp_dir().join(format!("tollgate-bench-{}.log", std::process::id()));
        let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Command::new(binary)
            .arg("up")
            .arg("--data-dir")
            .arg(&folder)
            .args(["--listen", &listen])
            .args(up_args.split_ascii_whitespace())
            .env("TOLLGATE_ADMIN_SECRET", &secret)
            // A billing run amid a measurement would be measured along.
            .env("TOLLGATE_BILLING_AUTOMATIC", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Self { process, log, url: format!("http://{listen}"), secret, temporary };
        server.wait_until_ready().await?;
        Ok(server)
    }

    pub(crate) fn root(&self) -> Root {
        Root { label: "server".into(), pid: self.process.id() }
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended before it was ready ({status}); it said: {}", self.last_words());
            }
            let answer = http.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("the server was not ready within {READY_WITHIN:?}; it said: {}", self.last_words())
    }

    /// The last lines of its log.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Asks it to drain and end; that it does is part of what is measured.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.process.id()).context("a process id beyond i32")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let start = Instant::now();
        while start.elapsed() < STOPPED_WITHIN {
            if self.process.try_wait()?.is_some() {
                std::fs::remove_file(&self.log).with_context(|| format!("cannot remove {}", self.log.display()))?;
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("the server did not end within {STOPPED_WITHIN:?} of SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failure it may still run: nobody needs its data any more. After `stop` all of it is gone, and so is its
        // id from the tree: it has been waited for.
        if matches!(self.process.try_wait(), Ok(None)) {
            for pid in tree_of(self.process.id()).into_iter().rev() {
                let _ = signal(pid, Signal::SIGKILL);
            }
        }
        let _ = self.process.wait();
        if let Some(folder) = &self.temporary {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.to_string())
}

//! Brokers of Apache Kafka, one or three, by the development script of this repository: started, killed, paused, stopped.

use super::process::signal;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A broker of three has its controller beside it, this many ports further on.
const CONTROLLERS_BEHIND: u16 = 100;
/// The script itself gives up after a minute.
const SCRIPT_LIMIT: Duration = Duration::from_secs(180);

/// A cluster of its own; stopped when dropped, its data stays.
#[derive(Debug)]
pub(crate) struct Brokers {
    script: PathBuf,
    data: PathBuf,
    bootstrap: String,
    count: u8,
}

impl Brokers {
    /// Starts `count` of them with their data in `data`.
    pub(crate) async fn start(script: &Path, data: &Path, count: u8) -> anyhow::Result<Self> {
        let mut brokers = Self { script: script.into(), data: data.into(), bootstrap: String::new(), count };
        let port = free_ports()?.to_string();
        let said = brokers.run(&["up", "--brokers", &count.to_string(), "--port", &port]).await?;
        brokers.bootstrap = said.lines().last().unwrap_or_default().to_owned();
        ensure!(!brokers.bootstrap.is_empty(), "{} up named no brokers", script.display());
        Ok(brokers)
    }

    /// Where clients begin.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `kill -9` of one, drawn by `draw`; started again after `down`.
    pub(crate) async fn kill(&self, draw: u64, down: Duration) -> anyhow::Result<()> {
        let number = self.number(draw);
        self.run(&["kill", &number]).await?;
        tokio::time::sleep(down).await;
        self.run(&["start", &number]).await.map(drop)
    }

    /// SIGSTOP of one; answers the process, for SIGCONT.
    pub(crate) fn pause(&self, draw: u64) -> anyhow::Result<u32> {
        let pid = self.pid(&self.number(draw))?;
        signal(pid, Signal::SIGSTOP)?;
        Ok(pid)
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> anyhow::Result<Vec<u32>> {
        (1..=self.count).map(|number| self.pid(&number.to_string())).collect()
    }

    fn pid(&self, number: &str) -> anyhow::Result<u32> {
        let file = self.data.join(format!("broker-{number}")).join("pid");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        text.trim().parse().with_context(|| format!("{} holds no process id", file.display()))
    }

    fn number(&self, draw: u64) -> String {
        (draw % u64::from(self.count) + 1).to_string()
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(&self.script);
        command.args(arguments).arg("--data").arg(&self.data).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(SCRIPT_LIMIT, command.output()).await;
        let shown = || format!("{} {}", self.script.display(), arguments.join(" "));
        let output = output.with_context(|| format!("{} did not end", shown()))?;
        let output = output.with_context(|| format!("cannot run {}", shown()))?;
        ensure!(output.status.success(), "{}: {}", shown(), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(&self.script);
        command.arg("down").arg("--data").arg(&self.data);
        // Brokers that cannot be stopped say so on standard error, and are loopback only.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// The first of three free ports in a row, with those of their controllers free as well.
fn free_ports() -> anyhow::Result<u16> {
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..100 {
        let first = super::free_address()?.port();
        let last = first.checked_add(CONTROLLERS_BEHIND + 2);
        let all = (0..3).flat_map(|nth| [nth, nth + CONTROLLERS_BEHIND]);
        if last.is_some() && all.map(|offset| first + offset).all(is_free) {
            return Ok(first);
        }
    }
    anyhow::bail!("no three free ports in a row")
}

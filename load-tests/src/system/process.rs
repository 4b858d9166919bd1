//! One process of the system under test: started, paused, killed with or without its descendants, started again.

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Draining and flushing of a process that was asked to end.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// On top of an environment without settings of Tollgate.
    pub(crate) variables: BTreeMap<&'static str, String>,
    /// Appended to by each start.
    pub(crate) log: PathBuf,
}

/// A process that can be started again; killed with all its descendants when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    recipe: Recipe,
    child: Option<Child>,
}

impl Recipe {
    fn command(&self) -> anyhow::Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        // What the environment configures for other systems is not for this one; where the engine lies is.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TOLLGATE_") && text != "TOLLGATE_ENGINE_LIB" {
                command.env_remove(&name);
            }
        }
        let streams = log.try_clone().with_context(|| format!("cannot write {}", self.log.display()))?;
        command.args(&self.arguments).envs(&self.variables).stdin(Stdio::null()).stdout(streams).stderr(log);
        Ok(command)
    }
}

impl Process {
    pub(crate) fn start(recipe: Recipe) -> anyhow::Result<Self> {
        let mut process = Self { recipe, child: None };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it where it does not run.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        if self.child.is_none() {
            let child = self.recipe.command()?.spawn();
            self.child = Some(child.with_context(|| format!("cannot start {}", self.recipe.program.display()))?);
        }
        Ok(())
    }

    /// Its process id; absent while it does not run.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How it ended, if it ended without having been killed here.
    pub(crate) fn ended_by_itself(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(match &mut self.child {
            None => None,
            Some(child) => child.try_wait()?,
        })
    }

    /// `kill -9` of it alone; its descendants see what becomes of them.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), Signal::SIGKILL)?;
        child.wait()?;
        Ok(())
    }

    /// `kill -9` of it and of everything it started, children first.
    pub(crate) fn kill_tree(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let tree = descendants(child.id());
        for pid in tree.into_iter().rev().chain([child.id()]) {
            signal(pid, Signal::SIGKILL)?;
        }
        child.wait()?;
        Ok(())
    }

    /// Asks it to drain and end.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), Signal::SIGTERM)?;
        let start = Instant::now();
        while child.try_wait()?.is_none() {
            if start.elapsed() > ENDED_WITHIN {
                self.child = Some(child);
                bail!("{} did not end within {ENDED_WITHIN:?} of SIGTERM", self.recipe.program.display());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The descendant whose first argument is `subcommand`.
    pub(crate) fn descendant(&self, subcommand: &str) -> Option<u32> {
        descendants(self.pid()?).into_iter().find(|pid| first_argument(*pid).as_deref() == Some(subcommand))
    }

    /// The last lines it logged.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.recipe.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody needs it any more; that it cannot be killed would be no news to anybody.
        let _ = self.kill_tree();
    }
}

/// Sends a signal; a process that is gone is as good as one that has received it.
pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(pid).context("a process id beyond i32")?;
    match kill(Pid::from_raw(id), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{signal} to process {pid}")),
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn first_argument(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.split(|byte| *byte == 0).nth(1).map(|part| String::from_utf8_lossy(part).into_owned())
}

/// Every process below `root`, parents before their children.
fn descendants(root: u32) -> Vec<u32> {
    let mut found = crate::measure::process::tree_of(root);
    found.retain(|pid| *pid != root);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_killed_with_its_children_and_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe {
            program: "/bin/sh".into(),
            arguments: ["-c", "echo started; sleep 1000 & wait"].map(Into::into).to_vec(),
            variables: BTreeMap::new(),
            log: folder.path().join("log"),
        };
        let mut process = Process::start(recipe).unwrap();
        let first = process.pid().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let sleeper = loop {
            if let Some(pid) = process.descendant("1000") {
                break pid;
            }
            assert!(Instant::now() < deadline, "no child came");
            tokio::time::sleep(LOOK).await;
        };
        process.kill_tree().unwrap();
        while fs::read(format!("/proc/{sleeper}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "its child lives on");
            tokio::time::sleep(LOOK).await;
        }
        process.start_again().unwrap();
        assert_ne!(process.pid().unwrap(), first);
        assert!(process.ended_by_itself().unwrap().is_none());
        process.terminate().await.unwrap();
        assert_eq!(process.pid(), None);
    }
}

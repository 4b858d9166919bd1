//! A started engine process and its ready line, for [`crate::Supervisor`] and [`crate::testing::TestEngine`].
//!
//! Standard input is a pipe that stays open as long as we live; when we die, however, the kernel closes it and the engine
//! ends. Standard error goes into our log line by line, and its last line becomes the reason when the engine does not
//! start. The engine gets a process group of its own: a Ctrl-C or a signal to our group reaches us alone, so that we can
//! flush into it before it goes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::config::PASSWORD_VARIABLE;
use crate::error::EngineError;

/// How to start an engine. `--listen ADDRESS` is added to the arguments, and the password to the environment as
/// `TOLLGATE_ENGINE_PASSWORD`; the program must print the ready line of [`crate::serve()`].
#[derive(Debug, Clone)]
pub struct EngineCommand {
    /// The program: our own binary, or `tollgate-engine`.
    pub program: PathBuf,
    /// Its arguments, e.g. `["engine", "--data-dir", "…"]`.
    pub args: Vec<OsString>,
}

/// A process that said it is ready.
pub(crate) struct EngineChild {
    pub(crate) address: SocketAddr,
    child: Child,
    stdin: Option<ChildStdin>,
    last_words: LastWords,
}

type LastWords = Arc<Mutex<Option<String>>>;

impl EngineChild {
    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// [`EngineError::Spawn`], [`EngineError::NotReady`].
    pub(crate) async fn start(
        command: &EngineCommand,
        listen: SocketAddr,
        password: &str,
        patience: Duration,
    ) -> Result<Self, EngineError> {
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .arg("--listen")
            .arg(listen.to_string())
            .env(PASSWORD_VARIABLE, password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| EngineError::Spawn { program: command.program.clone(), source })?;
        let stdin = child.stdin.take();
        let last_words = LastWords::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_lines(BufReader::new(stderr), Arc::clone(&last_words)));
        }
        let mut started = Self { address: listen, child, stdin, last_words };
        started.wait_until_ready(patience).await?;
        Ok(started)
    }

    async fn wait_until_ready(&mut self, patience: Duration) -> Result<(), EngineError> {
        let stdout = self.child.stdout.take();
        let mut lines = stdout.map(|pipe| BufReader::new(pipe).lines());
        let ready = async {
            while let Some(lines) = &mut lines {
                match lines.next_line().await {
                    Ok(Some(line)) => {
                        if let Some(address) = ready_address(&line) {
                            return Some(address);
                        }
                    }
                    Ok(None) | Err(_) => return None,
                }
            }
            None
        };
        match tokio::time::timeout(patience, ready).await {
            Ok(Some(address)) => self.address = address,
            Ok(None) => return Err(self.why_it_ended().await),
            Err(_) => {
                let seconds = patience.as_secs();
                let reason = format!("nothing was heard from it for {seconds} s");
                self.kill().await;
                return Err(EngineError::NotReady { reason });
            }
        }
        // The pipe must stay open and be emptied, or what the engine prints later would stop it.
        if let Some(mut rest) = lines {
            tokio::spawn(async move { while let Ok(Some(_)) = rest.next_line().await {} });
        }
        Ok(())
    }

    async fn why_it_ended(&mut self) -> EngineError {
        let status = self.child.wait().await;
        // The last lines may still be on their way through the pipe.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let words = self.last_words();
        let reason = match (words, status) {
            (Some(line), _) => line,
            (None, Ok(status)) => format!("it ended without a word ({status})"),
            (None, Err(error)) => format!("it ended without a word ({error})"),
        };
        EngineError::NotReady { reason }
    }

    /// The last line the process wrote to standard error.
    pub(crate) fn last_words(&self) -> Option<String> {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.clone()
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Completes when the process has ended.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the process to end by closing its standard input, and kills it when it does not in time.
    pub(crate) async fn stop(mut self, patience: Duration) {
        drop(self.stdin.take());
        if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            tracing::warn!("the engine did not end in time and is killed");
            self.kill().await;
        }
    }

    /// Kills the process, as `kill -9` would.
    pub(crate) async fn kill(&mut self) {
        // It may have ended by itself; either way it is gone.
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "the engine process was gone already");
        }
    }
}

fn ready_address(line: &str) -> Option<SocketAddr> {
    let parsed: serde_json::Value = serde_json::from_str(line).ok()?;
    parsed.get("listening")?.as_str()?.parse().ok()
}

async fn log_lines(input: impl AsyncBufRead + Unpin, last_words: LastWords) {
    let mut lines = input.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match severity(&line) {
            Severity::Error => tracing::error!(target: "engine", "{line}"),
            Severity::Warning => tracing::warn!(target: "engine", "{line}"),
            Severity::Information => tracing::info!(target: "engine", "{line}"),
            Severity::Detail => tracing::debug!(target: "engine", "{line}"),
        }
        let said = line.strip_prefix("error: ").unwrap_or(&line).to_owned();
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        *words = Some(said);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
    Information,
    Detail,
}

/// How grave a line of the process is, by the words of the engine's logger (`<Error>`), of ours (` ERROR `), or of the last
/// line of all (`error: `). What follows an error of the engine on lines of its own is addresses in its code.
fn severity(line: &str) -> Severity {
    let says = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if says(&["<Error>", "<Fatal>", "<Critical>", " ERROR "]) || line.starts_with("error: ") {
        return Severity::Error;
    }
    if says(&["<Warning>", " WARN "]) {
        return Severity::Warning;
    }
    if says(&[" INFO "]) {
        return Severity::Information;
    }
    Severity::Detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_grave_as_they_say() {
        assert_eq!(severity("2026.11.23 00:29:41 [ 1 ] {} <Error> t.e: Part is broken"), Severity::Error);
        assert_eq!(severity("2026-11-23T00:29:41Z  WARN engine: x"), Severity::Warning);
        assert_eq!(severity("2026-11-23T00:29:41Z  INFO engine: open"), Severity::Information);
        assert_eq!(severity("error: no space"), Severity::Error);
        assert_eq!(severity("7. ? @ 0x0000000017b8e1db"), Severity::Detail);
    }

    fn shell(script: &str) -> EngineCommand {
        EngineCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
    }

    async fn start(script: &str, patience: Duration) -> Result<EngineChild, EngineError> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        EngineChild::start(&shell(script), listen, "secret", patience).await
    }

    #[tokio::test]
    async fn the_ready_line_is_found_among_others_and_the_process_follows_its_input() {
        let script = r#"echo hello; echo '{"listening":"127.0.0.1:77"}'; echo more; cat > /dev/null"#;
        let mut child = start(script, Duration::from_secs(10)).await.unwrap();
        assert_eq!(child.address.port(), 77);
        assert!(child.id().is_some());
        drop(child.stdin.take());
        assert!(child.ended().await.unwrap().success());
    }

    #[tokio::test]
    async fn the_last_line_on_standard_error_is_the_reason() {
        let result = start("echo first >&2; echo 'error: no space' >&2; exit 3", Duration::from_secs(10)).await;
        let error = result.err().unwrap().to_string();
        assert_eq!(error, "the engine process did not become ready: no space");
    }

    #[tokio::test]
    async fn a_silent_process_is_given_up_and_killed() {
        let result = start("exec sleep 1000", Duration::from_millis(100)).await;
        assert!(matches!(result.err().unwrap(), EngineError::NotReady { .. }));
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let command = EngineCommand { program: "/nonexistent/engine".into(), args: Vec::new() };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let result = EngineChild::start(&command, listen, "p", Duration::from_secs(1)).await;
        assert!(result.err().unwrap().to_string().contains("/nonexistent/engine"));
    }
}

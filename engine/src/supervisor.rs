//! Keeps one engine process running: starts it, starts it again when it dies, stops it.
//!
//! - The port is chosen at the first start and asked for again at each restart, so that clients keep their URL.
//! - The password is 32 random bytes, made here, kept in memory, given by environment.
//! - Restarts wait, doubling from 100 ms to 10 s with jitter; a minute without a fall starts the count anew. There is no
//!   limit: a service whose engine is away answers 503 and says so by the state, which is better than giving up.
//! - Requests under way when the engine dies fail; sending them again is the clients' business (I1: what was answered
//!   is on disk).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::child::{EngineChild, EngineCommand};
use crate::error::EngineError;

/// Loading the library takes up to half a second, opening large tables seconds; a predecessor may hold the lock for ten.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// Draining takes five seconds at most, closing ten.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After this long without a fall the next one is treated as the first.
const STEADY: Duration = Duration::from_secs(60);

/// What the engine process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// It answers.
    Running {
        /// Its process id.
        process_id: u32,
    },
    /// It died and is being started again; since when, how often, and why.
    Restarting {
        /// Starts since the last steady minute, this one included.
        attempt: u32,
        /// The exit status or start error.
        reason: String,
    },
    /// [`Supervisor::stop`] was called.
    Stopped,
}

/// A supervised engine. [`Supervisor::stop`] ends it and waits; dropped, it ends in the background, and at the latest when
/// this process does.
pub struct Supervisor {
    address: SocketAddr,
    password: String,
    state: watch::Receiver<EngineState>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the engine and returns when it is ready. The first start is not tried again: what is wrong then (no library,
    /// a directory in use) is for a person to mend.
    ///
    /// # Errors
    /// [`EngineError::Spawn`], [`EngineError::NotReady`] with the engine's own last words.
    pub async fn start(command: EngineCommand) -> Result<Self, EngineError> {
        let password = random_password();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let child = EngineChild::start(&command, any_port, &password, START_PATIENCE).await?;
        let address = child.address;
        let (state_sender, state) = watch::channel(running(&child));
        let (stop, stopped) = oneshot::channel();
        let keeper = Keeper { command, address, password: password.clone(), state: state_sender };
        let task = tokio::spawn(keeper.keep(child, stopped));
        Ok(Self { address, password, state, stop, task })
    }

    /// The engine's URL, the same for ever: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The user to name: ClickHouse's `default`.
    #[must_use]
    pub fn user(&self) -> &'static str {
        crate::auth::USER
    }

    /// The password, 64 hexadecimal characters.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// What the engine is doing, and when that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.state.clone()
    }

    /// Ends the engine: its statements get a few seconds, then it is killed. Returns when the process is gone.
    pub async fn stop(self) {
        // The keeper listens until it ends.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the engine's supervisor failed");
        }
    }
}

struct Keeper {
    command: EngineCommand,
    address: SocketAddr,
    password: String,
    state: watch::Sender<EngineState>,
}

impl Keeper {
    async fn keep(self, mut child: EngineChild, mut stopped: oneshot::Receiver<()>) {
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let reason = tokio::select! {
                _ = &mut stopped => return self.end(Some(child)).await,
                ended = child.ended() => reason_of(ended, &child),
            };
            if began.elapsed() >= STEADY {
                attempt = 0;
            }
            tracing::error!(reason, "the engine died and is started again");
            child = tokio::select! {
                _ = &mut stopped => return self.end(None).await,
                next = self.restart(&mut attempt, reason) => next,
            };
            tracing::info!(attempt, "the engine is running again");
            self.state.send_replace(running(&child));
        }
    }

    async fn end(&self, child: Option<EngineChild>) {
        if let Some(child) = child {
            child.stop(STOP_PATIENCE).await;
        }
        self.state.send_replace(EngineState::Stopped);
    }

    async fn restart(&self, attempt: &mut u32, mut reason: String) -> EngineChild {
        loop {
            *attempt = attempt.saturating_add(1);
            self.state.send_replace(EngineState::Restarting { attempt: *attempt, reason });
            tokio::time::sleep(wait_before(*attempt)).await;
            let started = EngineChild::start(&self.command, self.address, &self.password, START_PATIENCE).await;
            match started {
                Ok(child) => return child,
                Err(error) => {
                    tracing::error!(attempt = *attempt, %error, "the engine could not be started again");
                    reason = error.to_string();
                }
            }
        }
    }
}

fn running(child: &EngineChild) -> EngineState {
    EngineState::Running { process_id: child.id().unwrap_or_default() }
}

fn reason_of(ended: std::io::Result<std::process::ExitStatus>, child: &EngineChild) -> String {
    let status = match ended {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    match child.last_words() {
        Some(words) => format!("{status}; it last said: {words}"),
        None => status,
    }
}

/// 100 ms, doubled with each attempt up to 10 s, of which a random half is taken off: processes that fell together do not
/// come back together.
fn wait_before(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(10);
    let full = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let half = full / 2;
    half + rand::rng().random_range(Duration::ZERO..=half)
}

/// 32 random bytes in hexadecimal.
pub(crate) fn random_password() -> String {
    use std::fmt::Write as _;
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_keep_at_least_half() {
        for (attempt, full) in [(1, 100), (2, 200), (5, 1_600), (8, 10_000), (u32::MAX, 10_000)] {
            let full = Duration::from_millis(full);
            for _ in 0..50 {
                let wait = wait_before(attempt);
                assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
            }
        }
    }

    #[test]
    fn passwords_are_64_characters_and_differ() {
        let first = random_password();
        assert_eq!(first.len(), 64);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, random_password());
    }

    /// Prints a ready line with the port it was told, or one of its own, and follows its input.
    const OBEDIENT: &str = r#"
        for last; do :; done
        port=${last##*:}; [ "$port" = 0 ] && port=4711
        echo "{\"listening\":\"127.0.0.1:$port\"}"
        cat > /dev/null"#;

    fn obedient() -> EngineCommand {
        EngineCommand { program: "/bin/sh".into(), args: vec!["-c".into(), OBEDIENT.into(), "engine".into()] }
    }

    fn kill(process_id: u32) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(process_id).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn a_killed_engine_comes_back_on_the_same_port() {
        let supervisor = Supervisor::start(obedient()).await.unwrap();
        assert_eq!(supervisor.url(), "http://127.0.0.1:4711");
        let mut state = supervisor.state();
        let EngineState::Running { process_id } = state.borrow_and_update().clone() else {
            panic!("not running");
        };
        kill(process_id);
        let restarting = |now: &EngineState| matches!(now, EngineState::Restarting { attempt: 1, reason } if reason.contains("signal: 9"));
        state.wait_for(restarting).await.unwrap();
        let again = |now: &EngineState| matches!(now, EngineState::Running { process_id: new } if *new != process_id);
        state.wait_for(again).await.unwrap();
        supervisor.stop().await;
        assert_eq!(*state.borrow(), EngineState::Stopped);
    }

    #[tokio::test]
    async fn a_first_start_that_fails_is_an_error() {
        let command = EngineCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "echo 'error: in use' >&2; exit 1".into()],
        };
        let error = Supervisor::start(command).await.err().unwrap();
        assert!(error.to_string().contains("in use"), "{error}");
    }
}

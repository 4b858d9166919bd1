//! Statements under way: who runs where, and how to stop one.
//!
//! A statement is stopped by killing whatever runs in its session, so a session must not be given to the next request while
//! a kill for the last one is on its way: both take the statement's lock, and a finished statement is never killed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exception::{Exception, code};
use crate::session::Sessions;

/// Between handing a statement to the engine and its appearing in the engine's process list lies parsing and analysis;
/// a kill in between finds nothing and is tried again: 500 × 10 ms = 5 s.
const KILL_ATTEMPTS: u32 = 500;
const KILL_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug)]
enum Phase {
    /// It has no session yet.
    Waiting,
    /// It runs in the session with this mark.
    In(String),
    /// It ended, or never began.
    Finished,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    cancelled: bool,
}

/// One statement, from the request's arrival to its end.
#[derive(Debug)]
pub(crate) struct Running {
    state: Mutex<State>,
}

impl Running {
    fn new() -> Self {
        Self { state: Mutex::new(State { phase: Phase::Waiting, cancelled: false }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the statement runs in the session `mark` from now on.
    ///
    /// # Errors
    /// Code 394 when it was cancelled before it began.
    pub(crate) fn enter(&self, mark: &str) -> Result<(), Exception> {
        let mut state = self.lock();
        if state.cancelled {
            return Err(Exception::new(code::QUERY_WAS_CANCELLED, "Query was cancelled."));
        }
        state.phase = Phase::In(mark.to_owned());
        Ok(())
    }

    /// Notes that the statement has ended. `true`: its session is clean, no kill was sent to it.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.lock();
        state.phase = Phase::Finished;
        !state.cancelled
    }

    /// Whether there is anything left to stop.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.lock().phase, Phase::Finished)
    }

    /// Stops the statement. Blocks for up to five seconds.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn kill(&self, sessions: &Sessions) -> Result<(), Exception> {
        for _ in 0..KILL_ATTEMPTS {
            let mut state = self.lock();
            state.cancelled = true;
            let Phase::In(mark) = &state.phase else {
                return Ok(());
            };
            if sessions.kill(mark)? {
                return Ok(());
            }
            drop(state);
            std::thread::sleep(KILL_INTERVAL);
        }
        Ok(())
    }
}

/// All statements under way, by the ids the clients gave them.
#[derive(Default)]
pub(crate) struct Registry {
    by_id: Mutex<HashMap<String, Arc<Running>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a statement under its id.
    ///
    /// # Errors
    /// Code 216 when one with this id is under way.
    pub(crate) fn begin(&self, id: &str) -> Result<Arc<Running>, Exception> {
        match self.lock().entry(id.to_owned()) {
            Entry::Occupied(_) => Err(Exception::new(
                code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                format!("Query with id = {id} is already running."),
            )),
            Entry::Vacant(slot) => Ok(Arc::clone(slot.insert(Arc::new(Running::new())))),
        }
    }

    /// Strikes a statement out.
    pub(crate) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The statement with this id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Running>> {
        self.lock().get(id).cloned()
    }

    /// Everything under way.
    pub(crate) fn all(&self) -> Vec<Arc<Running>> {
        self.lock().values().cloned().collect()
    }
}

/// Kills the statement when dropped before its end: held by whatever serves the client, dropped when the client leaves.
pub(crate) struct CancelGuard {
    running: Arc<Running>,
    sessions: Arc<Sessions>,
}

impl CancelGuard {
    /// Watches `running`.
    pub(crate) fn new(running: &Arc<Running>, sessions: &Arc<Sessions>) -> Self {
        Self { running: Arc::clone(running), sessions: Arc::clone(sessions) }
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if self.running.is_finished() {
            return;
        }
        let running = Arc::clone(&self.running);
        let sessions = Arc::clone(&self.sessions);
        let kill = move || {
            if let Err(error) = running.kill(&sessions) {
                tracing::warn!(error = %error.text, "a statement whose client left could not be killed");
            }
        };
        // Outside a runtime there is no server any more, and nothing worth stopping.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(kill));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_until_its_statement_ends() {
        let registry = Registry::default();
        registry.begin("a").unwrap();
        assert_eq!(registry.begin("a").unwrap_err().code, 216);
        registry.end("a");
        registry.begin("a").unwrap();
        assert!(registry.get("a").is_some() && registry.get("b").is_none());
    }

    #[test]
    fn a_finished_statement_leaves_a_clean_session() {
        let running = Running::new();
        running.enter("m").unwrap();
        assert!(!running.is_finished());
        assert!(running.finish());
        assert!(running.is_finished());
    }

    #[test]
    fn a_statement_cancelled_before_it_began_never_begins() {
        let running = Running::new();
        running.lock().cancelled = true;
        assert_eq!(running.enter("m").unwrap_err().code, 394);
        assert!(!running.finish());
    }
}

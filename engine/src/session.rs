//! Sessions: engine connections kept ready, one statement at a time each, sorted by the settings they carry.
//!
//! A connection of the engine is a session with its own settings and current database. Applying settings costs a statement
//! (0.05 ms) each way, so sessions are kept by the settings they were opened with and serve only requests that ask for
//! exactly these: isolation without a reset, and nothing to pay for a client that always sends the same settings.
//! A session whose statement changed it (SET, USE, temporary tables) or was cancelled is closed instead of kept; a
//! `session_id` therefore has no effect beyond one request.
//!
//! Each session carries its own `log_comment`, by which a statement that runs in it is found and killed from another one:
//! the engine chooses query ids itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::EngineError;
use crate::exception::{Exception, code};
use crate::ffi::{Connection, Library, ResultBlock, Statement};

/// Settings of every session, where the embedded engine's defaults differ from a server's or cost time.
/// `implicit_select`: `1 + 1` alone is a syntax error on a server. `async_insert`: an answer must mean the data is stored (I1).
/// Logs and profiles have no table to go to. Parallel formatting starts threads for results of a few rows (0.25 ms each).
const BASE_SETTINGS: &str = "SET implicit_select = 0, allow_introspection_functions = 0, \
     storage_file_read_method = 'pread', async_insert = 0, log_queries = 0, log_profile_events = 0, \
     log_processors_profiles = 0, query_profiler_real_time_period_ns = 0, query_profiler_cpu_time_period_ns = 0, \
     memory_profiler_step = 0, output_format_parallel_formatting = 0";

/// Sessions kept ready. More than the statements that may run at once are of no use per setting; clients differ in their
/// settings, so twice that.
const IDLE_PER_SLOT: usize = 2;

/// Database and settings a statement runs with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionKey {
    /// The current database; the engine's `default` when `None`.
    pub(crate) database: Option<String>,
    settings: BTreeMap<String, String>,
}

impl SessionKey {
    /// Adds a setting; the last value of a name counts.
    pub(crate) fn set(&mut self, name: String, value: String) {
        self.settings.insert(name, value);
    }

    /// The settings in the order of their names.
    #[cfg(test)]
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The SET statement for the settings, `None` when there are none.
    fn set_statement(&self) -> Result<Option<String>, Exception> {
        let mut clauses = Vec::with_capacity(self.settings.len());
        // `readonly` forbids further changes, so it comes last.
        let (last, first): (Vec<_>, Vec<_>) = self.settings.iter().partition(|(name, _)| *name == "readonly");
        for (name, value) in first.into_iter().chain(last) {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if name.is_empty() || !plain {
                return Err(Exception::new(
                    code::UNKNOWN_SETTING,
                    format!("Unknown setting '{}'", name.escape_default()),
                ));
            }
            clauses.push(format!("{name} = {}", quoted(value, '\'')));
        }
        Ok((!clauses.is_empty()).then(|| format!("SET {}", clauses.join(", "))))
    }
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            out.push('\\');
        }
        out.push(character);
    }
    out.push(quote);
    out
}

/// A connection that is in use by one request.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// Its `log_comment`.
    pub(crate) mark: String,
    key: SessionKey,
}

/// All connections to the engine.
pub(crate) struct Sessions {
    library: Arc<Library>,
    arguments: Vec<String>,
    idle: Mutex<Vec<Session>>,
    idle_limit: usize,
    /// The connection kills are sent through; it is never busy with a client's statement.
    control: Mutex<Connection>,
    next_mark: AtomicU64,
}

impl Sessions {
    /// Boots the engine with `arguments` and opens the control connection. `slots` is how many statements run at once.
    ///
    /// # Errors
    /// [`EngineError::OpenFailed`] or [`EngineError::Unusable`].
    pub(crate) fn open(
        library: &Arc<Library>,
        arguments: Vec<String>,
        data_dir: &std::path::Path,
        slots: usize,
    ) -> Result<Self, EngineError> {
        let mut control = Connection::open(library, &arguments)
            .ok_or_else(|| EngineError::OpenFailed { path: data_dir.to_owned() })?;
        run(&mut control, BASE_SETTINGS).map_err(|error| EngineError::Unusable(error.text))?;
        Ok(Self {
            library: Arc::clone(library),
            arguments,
            idle: Mutex::new(Vec::new()),
            idle_limit: slots * IDLE_PER_SLOT,
            control: Mutex::new(control),
            next_mark: AtomicU64::new(1),
        })
    }

    /// A session with these settings: one that is ready, or a new one.
    ///
    /// # Errors
    /// The engine's exception for an unknown database or setting.
    pub(crate) fn acquire(&self, key: &SessionKey) -> Result<Session, Exception> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().rposition(|session| session.key == *key) {
            return Ok(idle.remove(at));
        }
        drop(idle);
        self.connect(key)
    }

    fn connect(&self, key: &SessionKey) -> Result<Session, Exception> {
        let set_statement = key.set_statement()?;
        let mut connection = Connection::open(&self.library, &self.arguments)
            .ok_or_else(|| Exception::internal("the engine refused another connection"))?;
        let mark = format!("tollgate-{}", self.next_mark.fetch_add(1, Ordering::Relaxed));
        run(&mut connection, &format!("{BASE_SETTINGS}, log_comment = '{mark}'"))?;
        if let Some(database) = &key.database {
            run(&mut connection, &format!("USE {}", quoted(database, '`')))?;
        }
        if let Some(statement) = set_statement {
            run(&mut connection, &statement)?;
        }
        Ok(Session { connection, mark, key: key.clone() })
    }

    /// Takes a session back for the next request with the same settings.
    pub(crate) fn release(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = (idle.len() >= self.idle_limit).then(|| idle.remove(0));
        idle.push(session);
        drop(idle);
        // Closing a connection takes the engine's own locks; not under ours.
        drop(oldest);
    }

    /// Kills what runs in the session with this mark. `false`: nothing does, or not yet.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn kill(&self, mark: &str) -> Result<bool, Exception> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let statement = format!("KILL QUERY WHERE Settings['log_comment'] = '{mark}' ASYNC");
        run(&mut control, &statement).map(|killed| !killed.as_ref().is_empty())
    }

    /// One value from the engine, for headers and checks.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn value(&self, expression: &str) -> Result<String, Exception> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let block = run(&mut control, &format!("SELECT {expression}"))?;
        Ok(String::from_utf8_lossy(block.as_ref()).trim_end().to_owned())
    }

    /// Closes the sessions that are ready; the last connection closed shuts the engine down.
    pub(crate) fn close_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        drop(std::mem::take(&mut *idle));
    }
}

fn run(connection: &mut Connection, statement: &str) -> Result<ResultBlock, Exception> {
    connection.query(Statement { text: statement.as_bytes(), format: "TSV", parameters: &[] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted_and_readonly_comes_last() {
        let mut key = SessionKey::default();
        key.set("readonly".to_owned(), "2".to_owned());
        key.set("z".to_owned(), "it's \\ x".to_owned());
        key.set("a".to_owned(), "1".to_owned());
        assert_eq!(key.set_statement().unwrap().unwrap(), r"SET a = '1', z = 'it\'s \\ x', readonly = '2'");
    }

    #[test]
    fn a_name_that_is_not_a_word_never_reaches_the_engine() {
        let mut key = SessionKey::default();
        key.set("a = 1, b".to_owned(), "2".to_owned());
        assert_eq!(key.set_statement().unwrap_err().code, 115);
        assert_eq!(SessionKey::default().set_statement().unwrap(), None);
    }
}

//! A real engine for tests of this and other crates: its own process, its own temporary data directory.
//!
//! The program is `tollgate-engine`: `TOLLGATE_ENGINE_BIN`, else the one beside the test executable when it is not older than
//! the sources of this crate, else `cargo build -p engine --bin tollgate-engine` makes it. A test that cannot have an
//! engine fails and says what to do; it never passes without one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::config::PASSWORD_VARIABLE;
use crate::supervisor::random_password;

const PROGRAM_VARIABLE: &str = "TOLLGATE_ENGINE_BIN";
const PROGRAM: &str = "tollgate-engine";
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// A running engine. Blocking; use it from any test. Dropped, the process ends and its data is deleted.
pub struct TestEngine {
    directory: PathBuf,
    _owned: Option<tempfile::TempDir>,
    password: String,
    address: String,
    process: Option<(Child, Option<ChildStdin>)>,
    delete_at_end: bool,
}

impl TestEngine {
    /// Starts an engine on a new temporary directory.
    ///
    /// # Panics
    /// When there is no engine to be had, with what to do.
    #[must_use]
    pub fn start() -> Self {
        let owned = match tempfile::Builder::new().prefix("tollgate-engine-").tempdir() {
            Ok(owned) => owned,
            Err(error) => panic!("no temporary directory for a test engine: {error}"),
        };
        let mut engine = Self::start_in(owned.path(), false);
        engine._owned = Some(owned);
        engine
    }

    /// Starts an engine on a directory that the caller keeps.
    ///
    /// # Panics
    /// As [`TestEngine::start`].
    #[must_use]
    pub fn on(directory: &Path) -> Self {
        Self::start_in(directory, false)
    }

    /// One engine for all tests of an executable: starting takes about half a second. It ends with the executable and deletes
    /// its data itself. Tests that share it use databases of their own.
    ///
    /// # Panics
    /// As [`TestEngine::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestEngine> = OnceLock::new();
        SHARED.get_or_init(|| {
            let id = uuid::Uuid::new_v4();
            let directory = std::env::temp_dir().join(format!("tollgate-engine-{id}"));
            Self::start_in(&directory, true)
        })
    }

    fn start_in(directory: &Path, delete_at_end: bool) -> Self {
        let mut engine = Self {
            directory: directory.to_owned(),
            _owned: None,
            password: random_password(),
            address: "127.0.0.1:0".to_owned(),
            process: None,
            delete_at_end,
        };
        engine.spawn();
        engine
    }

    fn spawn(&mut self) {
        let mut command = Command::new(program());
        command
            .arg("--data-dir")
            .arg(&self.directory)
            .args(["--listen", &self.address])
            .env(PASSWORD_VARIABLE, &self.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if self.delete_at_end {
            command.arg("--delete-data");
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("the test engine cannot be started: {error}"),
        };
        let stdin = child.stdin.take();
        let address = child.stdout.take().and_then(|output| {
            BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
                let ready: serde_json::Value = serde_json::from_str(&line).ok()?;
                Some(ready.get("listening")?.as_str()?.to_owned())
            })
        });
        self.process = Some((child, stdin));
        match address {
            Some(address) => self.address = address,
            None => panic!("the test engine did not become ready; its own message is above"),
        }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The user to name.
    #[must_use]
    pub fn user(&self) -> &'static str {
        crate::auth::USER
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Where its data lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|(child, _)| child.id())
    }

    /// Kills the process as `kill -9` would, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some((mut child, _stdin)) = self.process.take() {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the engine again on the same directory, port and password.
    ///
    /// # Panics
    /// As [`TestEngine::start`].
    pub fn restart(&mut self) {
        self.stop();
        self.spawn();
    }

    /// Ends the process in good order.
    pub fn stop(&mut self) {
        let Some((mut child, stdin)) = self.process.take() else {
            return;
        };
        drop(stdin);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The engine program; made when it must be, once per test executable.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(named) = std::env::var_os(PROGRAM_VARIABLE) {
            return named.into();
        }
        let Ok(executable) = std::env::current_exe() else {
            panic!("the test executable does not know where it is; set {PROGRAM_VARIABLE}");
        };
        // target/debug/deps/test-… or target/debug/program
        let profile = executable
            .ancestors()
            .skip(1)
            .find(|directory| !directory.ends_with("deps") && !directory.ends_with("examples"));
        let Some(profile) = profile else {
            panic!("{} is not in a target directory; set {PROGRAM_VARIABLE}", executable.display());
        };
        let beside = profile.join(PROGRAM);
        if !is_current(&beside) {
            build(profile);
        }
        beside
    })
}

/// Whether the program is at least as new as every source file of this crate.
fn is_current(program: &Path) -> bool {
    let Ok(built) = program.metadata().and_then(|metadata| metadata.modified()) else {
        return false;
    };
    newest_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).is_none_or(|source| source <= built)
}

fn newest_source(directory: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries
        .flatten()
        .filter_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => newest_source(&entry.path()),
            _ => entry.metadata().ok()?.modified().ok(),
        })
        .max()
}

fn build(profile: &Path) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["build", "-p", "engine", "--bin", PROGRAM]);
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    if profile.ends_with("release") {
        command.arg("--release");
    }
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("building {PROGRAM} failed ({status}); set {PROGRAM_VARIABLE} to one at hand"),
        Err(error) => panic!("cargo cannot be run to build {PROGRAM}: {error}; set {PROGRAM_VARIABLE}"),
    }
}

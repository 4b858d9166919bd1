//! A running `tollgate up`: started, asked, killed with its whole tree, started again.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const TOLLGATE: &str = env!("CARGO_BIN_EXE_tollgate");
/// The admin secret of every server of these tests.
pub const ADMIN_SECRET: &str = "0123456789abcdef0123456789abcdef-tests";
/// A debug build on two busy cores may need a while to load the engine.
const READY_PATIENCE: Duration = Duration::from_secs(120);

/// `tollgate` with these arguments, an environment without other settings, and no terminal.
pub fn tollgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(TOLLGATE);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("TOLLGATE_") && text != "TOLLGATE_ENGINE_LIB" {
            command.env_remove(&name);
        }
    }
    command.env_remove("RUST_LOG").args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    command.output().expect("the binary under test starts")
}

/// Standard output and error together, for assertions' messages.
pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server process and its data directory.
pub struct Server {
    /// Base address, the same over restarts.
    pub url: String,
    directory: PathBuf,
    extra: Vec<String>,
    port: u16,
    process: Option<Child>,
    owned: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts on a fresh directory and waits until it is ready.
    pub async fn start(extra: &[&str]) -> Self {
        let mut server = Self::prepare(extra);
        server.restart().await;
        server
    }

    /// A directory and a port; nothing is started.
    pub fn prepare(extra: &[&str]) -> Self {
        let owned = tempfile::Builder::new().prefix("tollgate-it-").tempdir().unwrap();
        let port = free_port();
        Self {
            url: format!("http://127.0.0.1:{port}"),
            directory: owned.path().join("data"),
            extra: extra.iter().map(ToString::to_string).collect(),
            port,
            process: None,
            owned: Some(owned),
        }
    }

    /// Its data directory as an argument.
    pub fn directory_argument(&self) -> &str {
        self.directory.to_str().unwrap()
    }

    /// Starts the process again on the same directory and port, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.spawn();
        self.wait_until_ready().await;
    }

    /// The same with other flags from now on.
    pub async fn restart_with(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(ToString::to_string).collect();
        self.restart().await;
    }

    /// The same, but only until it answers at all: parts of it may still be taking over from those that were killed.
    pub async fn restart_until_healthy(&mut self) {
        self.spawn();
        self.wait_for("/healthz").await;
    }

    /// Starts the process and does not wait.
    pub fn spawn(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = tollgate(&["up", "--data-dir", self.directory_argument(), "--listen"])
            .arg(format!("127.0.0.1:{}", self.port))
            .args(&self.extra)
            .env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET)
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the binary under test starts");
        self.process = Some(child);
    }

    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until every part makes progress.
    pub async fn wait_until_ready(&mut self) {
        self.wait_for("/readyz").await;
    }

    async fn wait_for(&mut self, path: &str) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            let answer = http.get(format!("{}{path}", self.url)).timeout(Duration::from_secs(5)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "tollgate up ended ({ended:?}):\n{}", self.log());
            assert!(Instant::now() < deadline, "tollgate up did not become ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Process id of the server itself.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// `kill -9` of the server and everything it started, at once.
    pub fn kill_tree(&mut self) {
        let mut child = self.process.take().expect("it runs");
        for pid in descendants(child.id()).into_iter().chain([child.id()]) {
            signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
        child.wait().unwrap();
    }

    /// Sends SIGTERM to the server and everything it started, as a service manager does, and waits for its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.process.take().expect("it runs");
        for pid in descendants(child.id()).into_iter().chain([child.id()]) {
            signal(pid, nix::sys::signal::Signal::SIGTERM);
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end after SIGTERM:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a statement to the event store behind the product's back and returns its answer.
    pub async fn engine(&self, statement: &str) -> String {
        let text = std::fs::read(self.directory.join("running.json")).unwrap();
        let running: Value = serde_json::from_slice(&text).unwrap();
        let engine = |field: &str| running["engine"][field].as_str().unwrap().to_string();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("{}/?mutations_sync=2", engine("url")))
            .basic_auth(engine("user"), Some(engine("password")))
            .body(statement.to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{statement}: {text}");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill_tree();
        }
        // A store has thousands of small files, and some disks take milliseconds to delete each: nobody waits for that.
        let Some(directory) = self.owned.take().map(tempfile::TempDir::keep) else { return };
        drop(Command::new("rm").arg("-rf").arg(directory).spawn());
    }
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    // Gone already is as good.
    let _ = nix::sys::signal::kill(pid, signal);
}

/// Every process below `root`, children first found by their parent in `/proc`.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // "pid (name) state parent …": the name may hold spaces and parentheses.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or_default()).or_default().push(pid);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let below = children.get(&pid).cloned().unwrap_or_default();
        found.extend(&below);
        open.extend(below);
    }
    found
}

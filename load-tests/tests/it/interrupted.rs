//! The program told to stop amid its work: what it started ends with it. The system and the brokers are scripts that only exist.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// Seconds that a script of these tests sleeps at most: longer than every patience here, and short enough that one that is left
/// behind by a killed test ends by itself.
const NAP: u32 = 60;

/// The folder of one test. Everything that is started in it carries its path as `TMPDIR`, and is ended with it, also when the
/// test fails: by the id of each process that has exactly this path in its environment.
struct Playground(tempfile::TempDir);

impl Playground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tmp")).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `load-tests` with the arguments, in this folder.
    fn load_tests(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_load-tests"));
        command.args(arguments).env("TMPDIR", self.path().join("tmp")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn processes(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.path().join("tmp").display());
        let is_ours = |pid: &String| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let names =
            fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(is_ours).collect()
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        let left = self.processes();
        if left.is_empty() {
            return;
        }
        // Neither outcome changes what the test found.
        let _ = Command::new("kill").arg("-KILL").args(&left).status();
        if !std::thread::panicking() {
            panic!("processes were left behind: {left:?}");
        }
    }
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that has ended and was not waited for yet has no command line any more.
fn lives(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Two processes for each one that is started: itself and a child. They write down who they are and are never ready.
fn never_ready(folder: &Path) -> PathBuf {
    let pids = folder.join("pids");
    script(folder, "tollgate", &format!("sleep {NAP} &\necho \"$$ $!\" >> {}\nwait", pids.display()))
}

fn stop_amid(arguments: &[&str], playground: &Playground, signal: &str) -> (i32, Vec<String>) {
    let folder = playground.path();
    let mut process = playground.load_tests(arguments).arg("--tollgate").arg(never_ready(folder)).spawn().unwrap();
    let started = until("a system is started", || {
        fs::read_to_string(folder.join("pids")).ok().filter(|text| text.ends_with('\n'))
    });
    let pids: Vec<String> = started.split_whitespace().map(str::to_owned).collect();
    assert!(pids.len() >= 2 && pids.iter().all(|pid| lives(pid)), "{pids:?}");
    assert!(Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap().success());
    (ended(&mut process), pids)
}

fn ended(process: &mut Child) -> i32 {
    until("it ends", || process.try_wait().unwrap()).code().unwrap()
}

fn assert_nothing_is_left(folder: &Path, pids: &[String]) {
    until("its children end", || (!pids.iter().any(|pid| lives(pid))).then_some(()));
    let folders = fs::read_dir(folder.join("tmp")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 0, "a temporary folder is left");
}

#[test]
fn a_bench_that_is_terminated_ends_its_server_and_removes_its_folder() {
    let folder = Playground::new();
    let (status, pids) = stop_amid(&["bench"], &folder, "-TERM");
    assert_eq!(status, 143);
    assert_nothing_is_left(folder.path(), &pids);
}

#[test]
fn chaos_that_is_interrupted_ends_its_system_and_removes_its_folder() {
    let folder = Playground::new();
    let (status, pids) = stop_amid(&["chaos", "--system", "embedded", "--rounds", "1"], &folder, "-INT");
    assert_eq!(status, 130);
    assert_nothing_is_left(folder.path(), &pids);
}

#[test]
fn brokers_that_are_still_starting_are_stopped_too() {
    let folder = Playground::new();
    let calls = folder.path().join("calls");
    let kafka = script(
        folder.path(),
        "kafka",
        &format!("echo \"$1\" >> {}\n[ \"$1\" = down ] || exec sleep {NAP}", calls.display()),
    );
    // The engine is asked for first and answers; the brokers never do.
    let engine = script(
        folder.path(),
        "tollgate",
        "shift; while [ $# -gt 0 ]; do [ \"$1\" = --listen ] && port=${2##*:}; shift; done\n\
         exec python3 -c \"import http.server,sys\nclass A(http.server.BaseHTTPRequestHandler):\n \
         def do_GET(self): self.send_response(200); self.end_headers()\n\
         http.server.HTTPServer(('127.0.0.1',int(sys.argv[1])),A).serve_forever()\" \"$port\"",
    );
    let mut command = folder.load_tests(&["chaos", "--system", "streaming", "--rounds", "1", "--tollgate"]);
    command.arg(engine).arg("--kafka").arg(kafka).arg("--work-dir").arg(folder.path().join("work"));
    let mut process = command.spawn().unwrap();
    let told = || fs::read_to_string(&calls).unwrap_or_default();
    until("brokers are asked for", || told().contains("up\n").then_some(()));
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    assert_eq!(ended(&mut process), 143);
    assert_eq!(told(), "up\ndown\n");
    until("its children end", || folder.processes().is_empty().then_some(()));
}

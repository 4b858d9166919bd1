//! The process: what it refuses to start with, what it survives, whom it follows.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::testing::{TestEngine, program};
use engine::{EngineCommand, EngineState, LIBRARY_VARIABLE, PASSWORD_VARIABLE, Supervisor, find_library};

use crate::support::{execute, post};

const PASSWORD: &str = "a password of enough length";

/// Starts the program with its input open; the caller reads its output.
fn start(directory: &Path, arguments: &[&str], library: Option<&Path>) -> Child {
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(directory)
        .args(arguments)
        .env(PASSWORD_VARIABLE, PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(library) = library {
        command.env(LIBRARY_VARIABLE, library);
    }
    command.spawn().unwrap()
}

/// Runs the program until it ends by itself and returns its one line of error.
fn refusal(directory: &Path, arguments: &[&str], library: Option<&Path>) -> String {
    let child = start(directory, arguments, library);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    errors[0].to_owned()
}

fn wait_ready(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"listening\":\"127.0.0.1:"), "{line}");
    line
}

fn wait_gone(process_id: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_alive(process_id) {
        assert!(Instant::now() < deadline, "process {process_id} lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A zombie has ended: it waits only for somebody to ask.
fn is_alive(process_id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process_id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'))
}

fn signal(process_id: u32, which: nix::sys::signal::Signal) {
    let process = nix::unistd::Pid::from_raw(i32::try_from(process_id).unwrap());
    nix::sys::signal::kill(process, which).unwrap();
}

#[test]
fn a_missing_library_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(directory.path(), &[], Some(Path::new("/nonexistent/libchdb.so")));
    assert!(error.contains("/nonexistent/libchdb.so") && error.contains("deploy/engine/fetch"), "{error}");
}

#[test]
fn a_corrupt_library_is_an_error_and_not_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let corrupt = directory.path().join("libchdb.so");
    // The first megabyte of the real one: its header is right, its segments lie beyond the end.
    let mut start = vec![0; 1 << 20];
    std::fs::File::open(find_library().unwrap()).unwrap().read_exact(&mut start).unwrap();
    std::fs::write(&corrupt, &start).unwrap();
    let error = refusal(directory.path(), &[], Some(&corrupt));
    assert!(error.contains("cut off") && error.contains("deploy/engine/fetch"), "{error}");
    std::fs::write(&corrupt, "nothing of the kind").unwrap();
    assert!(refusal(directory.path(), &[], Some(&corrupt)).contains("corrupt"));
    let another = Path::new("/lib/x86_64-linux-gnu/libm.so.6");
    if another.exists() {
        assert!(refusal(directory.path(), &[], Some(another)).contains("it has no function chdb_"));
    }
}

#[test]
fn addresses_that_cannot_be_used_are_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = refusal(directory.path(), &["--listen", &address], None);
    assert!(error.contains(&address) && error.contains("another address"), "{error}");
    let open_to_all = refusal(directory.path(), &["--listen", "0.0.0.0:0"], None);
    assert!(open_to_all.contains("loopback"), "{open_to_all}");
}

#[test]
fn a_second_engine_waits_for_the_directory_and_then_gives_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = start(directory.path(), &[], None);
    wait_ready(&mut first);
    let error = refusal(directory.path(), &["--lock-wait-seconds", "1"], None);
    assert!(error.contains("in use by another engine (waited 1 s)"), "{error}");
    let mut third = start(directory.path(), &["--lock-wait-seconds", "30"], None);
    drop(first.stdin.take());
    wait_ready(&mut third);
    assert!(first.wait().unwrap().success());
    drop(third.stdin.take());
    assert!(third.wait().unwrap().success());
}

#[test]
fn sigterm_ends_the_engine_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start(directory.path(), &[], None);
    wait_ready(&mut child);
    signal(child.id(), nix::sys::signal::Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
}

/// Not a test: [`an_engine_follows_a_parent_that_is_killed`] runs it in a process of its own, which it then kills.
#[tokio::test]
#[ignore = "plays the parent that another test kills"]
async fn plays_the_parent() {
    let Some(directory) = std::env::var_os("TOLLGATE_TEST_PARENT_OF") else {
        return;
    };
    let supervisor = Supervisor::start(command(&PathBuf::from(directory))).await.unwrap();
    let EngineState::Running { process_id } = supervisor.state().borrow().clone() else {
        panic!("not running");
    };
    println!("\nengine {process_id}");
    std::future::pending::<()>().await;
}

fn command(directory: &Path) -> EngineCommand {
    EngineCommand { program: program().to_owned(), args: vec!["--data-dir".into(), directory.into()] }
}

#[test]
fn an_engine_follows_a_parent_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    // Built by this process if it must be, not by the one that is going to be killed.
    program();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["process::plays_the_parent", "--exact", "--ignored", "--nocapture"])
        .env("TOLLGATE_TEST_PARENT_OF", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(parent.stdout.take().unwrap());
    let engine = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("engine ").map(|id| id.parse::<u32>().unwrap()))
        .unwrap();
    assert!(is_alive(engine));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_gone(engine);
    // And the directory is free again.
    drop(TestEngine::on(directory.path()));
}

#[tokio::test]
async fn a_supervised_engine_that_is_killed_comes_back_with_its_data() {
    let directory = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(command(directory.path())).await.unwrap();
    let ask = |statement: &str| {
        reqwest::Client::new()
            .post(supervisor.url())
            .basic_auth(supervisor.user(), Some(supervisor.password()))
            .body(statement.to_owned())
            .send()
    };
    for statement in
        ["CREATE DATABASE d", "CREATE TABLE d.t (a Int8) ENGINE = MergeTree ORDER BY a", "INSERT INTO d.t VALUES (7)"]
    {
        assert_eq!(ask(statement).await.unwrap().status(), 200);
    }
    let mut state = supervisor.state();
    let EngineState::Running { process_id } = state.borrow_and_update().clone() else {
        panic!("not running");
    };
    signal(process_id, nix::sys::signal::Signal::SIGKILL);
    state
        .wait_for(|state| matches!(state, EngineState::Running { process_id: new } if *new != process_id))
        .await
        .unwrap();
    let answer = ask("SELECT a FROM d.t").await.unwrap().text().await.unwrap();
    assert_eq!(answer, "7\n");
    supervisor.stop().await;
    assert_eq!(*state.borrow(), EngineState::Stopped);
}

#[tokio::test]
async fn a_directory_may_be_named_from_where_one_stands() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.current_dir(directory.path()).args(["--data-dir", "./here"]).env(PASSWORD_VARIABLE, PASSWORD);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let line = wait_ready(&mut child);
    let address = line.split('"').nth(3).unwrap();
    for statement in
        ["CREATE DATABASE d", "CREATE TABLE d.t (a Int8) ENGINE = MergeTree ORDER BY a", "INSERT INTO d.t VALUES (7)"]
    {
        let ask = reqwest::Client::new().post(format!("http://{address}/")).header("X-ClickHouse-Key", PASSWORD);
        let answer = ask.body(statement).send().await.unwrap();
        assert!(answer.status().is_success(), "{statement}: {}", answer.text().await.unwrap());
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(directory.path().join("here/store").is_dir());
}

fn parts_of(directory: &Path) -> Vec<PathBuf> {
    let children = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let tables = children(directory.join("store/store")).flat_map(children);
    tables.flat_map(children).filter(|path| path.join("data.bin").exists()).collect()
}

#[tokio::test]
async fn a_broken_part_is_reported_when_the_engine_starts() {
    let directory = tempfile::tempdir().unwrap();
    let engine = TestEngine::on(directory.path());
    execute(&engine, "CREATE DATABASE d").await;
    execute(&engine, "CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    execute(&engine, "INSERT INTO d.t VALUES (1)").await;
    drop(engine);
    let parts = parts_of(directory.path());
    assert_eq!(parts.len(), 1);
    std::fs::write(parts[0].join("data.bin"), "x").unwrap();
    // The first start sets it aside, possibly after it was counted; the second is sure to count it.
    drop(TestEngine::on(directory.path()));
    let mut child = start(directory.path(), &[], None);
    wait_ready(&mut child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("are broken and were set aside"), "{text}");
}

/// Inserts blocks of 50 rows, each with its own number, until told to stop; returns the numbers that were acknowledged.
async fn write_blocks(engine: Arc<TestEngine>, writer: u64, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let block = writer * 1_000_000 + round;
        let rows: Vec<u8> = (0..50_u64).flat_map(|row| [block.to_le_bytes(), row.to_le_bytes()]).flatten().collect();
        let sent = post(&engine).query(&[("query", "INSERT INTO d.t FORMAT RowBinary")]).body(rows).send().await;
        match sent {
            Ok(response) if response.status() == 200 => acknowledged.push(block),
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn blocks_acknowledged_before_a_kill_are_there_after_it_and_whole() {
    let mut engine = TestEngine::start();
    execute(&engine, "CREATE DATABASE d").await;
    execute(&engine, "CREATE TABLE d.t (block UInt64, row UInt64) ENGINE = MergeTree ORDER BY block").await;
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        let shared = Arc::new(engine);
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| tokio::spawn(write_blocks(Arc::clone(&shared), round * 10 + writer, Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(500 + 170 * round)).await;
        signal(shared.process_id().unwrap(), nix::sys::signal::Signal::SIGKILL);
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        engine = Arc::into_inner(shared).unwrap();
        engine.restart();
    }
    assert!(acknowledged.len() > 50, "only {} blocks were written", acknowledged.len());
    let stored = execute(&engine, "SELECT block, count(), uniqExact(row) FROM d.t GROUP BY block").await;
    let mut found = std::collections::HashSet::new();
    for line in stored.lines() {
        let (block, counts) = line.split_once('\t').unwrap();
        assert_eq!(counts, "50\t50", "block {block} is not whole");
        found.insert(block.parse::<u64>().unwrap());
    }
    let lost: Vec<_> = acknowledged.iter().filter(|block| !found.contains(block)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

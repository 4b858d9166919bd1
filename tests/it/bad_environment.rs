//! A bad environment: one line that says what to do, and an exit code that is not 0. Root ignores file modes, so what cannot be
//! written is a file that stands in the way, or a file system without room.

use crate::harness::{ADMIN_SECRET, Server, free_port, output, told, tollgate};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

fn up(arguments: &[&str]) -> Output {
    let listen = format!("127.0.0.1:{}", free_port());
    output(tollgate(&["up"]).args(["--listen", &listen]).args(arguments).env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET))
}

/// The one line on standard error that is no log line.
fn error_line(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", told(output));
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "one line says what is wrong:\n{text}");
    lines[0].to_string()
}

#[test]
fn a_busy_port_is_told_before_anything_slow_starts() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = directory.path().join("data");
    let ended = output(
        tollgate(&["up", "--listen", &address, "--data-dir", data.to_str().unwrap()])
            .env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET),
    );
    let line = error_line(&ended);
    assert!(line.contains(&address) && line.contains("--listen"), "{line}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("data");
    std::fs::write(&in_the_way, "a file").unwrap();
    for path in [in_the_way.clone(), in_the_way.join("below")] {
        let line = error_line(&up(&["--data-dir", path.to_str().unwrap()]));
        assert!(line.contains("data directory") && line.contains("--data-dir"), "{line}");
    }
    let line = error_line(&up(&["--data-dir", "/proc/tollgate-data"]));
    assert!(line.contains("/proc/tollgate-data"), "{line}");
}

#[test]
fn a_file_where_the_engine_or_the_ledger_should_be_is_named() {
    for name in ["engine", "ledger.db"] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let in_the_way = data.join(name);
        if name == "engine" {
            std::fs::write(&in_the_way, "a file").unwrap();
        } else {
            std::fs::create_dir(&in_the_way).unwrap();
        }
        let line = error_line(&up(&["--data-dir", data.to_str().unwrap()]));
        assert!(line.contains(in_the_way.to_str().unwrap()), "{line}");
    }
}

#[test]
fn a_missing_or_damaged_engine_is_told_with_the_way_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let missing = directory.path().join("no-such-libchdb.so");
    let damaged = directory.path().join("libchdb.so");
    std::fs::write(&damaged, "not a library").unwrap();
    for library in [&missing, &damaged] {
        let library = library.to_str().unwrap();
        let line = error_line(&up(&["--data-dir", data.to_str().unwrap(), "--engine-lib", library]));
        assert!(line.contains(library), "{line}");
    }
    let line = error_line(&up(&["--data-dir", data.to_str().unwrap(), "--engine-lib", damaged.to_str().unwrap()]));
    assert!(line.contains("deploy/engine/fetch"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_a_data_directory_is_refused_and_the_first_goes_on() {
    let server = Server::start(&[]).await;
    let line = error_line(&up(&["--data-dir", server.directory_argument()]));
    assert!(line.contains("is in use by another tollgate") && line.contains(&server.url), "{line}");
    let ready = crate::wire::Caller::nobody(&server).get_status("/readyz").await;
    assert_eq!(ready, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_secret_is_printed_at_the_first_start_only_and_kept_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut printed = Vec::new();
    for _ in 0..2 {
        let mut child = tollgate(&["up", "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<String> = std::io::BufRead::lines(stdout)
            .map_while(Result::ok)
            .take_while(|line| !line.starts_with("Tollgate is up"))
            .collect();
        // The stored secret is how other commands reach the running process.
        let billed = output(&mut tollgate(&["bill", "--data-dir", data.to_str().unwrap()]));
        assert!(billed.status.success(), "{}", told(&billed));
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        printed.push(lines.join("\n"));
    }
    let secret = std::fs::read_to_string(data.join("admin-secret")).unwrap();
    assert!(secret.trim().len() >= 32);
    assert!(printed[0].contains(secret.trim()), "{printed:?}");
    assert!(!printed[1].contains(secret.trim()), "{printed:?}");
    let mode = std::fs::metadata(data.join("admin-secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_short_admin_secret_an_unknown_flag_and_an_unknown_key_are_refused_by_name() {
    let short = output(tollgate(&["up"]).env("TOLLGATE_ADMIN_SECRET", "too-short"));
    assert!(error_line(&short).contains("TOLLGATE_ADMIN_SECRET"));
    let flag = output(&mut tollgate(&["up", "--lisen", "127.0.0.1:0"]));
    assert_eq!(flag.status.code(), Some(2));
    assert!(told(&flag).contains("--lisen") && told(&flag).contains("--listen"), "{}", told(&flag));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[server]\nlisen = '127.0.0.1:0'\n").unwrap();
    let key = output(&mut tollgate(&["check-config", "--config", file.path().to_str().unwrap()]));
    assert!(error_line(&key).contains("unknown key 'server.lisen' (did you mean server.listen?)"));
}

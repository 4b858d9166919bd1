//! PyPI `clickhouse-connect`, the other published client, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use engine::PASSWORD_VARIABLE;
use engine::testing::TestEngine;

/// What is installed; the environment is made anew when this changes.
const REQUIREMENTS: [&str; 5] =
    ["clickhouse-connect==1.12.0", "certifi==2026.10.18", "urllib3==2.8.0", "lz4==4.4.5", "backports.zstd==1.8.0"];

/// Runs a command that must succeed.
fn run(command: &mut Command, what_to_do: &str) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?} cannot be run: {error}. {what_to_do}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}). {what_to_do}\n{text}\n{errors}", output.status);
    text
}

/// The Python of an environment with the requirements, made once per target directory.
fn python() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clickhouse-connect");
    let marker = directory.join("installed");
    let wanted = REQUIREMENTS.join("\n");
    let python = directory.join("bin/python");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let mut make = Command::new("python3");
    run(
        make.args(["-m", "venv", "--clear"]).arg(&directory),
        "This test needs Python 3 with its venv module (apt-get install python3-venv)",
    );
    let mut install = Command::new(&python);
    run(
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(REQUIREMENTS),
        "This test needs a package index that pip can reach",
    );
    std::fs::write(&marker, wanted).unwrap();
    python
}

#[test]
fn clickhouse_connect_inserts_selects_and_understands_errors() {
    let engine = TestEngine::shared();
    let url = engine.url();
    let (host, port) = url.strip_prefix("http://").unwrap().split_once(':').unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_client.py");
    let mut command = Command::new(python());
    command.arg(script).args([host, port]).env(PASSWORD_VARIABLE, engine.password());
    let output = run(&mut command, "The engine's answers are not what the client expects");
    assert!(output.contains("all is well"), "{output}");
}

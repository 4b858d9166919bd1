//! A real Kafka for tests: `deploy/dev-kafka/kafka` on a free port and a directory of its own, stopped when dropped.
//!
//! It refuses to stand in for a broker: where Java or Maven is missing, the tests fail and say so.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A running cluster.
#[derive(Debug)]
pub struct DevKafka {
    data: PathBuf,
    brokers: u8,
    /// Bootstrap list.
    pub bootstrap: String,
}

impl DevKafka {
    /// Starts 1 or 3 brokers with their data below `directory`.
    ///
    /// # Errors
    /// What the script says when it cannot.
    pub fn start(directory: &Path, brokers: u8) -> Result<Self, String> {
        Self::start_with(directory, brokers, "plaintext")
    }

    /// As [`Self::start`], but clients must come by TLS, with a certificate, a user and a password, all below [`Self::tls`].
    ///
    /// # Errors
    /// What the script says when it cannot.
    pub fn start_secured(directory: &Path) -> Result<Self, String> {
        Self::start_with(directory, 1, "sasl_ssl")
    }

    fn start_with(directory: &Path, brokers: u8, security: &str) -> Result<Self, String> {
        let data = directory.join("kafka");
        let port = free_port_block().map_err(|error| error.to_string())?.to_string();
        let output = run(&["up", "--brokers", &brokers.to_string(), "--port", &port, "--security", security], &data)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let bootstrap = text.lines().last().unwrap_or_default().to_owned();
        Ok(Self { data, brokers, bootstrap })
    }

    /// Where a secured cluster keeps `ca.pem`, `client.pem`, `client.key` and `password`.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.data.join("tls")
    }

    /// `kill -9` of broker `number` (1, 2, 3).
    ///
    /// # Errors
    /// What the script says.
    pub fn kill(&self, number: u8) -> Result<(), String> {
        run(&["kill", &number.to_string()], &self.data).map(drop)
    }

    /// Starts broker `number` again; returns when it answers.
    ///
    /// # Errors
    /// What the script says.
    pub fn start_broker(&self, number: u8) -> Result<(), String> {
        run(&["start", &number.to_string()], &self.data).map(drop)
    }
}

impl Drop for DevKafka {
    fn drop(&mut self) {
        // Killed, not stopped: nobody reads this data again, and an orderly stop takes seconds.
        for number in 1..=self.brokers {
            if let Err(reason) = self.kill(number) {
                eprintln!("dev-kafka: {reason}");
            }
        }
    }
}

/// A port P such that P..P+3, P+100..P+103 and P+200..P+203 are free now.
fn free_port_block() -> std::io::Result<u16> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let block = (0..3).flat_map(|step| [0, 100, 200].map(|apart| port.checked_add(step + apart)));
        let all_free = block
            .into_iter()
            .all(|candidate| candidate.is_some_and(|candidate| TcpListener::bind(("127.0.0.1", candidate)).is_ok()));
        if all_free {
            return Ok(port);
        }
    }
}

fn run(arguments: &[&str], data: &Path) -> Result<Output, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev-kafka/kafka");
    let output = Command::new(&script).args(arguments).arg("--data").arg(data).output();
    let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
    if output.status.success() { Ok(output) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

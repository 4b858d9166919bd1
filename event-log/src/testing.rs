//! Brokers for tests.
//!
//! A real Kafka: `deploy/dev-kafka/kafka` on a free port and a directory of its own, stopped when dropped. Where Java or Maven is
//! missing, librdkafka's mock cluster ([`mock`]) stands in for it, and says so on the terminal past what the test runner captures;
//! tests that need more ask [`needs_real_brokers`] and are told of by name when they did not run.
//!
//! It refuses to stand in for the real one where `CI=true`: the tests fail then.

mod mock;

use crate::settings::KafkaSettings;
use mock::MockBroker;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// A running cluster.
#[derive(Debug)]
pub struct DevKafka {
    cluster: Cluster,
    /// Bootstrap list.
    pub bootstrap: String,
}

#[derive(Debug)]
enum Cluster {
    Real { data: PathBuf, brokers: u8 },
    Mock(MockBroker),
}

/// Whether a test that needs `what` of real brokers can run; when it cannot, its name is told on the terminal.
///
/// Panics nowhere: with `CI=true` it answers true, and starting the brokers fails then.
#[must_use]
pub fn needs_real_brokers(what: &str) -> bool {
    let Some(missing) = missing() else { return true };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    shout(&format!("NOT RUN: {test}: needs {what} ({missing})"));
    false
}

/// What real brokers lack here; `None` when they can be started, and where they must.
fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            return None;
        }
        let checked = Command::new(script()).arg("check").output();
        match checked {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        }
    };
    MISSING.get_or_init(look).as_deref()
}

/// On the terminal, also from a test that passes: the macros' output is captured, this is not.
fn shout(text: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stderr(), "\n*** {text} ***");
}

impl DevKafka {
    /// Starts 1 or 3 brokers with their data below `directory`; where real ones cannot be had, and one is enough, a mock.
    ///
    /// # Errors
    /// What the script says when it cannot.
    pub fn start(directory: &Path, brokers: u8) -> Result<Self, String> {
        match missing() {
            Some(missing) if brokers == 1 => Self::start_mock(missing),
            _ => Self::start_with(directory, brokers, "plaintext"),
        }
    }

    /// As [`Self::start`], but clients must come by TLS, with a certificate, a user and a password, all below [`Self::tls`].
    ///
    /// # Errors
    /// What the script says when it cannot.
    pub fn start_secured(directory: &Path) -> Result<Self, String> {
        Self::start_with(directory, 1, "sasl_ssl")
    }

    fn start_mock(missing: &str) -> Result<Self, String> {
        shout(&format!(
            "NO REAL KAFKA ({missing}). These tests run on librdkafka's mock cluster, and those that it cannot serve do not \
             run. With CI=true a real one is a must"
        ));
        let (mock, bootstrap) = MockBroker::start()?;
        Ok(Self { cluster: Cluster::Mock(mock), bootstrap })
    }

    fn start_with(directory: &Path, brokers: u8, security: &str) -> Result<Self, String> {
        let data = directory.join("kafka");
        let port = free_port_block().map_err(|error| error.to_string())?.to_string();
        let output = run(&["up", "--brokers", &brokers.to_string(), "--port", &port, "--security", security], &data)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let bootstrap = text.lines().last().unwrap_or_default().to_owned();
        Ok(Self { cluster: Cluster::Real { data, brokers }, bootstrap })
    }

    /// One broker for all tests of an executable: starting takes four seconds. It ends with the executable. Tests that share
    /// it use topics and groups of their own.
    ///
    /// # Panics
    /// When there is no broker to be had, with what the script says.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<DevKafka> = OnceLock::new();
        SHARED.get_or_init(|| {
            let directory = std::env::temp_dir().join(format!("tollgate-kafka-{}", std::process::id()));
            let started = std::fs::create_dir_all(&directory).map_err(|error| error.to_string());
            match started.and_then(|()| Self::start(&directory, 1)).and_then(|kafka| {
                end_with_this_process(&directory)?;
                Ok(kafka)
            }) {
                Ok(kafka) => kafka,
                Err(reason) => panic!("no Kafka for tests: {reason}"),
            }
        })
    }

    /// Settings of a log of this name: topics `NAME-1` and `NAME-dead`, six partitions.
    ///
    /// # Panics
    /// As [`Self::prepare`].
    #[must_use]
    pub fn settings(&self, name: &str) -> KafkaSettings {
        let settings = KafkaSettings {
            brokers: self.bootstrap.clone(),
            topic: format!("{name}-1"),
            dead_letter_topic: format!("{name}-dead"),
            ..KafkaSettings::default()
        };
        self.prepare(&settings);
        settings
    }

    /// Before a program makes sure of its topics: real brokers are asked by it, the mock does not know how and has them made here.
    ///
    /// # Panics
    /// When the mock refuses.
    pub fn prepare(&self, settings: &KafkaSettings) {
        let Cluster::Mock(mock) = &self.cluster else { return };
        for topic in [&settings.topic, &settings.dead_letter_topic] {
            mock.make(topic, settings.partitions).unwrap_or_else(|reason| panic!("{reason}"));
        }
    }

    /// Makes a topic of one replica as somebody made it who does not know what Tollgate needs.
    ///
    /// # Panics
    /// When the brokers refuse.
    pub async fn make_topic(&self, topic: &str, partitions: u16, configuration: &[(&str, &str)]) {
        let settings = KafkaSettings { brokers: self.bootstrap.clone(), ..KafkaSettings::default() };
        let client: AdminClient<_> = settings.client().create().unwrap_or_else(|error| panic!("{error}"));
        let wanted = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(1));
        let wanted = configuration.iter().fold(wanted, |wanted, (name, value)| wanted.set(name, value));
        let made = client.create_topics([&wanted], &AdminOptions::new()).await;
        let made = made.unwrap_or_else(|error| panic!("{error}")).pop();
        assert!(matches!(made, Some(Ok(_))), "{topic}: {made:?}");
    }

    /// Where a secured cluster keeps `ca.pem`, `client.pem`, `client.key` and `password`.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.data().map_or_else(|_| PathBuf::from("the-mock-has-no-tls"), |data| data.join("tls"))
    }

    fn data(&self) -> Result<&Path, String> {
        match &self.cluster {
            Cluster::Real { data, .. } => Ok(data),
            Cluster::Mock(_) => Err("the mock broker cannot be killed: ask needs_real_brokers first".to_owned()),
        }
    }

    /// `kill -9` of broker `number` (1, 2, 3).
    ///
    /// # Errors
    /// What the script says.
    pub fn kill(&self, number: u8) -> Result<(), String> {
        run(&["kill", &number.to_string()], self.data()?).map(drop)
    }

    /// Starts broker `number` again; returns when it answers.
    ///
    /// # Errors
    /// What the script says.
    pub fn start_broker(&self, number: u8) -> Result<(), String> {
        run(&["start", &number.to_string()], self.data()?).map(drop)
    }
}

impl Drop for DevKafka {
    fn drop(&mut self) {
        let Cluster::Real { brokers, .. } = self.cluster else { return };
        // Killed, not stopped: nobody reads this data again, and an orderly stop takes seconds.
        for number in 1..=brokers {
            if let Err(reason) = self.kill(number) {
                eprintln!("dev-kafka: {reason}");
            }
        }
    }
}

/// A shell that reads from a pipe whose other end closes with this process, however it ends, and then removes the broker.
fn end_with_this_process(directory: &Path) -> Result<(), String> {
    let script = script();
    let clean_up = "read -r _; \"$0\" kill 1 --data \"$1/kafka\"; rm -rf \"$1\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", clean_up]).arg(script).arg(directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = shell.spawn().map_err(|error| format!("bash: {error}"))?;
    // Neither waited for nor closed: the pipe must stay open for as long as this process lives.
    std::mem::forget(child);
    Ok(())
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev-kafka/kafka")
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
    let script = script();
    let output = Command::new(&script).args(arguments).arg("--data").arg(data).output();
    let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
    if output.status.success() { Ok(output) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

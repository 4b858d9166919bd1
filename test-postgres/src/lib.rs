//! A real PostgreSQL for tests: one server of the system's package a test process, one database of its own a test.
//!
//! The server listens on a socket in a directory of its own, writes without waiting for the disk, and ends with the process
//! that started it, however that ends: a shell beside it reads from a pipe whose other end this process holds.
//!
//! It refuses to use a server that is running on the machine already. PostgreSQL refuses to run as root: then it runs as the
//! user `postgres`, whom Debian's package makes.

use nix::unistd::{Uid, User, chown};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where Debian's package keeps its programs, by version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// `initdb` takes about a second on an idle core, the start a third of one; a loaded machine gets time.
const PATIENCE: Duration = Duration::from_secs(90);
/// The server's superuser; nobody but the tests can reach the socket.
const SUPERUSER: &str = "tollgate";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No programs.
    #[error("PostgreSQL is not installed: apt-get install postgresql")]
    NotInstalled,
    /// Root, and no other user to run as.
    #[error("PostgreSQL refuses to run as root, and there is no user 'postgres' to run it as")]
    NoUser,
    /// The system refused.
    #[error("PostgreSQL could not be started: {0}")]
    System(#[from] std::io::Error),
    /// The system refused a change of owner.
    #[error("the server's directory could not be given to its user: {0}")]
    Owner(#[from] nix::Error),
    /// It came up in no time that is bearable.
    #[error("PostgreSQL did not answer within {PATIENCE:?}; its log ends: {0}")]
    Silent(String),
}

/// A running server.
#[derive(Debug)]
pub struct TestPostgres {
    directory: PathBuf,
    // Its standard input is the pipe that keeps the server alive.
    _keeper: Child,
}

/// The directory of the newest installed version's programs.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir(PACKAGES).ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|programs| programs.join("initdb").exists()).max()
}

/// What the shell does: makes the files, starts the server, waits for the end of its input, and tidies up.
const KEEPER: &str = r#"
"$1/initdb" -D "$2/data" -U "$3" -A trust --no-sync --locale=C --encoding=UTF8 || exit 1
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c shared_buffers=64MB -c max_connections=200 &
server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

impl TestPostgres {
    /// The server of this process, started when first asked for.
    ///
    /// # Panics
    /// When it cannot be started: a test that needs it must not pass without.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<TestPostgres> = OnceLock::new();
        SERVER.get_or_init(|| Self::start().unwrap_or_else(|fault| panic!("{fault}")))
    }

    /// Starts a server.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start() -> Result<Self, StartError> {
        let programs = installed().ok_or(StartError::NotInstalled)?;
        let directory = tempfile::Builder::new().prefix("tollgate-postgres-").tempdir()?.keep();
        let log = std::fs::File::create(directory.join("log"))?;
        let mut command = if Uid::effective().is_root() {
            let user = User::from_name("postgres")?.ok_or(StartError::NoUser)?;
            chown(&directory, Some(user.uid), Some(user.gid))?;
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "sh", "-c", KEEPER]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", KEEPER]);
            command
        };
        let keeper = command
            .arg("keeper")
            .args([&programs, &directory])
            .arg(SUPERUSER)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let server = Self { directory, _keeper: keeper };
        server.wait_for_socket()?;
        Ok(server)
    }

    fn wait_for_socket(&self) -> Result<(), StartError> {
        // The default port names the socket, whatever else listens on it elsewhere.
        let socket = self.directory.join(".s.PGSQL.5432");
        let started = Instant::now();
        while !socket.exists() {
            if started.elapsed() > PATIENCE {
                return Err(StartError::Silent(end_of(&self.directory.join("log"))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The URL of a new, empty database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database(&self) -> Result<String, sqlx::Error> {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let mut connection = self.connect().await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        connection.close().await?;
        Ok(format!("postgres://{SUPERUSER}@localhost/{name}?host={}", self.directory.display()))
    }

    /// The URL of a new database with everything that the one at `url` holds, also while others are connected to that.
    ///
    /// # Errors
    /// When the server or its programs refuse.
    ///
    /// # Panics
    /// When the URL is not one of [`TestPostgres::database`].
    pub async fn copy_of(&self, url: &str) -> Result<String, sqlx::Error> {
        let copy = self.database().await?;
        let script =
            r#""$1/pg_dump" -h "$2" -U "$3" "$4" | "$1/psql" -q -v ON_ERROR_STOP=1 -h "$2" -U "$3" "$5" > /dev/null"#;
        let programs = installed().ok_or_else(|| sqlx::Error::Io(std::io::ErrorKind::NotFound.into()))?;
        let done = Command::new("bash")
            .args(["-o", "pipefail", "-c", script, "copy"])
            .args([&programs, &self.directory])
            .args([SUPERUSER, name_in(url), name_in(&copy)])
            .status()
            .map_err(sqlx::Error::Io)?;
        assert!(done.success(), "pg_dump or psql failed");
        Ok(copy)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .username(SUPERUSER)
            .database("postgres")
            .disable_statement_logging();
        let started = Instant::now();
        loop {
            // The socket is there a moment before the server takes connections on it.
            match PgConnection::connect_with(&options).await {
                Err(_) if started.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(20)).await,
                outcome => return outcome,
            }
        }
    }
}

/// The name of the database in a URL of ours.
fn name_in(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The last lines of the server's log.
fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

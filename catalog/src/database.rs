//! The ledger database: one pool over SQLite (embedded) or PostgreSQL, migrations per component, write transactions, and
//! errors with names.
//!
//! The one module that knows how the two databases differ; all SQL elsewhere is portable: `$1` placeholders, BIGINT
//! microseconds and money, TEXT ids and decimals, booleans as BIGINT 0/1, partial unique indexes, `ON CONFLICT`.
//!
//! It refuses: SQL that asks for the time, and writing on SQLite from two tasks at once (one writer; the second waits on a
//! mutex instead of on SQLite's lock, where waiting is polling).
//!
//! Failure behaviour: a broken unique or foreign key is [`DatabaseError::Unique`] / [`DatabaseError::ForeignKey`], which routes
//! answer with 409; a full disk or read-only file is one line that says what to do, answered 503.

mod error;
#[cfg(test)]
mod tests;

pub use error::DatabaseError;

use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, Transaction};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Name of the embedded database in the data directory.
pub const LEDGER_FILE: &str = "ledger.db";
/// Connections of the pool: readers beside the one writer; more would only queue on two to eight cores.
const CONNECTIONS: u32 = 8;
/// How long SQLite waits for a lock of another process (a command-line tool beside the server).
const BUSY_TIMEOUT_MS: u32 = 10_000;
/// Between two tries where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Any number that is no other program's lock in the same database: the first letters of "tollgate".
const MIGRATION_LOCK: i64 = 0x0074_6f6c_6c67;
/// How long a request waits for a free connection before it is answered 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Which of the two databases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// The ledger database, shared by all components that keep tables in it.
#[derive(Clone)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
    // SQLite has one writer; with PostgreSQL it is not taken.
    writer: Arc<Mutex<()>>,
}

impl Database {
    /// Opens the embedded database of a data directory, making it when it is not there (mode 0600).
    ///
    /// # Errors
    /// When the directory or file cannot be written, or is no database.
    pub async fn open_in(data_directory: &Path) -> Result<Self, DatabaseError> {
        let file = data_directory.join(LEDGER_FILE);
        make_private_file(&file)?;
        let url = format!("sqlite://{}?mode=rw", percent_encoded(&file));
        Self::connect(&url, Dialect::Sqlite, &file.display().to_string()).await
    }

    /// Opens the database at `url`: `sqlite://PATH` or `postgres://…`.
    ///
    /// # Errors
    /// When it cannot be opened; the text names the database without its password.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            let file = PathBuf::from(path.split('?').next().unwrap_or_default());
            make_private_file(&file)?;
            let existing = format!("sqlite://{}?mode=rw", percent_encoded(&file));
            return Self::connect(&existing, Dialect::Sqlite, &file.display().to_string()).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::connect(url, Dialect::Postgres, &without_credentials(url)).await;
        }
        let reason = "the URL starts neither with sqlite:// nor with postgres://".to_string();
        Err(DatabaseError::Unavailable(without_credentials(url), reason))
    }

    async fn connect(url: &str, dialect: Dialect, shown: &str) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        // Alone first: the pool would repeat a connection that cannot be prepared until its time-out, and then say only that.
        let mut first = AnyConnection::connect(url).await.map_err(|fault| named(fault.into(), shown))?;
        prepare_connection(&mut first, dialect).await.map_err(|fault| named(fault.into(), shown))?;
        first.close().await.map_err(|fault| named(fault.into(), shown))?;
        let options = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // The pool would ping a connection before each use: a round trip for nothing on an embedded database.
            .test_before_acquire(dialect == Dialect::Postgres)
            .after_connect(move |connection, _| Box::pin(prepare_connection(connection, dialect)));
        let pool = options.connect(url).await.map_err(|fault| named(fault.into(), shown))?;
        Ok(Self { pool, dialect, writer: Arc::default() })
    }

    /// Whether it answers at all.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    /// For reading.
    #[must_use]
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which of the two databases it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Ends a `SELECT` of rows that its transaction then changes: as [`WriteTransaction::for_update`].
    #[must_use]
    pub fn row_lock(&self) -> &'static str {
        row_lock(self.dialect)
    }

    /// Begins a write transaction; on SQLite it waits for the one before. Dropped without commit, it is rolled back.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn write(&self) -> Result<WriteTransaction, DatabaseError> {
        let turn = match self.dialect {
            Dialect::Sqlite => Some(self.writer.clone().lock_owned().await),
            Dialect::Postgres => None,
        };
        // IMMEDIATE takes SQLite's write lock at once: a transaction that read first could not be upgraded later.
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        let transaction = self.begin(begin).await?;
        Ok(WriteTransaction { transaction, dialect: self.dialect, _turn: turn })
    }

    /// Begins a transaction by `statement`, on a task of its own: a request that is given up while PostgreSQL answers it would leave a
    /// connection to the pool whose transaction nobody ends (the driver, sqlx 0.9.0, rolls back what it has counted, and counts after the
    /// answer). What others then write by that connection would be seen by nobody, and undone with the next error.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub(crate) async fn begin(&self, statement: &'static str) -> Result<Transaction<'static, Any>, DatabaseError> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(statement).await });
        let ended = |fault: tokio::task::JoinError| DatabaseError::Other(format!("no transaction was begun: {fault}"));
        Ok(begun.await.map_err(ended)??)
    }

    /// Brings the tables of `component` to the newest version: `migrations[n]` makes version n + 1 of version n. Each may hold
    /// several statements; all that are missing run in one transaction. A migration that was released is never edited.
    ///
    /// # Errors
    /// When one fails, or when the tables are newer than this program.
    pub async fn migrate(&self, component: &str, migrations: &[&'static str]) -> Result<(), DatabaseError> {
        let mut write = self.write().await?;
        if self.dialect == Dialect::Postgres {
            // Two processes that start at once must not both make the tables; the lock ends with the transaction.
            let one_at_a_time = format!("SELECT COUNT(*) FROM pg_advisory_xact_lock({MIGRATION_LOCK})");
            sqlx::query(AssertSqlSafe(one_at_a_time)).execute(write.connection()).await?;
        }
        let table = "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version BIGINT NOT NULL)";
        sqlx::query(table).execute(write.connection()).await?;
        let found = sqlx::query("SELECT version FROM schema_versions WHERE component = $1")
            .bind(component)
            .fetch_optional(write.connection())
            .await?;
        let found: i64 = found.map_or(Ok(0), |row| row.try_get(0))?;
        let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(DatabaseError::TooNew { component: component.into(), found, known });
        }
        for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
            for statement in migration.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
                sqlx::query(AssertSqlSafe(statement.to_string())).execute(write.connection()).await?;
            }
        }
        sqlx::query(
            "INSERT INTO schema_versions (component, version) VALUES ($1, $2) \
             ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        )
        .bind(component)
        .bind(known)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// Looks at the tables of `component` without changing any: their version, 0 when there are none, of those that `migrations` makes.
    ///
    /// # Errors
    /// [`DatabaseError::TooNew`] when they are newer than this program; when the database cannot be read.
    pub async fn version_of(&self, component: &str, migrations: &[&'static str]) -> Result<i64, DatabaseError> {
        let is_there = match self.dialect {
            Dialect::Sqlite => "SELECT COUNT(*) AS tables FROM sqlite_master WHERE name = 'schema_versions'",
            Dialect::Postgres => "SELECT COUNT(*) AS tables FROM pg_class WHERE oid = to_regclass('schema_versions')",
        };
        let tables: i64 = sqlx::query(is_there).fetch_one(&self.pool).await?.try_get("tables")?;
        if tables == 0 {
            return Ok(0);
        }
        let found = sqlx::query("SELECT version FROM schema_versions WHERE component = $1")
            .bind(component)
            .fetch_optional(&self.pool)
            .await?;
        let found: i64 = found.map_or(Ok(0), |row| row.try_get("version"))?;
        let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
        if found > known { Err(DatabaseError::TooNew { component: component.into(), found, known }) } else { Ok(found) }
    }

    /// Closes all connections; on SQLite the write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A write transaction; the only one of its process on SQLite.
pub struct WriteTransaction {
    // Declared before the turn, hence dropped (rolled back) before the next writer starts.
    transaction: Transaction<'static, Any>,
    dialect: Dialect,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl WriteTransaction {
    /// The connection, for `query.execute(write.connection())`.
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Ends a `SELECT` of rows that this transaction then changes by what it read: nobody else changes them meanwhile. On SQLite
    /// there is nobody else.
    #[must_use]
    pub fn for_update(&self) -> &'static str {
        row_lock(self.dialect)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When it could not be; nothing of it was kept then.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.transaction.commit().await?)
    }
}

fn row_lock(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    }
}

async fn prepare_connection(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    if dialect == Dialect::Postgres {
        return Ok(());
    }
    let settings = [
        // First, for what follows waits for locks as well.
        format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"),
        // A committed transaction survives the machine, not only the process (I7).
        "PRAGMA synchronous = FULL".to_string(),
        "PRAGMA foreign_keys = ON".into(),
        // 16 MiB a connection instead of 2: bulk reads of a large catalog touch each page once.
        "PRAGMA cache_size = -16384".into(),
        "PRAGMA temp_store = MEMORY".into(),
    ];
    for setting in settings {
        sqlx::query(AssertSqlSafe(setting)).execute(&mut *connection).await?;
    }
    write_ahead(connection).await?;
    connection.ping().await
}

/// Readers go on while the one writer writes. Only the first who ever opens the file changes anything; services that are started at
/// once on a new one would each be that first, and SQLite tells the others that it is busy without any waiting.
async fn write_ahead(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + Duration::from_millis(BUSY_TIMEOUT_MS.into());
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(fault) if error::is_busy(&fault) && Instant::now() < deadline => tokio::time::sleep(BUSY_PAUSE).await,
            outcome => return outcome.map(drop),
        }
    }
}

fn make_private_file(file: &Path) -> Result<(), DatabaseError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        // The ledger names customers and prices; SQLite gives its side files the same mode.
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(fault) => Err(match fault.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                DatabaseError::ReadOnly(file.display().to_string())
            }
            io::ErrorKind::StorageFull => DatabaseError::Full,
            _ => DatabaseError::Unavailable(file.display().to_string(), fault.to_string()),
        }),
    }
}

fn named(fault: DatabaseError, shown: &str) -> DatabaseError {
    match fault {
        DatabaseError::ReadOnly(_) => DatabaseError::ReadOnly(shown.into()),
        DatabaseError::Corrupt(_, reason) => DatabaseError::Corrupt(shown.into(), reason),
        DatabaseError::Other(reason) => DatabaseError::Unavailable(shown.into(), reason),
        other => other,
    }
}

/// The URL's scheme, host and database, without user and password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "given".into() };
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{}", place.split('?').next().unwrap_or_default())
}

/// The path as it may stand in a URL: sqlx decodes percent signs and cuts at `?` and `#`.
fn percent_encoded(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | '?' | '#' | ' ' => encoded.push_str(&format!("%{:02X}", u32::from(character))),
            other => encoded.push(other),
        }
    }
    encoded
}

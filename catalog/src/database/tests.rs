//! Of the database itself, on SQLite; what differs on PostgreSQL is tested with the whole catalog.

use super::*;

const FIRST: &str = "CREATE TABLE parents (id TEXT PRIMARY KEY); \
                     CREATE TABLE children (id TEXT PRIMARY KEY, parent_id TEXT NOT NULL REFERENCES parents (id))";
const SECOND: &str = "ALTER TABLE parents ADD COLUMN name TEXT";

async fn open(directory: &Path) -> Database {
    Database::open_in(directory).await.unwrap()
}

async fn run(database: &Database, sql: &'static str) -> Result<(), DatabaseError> {
    let mut write = database.write().await?;
    sqlx::query(sql).execute(write.connection()).await?;
    write.commit().await
}

async fn count(database: &Database) -> i64 {
    sqlx::query("SELECT COUNT(*) FROM parents").fetch_one(database.pool()).await.unwrap().get(0)
}

#[tokio::test]
async fn migrations_run_once_each_and_a_newer_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    database.migrate("test", &[FIRST, SECOND]).await.unwrap();
    database.migrate("test", &[FIRST, SECOND]).await.unwrap();
    run(&database, "INSERT INTO parents (id, name) VALUES ('a', 'b')").await.unwrap();
    let fault = database.migrate("test", &[FIRST]).await.unwrap_err();
    assert!(matches!(fault, DatabaseError::TooNew { found: 2, known: 1, .. }), "{fault}");
}

#[tokio::test]
async fn services_that_open_a_new_database_at_once_all_get_it() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("shared.db").display());
        let services = (0..8).map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let database = Database::open(&url).await?;
                    database.migrate("test", &[FIRST, SECOND]).await
                })
            })
        });
        for service in services.collect::<Vec<_>>() {
            service.join().unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    assert!(
        database.migrate("test", &["CREATE TABLE parents (id TEXT); CREATE TABLE parents (id TEXT)"]).await.is_err()
    );
    database.migrate("test", &[FIRST]).await.unwrap();
}

#[tokio::test]
async fn broken_keys_have_names_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    run(&database, "INSERT INTO parents VALUES ('a')").await.unwrap();
    let taken = run(&database, "INSERT INTO parents VALUES ('a')").await.unwrap_err();
    assert!(matches!(taken, DatabaseError::Unique(_)), "{taken}");
    let orphan = run(&database, "INSERT INTO children VALUES ('c', 'nobody')").await.unwrap_err();
    assert!(matches!(orphan, DatabaseError::ForeignKey(_)), "{orphan}");
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_lets_the_next_writer_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    let mut write = database.write().await.unwrap();
    sqlx::query("INSERT INTO parents VALUES ('a')").execute(write.connection()).await.unwrap();
    drop(write);
    run(&database, "INSERT INTO parents VALUES ('b')").await.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn many_writers_at_once_all_get_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    let writers = (0..40).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut write = database.write().await?;
            let insert = sqlx::query("INSERT INTO parents VALUES ($1)").bind(number.to_string());
            insert.execute(write.connection()).await?;
            write.commit().await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(count(&database).await, 40);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_can_be_read_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused_with_one_line_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(LEDGER_FILE), vec![b'x'; 8192]).unwrap();
    let fault = Database::open_in(directory.path()).await.err().unwrap();
    let line = fault.to_string();
    assert!(line.contains(LEDGER_FILE) && line.contains("backup") && !line.contains('\n'), "{line}");
    let missing = Database::open_in(&directory.path().join("nowhere")).await.err().unwrap();
    assert!(missing.to_string().contains("cannot be opened"), "{missing}");
}

#[tokio::test]
async fn a_directory_name_with_odd_characters_works() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("50% off? #1 ü");
    std::fs::create_dir(&odd).unwrap();
    let database = open(&odd).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    assert!(odd.join(LEDGER_FILE).metadata().unwrap().len() > 0);
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    database.migrate("test", &[FIRST]).await.unwrap();
    let mut write = database.write().await.unwrap();
    // SQLite's own page limit raises the very error of a full disk.
    sqlx::query("PRAGMA max_page_count = 1").execute(write.connection()).await.unwrap();
    let long = "x".repeat(100_000);
    let insert = sqlx::query("INSERT INTO parents VALUES ($1)").bind(&long);
    let fault = DatabaseError::from(insert.execute(write.connection()).await.unwrap_err());
    assert!(matches!(fault, DatabaseError::Full), "{fault}");
    drop(write);
    assert_eq!(count(&database).await, 0);
}

#[test]
fn passwords_are_not_shown() {
    assert_eq!(without_credentials("postgres://me:secret@db.local/ledger?x=1"), "postgres://db.local/ledger");
}

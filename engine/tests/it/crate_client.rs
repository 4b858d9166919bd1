//! The `clickhouse` crate, with and without compression.

use clickhouse::{Client, Compression, Row};
use engine::testing::TestEngine;
use serde::{Deserialize, Serialize};

use crate::support::database;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Usage {
    id: u64,
    customer: String,
    amount: Option<i64>,
    tags: Vec<String>,
}

fn usage(id: u64) -> Usage {
    Usage {
        id,
        customer: format!("customer {}", id % 10),
        amount: (!id.is_multiple_of(3)).then(|| i64::try_from(id).unwrap() - 5),
        tags: vec![format!("tag{id}"), String::new()],
    }
}

async fn client(compression: Compression) -> Client {
    let engine = TestEngine::shared();
    let client = Client::default()
        .with_url(engine.url())
        .with_user(engine.user())
        .with_password(engine.password())
        .with_database(database(engine).await)
        .with_compression(compression);
    client
        .query(
            "CREATE TABLE usage (id UInt64, customer String, amount Nullable(Int64), tags Array(String)) \
             ENGINE = MergeTree ORDER BY id",
        )
        .execute()
        .await
        .unwrap();
    client
}

async fn insert_and_select(compression: Compression) {
    let client = client(compression).await;
    let rows: Vec<Usage> = (0..200_000).map(usage).collect();
    let mut insert = client.insert::<Usage>("usage").await.unwrap();
    for row in &rows {
        insert.write(row).await.unwrap();
    }
    insert.end().await.unwrap();
    let read: Vec<Usage> = client.query("SELECT ?fields FROM usage ORDER BY id").fetch_all().await.unwrap();
    assert!(read == rows);
    let count: u64 = client
        .query("SELECT count() FROM usage WHERE customer = {name:String} AND id < {limit:UInt64}")
        .param("name", "customer 7")
        .param("limit", 1_000)
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(count, 100);
}

#[tokio::test]
async fn rows_are_inserted_and_selected_without_compression() {
    insert_and_select(Compression::None).await;
}

#[tokio::test]
async fn rows_are_inserted_and_selected_with_lz4() {
    insert_and_select(Compression::Lz4).await;
}

#[tokio::test]
async fn an_error_reaches_the_caller_with_code_and_name() {
    let client = client(Compression::Lz4).await;
    let error = client.query("SELECT * FROM nowhere").execute().await.unwrap_err().to_string();
    assert!(error.contains("Code: 60.") && error.contains("(UNKNOWN_TABLE)"), "{error}");
}

#[tokio::test]
async fn an_error_amid_the_rows_reaches_the_caller() {
    for compression in [Compression::None, Compression::Lz4] {
        let client = client(compression).await;
        let mut cursor = client
            .query("SELECT number, throwIf(number = 3000000) FROM numbers(5000000)")
            .fetch::<(u64, u8)>()
            .unwrap();
        let mut rows = 0_u64;
        let error = loop {
            match cursor.next().await {
                Ok(Some(_)) => rows += 1,
                Ok(None) => panic!("the error was lost"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(rows > 100_000, "only {rows} rows came through");
        assert!(error.contains("Code: 395."), "{compression:?}: {error}");
    }
}

#[tokio::test]
async fn an_insert_that_is_not_ended_stores_nothing() {
    let client = client(Compression::Lz4).await;
    let mut insert = client.insert::<Usage>("usage").await.unwrap();
    for id in 0..200_000 {
        insert.write(&usage(id)).await.unwrap();
    }
    drop(insert);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let count: u64 = client.query("SELECT count() FROM usage").fetch_one().await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let engine = TestEngine::shared();
    let client = Client::default().with_url(engine.url()).with_password("wrong");
    let error = client.query("SELECT 1").execute().await.unwrap_err().to_string();
    assert!(error.contains("Code: 516."), "{error}");
}

//! What the tests share: one engine, a database per test, a plain HTTP client.

use std::sync::atomic::{AtomicU32, Ordering};

use engine::testing::TestEngine;
use reqwest::{Client, RequestBuilder, Response};

/// A database of a test's own in the shared engine.
pub async fn database(engine: &TestEngine) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    execute(engine, &format!("CREATE DATABASE {name}")).await;
    name
}

/// A POST with the password, ready for parameters and a body.
pub fn post(engine: &TestEngine) -> RequestBuilder {
    Client::new().post(engine.url()).header("X-ClickHouse-Key", engine.password())
}

/// Sends a statement and returns the response whatever it is.
pub async fn send(engine: &TestEngine, statement: &str) -> Response {
    post(engine).body(statement.to_owned()).send().await.unwrap()
}

/// Runs a statement that must succeed and returns its result as text.
pub async fn execute(engine: &TestEngine, statement: &str) -> String {
    let response = send(engine, statement).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{statement}: {status}: {text}");
    text
}

/// The code header of a failed response, and its text.
pub async fn failure(response: Response) -> (u16, u32, String) {
    let status = response.status().as_u16();
    let code = response.headers()["x-clickhouse-exception-code"].to_str().unwrap().parse().unwrap();
    (status, code, response.text().await.unwrap())
}

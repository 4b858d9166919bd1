//! Secrets stay where they were put: not in logs at the finest level, errors, answers, metrics, or the configuration in force.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::wire::Caller;
use reqwest::Method;
use serde_json::json;

const DATABASE_PASSWORD: &str = "database-pass-5e1f";
const CLICKHOUSE_PASSWORD: &str = "clickhouse-pass-77aa";
const KAFKA_PASSWORD: &str = "kafka-pass-c03d";

#[test]
fn a_check_that_fails_everywhere_tells_no_password() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody listens on port 1: each part is tried and its error told.
    let database = format!("postgres://tollgate:{DATABASE_PASSWORD}@127.0.0.1:1/tollgate");
    let ended = output(
        tollgate(&["check-config", "--ingest", "streaming", "--kafka-brokers", "127.0.0.1:1", "--log-level", "trace"])
            .args(["--clickhouse-url", "http://127.0.0.1:1", "--data-dir", directory.path().to_str().unwrap()])
            .env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET)
            .env("TOLLGATE_DATABASE_URL", database)
            .env("TOLLGATE_CLICKHOUSE_PASSWORD", CLICKHOUSE_PASSWORD)
            .env("TOLLGATE_KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")
            .env("TOLLGATE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
            .env("TOLLGATE_KAFKA_SASL_USERNAME", "tollgate")
            .env("TOLLGATE_KAFKA_SASL_PASSWORD", KAFKA_PASSWORD),
    );
    let text = told(&ended);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("is set and not shown"), "it shows that secrets are set: {text}");
    for secret in [ADMIN_SECRET, DATABASE_PASSWORD, CLICKHOUSE_PASSWORD, KAFKA_PASSWORD] {
        assert!(!text.contains(secret), "{secret} is told:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_that_was_sent_is_in_the_log_an_error_or_the_metrics() {
    let server = Server::start(&["--billing-automatic", "false", "--log-level", "trace"]).await;
    let account = Account::open(&server, "Secrets").await;
    let raw_key = account.caller.raw_key().to_string();
    let wrong_key = format!("{raw_key}x");
    let mut answers = String::new();
    for caller in
        [Caller::nobody(&server), Caller::admin(&server), account.caller.clone(), account.caller.with_key(&wrong_key)]
    {
        for path in
            ["/metrics", "/status", "/readyz", "/openapi.json", "/v1/customers/", "/v1/organizations/current", "/none"]
        {
            answers.push_str(&caller.request(Method::GET, path).send().await.unwrap().text().await.unwrap());
        }
        let broken = caller.request(Method::POST, "/v1/events/").json(&json!({"code": 7})).send().await.unwrap();
        answers.push_str(&broken.text().await.unwrap());
    }
    let log = server.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is at its finest:\n{log}");
    for secret in [ADMIN_SECRET, &raw_key, &wrong_key] {
        assert!(!answers.contains(secret), "an answer tells a credential");
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log tells a credential: {line:?}");
    }
}

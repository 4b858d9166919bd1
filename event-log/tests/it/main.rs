//! The log against a real Kafka.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod log_on_kafka;

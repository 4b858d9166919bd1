//! The log against a real Kafka.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod growing;
mod intake_on_kafka;
mod log_on_kafka;
mod secured_kafka;
mod shared;

//! A log of a test's own on the one broker that all tests of this executable share.

use event_log::testing::DevKafka;
use std::sync::atomic::{AtomicU32, Ordering};

/// Flags that make `tollgate` stream through a fresh topic, with readers and dead letters of its own.
pub fn streaming() -> Vec<String> {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    let name = format!("it-{}", LOGS.fetch_add(1, Ordering::Relaxed));
    let settings = DevKafka::shared().settings(&name);
    [
        ["--ingest", "streaming"],
        ["--kafka-brokers", &settings.brokers],
        ["--kafka-topic", &settings.topic],
        ["--kafka-dead-letter-topic", &settings.dead_letter_topic],
        ["--kafka-group", &name],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect()
}

/// The same, with further flags.
pub fn streaming_with(further: &[&str]) -> Vec<String> {
    let mut flags = streaming();
    flags.extend(further.iter().map(ToString::to_string));
    flags
}

/// Borrowed, as the harness takes them.
pub fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

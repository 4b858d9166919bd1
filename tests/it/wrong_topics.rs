//! What `tollgate check-config` says of a log that is not as it must be, on a real broker: each time which key or which
//! configuration of the topic is wrong, and what to do.

use crate::harness::{output, told, tollgate};
use event_log::testing::{DevKafka, needs_real_brokers};

/// What check-config says of the log, and its exit code.
fn checked(topic: &str, further: &[&str]) -> (String, i32) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = tollgate(&["check-config", "--ingest", "streaming", "--listen", "127.0.0.1:0"]);
    command.args(["--kafka-brokers", &DevKafka::shared().bootstrap, "--kafka-topic", topic]);
    command.arg("--data-dir").arg(directory.path().join("data")).args(further);
    let ended = output(&mut command);
    let text = told(&ended);
    let finding = text.lines().find(|line| line.contains(" log: ")).map_or_else(|| text.clone(), str::to_owned);
    (finding, ended.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_topic_is_told_with_its_key_and_what_to_do() {
    if !needs_real_brokers("topics with a configuration") {
        return;
    }
    let kafka = DevKafka::shared();
    let of_six = |name: &'static str, configuration: &'static [(&'static str, &'static str)]| async move {
        let topic = format!("wrong-{name}-1");
        // What this program needs of every topic, but for what the test makes wrong.
        let needed = [("retention.ms", "604800000"), ("max.message.bytes", "1048576")];
        let all: Vec<_> =
            needed.into_iter().filter(|(key, _)| configuration.iter().all(|(other, _)| key != other)).collect();
        kafka.make_topic(&topic, 6, &[configuration, &all].concat()).await;
        topic
    };
    let good = of_six("not", &[]).await;
    let (finding, code) = checked(&good, &[]);
    assert!(finding.starts_with("ok ") && finding.contains("has 6 partitions, 1 replicas"), "{finding}");
    assert_eq!(code, 0);
    let (replicated, in_sync) = (["--kafka-replication", "3"], ["--kafka-min-insync-replicas", "2"]);
    let cases: [(&str, &[&str], &str); 9] = [
        (&good, &["--kafka-partitions", "12"], "has 6 partitions, kafka.partitions says 12: set it to 6"),
        (
            &good,
            &replicated,
            "has 1 replicas, kafka.replication asks for 3: reassign its partitions or lower the setting",
        ),
        (
            &good,
            &in_sync,
            "has min.insync.replicas 1, kafka.min_insync_replicas asks for 2: alter the topic's configuration",
        ),
        (
            &good,
            &["--kafka-retention-hours", "720"],
            "kafka.retention_hours asks for 2592000000 ms: alter retention.ms",
        ),
        (
            &of_six("short", &[("retention.ms", "3600000")]).await,
            &[],
            "keeps events for 3600000 ms, kafka.retention_hours",
        ),
        (&of_six("small", &[("retention.bytes", "1000000")]).await, &[], "alter retention.bytes to -1"),
        (&of_six("compacted", &[("cleanup.policy", "compact")]).await, &[], "alter it to delete"),
        (&of_six("narrow", &[("max.message.bytes", "100000")]).await, &[], "alter max.message.bytes"),
        (&of_six("closed", &[("max.message.bytes", "1")]).await, &[], "name the topic of its newest epoch"),
    ];
    for (topic, further, wanted) in cases {
        let (finding, code) = checked(topic, further);
        assert!(finding.starts_with("WRONG ") && finding.contains(&format!("topic '{topic}' ")), "{wanted}: {finding}");
        assert!(finding.contains(wanted), "{wanted}: {finding}");
        assert_eq!(code, 1, "{finding}");
    }
}

#[test]
fn a_topic_that_is_missing_will_be_made_or_it_is_said_why_not_and_looking_makes_none() {
    if !needs_real_brokers("topics that are missing") {
        return;
    }
    let dead = ["--kafka-dead-letter-topic", "missing-dead"];
    for _ in 0..2 {
        let (finding, code) = checked("missing-1", &dead);
        assert!(
            finding.starts_with("ok ") && finding.contains("topic missing-1 will be made with 6 partitions"),
            "{finding}"
        );
        assert_eq!(code, 0);
    }
    let (finding, code) = checked("missing-1", &[&dead[..], &["--kafka-replication", "3"]].concat());
    let wanted =
        "topic 'missing-1' is not there, and there are too few brokers for kafka.replication 3: start them, or lower";
    assert!(finding.starts_with("WRONG ") && finding.contains(wanted), "{finding}");
    assert_eq!(code, 1);
}

#[test]
fn brokers_that_are_named_are_looked_at_also_where_nothing_says_how_events_reach_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let checked = |further: &[&str]| {
        let mut command = tollgate(&["check-config", "--listen", "127.0.0.1:0", "--kafka-brokers", "127.0.0.1:1"]);
        let ended = output(command.arg("--data-dir").arg(&data).args(further));
        (told(&ended), ended.status.code().unwrap())
    };
    let (text, code) = checked(&[]);
    assert!(text.contains("WRONG  log: ") && text.contains("127.0.0.1:1"), "{text}");
    assert!(text.contains("checked as services started one by one take it"), "{text}");
    assert_eq!(code, 1, "{text}");
    let (text, code) = checked(&["--kafka-linger-ms", "2000"]);
    assert!(text.contains("--kafka-linger-ms: must be at most 1000"), "{text}");
    assert_eq!(code, 2, "{text}");
    let (text, code) = checked(&["--ingest", "direct"]);
    assert!(!text.contains(" log: ") && text.contains("events do not go through Kafka"), "{text}");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn times_that_contradict_each_other_are_told_by_their_place_before_anything_is_asked() {
    let wrong = |further: &[&str]| {
        let (text, code) = checked("times-1", further);
        assert_eq!(code, 2, "{text}");
        text
    };
    let cases: [(&[&str], &str); 6] = [
        (
            &["--kafka-request-timeout-ms", "30000"],
            "--kafka-request-timeout-ms: must be shorter than delivery_timeout_ms",
        ),
        (&["--kafka-linger-ms", "2000"], "--kafka-linger-ms: must be at most 1000"),
        (
            &["--kafka-request-timeout-ms", "900", "--kafka-linger-ms", "900"],
            "--kafka-request-timeout-ms: must be longer than linger_ms",
        ),
        (
            &["--kafka-delivery-timeout-ms", "600000"],
            "--kafka-delivery-timeout-ms: with linger_ms must be shorter than the time",
        ),
        (
            &["--server-drain-seconds", "10"],
            "kafka.delivery_timeout_ms: with linger_ms must be shorter than the time a request is left to end (server.drain_seconds)",
        ),
        (
            &[
                "--server-drain-seconds",
                "19",
                "--kafka-delivery-timeout-ms",
                "9000",
                "--kafka-request-timeout-ms",
                "2000",
            ],
            "--server-drain-seconds (19 s) is shorter than ingest.body_timeout_seconds (20 s)",
        ),
    ];
    for (flags, wanted) in cases {
        let told = wrong(flags);
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

//! From the log into the store: once, in order, visible soon, and the same when it is read again.

use super::bench::{Bench, PATIENCE, conflicting, events, restamped, until_ready};
use crate::exactness::{scope, usage_of};
use crate::support::{APRIL, MARCH, Sent, catalog_of};
use aggregator::WriterState;
use aggregator::reads::{PageRequest, RejectionFilter, RejectionReason};
use aggregator::streaming::{ReprocessFrom, StreamingConfig, StreamingWriter, reprocess};
use aggregator::usage::{Measure, UsageQuery, UsageWindow};
use bigdecimal::BigDecimal;
use domain::catalog::Aggregation;
use domain::identity::EventId;
use domain::time::Timestamp;
use engine::testing::TestEngine;
use event_log::partitioning::partition_of;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_log_is_stored_once_and_reading_it_again_changes_nothing() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let writer = bench.writer().await;
    let sent = events(0, 3_000);
    bench.void("t5").await;
    bench.send(&sent).await;
    bench.void("t6").await;
    let copies: Vec<Sent> = sent[..30]
        .iter()
        .cloned()
        .chain(sent[10..20].iter().map(restamped))
        .chain(sent[15..25].iter().map(conflicting))
        .collect();
    bench.send(&copies).await;
    bench.send(&copies).await;
    let cut = bench.settled().await;
    bench.check().await;
    let store = bench.store().await;
    let counts = store.rejection_counts(bench.organization, None, None).await.unwrap();
    let expected = [(RejectionReason::Conflict, 10), (RejectionReason::Restamped, 10), (RejectionReason::Voided, 2)];
    assert_eq!(counts, expected);
    assert_eq!(store.verify_unique_ids().await.unwrap().doubtful, 0);

    // While a reader is there, the brokers refuse.
    assert!(reprocess(&bench.kafka, ReprocessFrom::Offset(0)).await.is_err());
    writer.close().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let from = reprocess(&bench.kafka, ReprocessFrom::Offset(0)).await.unwrap();
    assert!(from.values().all(|offset| *offset == 0), "{from:?}");
    let again = bench.writer().await;
    assert_eq!(bench.settled().await, cut);
    bench.check().await;
    assert_eq!(store.rejection_counts(bench.organization, None, None).await.unwrap(), expected);
    let voids: u64 = bench.client().query("SELECT count() FROM voids").fetch_one().await.unwrap();
    assert_eq!(voids, 2, "a void that is read again is not written again");
    again.close().await;
    let left: u64 = bench
        .client()
        .query("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%_via_%'")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(left, 0, "gates are removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_void_before_and_after_its_event_takes_it_out_of_the_usage() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let writer = bench.writer().await;
    bench.void("t0").await;
    let sent: Vec<Sent> = (0..10).map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH + n, "{}")).collect();
    bench.send(&sent).await;
    bench.void("t9").await;
    bench.void("t9").await;
    let query = UsageQuery {
        measure: Measure::Count,
        scopes: vec![scope(bench.organization, "api", None, &[])],
        windows: vec![UsageWindow {
            series: sent[0].series(bench.organization),
            from: Timestamp(MARCH),
            to: Timestamp(APRIL),
            slot: 1,
            scope: 0,
        }],
        cut: bench.settled().await,
        by_dimensions: false,
    };
    let rows = usage_of(&bench.store().await, &query).await;
    assert_eq!(rows[&(1, String::new())].events_count, 8);
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stored_before_their_metric_exists_or_changes_count_for_it_too() {
    let bench = Bench::new(TestEngine::shared()).await;
    let start = async |field: Option<&str>| {
        let metrics: Vec<(&str, Aggregation, Option<&str>, &[&str])> = match field {
            Some(field) => vec![("api", Aggregation::Sum, Some(field), &[])],
            None => Vec::new(),
        };
        let catalog = catalog_of(bench.organization, &metrics);
        StreamingWriter::start(bench.config.clone(), bench.kafka.clone(), StreamingConfig::default(), catalog)
            .await
            .unwrap()
    };
    let (none, v, w) = (start(None).await, Some("v"), Some("w"));
    let sent: Vec<Sent> = (0..30)
        .map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH + n, &format!("{{\"v\":{n},\"w\":\"0.5\"}}")))
        .collect();
    bench.log.append(&crate::support::batch(bench.organization, &sent[..10])).await.unwrap();
    bench.settled().await;
    none.close().await;
    let with_v = start(v).await;
    bench.log.append(&crate::support::batch(bench.organization, &sent[10..20])).await.unwrap();
    bench.settled().await;
    with_v.close().await;
    let with_w = start(w).await;
    bench.log.append(&crate::support::batch(bench.organization, &sent[20..])).await.unwrap();
    let cut = bench.settled().await;
    let store = bench.store().await;
    for (field, sum) in [("v", "435"), ("w", "15")] {
        let query = UsageQuery {
            measure: Measure::Sum,
            scopes: vec![scope(bench.organization, "api", Some(field), &[])],
            windows: vec![UsageWindow {
                series: sent[0].series(bench.organization),
                from: Timestamp(MARCH),
                to: Timestamp(APRIL),
                slot: 1,
                scope: 0,
            }],
            cut: cut.clone(),
            by_dimensions: false,
        };
        let rows = usage_of(&store, &query).await;
        assert_eq!(rows[&(1, String::new())].quantity, sum.parse::<BigDecimal>().unwrap(), "{field}");
    }
    with_w.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_cannot_be_read_is_listed_and_kept_and_holds_nothing_up() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let sent = Sent::new("t0", "api", "c", MARCH, "{}");
    let partition = partition_of(EventId::derive(bench.organization, "t0"), super::bench::PARTITIONS);
    let poison = format!("{{\"v\":2,\"org\":\"{}\",\"new\":\"é\"}}\nnot\x00a line\n", bench.organization);
    bench.send_raw(partition, poison.as_bytes());
    bench.send_raw(partition, b"");
    bench.send(&[sent]).await;
    let mut writer = bench.writer().await;
    for _ in 0..2 {
        bench.settled().await;
        bench.check().await;
        let store = bench.store().await;
        let page = PageRequest { skip: 0, limit: 10 };
        let filter = RejectionFilter { reason: Some(RejectionReason::DeadLetter), ..RejectionFilter::default() };
        let (listed, total) = store.rejections(bench.organization, filter, page).await.unwrap();
        assert_eq!(total, 1, "{listed:?}");
        let told: serde_json::Value = serde_json::from_str(&listed[0].event.properties).unwrap();
        assert_eq!(told["reason"], "the line is not of version 1; a newer release wrote it");
        assert_eq!(told["line"], poison.lines().next().unwrap());
        let place = listed[0].event.position;
        assert_eq!((place.epoch, place.partition, place.offset, place.index), (1, partition, 0, 0));
        let counts = store.rejection_counts(bench.organization, None, None).await.unwrap();
        assert_eq!(counts, [(RejectionReason::DeadLetter, 1)]);
        // Once more from the start.
        writer.close().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        reprocess(&bench.kafka, ReprocessFrom::Time(Timestamp(0))).await.unwrap();
        writer = bench.writer().await;
    }
    writer.close().await;
    let letters = tokio::task::spawn_blocking(move || dead_letters(&bench)).await.unwrap();
    let lines: Vec<&[u8]> = poison.trim_end().split('\n').map(str::as_bytes).collect();
    assert_eq!(letters, [(0, lines[0].to_vec()), (1, lines[1].to_vec())], "each line once, byte by byte");
}

/// Line number and bytes of each record in the dead-letter topic.
fn dead_letters(bench: &Bench) -> Vec<(u32, Vec<u8>)> {
    let mut config = bench.kafka.client();
    let reader: BaseConsumer = config.set("group.id", "r").set("auto.offset.reset", "earliest").create().unwrap();
    reader.subscribe(&[&bench.kafka.dead_letter_topic]).unwrap();
    let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(8));
    while Instant::now() < deadline && !(seen.len() >= 2 && Instant::now() + Duration::from_secs(7) > deadline) {
        let Some(Ok(message)) = reader.poll(Duration::from_millis(200)) else { continue };
        let headers = message.headers().unwrap();
        let header = headers.iter().find(|header| header.key == "line").unwrap();
        let line = std::str::from_utf8(header.value.unwrap()).unwrap().parse().unwrap();
        seen.push((line, message.payload().unwrap().to_vec()));
    }
    seen.sort();
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_visible_within_a_second_of_its_acknowledgement() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let writer = bench.writer().await;
    until_ready(&writer).await;
    let store = bench.store().await;
    let mut waits = Vec::new();
    for n in 0..20 {
        let sent = Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}");
        bench.send(std::slice::from_ref(&sent)).await;
        let acknowledged = Instant::now();
        let id = EventId::derive(bench.organization, &sent.transaction_id);
        while store.event(bench.organization, id).await.unwrap().is_none() {
            assert!(acknowledged.elapsed() < PATIENCE, "{:?}", writer.state());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waits.push(acknowledged.elapsed());
    }
    waits.sort();
    eprintln!("visible after: median {:?}, slowest {:?}", waits[10], waits[19]);
    assert!(waits[18] < Duration::from_secs(1), "{waits:?}");
    bench.settled().await;
    assert_eq!(writer.state(), WriterState::Ready);
    assert!(writer.progress().partitions.values().all(|partition| partition.stored_below > 0));
    writer.close().await;
    assert!(matches!(writer.state(), WriterState::NotReady(_)));
}

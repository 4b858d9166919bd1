//! Lists, volume, rejections, series, and ids with several rows.

use crate::exactness::{scope, usage_of};
use crate::oracle;
use crate::schema::clickhouse_client;
use crate::support::{APRIL, MARCH, Sent, batch_at, catalog_of, fresh_store};
use aggregator::EventStore;
use aggregator::reads::{Direction, EventFilter, OrderBy, OrderField, PageRequest, RejectionFilter, RejectionReason};
use aggregator::usage::{Measure, UsageQuery, UsageWindow};
use domain::catalog::Aggregation;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;

const HOUR: i64 = 3_600_000_000;
const ALL: PageRequest = PageRequest { skip: 0, limit: 1_000 };

fn by(field: OrderField, direction: Direction) -> OrderBy {
    OrderBy { field, direction }
}

async fn listed(store: &EventStore, organization: OrganizationId, filter: EventFilter, order: OrderBy) -> Vec<String> {
    let page = store.list_events(organization, filter, order, ALL).await.unwrap();
    assert_eq!(page.total, page.events.len() as u64);
    page.events.into_iter().map(|event| event.transaction_id).collect()
}

#[tokio::test]
async fn lists_filter_inclusively_and_order_totally() {
    let (organization, other) = (OrganizationId::random(), OrganizationId::random());
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let mut in_subscription = Sent::new("d", "api", "", MARCH + 3, "{}");
    in_subscription.subscription = "s'1".into();
    let sent = [
        Sent::new("a", "api", "c1", MARCH, "{}"),
        Sent::new("b", "tokens", "c1", MARCH + 1, "{}"),
        Sent::new("c", "api", "c2", MARCH + 2, "{}"),
        in_subscription,
    ];
    writer.accept(batch_at(organization, 1_000_000, &sent[..2])).await.unwrap();
    writer.accept(batch_at(organization, 2_000_000, &sent[2..])).await.unwrap();
    writer.accept(batch_at(other, 3_000_000, &sent)).await.unwrap();

    let oldest = by(OrderField::Timestamp, Direction::Ascending);
    let filter = EventFilter::default;
    assert_eq!(listed(&store, organization, filter(), oldest).await, ["a", "b", "c", "d"]);
    assert_eq!(
        listed(&store, organization, filter(), by(OrderField::TransactionId, Direction::Descending)).await,
        ["d", "c", "b", "a"]
    );
    let api = EventFilter { code: Some("api".into()), ..filter() };
    assert_eq!(listed(&store, organization, api, oldest).await, ["a", "c", "d"]);
    let of_customer = EventFilter { external_customer_id: Some("c1".into()), ..filter() };
    assert_eq!(listed(&store, organization, of_customer, oldest).await, ["a", "b"]);
    let of_subscription = EventFilter { external_subscription_id: Some("s'1".into()), ..filter() };
    assert_eq!(listed(&store, organization, of_subscription, oldest).await, ["d"]);
    let both_ends = EventFilter { from: Some(Timestamp(MARCH + 1)), to: Some(Timestamp(MARCH + 2)), ..filter() };
    assert_eq!(listed(&store, organization, both_ends, oldest).await, ["b", "c"]);
    let newest_accepted = store
        .list_events(
            organization,
            filter(),
            by(OrderField::IngestedAt, Direction::Descending),
            PageRequest { skip: 1, limit: 2 },
        )
        .await
        .unwrap();
    assert_eq!((newest_accepted.total, newest_accepted.events.len()), (4, 2));
    assert_eq!(newest_accepted.events[1].ingested_at, Timestamp(1_000_000));
}

#[tokio::test]
async fn events_of_one_customer_are_found_without_reading_all_others() {
    const CUSTOMERS: usize = 4_000;
    const EVENTS: usize = 80_000;
    let organization = OrganizationId::random();
    let (writer, _, config) = fresh_store(catalog_of(organization, &[])).await;
    let sent: Vec<Sent> = (0..EVENTS)
        .map(|nth| Sent::new(&format!("t{nth}"), "api", &format!("c{}", nth % CUSTOMERS), MARCH, "{}"))
        .collect();
    writer.accept(batch_at(organization, 1_000_000, &sent)).await.unwrap();

    let question =
        format!("SELECT count() FROM events WHERE organization = toUUID('{organization}') AND customer = 'c17'");
    let explained = format!("SELECT explain FROM (EXPLAIN indexes = 1 {question})");
    let lines: Vec<String> = clickhouse_client(&config.database).query(&explained).fetch_all().await.unwrap();
    let of_the_index = lines.iter().skip_while(|line| !line.contains("by_customer"));
    let granules = of_the_index.filter_map(|line| line.trim().strip_prefix("Granules: ")).next();
    let (read, all) = granules.and_then(|text| text.split_once('/')).expect("the index takes part");
    let (read, all): (usize, usize) = (read.parse().unwrap(), all.parse().unwrap());
    assert!(all >= EVENTS / 8_192 && read <= 3, "{read} of {all} granules are read\n{}", lines.join("\n"));
}

#[tokio::test]
async fn volume_counts_by_utc_hour_and_leaves_empty_hours_out() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let at = [MARCH, MARCH + HOUR - 1, MARCH + 2 * HOUR, MARCH + 5 * HOUR];
    let sent: Vec<Sent> = at.iter().map(|at| Sent::new(&at.to_string(), "api", "c", *at, "{}")).collect();
    writer.accept(batch_at(organization, 1, &sent)).await.unwrap();
    let until = EventFilter { to: Some(Timestamp(MARCH + 2 * HOUR)), ..EventFilter::default() };
    let hours = store.volume(organization, until).await.unwrap();
    let seen: Vec<_> = hours.iter().map(|hour| (hour.hour.0 - MARCH, hour.events)).collect();
    assert_eq!(seen, [(0, 2), (2 * HOUR, 1)]);
}

#[tokio::test]
async fn every_rejection_is_listed_with_its_reason() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[("api", Aggregation::Sum, Some("v"), &[])])).await;
    let good = Sent::new("good", "api", "c", MARCH, r#"{"v":1}"#);
    let bad = Sent::new("bad", "api", "c", MARCH, r#"{"v":"NaN"}"#);
    let restamped = Sent { timestamp: MARCH + 1, ..good.clone() };
    let conflict = Sent { customer: "d".into(), ..good.clone() };
    writer.accept(batch_at(organization, 10, &[good, bad])).await.unwrap();
    writer.accept(batch_at(organization, 20, &[restamped, conflict])).await.unwrap();
    writer.void(organization, "good", Timestamp(30)).await.unwrap();
    writer.void(organization, "never sent", Timestamp(40)).await.unwrap();

    let (all, total) = store.rejections(organization, RejectionFilter::default(), ALL).await.unwrap();
    let seen: Vec<_> = all
        .iter()
        .map(|one| (one.rejected_at.0, one.reason, one.event.transaction_id.as_str(), one.event.code.as_str()))
        .collect();
    assert_eq!(total, 5);
    assert_eq!(seen[0], (40, RejectionReason::Voided, "never sent", ""));
    assert_eq!(seen[1], (30, RejectionReason::Voided, "good", "api"));
    assert_eq!(seen[4], (10, RejectionReason::InvalidValue, "bad", "api"));
    assert!(all.iter().all(|one| one.event.organization == organization));
    let only = RejectionFilter { reason: Some(RejectionReason::Conflict), ..RejectionFilter::default() };
    let (conflicts, _) = store.rejections(organization, only, ALL).await.unwrap();
    assert_eq!(conflicts.iter().map(|one| one.event.external_customer_id.as_str()).collect::<Vec<_>>(), ["d"]);
    let counts = store.rejection_counts(organization, Some(Timestamp(11)), Some(Timestamp(30))).await.unwrap();
    let mut counts = counts;
    counts.sort();
    assert_eq!(counts, [(RejectionReason::Restamped, 1), (RejectionReason::Conflict, 1), (RejectionReason::Voided, 1)]);
}

#[tokio::test]
async fn series_are_summarised_without_voided_events() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let sent: Vec<Sent> =
        (0..6).map(|n| Sent::new(&format!("t{n}"), "api", &format!("c{}", n % 2), MARCH + n, "{}")).collect();
    writer.accept(batch_at(organization, 1, &sent)).await.unwrap();
    let before = store.committed_cut().await.unwrap();
    writer.void(organization, "t0", Timestamp(2)).await.unwrap();
    let after = store.committed_cut().await.unwrap();
    for (cut, first, events) in [(before, MARCH, 3), (after, MARCH + 2, 2)] {
        let mut seen = Vec::new();
        store.series(organization, &cut, |series| seen.push(series)).await.unwrap();
        seen.sort_by(|a, b| a.customer.cmp(&b.customer));
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].first.0, seen[0].last.0, seen[0].events), (first, MARCH + 4, events));
        assert_eq!((seen[0].code.as_str(), seen[0].series), ("api", sent[0].series(organization)));
    }
}

#[tokio::test]
async fn an_id_with_two_rows_is_found_and_counts_once_the_first_one_at_every_cut() {
    let organization = OrganizationId::random();
    let (writer, store, config) =
        fresh_store(catalog_of(organization, &[("api", Aggregation::Sum, Some("v"), &[])])).await;
    let sent = [Sent::new("t1", "api", "c", MARCH, r#"{"v":1}"#), Sent::new("t2", "api", "c", MARCH, r#"{"v":10}"#)];
    writer.accept(batch_at(organization, 1, &sent)).await.unwrap();
    // A second writer, which the lease forbids, stored a copy of t1 at another time, and all of its own.
    let client = clickhouse_client(&config.database);
    for table in ["events", "event_ids"] {
        let copy = format!(
            "INSERT INTO {table} SELECT * REPLACE (toDateTime64('2026-03-09', 6, 'UTC') AS timestamp, toUInt64(7) AS offset) FROM {table} WHERE line = 0"
        );
        client.query(&copy).execute().await.unwrap();
    }
    let verified = store.verify_unique_ids().await.unwrap();
    assert_eq!((verified.ids, verified.doubtful), (3, 1));
    for cut in [Cut::direct(1), Cut::direct(7)] {
        let query = UsageQuery {
            measure: Measure::Sum,
            scopes: vec![scope(organization, "api", Some("v"), &[])],
            windows: vec![UsageWindow {
                series: sent[0].series(organization),
                from: Timestamp(MARCH),
                to: Timestamp(APRIL),
                slot: 3,
                scope: 0,
            }],
            cut,
            by_dimensions: false,
        };
        assert_eq!(usage_of(&store, &query).await, oracle::usage(organization, &sent, &query));
        let page = store.events_in(&query, ALL).await.unwrap();
        assert_eq!(page.iter().map(|member| member.event.timestamp.0).collect::<Vec<_>>(), [MARCH, MARCH]);
        let mut streamed = 0;
        store.stream_events_in(&query, |_| streamed += 1).await.unwrap();
        assert_eq!(streamed, 2);
    }
}

//! Usage equals the oracle's for anything that can stand in a property, whatever was extracted when it was written.

use crate::oracle;
use crate::support::{APRIL, MARCH, Sent, batch, cases, catalog_of, fresh_store};
use aggregator::EventStore;
use aggregator::usage::{Measure, MetricScope, UsageQuery, UsageRow, UsageWindow};
use bigdecimal::BigDecimal;
use domain::catalog::Aggregation;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

pub async fn usage_of(store: &EventStore, query: &UsageQuery) -> BTreeMap<(u32, String), UsageRow> {
    let mut rows = BTreeMap::new();
    let collect = |row: UsageRow| {
        let replaced = rows.insert((row.slot, row.dimensions.clone()), row);
        assert!(replaced.is_none(), "each slot and combination once: {replaced:?}");
    };
    store.usage(query.clone(), collect).await.unwrap();
    rows
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

pub fn scope(organization: OrganizationId, code: &str, field: Option<&str>, dimensions: &[&str]) -> MetricScope {
    MetricScope {
        organization,
        code: code.to_owned(),
        field_name: field.map(str::to_owned),
        dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
    }
}

/// Values that a property may have, as JSON text.
pub fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?",
        2 => "\"-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?\"",
        1 => "-?[1-9][0-9]{15,22}\\.[0-9]{10,22}",
        1 => "-?[1-9](\\.[0-9])?[eE][-+]?[0-9]{1,2}",
        2 => prop::sample::select(vec![
            "null", "true", "false", "\"\"", "\"NaN\"", "\"Infinity\"", "\"eu\"", "\"us\"", "\"e\\u00fc'\\\\\"", "[1,2]", "{}",
            "99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999", "1e38", "1e-39", "1e400",
            "100000000000000000000", "0.0000000000000000001", "1", "1.0", "10e-1", "\"1\"", "-0",
        ]).prop_map(str::to_owned),
    ]
}

/// Properties with some of the keys `v`, `w`, `region`, `tier`.
pub fn any_properties() -> impl Strategy<Value = String> {
    let field = |name: &'static str| {
        prop::option::weighted(0.8, any_value().prop_map(move |value| format!("\"{name}\": {value}")))
    };
    let grouping = |name: &'static str| {
        let values = vec!["\"eu\"", "\"us\"", "5", "5.0", "\"5\"", "null", "true"];
        prop::option::weighted(0.8, prop::sample::select(values).prop_map(move |value| format!("\"{name}\": {value}")))
    };
    (field("v"), field("w"), grouping("region"), grouping("tier")).prop_map(|(v, w, region, tier)| {
        format!("{{{}}}", [v, w, region, tier].into_iter().flatten().collect::<Vec<_>>().join(", "))
    })
}

/// One event before its id is known: code, customer, time in March and April, properties.
fn any_event() -> impl Strategy<Value = (usize, usize, i64, String)> {
    (0_usize..2, 0_usize..3, MARCH - 5..APRIL + 5, any_properties())
}

const MEASURES: [Measure; 7] = [
    Measure::Count,
    Measure::Sum,
    Measure::Max,
    Measure::Min,
    Measure::Latest,
    Measure::WeightedSum,
    Measure::UniqueCount,
];
const CODES: [&str; 2] = ["api", "tokens"];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(16), max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn usage_equals_the_oracle(
        events in prop::collection::vec(any_event(), 1..120),
        written_for in prop::sample::select(vec![("v", &["region"][..]), ("w", &["region", "tier"]), ("v", &["tier", "region"]), ("v", &[])]),
        measure in prop::sample::select(MEASURES.to_vec()),
        asked in prop::sample::select(vec![&[][..], &["region"], &["region", "tier"]]),
        by_dimensions: bool,
        split in MARCH..APRIL,
    ) {
        block_on(async {
            let organization = OrganizationId::random();
            let aggregation = if measure == Measure::UniqueCount { Aggregation::UniqueCount } else { Aggregation::Sum };
            let metrics = CODES.map(|code| (code, aggregation, Some(written_for.0), written_for.1));
            let (writer, store, _) = fresh_store(catalog_of(organization, &metrics)).await;
            let sent: Vec<Sent> = events.iter().enumerate().map(|(n, (code, customer, at, properties))| {
                Sent::new(&format!("t{n}"), CODES[*code], &format!("c{customer}"), *at, properties)
            }).collect();
            writer.accept(batch(organization, &sent)).await.unwrap();
            let cut = store.committed_cut().await.unwrap();
            let scopes = CODES.map(|code| scope(organization, code, Some("v"), asked)).to_vec();
            let windows = windows(organization, split);
            let query = UsageQuery { measure, scopes, windows, cut, by_dimensions };
            assert_eq!(usage_of(&store, &query).await, oracle::usage(organization, &sent, &query));
        });
    }
}

/// Slots 0–2: a customer each, both codes; slots 10, 11: the first customer's `api` before and after `split`, as one series with
/// several windows.
fn windows(organization: OrganizationId, split: i64) -> Vec<UsageWindow> {
    let window = |code: usize, customer: usize, from: i64, to: i64, slot: usize| UsageWindow {
        series: Sent::new("", CODES[code], &format!("c{customer}"), 0, "{}").series(organization),
        from: Timestamp(from),
        to: Timestamp(to),
        slot: u32::try_from(slot).unwrap(),
        scope: u32::try_from(code).unwrap(),
    };
    let mut windows = vec![window(0, 0, MARCH, split, 10), window(0, 0, split, APRIL, 11)];
    windows.extend((1..3).map(|customer| window(0, customer, MARCH, APRIL, customer)));
    windows.extend((0..3).map(|customer| window(1, customer, MARCH, split, 20 + customer)));
    windows
}

#[test]
fn a_thousand_windows_more_than_fit_a_statement_are_uploaded_and_removed() {
    block_on(async {
        let organization = OrganizationId::random();
        let (writer, store, config) = fresh_store(catalog_of(organization, &[])).await;
        let sent: Vec<Sent> =
            (0..3000).map(|n| Sent::new(&format!("t{n}"), "api", &format!("c{}", n % 1500), MARCH + n, "{}")).collect();
        writer.accept(batch(organization, &sent)).await.unwrap();
        let windows = (0..1500_u32).map(|slot| UsageWindow {
            series: Sent::new("", "api", &format!("c{slot}"), 0, "{}").series(organization),
            from: Timestamp(MARCH),
            to: Timestamp(APRIL),
            slot,
            scope: 0,
        });
        let query = UsageQuery {
            measure: Measure::Count,
            scopes: vec![scope(organization, "api", None, &[])],
            windows: windows.collect(),
            cut: store.committed_cut().await.unwrap(),
            by_dimensions: false,
        };
        let rows = usage_of(&store, &query).await;
        assert_eq!(rows, oracle::usage(organization, &sent, &query));
        assert_eq!(rows.len(), 1500);
        let client = crate::schema::clickhouse_client(&config.database);
        let left: u64 = client.query("SELECT count() FROM rating_windows").fetch_one().await.unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn a_sum_beyond_what_one_value_can_hold_is_exact() {
    block_on(async {
        let organization = OrganizationId::random();
        let (writer, store, _) =
            fresh_store(catalog_of(organization, &[("api", Aggregation::Sum, Some("v"), &[])])).await;
        let largest = "99999999999999999999.999999999999999999";
        let sent: Vec<Sent> = (0..2000)
            .map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH, &format!("{{\"v\":{largest}}}")))
            .collect();
        writer.accept(batch(organization, &sent)).await.unwrap();
        let query = UsageQuery {
            measure: Measure::Sum,
            scopes: vec![scope(organization, "api", Some("v"), &[])],
            windows: vec![UsageWindow {
                series: sent[0].series(organization),
                from: Timestamp(MARCH),
                to: Timestamp(APRIL),
                slot: 1,
                scope: 0,
            }],
            cut: store.committed_cut().await.unwrap(),
            by_dimensions: false,
        };
        // 2,000 × (10²⁰ − 10⁻¹⁸) is 2 × 10⁴¹ in units of 10⁻¹⁸; 128 bits end at 1.7 × 10³⁸.
        let expected = largest.parse::<BigDecimal>().unwrap() * BigDecimal::from(2000);
        assert_eq!(usage_of(&store, &query).await[&(1, String::new())].quantity, expected.normalized());
    });
}

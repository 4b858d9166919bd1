//! Lago's events and CloudEvents: the fast parser against the reference, the corpus, and what each dialect means.

use super::reference::Verdict;
use super::reference_dialects as reference;
use super::tests::{
    LIMITS, any_damage, any_json, any_string, assert_agreement, damaged, new_batch, object_text, unescaped,
};
use super::*;
use proptest::prelude::*;

const LAGO_OK: &str = r#""transaction_id":"t","external_subscription_id":"s","code":"c","timestamp":"1651240791.5""#;
const CLOUD_OK: &str =
    r#""specversion":"1.0","id":"7","source":"/gw","type":"c","subject":"k","time":"2026-03-01T12:00:00Z""#;

type Fast = fn(&[u8], ParseLimits, KnowsCode<'_>, &mut EventBatch) -> Result<(), Problems>;
type Slow = fn(&[u8], ParseLimits) -> Verdict;

const PAIRS: [(Fast, Slow); 4] = [
    (parse_lago_event, reference::lago_event),
    (parse_lago_batch, reference::lago_batch),
    (parse_cloud_event, reference::cloud_event),
    (parse_cloud_events, reference::cloud_events),
];

fn parsed(parse: Fast, body: &[u8]) -> Result<EventBatch, Problems> {
    parsed_within(parse, body, LIMITS)
}

fn parsed_within(parse: Fast, body: &[u8], limits: ParseLimits) -> Result<EventBatch, Problems> {
    let mut batch = new_batch();
    parse(body, limits, &|_| false, &mut batch).map(|()| batch)
}

pub(super) fn assert_all_agree(body: &[u8]) {
    for (fast, slow) in PAIRS {
        for limits in [LIMITS, ParseLimits { max_depth: 64, max_events: 2 }] {
            assert_agreement(parsed_within(fast, body, limits), slow(body, limits), body);
        }
    }
}

/// Good bodies of each kind around one value.
pub(super) fn any_bodies_of(value: &[u8]) -> Vec<Vec<u8>> {
    let lago = format!("{{{LAGO_OK},\"properties\":{{\"value\":\u{1}}}}}");
    let cloud = format!("{{{CLOUD_OK},\"data\":{{\"value\":\u{1}}}}}");
    let around = |body: String| {
        let (before, after) = body.split_once('\u{1}').unwrap();
        [before.as_bytes(), value, after.as_bytes()].concat()
    };
    bodies(&lago, &cloud).into_iter().map(around).collect()
}

/// A body of each kind around one event of each dialect.
fn bodies(lago: &str, cloud: &str) -> [String; 4] {
    [format!("{{\"event\":{lago}}}"), format!("{{\"events\":[{lago}]}}"), cloud.to_owned(), format!("[{cloud}]")]
}

#[test]
fn every_value_of_the_corpus_gets_its_verdict_in_every_dialect() {
    let corpus = include_str!("../../tests/data/json_corpus.txt");
    let mut counted = 0;
    for line in corpus.lines().filter(|line| line.starts_with("value\t")) {
        let [_, verdict, name, text] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        for ((fast, slow), body) in PAIRS.into_iter().zip(any_bodies_of(&unescaped(text))) {
            let outcome = parsed(fast, &body);
            assert!(verdict == "either" || outcome.is_ok() == (verdict == "accept"), "{name}: {outcome:?}");
            assert_agreement(outcome, slow(&body, LIMITS), &body);
            counted += 1;
        }
    }
    assert!(counted > 400, "{counted} cases");
}

#[test]
fn a_lago_event_is_taken_with_its_exact_time_and_numbers() {
    let body = format!(r#"{{"event":{{{LAGO_OK},"precise_total_amount_cents":0.10,"properties":{{"n":1.10}}}}}}"#);
    let batch = parsed(parse_lago_event, body.as_bytes()).unwrap();
    assert_eq!(batch.timestamps, [domain::time::Timestamp(1_651_240_791_500_000)]);
    assert_eq!((batch.subscriptions.get(0), batch.customers.get(0)), ("s", ""));
    assert_eq!((batch.precise_totals.get(0), batch.properties.get(0)), ("0.10", r#"{"n":1.10}"#));
}

#[test]
fn what_a_lago_client_sends_as_null_is_absent() {
    let nulls = r#"{"event":{"transaction_id":"t","external_subscription_id":"s","code":"c","timestamp":null,"precise_total_amount_cents":null,"properties":null,"external_customer_id":null}}"#;
    let batch = parsed(parse_lago_event, nulls.as_bytes()).unwrap();
    assert_eq!((batch.timestamps[0], batch.properties.get(0)), (new_batch().ingested_at, "{}"));
}

#[test]
fn a_cloud_event_is_named_by_its_source_and_id_together() {
    let event = |source: &str, id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"c","subject":"k","data":{{"n":1.10}}}}"#
        )
    };
    let body = format!("[{},{},{}]", event("/a", "b c"), event("/a/b", "c"), event("/a", "b c"));
    let batch = parsed(parse_cloud_events, body.as_bytes()).unwrap();
    assert_eq!(batch.transaction_ids.iter().collect::<Vec<_>>(), ["/a b c", "/a/b c", "/a b c"]);
    assert_eq!((batch.customers.get(0), batch.codes.get(0), batch.properties.get(0)), ("k", "c", r#"{"n":1.10}"#));
    assert_eq!(batch.timestamps[0], batch.ingested_at);
    assert!(batch.ids[0] == batch.ids[2] && batch.ids[0] != batch.ids[1]);
}

#[test]
fn data_in_base64_is_its_json_object() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let body = |data: &str| format!("{{{CLOUD_OK},\"data_base64\":\"{data}\"}}");
    let batch = parsed(parse_cloud_event, body(&encode(" {\"n\": 0.10}\n")).as_bytes()).unwrap();
    assert_eq!(batch.properties.get(0), "{\"n\": 0.10}");
    for wrong in ["!", "e", &encode("[1]"), &encode("{\"a\":1,\"a\":2}"), &encode("{} x"), &encode("\u{feff}{}")] {
        assert!(parsed(parse_cloud_event, body(wrong).as_bytes()).is_err(), "{wrong}");
        assert_all_agree(body(wrong).as_bytes());
    }
}

#[test]
fn each_required_attribute_is_missed_by_name() {
    for field in [Field::SpecVersion, Field::Id, Field::Source, Field::Type, Field::Subject] {
        let name = format!("\"{}\":", field.name());
        for replacement in ["\"x-other\":", "\"\\u0078\":"] {
            let body = format!("{{{}}}", CLOUD_OK.replacen(&name, replacement, 1));
            let problems = parsed(parse_cloud_event, body.as_bytes()).unwrap_err();
            let place = Place::Event { event: None, field: Some(field) };
            assert_eq!(problems.listed, [Problem { place, flaw: Flaw::Missing }], "{body}");
        }
    }
}

fn attributes(texts: &[(Field, &str)]) -> Attributes {
    Attributes { texts: texts.iter().map(|(field, text)| (*field, Some((*text).to_owned()))).collect() }
}

const HEAD: [(Field, &str); 5] =
    [(Field::SpecVersion, "1.0"), (Field::Id, "7"), (Field::Source, "/gw"), (Field::Type, "c"), (Field::Subject, "k")];

fn binary(attributes: &Attributes, body: &[u8]) -> Result<EventBatch, Problems> {
    let mut batch = new_batch();
    parse_binary_cloud_event(attributes, body, LIMITS, &|_| false, &mut batch).map(|()| batch)
}

#[test]
fn binary_mode_means_what_structured_mode_means() {
    let batch = binary(&attributes(&HEAD), br#" {"n":0.10} "#).unwrap();
    let structured = br#"{"specversion":"1.0","id":"7","source":"/gw","type":"c","subject":"k","data":{"n":0.10}}"#;
    assert_eq!(batch, parsed(parse_cloud_event, structured).unwrap());
    assert_eq!(binary(&attributes(&HEAD), b"").unwrap().properties.get(0), "{}");
}

#[test]
fn binary_mode_names_the_header_that_is_wrong() {
    let flaw_of = |attributes: &Attributes, body: &[u8]| {
        let problem = binary(attributes, body).unwrap_err().listed.remove(0);
        (problem.place, problem.flaw)
    };
    for (place, missing) in HEAD.iter().enumerate() {
        let mut rest = HEAD.to_vec();
        rest.remove(place);
        assert_eq!(flaw_of(&attributes(&rest), b"{}"), (Place::Header(missing.0), Flaw::Missing));
    }
    let twice = [&HEAD[..], &[(Field::Id, "8")]].concat();
    assert_eq!(flaw_of(&attributes(&twice), b""), (Place::Header(Field::Id), Flaw::HeaderTwice));
    let mut unreadable = attributes(&HEAD[1..]);
    unreadable.texts.push((Field::SpecVersion, None));
    assert_eq!(flaw_of(&unreadable, b""), (Place::Header(Field::SpecVersion), Flaw::BadHeader));
    let old = [&HEAD[1..], &[(Field::SpecVersion, "0.3")]].concat();
    assert_eq!(flaw_of(&attributes(&old), b""), (Place::Header(Field::SpecVersion), Flaw::WrongVersion));
    assert_eq!(flaw_of(&attributes(&HEAD), b"[1]"), (Place::BODY, Flaw::NotAnObject));
    assert!(matches!(flaw_of(&attributes(&HEAD), b"{"), (Place::BODY, Flaw::Malformed(_))));
}

/// Events whose members come in any order, may be absent, doubled, or of any type.
fn any_event(good: &'static str, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let name = prop_oneof![4 => prop::sample::select(names).prop_map(|name| format!("\"{name}\"")), 1 => any_string()];
    let value = prop_oneof![
        any_json(),
        Just("null".to_owned()),
        Just("\"1.0\"".to_owned()),
        Just("\"application/json\"".to_owned()),
        Just("\"e30=\"".to_owned()),
        Just("\"2026-03-01T12:00:00.25+01:00\"".to_owned()),
        "\"?[0-9]{1,11}(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?\"?",
        "\"[a-z/é ]{120,260}\"",
    ];
    prop_oneof![
        3 => prop::collection::vec((name.clone(), value.clone()), 0..3).prop_map(move |members| {
            format!("{{{good},{}", &object_text(&members)[1..])
        }),
        3 => (prop::sample::select(names), value.clone()).prop_map(move |(name, value)| {
            // One member of a good event is another value.
            format!("{{{},\"{name}\":{value}}}", good.replacen(&format!("\"{name}\""), "\"other\"", 1))
        }),
        2 => prop::collection::vec((name, value), 0..9).prop_map(|members| object_text(&members)),
        1 => any_json(),
    ]
}

fn any_body() -> impl Strategy<Value = String> {
    const LAGO: &[&str] = &[
        "transaction_id",
        "external_customer_id",
        "external_subscription_id",
        "code",
        "timestamp",
        "properties",
        "precise_total_amount_cents",
    ];
    const CLOUD: &[&str] =
        &["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64"];
    let (lago, cloud) = (any_event(LAGO_OK, LAGO).boxed(), any_event(CLOUD_OK, CLOUD).boxed());
    let list = |event: BoxedStrategy<String>| {
        prop::collection::vec(event, 0..4).prop_map(|events| format!("[{}]", events.join(", ")))
    };
    prop_oneof![
        lago.clone().prop_map(|event| format!("{{\"event\":{event}}}")),
        list(lago).prop_map(|events| format!("{{\"x\":1,\"events\":{events}}}")),
        cloud.clone(),
        list(cloud),
        any_json().prop_map(|value| format!("{{\"event\" :{value}}}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_bodies_get_the_answer_of_the_reference_in_every_dialect(body in any_body()) {
        assert_all_agree(body.as_bytes());
    }

    #[test]
    fn damaged_bodies_get_the_answer_of_the_reference_in_every_dialect(body in any_body(), damage in any_damage()) {
        assert_all_agree(&damaged(body, damage));
    }

    #[test]
    fn any_head_and_bytes_are_answered_without_a_panic(
        texts in prop::collection::vec((0..HEAD.len(), prop::option::of(any::<String>())), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let texts = texts.into_iter().map(|(place, text)| (HEAD[place].0, text)).collect();
        let _outcome = binary(&Attributes { texts }, &body);
        assert_all_agree(&body);
    }
}

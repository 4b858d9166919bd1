//! The fast parser against the reference, the corpus, and hostile inputs.

use super::reference::{self, Verdict};
use super::*;
use domain::ids::OrganizationId;
use domain::time::{Timestamp, TimestampError};
use proptest::prelude::*;
use std::fmt::Write as _;

pub(super) const LIMITS: ParseLimits = ParseLimits { max_depth: 64, max_events: 10_000 };
const OK: &str = r#""transaction_id":"t","external_customer_id":"k","code":"c","timestamp":"2026-03-01T12:00:00Z""#;

pub(super) fn new_batch() -> EventBatch {
    EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0))
}

fn fast_batch(body: &[u8], limits: ParseLimits) -> Result<EventBatch, Problems> {
    let mut batch = new_batch();
    parse_batch(body, limits, &|_| true, &mut batch).map(|()| batch)
}

fn fast_event(body: &[u8], limits: ParseLimits) -> Result<EventBatch, Problems> {
    let mut batch = new_batch();
    let outcome = parse_event(body, limits, &|_| true, &mut batch);
    assert_eq!(batch.len(), usize::from(outcome.is_ok()), "a refused event leaves the batch as it was");
    outcome.map(|()| batch)
}

fn is_malformed(problems: &Problems) -> bool {
    matches!(problems.listed[..], [Problem { flaw: Flaw::Malformed(_), .. }])
}

fn has_too_many(problems: &Problems) -> bool {
    problems.listed.iter().any(|problem| matches!(problem.flaw, Flaw::TooManyEvents(_)))
}

pub(super) fn assert_agreement(fast: Result<EventBatch, Problems>, slow: Verdict, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    match (fast, slow) {
        (Ok(batch), Verdict::Accepted(expected)) => assert_eq!(batch, *expected, "{text}"),
        (Err(problems), Verdict::BadText) => {
            // The scanner leaves a list at its limit, the reference reads the whole text.
            assert!(is_malformed(&problems) || has_too_many(&problems), "{text}: {problems:?}");
        }
        (Err(problems), Verdict::BadFields(places)) => {
            let found: Vec<Place> = problems.listed.iter().map(|problem| problem.place).collect();
            assert_eq!(found, places, "{text}: {problems:?}");
        }
        (fast, slow) => panic!("{text}: fast {fast:?}, slow {slow:?}"),
    }
}

pub(super) fn assert_both_agree(body: &[u8], limits: ParseLimits) {
    assert_agreement(fast_event(body, limits), reference::event(body, limits), body);
    assert_agreement(fast_batch(body, limits), reference::batch(body, limits), body);
}

pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        bytes.push(u8::from_str_radix(&rest[start + 1..start + 3], 16).unwrap());
        assert_eq!(&rest[start + 3..start + 4], ">");
        rest = &rest[start + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn every_case_of_the_corpus_gets_its_verdict_in_every_form() {
    let corpus = include_str!("../../tests/data/json_corpus.txt");
    let mut counted = 0;
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let [kind, verdict, name, text] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let event = match kind {
            "event" => unescaped(text),
            "value" => [format!("{{{OK},\"properties\":{{\"value\":").as_bytes(), &unescaped(text), b"}}"].concat(),
            _ => panic!("{line}"),
        };
        let batch = [&br#"{"events":["#[..], &event, b"]}"].concat();
        assert_both_agree(&event, LIMITS);
        assert_both_agree(&batch, LIMITS);
        let accepted = fast_event(&event, LIMITS).is_ok();
        assert!(verdict == "either" || accepted == (verdict == "accept"), "{name}: {:?}", fast_event(&event, LIMITS));
        // A list may hold what cannot stand alone: two events, or one and a comma of the list's own making.
        let alone_only = ["two events", "comma after", "empty body", "white space only"].contains(&name);
        assert!(alone_only || fast_batch(&batch, LIMITS).is_ok() == accepted, "{name} in a batch");
        counted += 1;
    }
    assert!(counted > 250, "{counted} cases");
}

#[test]
fn properties_and_numbers_are_kept_to_the_byte() {
    let properties = r#"{ "a" : 12345678901234567890.123456789, "b":0.10, "c":-0.0E+00, "é":"\u00e9\/" }"#;
    let batch = fast_event(format!("{{{OK},\"properties\":{properties}}}").as_bytes(), LIMITS).unwrap();
    assert_eq!(batch.properties.get(0), properties);
}

#[test]
fn a_precise_total_keeps_its_digits_as_number_and_as_string() {
    for (json, kept) in [("12.50", "12.50"), ("\"12.50\"", "12.50"), ("1e-3", "1e-3"), ("null", "")] {
        let body = format!("{{{OK},\"precise_total_amount_cents\":{json}}}");
        assert_eq!(fast_event(body.as_bytes(), LIMITS).unwrap().precise_totals.get(0), kept);
    }
}

#[test]
fn a_batch_says_which_event_which_field_and_why() {
    let body = format!(
        r#"{{"events":[{{{OK}}},{{"transaction_id":"","external_customer_id":7,"code":"c","timestamp":"2026-03-01"}},17,{{}}]}}"#
    );
    let problems = fast_batch(body.as_bytes(), LIMITS).unwrap_err();
    let found: Vec<(Place, Flaw)> = problems.listed.into_iter().map(|problem| (problem.place, problem.flaw)).collect();
    let at = |event, field| Place::Event { event: Some(event), field };
    assert_eq!(
        found,
        [
            (at(1, Some(Field::TransactionId)), Flaw::Empty),
            (at(1, Some(Field::ExternalCustomerId)), Flaw::NotAString),
            (at(1, Some(Field::Timestamp)), Flaw::BadTime(TimestampError::NoZone)),
            (at(2, None), Flaw::NotAnObject),
            (at(3, Some(Field::TransactionId)), Flaw::Missing),
            (at(3, Some(Field::Code)), Flaw::Missing),
            (at(3, Some(Field::Timestamp)), Flaw::Missing),
            (at(3, Some(Field::ExternalCustomerId)), Flaw::Nobody),
        ]
    );
}

#[test]
fn an_unknown_code_is_a_problem_of_each_event_that_has_it() {
    let event = |code: &str| format!("{{{}}}", OK.replace("\"c\"", code));
    let codes = [r#""c""#, r#""x""#, r#""c""#, r#""\u0063""#, r#""x""#, r#""""#];
    let body = format!("{{\"events\":[{}]}}", codes.map(event).join(","));
    let problems = parse_batch(body.as_bytes(), LIMITS, &|code| code == "c", &mut new_batch()).unwrap_err();
    let found: Vec<(Place, Flaw)> = problems.listed.into_iter().map(|problem| (problem.place, problem.flaw)).collect();
    let at = |index| Place::Event { event: Some(index), field: Some(Field::Code) };
    let unknown = || Flaw::UnknownCode("x".into());
    assert_eq!(found, [(at(1), unknown()), (at(4), unknown()), (at(5), Flaw::Empty)]);
}

#[test]
fn all_problems_are_counted_and_a_hundred_listed() {
    let body = format!("{{\"events\":[{}]}}", vec!["1"; 250].join(","));
    let problems = fast_batch(body.as_bytes(), LIMITS).unwrap_err();
    assert_eq!((problems.listed.len(), problems.total), (MAX_LISTED_PROBLEMS, 250));
}

#[test]
fn ten_thousand_events_are_accepted_and_one_more_refused() {
    let events = |count| format!("{{\"events\":[{}]}}", vec![format!("{{{OK}}}"); count].join(","));
    assert_eq!(fast_batch(events(10_000).as_bytes(), LIMITS).unwrap().len(), 10_000);
    let problems = fast_batch(events(10_001).as_bytes(), LIMITS).unwrap_err();
    let too_many = Problems::only(Place::Events, Flaw::TooManyEvents(10_000));
    assert_eq!(problems, Problems { events: 10_000, ..too_many });
}

#[test]
fn nesting_is_accepted_up_to_the_limit_and_refused_past_it() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            format!("{{{OK},\"properties\":{{\"a\":{value}}}}}")
        };
        // The object of the properties is the first level.
        assert!(fast_event(nested(63).as_bytes(), LIMITS).is_ok());
        assert_both_agree(nested(63).as_bytes(), LIMITS);
        assert_both_agree(nested(64).as_bytes(), LIMITS);
        let problems = fast_event(nested(64).as_bytes(), LIMITS).unwrap_err();
        assert_eq!(problems.listed[0].flaw.kind(), "json_too_deep");
        assert!(fast_event(nested(1_000_000).as_bytes(), LIMITS).is_err());
        assert!(fast_event(open.repeat(1_000_000).as_bytes(), LIMITS).is_err());
    }
}

#[test]
fn an_object_of_many_names_is_checked_in_little_time() {
    let mut members = String::new();
    for number in 0..200_000 {
        write!(members, "\"prefix--{number:06}--suffix--\":0,").unwrap();
    }
    let body = |last: &str| format!("{{{OK},\"properties\":{{{members}\"{last}\":0}}}}");
    let started = std::time::Instant::now();
    assert!(fast_event(body("x").as_bytes(), LIMITS).is_ok());
    let problems = fast_event(body("prefix--000077--suffix--").as_bytes(), LIMITS).unwrap_err();
    assert_eq!(problems.listed[0].flaw.kind(), "json_duplicate_key");
    // Pair by pair it would be 2 × 10¹⁰ comparisons: minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_flaw_of_the_text_names_event_field_and_byte() {
    let body = format!("{{\"events\":[{{{OK}}},{{\"code\":\"c\",\"properties\":{{\"a\":NaN}}}}]}}");
    let problems = fast_batch(body.as_bytes(), LIMITS).unwrap_err();
    let place = Place::Event { event: Some(1), field: Some(Field::Properties) };
    let at = body.find("NaN").unwrap();
    let syntax = Syntax { at, what: Malformed::BadNumber };
    assert_eq!(problems, Problems { events: 2, ..Problems::only(place, Flaw::Malformed(syntax)) });
}

/// JSON texts, most of them valid, with awkward names, numbers, escapes and white space.
pub(super) fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any_string(),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("01".to_owned()),
    ];
    leaf.prop_recursive(8, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((any_string(), inner), 0..6).prop_map(|members| object_text(&members)),
        ]
    })
}

pub(super) fn any_string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[a-d]{0,2}\"",
        2 => "\"[a-z é€😀]{0,20}\"",
        1 => r#""(\\u00(61|62|00|e9)|\\["\\/bfnrt]|\\u[dD][89cCdD][0-9a-f]{2}){0,3}""#,
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

pub(super) fn object_text(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}:\n{value}")).collect();
    format!("{{{}}}", members.join(", "))
}

/// Events whose members come in any order, may be absent, doubled, or of any type.
fn any_event() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "\"transaction_id\"",
            "\"external_customer_id\"",
            "\"external_subscription_id\"",
            "\"code\"",
            "\"c\\u006fde\"",
            "\"timestamp\"",
            "\"properties\"",
            "\"precise_total_amount_cents\"",
        ])
        .prop_map(str::to_owned),
        any_string(),
    ];
    let value = prop_oneof![any_json(), Just("\"2026-03-01T12:00:00.25+01:00\"".to_owned()), Just("null".to_owned())];
    prop_oneof![
        3 => any_json().prop_map(|properties| format!("{{{OK},\"properties\":{properties}}}")),
        2 => prop::collection::vec((name.clone(), value.clone()), 0..9).prop_map(|members| object_text(&members)),
        2 => (prop::collection::vec((name, value), 0..3)).prop_map(|members| {
            format!("{{{OK},{}", &object_text(&members)[1..])
        }),
        1 => any_json(),
    ]
}

fn any_body() -> impl Strategy<Value = String> {
    let events = prop::collection::vec(any_event(), 0..6).boxed();
    prop_oneof![
        any_event(),
        events.clone().prop_map(|events| format!("{{\"events\":[{}]}}", events.join(","))),
        (events, any_string(), any_json()).prop_map(|(events, name, value)| format!(
            " {{{name}:{value} ,\"events\" : [{}] }}\n",
            events.join(" ,\t")
        )),
    ]
}

/// What a byte may be replaced by: those that mean something to JSON, and those that UTF-8 refuses.
const TELLING_BYTES: &[u8] = b"{}[]\",:\\/ \t\n\r\0u0123456789-+.eEtrfn\x1f\x7f\x80\xc3\xed\xf4\xff";

/// Where, which byte, and whether it replaces, is inserted, or one is removed.
type Damage = Vec<(prop::sample::Index, u8, u8)>;

pub(super) fn any_damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(TELLING_BYTES), 0..3_u8), 1..4)
}

pub(super) fn damaged(body: String, damage: Damage) -> Vec<u8> {
    let mut bytes = body.into_bytes();
    for (index, byte, kind) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn generated_bodies_get_the_answer_of_the_reference(body in any_body()) {
        assert_both_agree(body.as_bytes(), LIMITS);
        assert_both_agree(body.as_bytes(), ParseLimits { max_depth: 3, max_events: 2 });
    }

    #[test]
    fn damaged_bodies_get_the_answer_of_the_reference(
        body in any_body(),
        damage in any_damage(),
    ) {
        assert_both_agree(&damaged(body, damage), LIMITS);
    }

    #[test]
    fn a_body_cut_anywhere_is_refused(cut in any::<prop::sample::Index>(), value in any_json()) {
        let body = format!("{{\"events\":[{{{OK},\"properties\":{{\"a\":{value}}}}}]}}");
        let mut at = cut.index(body.len());
        while !body.is_char_boundary(at) {
            at -= 1;
        }
        prop_assert!(fast_batch(&body.as_bytes()[..at], LIMITS).is_err());
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        assert_both_agree(&bytes, LIMITS);
    }
}

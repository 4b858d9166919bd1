//! A fuzzer of all parsers: mutations of the corpus, each answered as the slow reference answers it, and without a panic.
//!
//! Two seconds in every run of the tests; minutes in `make soak`. A failure prints the body; its seed is printed first, and
//! `TOLLGATE_FUZZ_SEED` repeats it.

use super::dialect_tests::{any_bodies_of, assert_all_agree};
use super::tests::{LIMITS, assert_both_agree, unescaped};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// Longest body: mutations repeat spans, and the reference is slow.
const MAX_BYTES: usize = 4_096;
/// What is inserted: what the grammars of all dialects turn on.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud83d\\ude00",
    "\\ud800",
    "null",
    "true",
    "NaN",
    "-0",
    "1e999",
    "0.10",
    "01",
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{feff}",
    "é",
    "\"event\":",
    "\"events\":",
    "\"timestamp\":",
    "\"time\":",
    "\"data\":",
    "\"data_base64\":\"e30=\"",
    "\"specversion\":\"1.0\"",
    "\"properties\":{}",
    "1651240791.5",
    "\"2026-03-01T12:00:00Z\"",
];

fn seeds() -> Vec<Vec<u8>> {
    let corpus = include_str!("../../tests/data/json_corpus.txt").lines();
    let texts = corpus.filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once('\t'));
    let texts: Vec<Vec<u8>> = texts.map(|(_, text)| unescaped(text)).collect();
    texts.iter().flat_map(|text| any_bodies_of(text)).chain(texts.iter().cloned()).collect()
}

fn mutated(pool: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut body = pool.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=body.len());
        let end = random.random_range(at..=body.len().min(at + 40));
        match random.random_range(0..6) {
            0 if at < body.len() => body[at] ^= 1 << random.random_range(0..8),
            1 => drop(body.drain(at..end)),
            2 => {
                let span = body[at..end].to_vec();
                body.splice(at..at, span);
            }
            3 => {
                let other = pool.choose(random).cloned().unwrap_or_default();
                let from = random.random_range(0..=other.len());
                body.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                let token = TOKENS.choose(random).copied().unwrap_or_default();
                body.splice(at..at, token.bytes());
            }
        }
    }
    body.truncate(MAX_BYTES);
    body
}

fn fuzz(duration: Duration) -> u64 {
    let seed = std::env::var("TOLLGATE_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("TOLLGATE_FUZZ_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let pool = seeds();
    let started = Instant::now();
    let mut bodies = 0;
    while started.elapsed() < duration {
        let body = mutated(&pool, &mut random);
        assert_both_agree(&body, LIMITS);
        assert_all_agree(&body);
        bodies += 1;
    }
    bodies
}

#[test]
fn mutations_of_the_corpus_get_the_answer_of_the_reference_for_two_seconds() {
    assert!(fuzz(Duration::from_secs(2)) > 100);
}

#[test]
#[ignore = "soak: ten minutes"]
fn mutations_of_the_corpus_get_the_answer_of_the_reference_for_ten_minutes() {
    println!("{} bodies", fuzz(Duration::from_secs(600)));
}

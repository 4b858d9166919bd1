//! What an answer to an ingest request proves about the events it carried.
//!
//! - 201 with counts that add up, or 204 where the dialect answers so: every event is durable (I1).
//! - 4xx: nothing of it is stored (I1); 429 may be sent again later.
//! - 5xx, counts that do not add up, no answer: any part may be stored. Sending the same ids again is safe.

use super::connection::{Received, SendError};
use crate::workload::encode::Acknowledgement;
use memchr::memmem;
use std::time::Duration;

/// What became of a request, as far as the client knows. In order of what is known: none, nothing stored, all stored, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Never sent.
    Unsent,
    /// Answered 4xx, or never reached the server: none of it may be stored.
    Refused,
    /// Answered 2xx: all of it must be stored.
    Acknowledged,
    /// Any part of it may be stored.
    Unknown,
}

/// Counts of a 201.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New events.
    pub ingested: u64,
    /// Known ids.
    pub duplicates: u64,
}

/// A judged answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every event is acknowledged.
    Acknowledged(Counts),
    /// Nothing is stored; the reason is final.
    Refused(String),
    /// Nothing is stored; worth another try after this pause.
    Later(Option<Duration>, String),
    /// Anything may be stored; worth another try after this pause.
    Unknown(Option<Duration>, String),
}

/// Judges the answer to a request of `events` events.
#[must_use]
pub fn judge(sent: Result<Received, SendError>, body: &[u8], events: u64, form: Acknowledgement) -> Verdict {
    let received = match sent {
        Ok(received) => received,
        Err(error @ SendError::NotSent(_)) => return Verdict::Later(None, error.to_string()),
        Err(error @ SendError::Unknown(_)) => return Verdict::Unknown(None, error.to_string()),
    };
    match (received.status, form) {
        (201, Acknowledgement::Event) => Verdict::Acknowledged(Counts { ingested: 1, duplicates: 0 }),
        (201, Acknowledgement::Counts) => judge_counts(body, events),
        // Such answers do not say which of them were known.
        (204, Acknowledgement::Empty) => Verdict::Acknowledged(Counts { ingested: events, duplicates: 0 }),
        (429, _) => Verdict::Later(received.retry_after, shown(received.status, body)),
        (400..500, _) => Verdict::Refused(shown(received.status, body)),
        _ => Verdict::Unknown(received.retry_after, shown(received.status, body)),
    }
}

fn judge_counts(body: &[u8], events: u64) -> Verdict {
    let rejected = field(body, b"\"rejected\"").unwrap_or(0);
    let (Some(ingested), Some(duplicates)) = (field(body, b"\"ingested\""), field(body, b"\"duplicates\"")) else {
        return Verdict::Unknown(None, format!("201 without counts: {}", shown(201, body)));
    };
    if rejected != 0 || ingested + duplicates != events {
        return Verdict::Unknown(None, format!("201 for {events} events that counts others: {}", shown(201, body)));
    }
    Verdict::Acknowledged(Counts { ingested, duplicates })
}

/// The number after `"name":`. A search instead of a parse: an answer that echoes 1,000 events would cost more to parse than
/// the request to render. No event of ours holds such a name.
fn field(body: &[u8], name: &[u8]) -> Option<u64> {
    let after = &body[memmem::find(body, name)? + name.len()..];
    let value = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

/// Status and the first 300 characters of the body, for a list that a person reads.
fn shown(status: u16, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    format!("{status} {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(status: u16) -> Result<Received, SendError> {
        Ok(Received { status, retry_after: Some(Duration::from_secs(2)) })
    }

    #[test]
    fn a_201_whose_counts_add_up_acknowledges() {
        let body = br#"{ "ingested": 998, "duplicates":2, "events":[]}"#;
        assert_eq!(
            judge(received(201), body, 1000, Acknowledgement::Counts),
            Verdict::Acknowledged(Counts { ingested: 998, duplicates: 2 })
        );
        assert!(matches!(judge(received(201), b"{\"id\":\"x\"}", 1, Acknowledgement::Event), Verdict::Acknowledged(_)));
    }

    #[test]
    fn a_201_that_counts_others_than_were_sent_proves_nothing() {
        for body in [
            "{\"ingested\":999,\"duplicates\":0}",
            "{\"ingested\":5}",
            "",
            "{\"ingested\":990,\"duplicates\":0,\"rejected\":10}",
        ] {
            assert!(
                matches!(
                    judge(received(201), body.as_bytes(), 1000, Acknowledgement::Counts),
                    Verdict::Unknown(None, _)
                ),
                "{body}"
            );
        }
    }

    #[test]
    fn an_empty_answer_acknowledges_where_the_dialect_has_it_and_nowhere_else() {
        assert!(matches!(judge(received(204), b"", 5, Acknowledgement::Empty), Verdict::Acknowledged(_)));
        assert!(matches!(judge(received(204), b"", 5, Acknowledgement::Counts), Verdict::Unknown(..)));
        assert!(matches!(judge(received(201), b"", 5, Acknowledgement::Empty), Verdict::Unknown(..)));
    }

    #[test]
    fn a_4xx_stored_nothing_and_a_5xx_may_have() {
        assert!(matches!(judge(received(422), b"{}", 1, Acknowledgement::Counts), Verdict::Refused(_)));
        assert!(matches!(judge(received(429), b"{}", 1, Acknowledgement::Counts), Verdict::Later(Some(_), _)));
        for status in [500, 502, 503, 302, 200] {
            assert!(
                matches!(judge(received(status), b"{}", 1, Acknowledgement::Counts), Verdict::Unknown(Some(_), _)),
                "{status}"
            );
        }
        assert!(matches!(
            judge(Err(SendError::NotSent("x".into())), b"", 1, Acknowledgement::Counts),
            Verdict::Later(None, _)
        ));
        assert!(matches!(
            judge(Err(SendError::Unknown("x".into())), b"", 1, Acknowledgement::Counts),
            Verdict::Unknown(None, _)
        ));
    }
}

//! What may be tried again, when, and for how long.
//!
//! Trying again is always safe here: events are sent with fixed transaction ids (I2), billing runs with a fixed `as_of` (I4).

use super::{ApiFailure, seconds_header};
use rand::Rng;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// First pause.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause of our own choice; a `Retry-After` may ask for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A server that asks for a longer pause than this has a fault of its own.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// The pause a server asks for.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    seconds_header(headers).map(|asked| asked.min(LONGEST_RETRY_AFTER))
}

/// Whether the same request may succeed later.
#[must_use]
pub fn is_transient(failure: &ApiFailure) -> bool {
    match failure {
        ApiFailure::Unreachable { .. } => true,
        ApiFailure::Refused { status, .. } => matches!(
            *status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        ApiFailure::Unusable { .. } => false,
    }
}

/// Pauses that double, spread by chance so that many clients do not come back at once.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        let half = own / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        let spread = half + Duration::from_micros(rand::rng().random_range(0..=micros));
        // Never earlier than asked; a little later spreads the crowd.
        asked.map_or(spread, |pause| pause + spread / 4)
    }
}

/// Calls `attempt` until it succeeds, fails for good, or `patience` has passed without success; `on_pause` is told of each pause.
///
/// # Errors
/// The last failure.
pub async fn retrying<T, F: Future<Output = Result<T, ApiFailure>>>(
    patience: Duration,
    mut on_pause: impl FnMut(&ApiFailure, Duration),
    mut attempt: impl FnMut() -> F,
) -> Result<T, ApiFailure> {
    let started = Instant::now();
    let mut backoff = Backoff { next: FIRST_PAUSE };
    loop {
        let failure = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let asked = match &failure {
            ApiFailure::Refused { retry_after, .. } => *retry_after,
            _ => None,
        };
        let pause = backoff.pause(asked);
        if !is_transient(&failure) || started.elapsed() + pause > patience {
            return Err(failure);
        }
        on_pause(&failure, pause);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<Duration>) -> ApiFailure {
        ApiFailure::Refused {
            method: reqwest::Method::POST,
            path: "/".into(),
            status: StatusCode::from_u16(status).unwrap(),
            detail: String::new(),
            retry_after,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again_no_earlier_than_asked() {
        let mut pauses = Vec::new();
        let mut calls = 0;
        let answer = retrying(
            Duration::from_secs(60),
            |_, pause| pauses.push(pause),
            || {
                calls += 1;
                let result = if calls == 1 { Err(refused(503, Some(Duration::from_secs(3)))) } else { Ok(calls) };
                async { result }
            },
        )
        .await;
        assert_eq!(answer.unwrap(), 2);
        assert!(pauses[0] >= Duration::from_secs(3), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_the_request_itself_is_not_tried_again() {
        for status in [400, 401, 404, 413, 422, 500, 501] {
            let mut calls = 0;
            let answer: Result<(), _> = retrying(
                Duration::from_secs(60),
                |_, _| (),
                || {
                    calls += 1;
                    async { Err(refused(status, None)) }
                },
            )
            .await;
            assert_eq!((answer.is_err(), calls), (true, 1), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let mut calls = 0;
        let answer: Result<(), _> = retrying(
            Duration::from_secs(60),
            |_, _| (),
            || {
                calls += 1;
                async { Err(refused(503, None)) }
            },
        )
        .await;
        assert!(answer.is_err() && (6..20).contains(&calls), "{calls} calls");
    }
}

//! Events a second per organization and per key: the virtual-scheduling form of the leaky bucket (GCRA), one number a bucket.
//!
//! A bucket's number is the instant at which it will be empty again. An event moves it on by 1/rate; a request is refused when
//! that would carry it further ahead of now than the burst allows. Two properties matter here, and the ready-made limiters
//! lack them: a request under two limits (organization and key) is charged to both or to neither, so that a refused
//! request costs no budget; and a bucket whose instant has passed equals one that was never there, so that forgetting
//! those bounds the memory without forgetting a limit.
//!
//! A full batch always fits a full bucket: the burst is one second's worth, and at least the largest batch.

use domain::ids::{ApiKeyId, OrganizationId};
use http_api::Authenticated;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Buckets kept before those that are empty are dropped: 65,536 × 48 bytes = 3 MiB.
const PURGE_FROM: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    Organization(OrganizationId),
    Key(ApiKeyId),
}

/// One limit that a request is under.
#[derive(Clone, Copy)]
struct Limit {
    bucket: Bucket,
    events_per_second: u32,
}

/// The limits a request is under: none, one or two.
#[derive(Clone, Copy)]
pub struct Limits([Option<Limit>; 2]);

impl Limits {
    /// Those of a caller, from the catalog's snapshot.
    #[must_use]
    pub fn of(caller: &Authenticated) -> Self {
        let limit = |bucket, rate: Option<u32>| rate.map(|events_per_second| Limit { bucket, events_per_second });
        let key = caller.key_id.and_then(|id| limit(Bucket::Key(id), caller.key_events_per_second));
        Self([limit(Bucket::Organization(caller.organization), caller.entry.events_per_second), key])
    }

    fn iter(&self) -> impl Iterator<Item = Limit> + '_ {
        self.0.iter().flatten().copied()
    }
}

/// The buckets of all organizations and keys that have a limit.
pub struct RateLimiter {
    /// Budget of a bucket that was left alone, in events, at least.
    least_burst: u32,
    /// When each bucket will be empty.
    empty_at: Mutex<HashMap<Bucket, Instant>>,
}

impl RateLimiter {
    /// A limiter under which a batch of `largest_batch` events always fits a full bucket.
    #[must_use]
    pub fn new(largest_batch: usize) -> Self {
        let least_burst = u32::try_from(largest_batch).unwrap_or(u32::MAX).max(1);
        Self { least_burst, empty_at: Mutex::default() }
    }

    /// Charges `events` to every limit, or to none.
    ///
    /// # Errors
    /// How long to wait until the same request would pass.
    pub fn charge(&self, limits: &Limits, events: usize) -> Result<(), Duration> {
        if limits.iter().next().is_none() {
            return Ok(());
        }
        let now = Instant::now();
        // A poisoned lock still guards a whole map: each insertion is one step.
        let mut empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait = Duration::ZERO;
        for limit in limits.iter() {
            let ahead = empty_at.get(&limit.bucket).map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
            wait = wait.max((ahead + cost(limit, events)).saturating_sub(self.burst(limit)));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        if empty_at.len() >= PURGE_FROM {
            empty_at.retain(|_, end| *end > now);
        }
        for limit in limits.iter() {
            let end = empty_at.entry(limit.bucket).or_insert(now);
            *end = (*end).max(now) + cost(limit, events);
        }
        Ok(())
    }

    /// Charges `events`, waiting until they fit: for streams, which are slowed down and not refused midway.
    pub async fn charge_when_possible(&self, limits: &Limits, events: usize) {
        let mut left = events;
        while left > 0 {
            // In portions that fit a full bucket; more at once would never pass.
            let portion = left.min(self.least_burst as usize);
            match self.charge(limits, portion) {
                Ok(()) => left -= portion,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    fn burst(&self, limit: Limit) -> Duration {
        let burst = limit.events_per_second.max(self.least_burst);
        // A limit of 0 lets nothing pass: its cost is greater than any burst.
        time_of(limit.events_per_second.max(1), u64::from(burst))
    }
}

fn cost(limit: Limit, events: usize) -> Duration {
    if limit.events_per_second == 0 {
        return Duration::from_secs(86_400 * 365);
    }
    time_of(limit.events_per_second, events as u64)
}

/// How long `events` take at a rate, rounded up to nanoseconds.
fn time_of(events_per_second: u32, events: u64) -> Duration {
    let rate = u64::from(events_per_second);
    let (seconds, rest) = (events / rate, events % rate);
    // The rest is below 2³², so the product is below 2³² × 10⁹ < 2⁶².
    Duration::from_secs(seconds) + Duration::from_nanos((rest * 1_000_000_000).div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(organization: Option<u32>, key: Option<u32>) -> Limits {
        let limit = |bucket, rate: Option<u32>| rate.map(|events_per_second| Limit { bucket, events_per_second });
        let organization = limit(Bucket::Organization(OrganizationId(uuid::Uuid::from_u128(1))), organization);
        Limits([organization, limit(Bucket::Key(ApiKeyId(uuid::Uuid::from_u128(2))), key)])
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_everything_passes() {
        let limiter = RateLimiter::new(10);
        assert_eq!(limiter.charge(&limits(None, None), usize::MAX), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_that_is_told_is_exactly_long_enough() {
        let limiter = RateLimiter::new(10);
        let limits = limits(Some(100), None);
        assert_eq!(limiter.charge(&limits, 100), Ok(()));
        let wait = limiter.charge(&limits, 30).unwrap_err();
        assert_eq!(wait, Duration::from_millis(300));
        tokio::time::advance(wait - Duration::from_millis(1)).await;
        assert!(limiter.charge(&limits, 30).is_err());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(limiter.charge(&limits, 30), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_minute_no_more_passes_than_the_rate_and_one_burst() {
        let limiter = RateLimiter::new(10);
        let limits = limits(Some(1_000), None);
        let mut passed = 0;
        for _ in 0..60_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            passed += if limiter.charge(&limits, 7).is_ok() { 7 } else { 0 };
        }
        assert!((60_000..=61_000).contains(&passed), "{passed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_refused_by_one_limit_costs_the_other_nothing() {
        let limiter = RateLimiter::new(10);
        for _ in 0..50 {
            let _refused = limiter.charge(&limits(Some(20), Some(1_000)), 21).unwrap_err();
        }
        assert_eq!(limiter.charge(&limits(None, Some(1_000)), 1_000), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_passes_a_small_limit_and_then_takes_its_time() {
        let limiter = RateLimiter::new(10_000);
        let limits = limits(Some(10), None);
        assert_eq!(limiter.charge(&limits, 10_000), Ok(()));
        assert_eq!(limiter.charge(&limits, 10_000), Err(Duration::from_secs(1_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_zero_lets_nothing_pass() {
        assert!(RateLimiter::new(10_000).charge(&limits(Some(0), None), 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_that_are_empty_are_forgotten_when_there_are_many() {
        let limiter = RateLimiter::new(1);
        for number in 0..PURGE_FROM as u128 + 10 {
            let bucket = Bucket::Key(ApiKeyId(uuid::Uuid::from_u128(number)));
            assert_eq!(limiter.charge(&Limits([None, Some(Limit { bucket, events_per_second: 1 })]), 1), Ok(()));
            if number == PURGE_FROM as u128 - 1 {
                tokio::time::advance(Duration::from_secs(2)).await;
            }
        }
        assert_eq!(limiter.empty_at.lock().unwrap().len(), 10);
    }
}

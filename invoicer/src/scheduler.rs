//! Automatic billing: live organizations are billed as their periods end. Sandboxes are billed by their clocks.
//!
//! A tick costs one narrow query while nothing changed and nothing is due. It looks closer when the catalog has changed, when
//! the instant has come at which something falls due, and once an hour whatever it believes.
//!
//! A closer look reads the whole catalog: after one that took a second, changes wait ten.
//!
//! A run that failed is tried again after a minute, then after two, four, … up to an hour, or at once when the catalog changes.

use crate::due::Reach;
use crate::ledger::runs::{RunRecord, RunScope};
use crate::run::progress::Unobserved;
use crate::run::{BillingRuns, RunError};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use http_api::SharedClock;
use std::time::{Duration, Instant};

/// The longest it goes without a closer look, and the longest wait after failures.
const HOUR: i64 = 3600 * MICROS_PER_SECOND;
/// The first wait after a failure.
const MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// So many times as long as a closer look took passes before a change of the catalog makes it look again: a tenth of one
/// processor at most, however large and busy the catalog is.
const REST: u32 = 10;

/// Bills what falls due by the machine's clock.
#[derive(Debug)]
pub struct Scheduler {
    runs: BillingRuns,
    /// The catalog as of the last closer look.
    seen: Option<String>,
    /// When to look closer, if the catalog does not change.
    look_at: Timestamp,
    /// Until when changes of the catalog wait.
    rest_until: Timestamp,
    /// The wait after the last failure; 0 when there was none.
    backoff: i64,
}

impl Scheduler {
    /// A scheduler that has seen nothing yet.
    #[must_use]
    pub fn new(runs: BillingRuns) -> Self {
        Self { runs, seen: None, look_at: Timestamp(i64::MIN), rest_until: Timestamp(i64::MIN), backoff: 0 }
    }

    /// Ticks for ever, and bills beside it what is paid in advance. May be aborted at any time: a run that breaks off is taken up
    /// again (I4).
    pub async fn run(self, every: Duration, clock: SharedClock) {
        let in_advance = bill_in_advance(self.runs.clone(), every.min(IN_ADVANCE_EVERY));
        tokio::join!(self.bill_periods(every, clock), in_advance);
    }

    async fn bill_periods(mut self, every: Duration, clock: SharedClock) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tick(clock.now()).await {
                Ok(Some(run)) if run.error.is_none() => {
                    tracing::info!(run = %run.id, invoices = run.invoices_created, "billed automatically");
                }
                Ok(Some(run)) => tracing::error!(run = %run.id, error = run.error, "automatic billing is incomplete"),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "automatic billing failed; it is tried again"),
            }
            if let Err(error) = self.runs.tend_wallets(None, clock.now()).await {
                tracing::error!(%error, "wallets are not tended; it is tried again");
            }
        }
    }

    /// Bills what is due at `now`; answers with the run, if there was anything to do.
    ///
    /// # Errors
    /// When the ledger or the catalog cannot be read or written.
    pub async fn tick(&mut self, now: Timestamp) -> Result<Option<RunRecord>, RunError> {
        if now < self.look_at && now < self.rest_until {
            return Ok(None);
        }
        let mark = self.runs.catalog_mark().await?;
        let unchanged = self.seen.as_ref() == Some(&mark);
        if unchanged && now < self.look_at {
            return Ok(None);
        }
        let scope = RunScope { organization: None, as_of: now, dry_run: false, reach: Reach::SinceCreation };
        let looking = Instant::now();
        let outlook = self.runs.outlook(&scope).await?;
        let rest = i64::try_from((looking.elapsed() * REST).as_micros()).unwrap_or(HOUR);
        self.rest_until = Timestamp(now.0.saturating_add(rest));
        self.seen = Some(mark);
        let hourly = Timestamp(now.0.saturating_add(HOUR));
        self.look_at = outlook.next.map_or(hourly, |next| next.min(hourly));
        if !outlook.due {
            self.backoff = 0;
            return Ok(None);
        }
        let run = self.runs.run_to_end(scope, &Unobserved).await?;
        if run.error.is_some() {
            self.backoff = (self.backoff * 2).clamp(MINUTE, HOUR);
            self.look_at = Timestamp(now.0.saturating_add(self.backoff));
        } else {
            self.backoff = 0;
        }
        Ok(Some(run))
    }
}

/// How long an event that is paid in advance waits for its invoice, but for the pass itself.
const IN_ADVANCE_EVERY: Duration = Duration::from_secs(1);
/// So many times as long as a pass took passes before the next one: a fifth of one processor at most.
const IN_ADVANCE_REST: u32 = 4;

/// Passes over what came in, for ever. Sandboxes are among them: their events are owed by their own clocks.
async fn bill_in_advance(runs: BillingRuns, every: Duration) {
    loop {
        let started = Instant::now();
        if let Err(error) = runs.bill_in_advance().await {
            tracing::error!(%error, "usage in advance is not billed; it is tried again");
        }
        if let Err(error) = runs.bill_thresholds().await {
            tracing::error!(%error, "usage thresholds are not looked at; it is tried again");
        }
        if let Err(error) = runs.fire_alerts().await {
            tracing::error!(%error, "usage alerts are not looked at; it is tried again");
        }
        tokio::time::sleep(every.max(started.elapsed() * IN_ADVANCE_REST)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, Catalog, at};
    use domain::ids::OrganizationId;

    const SECOND: i64 = MICROS_PER_SECOND;

    fn one_customer() -> Catalog {
        let mut catalog = Catalog::default();
        let plan = catalog.plan(1000, &["calls"]);
        let customer = catalog.customer(OrganizationId::random());
        catalog.subscribe(customer, plan, "2026-04-10T00:00:00Z");
        catalog.subscriptions[0].created_at = at("2026-06-10T00:00:00Z");
        catalog
    }

    #[tokio::test]
    async fn a_period_is_billed_when_it_ends_and_none_that_had_ended_before_the_subscription_was_created() {
        let bench = Bench::new(one_customer()).await;
        let mut scheduler = Scheduler::new(bench.runs.clone());
        assert_eq!(scheduler.tick(at("2026-06-20T00:00:00Z")).await.unwrap(), None);
        assert_eq!(scheduler.tick(at("2026-06-30T23:59:59.999999Z")).await.unwrap(), None);
        let run = scheduler.tick(at("2026-07-01T00:00:00Z")).await.unwrap().unwrap();
        assert_eq!((run.invoices_created, run.error), (1, None));
        assert!(bench.statement().await.iter().all(|line| line.contains(&at("2026-06-01T00:00:00Z").0.to_string())));
        assert_eq!(scheduler.tick(at("2026-07-01T00:00:10Z")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_due_at_once_is_billed_at_the_next_tick_after_the_catalog_changed() {
        let bench = Bench::new(one_customer()).await;
        let mut scheduler = Scheduler::new(bench.runs.clone());
        assert_eq!(scheduler.tick(at("2026-06-20T00:00:00Z")).await.unwrap(), None);
        {
            let mut catalog = bench.inputs.catalog.lock().unwrap();
            let (customer, plan) = (catalog.customers[0].id, catalog.plans[0].id);
            catalog.subscribe(customer, plan, "2026-06-20T00:00:05Z");
            catalog.subscriptions[1].pay_in_advance = true;
        }
        let run = scheduler.tick(at("2026-06-20T00:00:10Z")).await.unwrap().unwrap();
        assert_eq!(run.invoices_created, 1);
    }

    #[tokio::test]
    async fn a_failed_run_is_tried_again_after_a_growing_wait_or_once_the_catalog_has_changed() {
        let bench = Bench::new(one_customer()).await;
        *bench.inputs.store_error.lock().unwrap() = Some("away".into());
        let mut scheduler = Scheduler::new(bench.runs.clone());
        let start = at("2026-07-01T00:00:00Z");
        let mut failed_at = Vec::new();
        for second in 0..600 {
            if scheduler.tick(Timestamp(start.0 + second * SECOND)).await.unwrap().is_some() {
                failed_at.push(second);
            }
        }
        assert_eq!(failed_at, [0, 60, 180, 420]);
        *bench.inputs.store_error.lock().unwrap() = None;
        let later = Timestamp(start.0 + 600 * SECOND);
        assert_eq!(scheduler.tick(later).await.unwrap(), None);
        {
            let mut catalog = bench.inputs.catalog.lock().unwrap();
            let (customer, plan) = (catalog.customers[0].id, catalog.plans[0].id);
            catalog.subscribe(customer, plan, "2026-07-01T00:00:00Z");
        }
        let rested = Timestamp(later.0 + 10 * SECOND);
        let run = scheduler.tick(rested).await.unwrap().unwrap();
        assert_eq!((run.error, run.invoices_created), (None, 1));
    }
}

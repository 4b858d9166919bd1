//! One process executes a run, also where several see it.
//!
//! A process takes a run when nobody has it, when it has it already under its own name, or when it has watched the holder's beat
//! stand still for [`Lease::expiry`]. While a run is executed a task beside it moves the beat, and the execution ends when
//! another process has the run: this one must have stood still for that long.
//!
//! The lease spares work and keeps one process from ending what another goes on with. That nothing is billed twice does not
//! depend on it (I4): a process that stood still may still write one batch after it lost the run, which finds its frontiers moved.

use super::progress::RunObserver;
use super::{BillingRuns, RunError, Shared, execute, lock};
use crate::ledger::run_leases;
use crate::ledger::runs::RunRecord;
use domain::ids::BillingRunId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long a run of a process that died waits for another one. A transaction of a run takes a fifth of a second, so a holder
/// that is alive moves its beat many times in it.
const EXPIRY: Duration = Duration::from_secs(10);
/// Beats in that time: four may be missed.
const BEATS: u32 = 5;

/// Under which name this process has runs, and when it takes one of another's.
#[derive(Clone, Debug)]
pub struct Lease {
    /// No two processes that live at once may share it; one that is started again takes up at once what it had under it.
    pub holder: Arc<str>,
    /// How long a beat must stand still.
    pub expiry: Duration,
}

impl Default for Lease {
    /// A name nobody else has, not even this process at its next start.
    fn default() -> Self {
        Self { holder: uuid::Uuid::new_v4().to_string().into(), expiry: EXPIRY }
    }
}

/// A beat of another process, and since when it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    beat: i64,
    since: Instant,
}

impl BillingRuns {
    /// The same under another name, or with another patience.
    #[must_use]
    pub fn leasing(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// Whether this process may execute the run: of all that ask, one.
    pub(super) async fn take(&self, run: BillingRunId) -> Result<bool, RunError> {
        let held = run_leases::read(&mut *self.shared.connection().await?, run).await?;
        let Some(held) = held else { return Ok(false) };
        let is_free = held.holder.as_deref().is_none_or(|holder| holder == &*self.lease.holder);
        if !is_free && !self.stands_still(run, held.beat) {
            return Ok(false);
        }
        let mut write = self.shared.database.write().await?;
        let taken = run_leases::take(write.connection(), run, held.beat, &self.lease.holder).await?;
        write.commit().await?;
        if taken && !is_free {
            tracing::warn!(%run, holder = held.holder, "took a billing run whose process stood still");
        }
        Ok(taken)
    }

    /// Whether the beat was the same for as long as a lease lasts; remembers it.
    fn stands_still(&self, run: BillingRunId, beat: i64) -> bool {
        let mut watched = lock(&self.shared.watched);
        let seen = watched.entry(run).or_insert(Watched { beat, since: Instant::now() });
        if seen.beat != beat {
            *seen = Watched { beat, since: Instant::now() };
        }
        seen.since.elapsed() >= self.lease.expiry
    }

    /// Executes a run that was taken; `None` when another process took it meanwhile.
    pub(super) async fn execute_held(
        &self,
        record: RunRecord,
        observer: &dyn RunObserver,
    ) -> Result<Option<RunRecord>, RunError> {
        let run = record.id;
        let keeping = keep(Arc::clone(&self.shared), self.lease.clone(), run);
        // A task of its own: work that keeps this one busy must not stop the beat.
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeping));
        tokio::select! {
            ended = execute::execute(&self.shared, &self.lease, record, observer) => ended,
            _ = keeper => {
                tracing::warn!(%run, "another process has taken this billing run");
                Ok(None)
            }
        }
    }

    /// Lets others take the run at once. A failure costs them a wait.
    pub(super) async fn release(&self, run: BillingRunId) {
        let released = async {
            let mut write = self.shared.database.write().await?;
            run_leases::release(write.connection(), run, &self.lease.holder).await?;
            Ok::<(), RunError>(write.commit().await?)
        };
        if let Err(error) = released.await {
            tracing::warn!(%run, %error, "a billing run could not be given up; others take it when its lease is over");
        }
    }
}

/// Moves the beat until another process has the run, or it has ended.
async fn keep(shared: Arc<Shared>, lease: Lease, run: BillingRunId) {
    loop {
        tokio::time::sleep(lease.expiry / BEATS).await;
        match move_beat(&shared, &lease, run).await {
            Ok(Beat::Moved) => {}
            Ok(Beat::Lost) => return,
            // The execution is about to say so.
            Ok(Beat::Ended) => std::future::pending().await,
            // The execution needs the ledger too and fails by itself.
            Err(error) => tracing::warn!(%run, %error, "the lease of a billing run was not renewed; it is tried again"),
        }
    }
}

/// What an attempt to move the beat found.
enum Beat {
    Moved,
    /// Another process has the run.
    Lost,
    /// The run goes on nowhere.
    Ended,
}

async fn move_beat(shared: &Shared, lease: &Lease, run: BillingRunId) -> Result<Beat, RunError> {
    let mut write = shared.database.write().await?;
    let found = match run_leases::beat(write.connection(), run, &lease.holder).await? {
        true => Beat::Moved,
        false => run_leases::read(write.connection(), run).await?.map_or(Beat::Ended, |_| Beat::Lost),
    };
    write.commit().await?;
    Ok(found)
}

//! Billing runs: started, found again, resumed, and executed in the background.
//!
//! Where to look, in the order in which a run happens:
//! - [`BillingRuns::start`]: a row in the ledger; a second start of the same scope finds it
//! - [`execute`]: its stages; [`plan`]: what is due; [`finalize`]: drafts; [`assembler`]: rated usage on invoices;
//!   [`mod@write`]: these into the ledger
//! - [`mod@lease`]: which process executes it; [`background`]: where nobody waits for it
//! - [`unused_advance`]: credit for what ended subscriptions had paid ahead
//! - [`in_advance`]: between runs, usage that is billed as it comes in
//! - [`thresholds`]: between runs, usage that is billed as it reaches an amount
//! - [`alerts`]: between runs, quantities that reach a value
//! - [`compared`]: what a dry run would bill against what was billed before
//! - [`progress`]: what is told meanwhile
//!
//! Any number of runs may go on at once, in any number of processes: each thing is billed by one of them (I4), and each run is
//! executed by one. A run whose process died stays active in the ledger; [`BillingRuns::resume`] takes it up with the cut it had.

pub(crate) mod alerts;
mod assembler;
mod background;
mod compared;
mod execute;
mod finalize;
mod in_advance;
mod late;
mod lease;
mod no_next_invoice;
pub mod plan;
pub mod progress;
pub(crate) mod rework;
pub mod terms;
mod thresholds;
mod unused_advance;
mod write;

pub use alerts::Fired;
pub use in_advance::BilledInAdvance;
pub use lease::Lease;
pub use thresholds::BilledAtThreshold;

use crate::due::Reach;
use crate::inputs::{BillingInputs, InputError, World};
use crate::ledger::invoices::PageOf;
use crate::ledger::runs::{self, RunRecord, RunScope};
use crate::ledger::{LedgerError, drafts, frontiers, schema};
use background::Listed;
use catalog::database::{Database, DatabaseError};
use domain::ids::{BillingRunId, OrganizationId};
use domain::time::Timestamp;
use http_api::SharedClock;
use progress::{Done, RunObserver, RunProgress};
use sqlx::pool::PoolConnection;
use sqlx::{Any, Row};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a run could not be started, or ended without an end in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The catalog or the event store did not answer.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The run ended with something not billed.
    #[error("{0}")]
    Failed(String),
    /// There is no such run.
    #[error("there is no billing run {0}")]
    Unknown(BillingRunId),
    /// A thread of the run ended without an answer.
    #[error("a billing thread broke off: {0}")]
    Thread(String),
}

impl From<DatabaseError> for RunError {
    fn from(error: DatabaseError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for RunError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// How much of a run is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portions {
    /// Stretches rated together: they bound the memory of a run (about 2 KB each with their fees); a run over fewer has a
    /// fixed number of queries.
    pub stretches_rated: usize,
    /// Invoices in one transaction. A commit waits for the disk, some milliseconds: with 2,000 that is microseconds each, while
    /// another writer waits no longer than a fifth of a second.
    pub invoices_written: usize,
}

impl Default for Portions {
    fn default() -> Self {
        Self { stretches_rated: 100_000, invoices_written: 2000 }
    }
}

/// Between two looks at a run that somebody else executes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What all runs of a process share.
struct Shared {
    portions: Portions,
    database: Database,
    inputs: Arc<dyn BillingInputs>,
    clock: SharedClock,
    /// Who pays usage in advance; held during a pass, so that a process makes one at a time.
    payers: tokio::sync::Mutex<Option<in_advance::Known>>,
    /// Who has usage thresholds; held during a pass.
    thresholds: tokio::sync::Mutex<Option<thresholds::Known>>,
    /// Who has usage alerts; held during a pass.
    alerts: tokio::sync::Mutex<Option<alerts::Known>>,
    /// The catalog as these three saw it last, with its mark.
    world: tokio::sync::Mutex<Option<(String, World)>>,
    /// Runs that a task of this process executes.
    executing: Mutex<HashSet<BillingRunId>>,
    /// Runs of other processes, and whether these still move.
    watched: Mutex<HashMap<BillingRunId, lease::Watched>>,
    /// These tasks, to wait for.
    tasks: TaskTracker,
    /// Ends them.
    stopping: CancellationToken,
}

impl Shared {
    async fn connection(&self) -> Result<PoolConnection<Any>, RunError> {
        Ok(self.database.pool().acquire().await?)
    }

    /// The catalog of all organizations, not older than `mark`, which was read before.
    async fn world_at(&self, mark: &str) -> Result<World, RunError> {
        let mut cached = self.world.lock().await;
        if let Some((known, world)) = cached.as_ref()
            && known == mark
        {
            return Ok(world.clone());
        }
        let world = self.inputs.world(None).await?;
        *cached = Some((mark.to_owned(), world.clone()));
        Ok(world)
    }

    async fn find(&self, id: BillingRunId) -> Result<RunRecord, RunError> {
        runs::get(&mut *self.connection().await?, None, id).await?.ok_or(RunError::Unknown(id))
    }
}

/// Which of the runs that are started or found in the ledger this process executes in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executes {
    /// All of them.
    Every,
    /// Those of sandboxes: an API whose live organizations are billed by another process.
    Sandboxes,
    /// All but those of sandboxes, which the API bills before it answers.
    Live,
}

/// Starts, finds and resumes runs. Cheap to clone.
#[derive(Clone)]
pub struct BillingRuns {
    shared: Arc<Shared>,
    executes: Executes,
    lease: Lease,
}

impl std::fmt::Debug for BillingRuns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BillingRuns").field("executing", &*lock(&self.shared.executing)).finish_non_exhaustive()
    }
}

/// What is due now and when next: for the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Whether a run would find anything to do.
    pub due: bool,
    /// When something becomes due next.
    pub next: Option<Timestamp>,
}

impl BillingRuns {
    /// Brings the ledger's tables up to date.
    ///
    /// # Errors
    /// When the database refuses, or the tables are newer than this program.
    pub async fn open(
        database: Database,
        inputs: Arc<dyn BillingInputs>,
        clock: SharedClock,
        portions: Portions,
    ) -> Result<Self, RunError> {
        database.migrate(schema::COMPONENT, schema::MIGRATIONS).await?;
        let shared = Shared {
            portions,
            database,
            inputs,
            clock,
            payers: tokio::sync::Mutex::default(),
            thresholds: tokio::sync::Mutex::default(),
            alerts: tokio::sync::Mutex::default(),
            world: tokio::sync::Mutex::default(),
            executing: Mutex::default(),
            watched: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        Ok(Self { shared: Arc::new(shared), executes: Executes::Every, lease: Lease::default() })
    }

    /// The same, leaving some of the runs to other processes.
    #[must_use]
    pub fn executing(self, executes: Executes) -> Self {
        Self { executes, ..self }
    }

    pub(crate) fn inputs(&self) -> &dyn BillingInputs {
        self.shared.inputs.as_ref()
    }

    /// The machine's clock, for `created_at`.
    pub(crate) fn machine_now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The database of the ledger.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// Starts a run in the background, here or in the process that executes such runs, and answers with its row; while one of the
    /// same scope goes on, with that one's.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn start(&self, scope: RunScope) -> Result<RunRecord, RunError> {
        let record = self.begin(&scope).await?;
        if self.is_ours(&record).await? {
            self.execute_in_background(record.clone()).await?;
        }
        Ok(record)
    }

    /// Takes up every run that is going on in the ledger and that no living process has: its process ended, or leaves it to this
    /// one. Answers how many. One that another process had is taken once it was looked at for as long as a lease lasts.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn resume(&self) -> Result<usize, RunError> {
        let unfinished = runs::unfinished(&mut *self.shared.connection().await?).await?;
        lock(&self.shared.watched).retain(|id, _| unfinished.iter().any(|record| record.id == *id));
        let mut count = 0;
        for record in unfinished {
            let (id, as_of) = (record.id, record.scope.as_of);
            if self.is_ours(&record).await? && self.execute_in_background(record).await? {
                tracing::info!(run = %id, %as_of, "billing run taken up");
                count += 1;
            }
        }
        Ok(count)
    }

    async fn is_ours(&self, record: &RunRecord) -> Result<bool, RunError> {
        let of_sandbox = match (self.executes, record.scope.organization) {
            (Executes::Every, _) => return Ok(true),
            (_, Some(organization)) => self.is_sandbox(organization).await?,
            (_, None) => false,
        };
        Ok(of_sandbox == (self.executes == Executes::Sandboxes))
    }

    /// Interrupts the runs in the background and waits until they have let go of the ledger. They stay active there: the next
    /// process takes them up. Runs started from now on wait for it too.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Runs to the end, telling `observer` meanwhile. A run of the same scope that was going on is waited for where somebody
    /// executes it, here or elsewhere, and else taken up; `observer` is told what is done by this call only.
    ///
    /// The answer may be a failed run: its `error` says why.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn run_to_end(&self, scope: RunScope, observer: &dyn RunObserver) -> Result<RunRecord, RunError> {
        let mut record = self.begin(&scope).await?;
        loop {
            let listed = Listed::new(&self.shared, record.id);
            if listed.is_some()
                && self.take(record.id).await?
                && let Some(ended) = self.execute_held(record.clone(), observer).await?
            {
                return Ok(ended);
            }
            drop(listed);
            record = self.shared.find(record.id).await?;
            observer.progress(execute::progress_of(&record));
            if record.status.is_final() {
                return Ok(record);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Bills a sandbox up to `now`, which its clock is about to show, and answers what was done, in order.
    ///
    /// # Errors
    /// When the run failed; what was billed stays, and the next call goes on from there.
    pub async fn bill_sandbox_until(
        &self,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<Vec<Done>, RunError> {
        let scope =
            RunScope { organization: Some(organization), as_of: now, dry_run: false, reach: Reach::SinceCreation };
        if !self.outlook(&scope).await?.due {
            return Ok(Vec::new());
        }
        let collected = Collected::default();
        let ended = self.run_to_end(scope, &collected).await?;
        if let Some(error) = ended.error {
            return Err(RunError::Failed(error));
        }
        let mut done = collected.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|done| (done.at, done.what));
        Ok(done)
    }

    /// Bills usage that is paid in advance, up to what is in the store now.
    ///
    /// # Errors
    /// When the store, the catalog or the ledger does not answer; nothing is lost, the next call goes on from there.
    pub async fn bill_in_advance(&self) -> Result<BilledInAdvance, RunError> {
        let cut = self.shared.inputs.cut_so_far().await?;
        self.shared.bill_in_advance_up_to(&cut).await
    }

    /// Bills the usage thresholds that were crossed, by what is in the store now.
    ///
    /// # Errors
    /// As [`BillingRuns::bill_in_advance`].
    pub async fn bill_thresholds(&self) -> Result<Vec<BilledAtThreshold>, RunError> {
        let cut = self.shared.inputs.cut_so_far().await?;
        self.shared.bill_thresholds_up_to(&cut).await
    }

    /// Fires the usage alerts that were reached, by what is in the store now.
    ///
    /// # Errors
    /// As [`BillingRuns::bill_in_advance`].
    pub async fn fire_alerts(&self) -> Result<Vec<Fired>, RunError> {
        let cut = self.shared.inputs.cut_so_far().await?;
        self.shared.fire_alerts_up_to(&cut).await
    }

    pub(crate) async fn is_sandbox(&self, organization: OrganizationId) -> Result<bool, RunError> {
        let row = sqlx::query("SELECT sandbox FROM organizations WHERE id = $1")
            .bind(organization.to_string())
            .fetch_optional(self.shared.database.pool())
            .await?;
        Ok(row.is_some_and(|row| row.try_get::<i64, _>("sandbox").is_ok_and(|flag| flag != 0)))
    }

    /// Differs once the catalog has changed.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn catalog_mark(&self) -> Result<String, RunError> {
        Ok(self.shared.inputs.catalog_mark().await?)
    }

    /// Whether a run of `scope` would find anything to do, and when there will be something.
    ///
    /// # Errors
    /// When the catalog or the ledger cannot be read.
    pub async fn outlook(&self, scope: &RunScope) -> Result<Outlook, RunError> {
        let world = self.shared.inputs.world(scope.organization).await?;
        let mut connection = self.shared.connection().await?;
        let billed = frontiers::read_all(&mut connection, scope.organization).await?;
        let draft = drafts::next_issue(&mut connection, scope.organization).await?;
        let gives_back = unused_advance::any(&mut connection, &world, &billed, scope).await?;
        drop(connection);
        let scope = *scope;
        let planned = tokio::task::spawn_blocking(move || plan::plan_run(&world, &billed, &scope)).await;
        let planned = planned.map_err(|error| RunError::Thread(error.to_string()))?;
        let draft_due = draft.is_some_and(|issued_at| issued_at <= scope.as_of);
        let next = [planned.next, draft.filter(|_| !draft_due)].into_iter().flatten().min();
        Ok(Outlook {
            due: draft_due || gives_back || !planned.invoices.is_empty() || !planned.problems.is_empty(),
            next,
        })
    }

    /// A run; of one organization, or any when that is absent.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn get(
        &self,
        organization: Option<OrganizationId>,
        id: BillingRunId,
    ) -> Result<Option<RunRecord>, RunError> {
        Ok(runs::get(&mut *self.shared.connection().await?, organization, id).await?)
    }

    /// A page of runs, and their number.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn list(
        &self,
        organization: Option<OrganizationId>,
        page: &PageOf,
    ) -> Result<(Vec<RunRecord>, i64), RunError> {
        Ok(runs::list(&mut *self.shared.connection().await?, organization, page).await?)
    }

    async fn begin(&self, scope: &RunScope) -> Result<RunRecord, RunError> {
        let mut write = self.shared.database.write().await?;
        let now = self.shared.clock.now();
        let (id, is_new) = runs::start(write.connection(), BillingRunId::random(), scope, now).await?;
        write.commit().await?;
        if is_new {
            tracing::info!(run = %id, as_of = %scope.as_of, dry_run = scope.dry_run, "billing run started");
        }
        self.shared.find(id).await
    }
}

/// A panic elsewhere leaves these collections whole: they are only inserted into and removed from.
fn lock<T>(collection: &Mutex<T>) -> MutexGuard<'_, T> {
    collection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Collected(Mutex<Vec<Done>>);

impl RunObserver for Collected {
    fn progress(&self, _progress: RunProgress) {}

    fn done(&self, done: &[Done]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(done);
    }
}

#[cfg(test)]
mod lease_tests;
#[cfg(test)]
#[cfg(postgres_installed)]
#[allow(clippy::duplicate_mod, clippy::unwrap_used)] // One text, two databases.
#[path = "run/lease_tests.rs"]
mod lease_tests_on_postgres;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[cfg(postgres_installed)]
#[allow(clippy::duplicate_mod, clippy::unwrap_used)] // One text, two databases.
#[path = "run/tests.rs"]
mod tests_on_postgres;

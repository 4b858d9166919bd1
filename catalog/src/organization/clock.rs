//! A sandbox's clock: shown, and moved forward with everything that falls due on the way.
//!
//! Until it is first set it follows the machine's. The first setting may go back, so that the past can be rehearsed, as long as
//! no subscription exists; from then on the clock moves forward only.

use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::organization::wire::SandboxClock;
use crate::state::{CatalogState, Done};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, Checks};

fn live_organization() -> ApiError {
    ApiError::forbidden("not_a_sandbox", "only a sandbox has a clock of its own; live organizations use the machine's")
}

impl Catalog {
    /// What a sandbox's clock shows; the machine's while it was never set.
    ///
    /// # Errors
    /// 403 for a live organization.
    pub async fn sandbox_clock(
        &self,
        organization: OrganizationId,
        machine_now: Timestamp,
    ) -> Result<SandboxClock, ApiError> {
        let row = sqlx::query("SELECT sandbox, clock FROM organizations WHERE id = $1")
            .bind(organization.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?
            .ok_or_else(|| ApiError::not_found("Organization"))?;
        if !row.flag("sandbox")? {
            return Err(live_organization());
        }
        Ok(SandboxClock { now: row.optional_instant("clock")?.unwrap_or(machine_now) })
    }

    async fn set_sandbox_clock(
        &self,
        organization: OrganizationId,
        now: Timestamp,
        machine_now: Timestamp,
    ) -> Result<(), ApiError> {
        let shown = self.sandbox_clock(organization, machine_now).await?.now;
        let mut checks = Checks::new();
        checks.instant("now", now);
        checks.finish()?;
        let mut write = self.write().await?;
        // The conditions stand inside the write: two clients may move the clock at once.
        let update = "UPDATE organizations SET clock = $2 WHERE id = $1 AND sandbox = 1 AND (clock <= $2 OR \
             (clock IS NULL AND ($3 <= $2 OR NOT EXISTS (SELECT 1 FROM subscriptions WHERE organization_id = $1))))";
        let moved = sqlx::query(update)
            .bind(organization.to_string())
            .bind(now.0)
            .bind(machine_now.0)
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?
            .rows_affected();
        if moved == 0 {
            let msg = format!("the clock shows {shown} and moves forward only");
            return Err(ApiError::invalid_field("now", msg, &now.to_string().into()));
        }
        Ok(self.commit_shown(write, organization).await?)
    }
}

/// Moves the clock, then does what fell due: the catalog's own (activations, ends), then the other components'. Failing
/// midway it can be repeated with the same instant.
pub(crate) async fn move_clock(
    state: &CatalogState,
    organization: OrganizationId,
    now: Timestamp,
) -> Result<Vec<Done>, ApiError> {
    let mut done = Vec::new();
    for other in &state.clock_moved {
        done.extend(other.clock_will_move(organization).await?);
    }
    state.catalog.set_sandbox_clock(organization, now, state.auth.clock.now()).await?;
    done.extend(state.catalog.advance(Some(organization), now).await?);
    for other in &state.clock_moved {
        done.extend(other.clock_moved(organization, now).await?);
    }
    // Stable: what falls due at one instant stays in the order in which it was done.
    done.sort_by_key(|step| step.at);
    Ok(done)
}

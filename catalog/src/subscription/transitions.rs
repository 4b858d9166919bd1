//! States of subscriptions: which action leads from where to where, by request and by the clock.
//!
//! | action | from | to |
//! |---|---|---|
//! | activate | pending | active, started now |
//! | pause | active | paused |
//! | resume | paused | active |
//! | cancel, terminate | pending, active, paused | canceled, terminated, ended now |
//! | the clock reaches `started_at` | pending | active, started then |
//! | the clock reaches `ending_at` | pending, active, paused | terminated, ended then |
//! | the clock reaches the end of the trial | active, paused | the same, its trial ended then |

use crate::catalog::Catalog;
use crate::columns::{Columns, name_of};
use crate::database::{DatabaseError, WriteTransaction};
use crate::state::Done;
use crate::subscription::change_plan::drop_planned;
use crate::subscription::storage::{logged, select};
use crate::subscription::trials;
use crate::subscription::wire::{SubscriptionRecord, Termination};
use domain::catalog::SubscriptionStatus;
use domain::ids::{OrganizationId, SubscriptionId};
use domain::time::Timestamp;
use http_api::ApiError;
use sqlx::AssertSqlSafe;

/// What a client can do to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start now.
    Activate,
    /// Suspend.
    Pause,
    /// Go on.
    Resume,
    /// End now, as the customer's wish.
    Cancel(Termination),
    /// End now.
    Terminate(Termination),
}

impl Action {
    /// The action that leads to a status; none leads to pending, and to active two do.
    pub(crate) fn leading_to(
        wanted: SubscriptionStatus,
        current: SubscriptionStatus,
        money: Termination,
    ) -> Option<Self> {
        match wanted {
            SubscriptionStatus::Pending => None,
            SubscriptionStatus::Active if current == SubscriptionStatus::Pending => Some(Self::Activate),
            SubscriptionStatus::Active => Some(Self::Resume),
            SubscriptionStatus::Paused => Some(Self::Pause),
            SubscriptionStatus::Canceled => Some(Self::Cancel(money)),
            SubscriptionStatus::Terminated => Some(Self::Terminate(money)),
        }
    }

    fn allowed_from(self, status: SubscriptionStatus) -> bool {
        use SubscriptionStatus::{Active, Canceled, Paused, Pending, Terminated};
        match (self, status) {
            (_, Canceled | Terminated) => false,
            (Self::Activate, from) => from == Pending,
            (Self::Pause, from) => from == Active,
            (Self::Resume, from) => from == Paused,
            (Self::Cancel(_) | Self::Terminate(_), Pending | Active | Paused) => true,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Activate => "activated",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel(_) => "canceled",
            Self::Terminate(_) => "terminated",
        }
    }

    /// Contract: a wrong state is 404 for the two endings, 400 for the rest.
    fn refused(self, status: SubscriptionStatus) -> ApiError {
        let status = name_of(status).unwrap_or_default();
        let detail = format!("Subscription not found in a state to be {}: it is {status}", self.verb());
        match self {
            Self::Cancel(_) | Self::Terminate(_) => {
                ApiError::new(axum::http::StatusCode::NOT_FOUND, "wrong_subscription_state", detail)
            }
            _ => ApiError::bad_request("wrong_subscription_state", detail),
        }
    }

    fn apply(self, subscription: &mut SubscriptionRecord, now: Timestamp) {
        subscription.updated_at = now;
        match self {
            Self::Activate => {
                subscription.status = SubscriptionStatus::Active;
                subscription.started_at = Some(now);
            }
            Self::Pause => {
                subscription.status = SubscriptionStatus::Paused;
                subscription.paused_at = Some(now);
            }
            Self::Resume => {
                subscription.status = SubscriptionStatus::Active;
                subscription.paused_at = None;
                subscription.resumed_at = Some(now);
            }
            Self::Cancel(money) => {
                subscription.status = SubscriptionStatus::Canceled;
                subscription.canceled_at = Some(now);
                subscription.ended_at = Some(now);
                subscription.on_termination_action = money.action;
                subscription.on_termination_credit_note = money.credit_note;
            }
            Self::Terminate(money) => {
                subscription.status = SubscriptionStatus::Terminated;
                subscription.ending_at = Some(now);
                subscription.ended_at = Some(now);
                subscription.on_termination_action = money.action;
                subscription.on_termination_credit_note = money.credit_note;
            }
        }
    }
}

/// Does `action`, inside a write.
pub(crate) async fn act(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    subscription: &mut SubscriptionRecord,
    action: Action,
    now: Timestamp,
) -> Result<(), ApiError> {
    if !action.allowed_from(subscription.status) {
        return Err(action.refused(subscription.status));
    }
    action.apply(subscription, now);
    let ends = matches!(action, Action::Cancel(_) | Action::Terminate(_));
    if ends {
        // What it would have become ends with it, and its last day is its own again.
        drop_planned(write, organization, subscription.id, now).await?;
    }
    let activated = (action == Action::Activate).then_some(now.0);
    sqlx::query(
        "UPDATE subscriptions SET status = $3, started_at = $4, activated_at = COALESCE($5, activated_at), \
         ending_at = $6, ended_at = $7, canceled_at = $8, paused_at = $9, resumed_at = $10, \
         on_termination_action = $11, updated_at = $12, on_termination_credit_note = $14, \
         ended_by_change = CASE WHEN $13 = 1 THEN 0 ELSE ended_by_change END WHERE organization_id = $1 AND id = $2",
    )
    .bind(organization.to_string())
    .bind(subscription.id.to_string())
    .bind(name_of(subscription.status)?)
    .bind(subscription.started_at.map(|at| at.0))
    .bind(activated)
    .bind(subscription.ending_at.map(|at| at.0))
    .bind(subscription.ended_at.map(|at| at.0))
    .bind(subscription.canceled_at.map(|at| at.0))
    .bind(subscription.paused_at.map(|at| at.0))
    .bind(subscription.resumed_at.map(|at| at.0))
    .bind(name_of(subscription.on_termination_action)?)
    .bind(now.0)
    .bind(i64::from(ends))
    .bind(name_of(subscription.on_termination_credit_note)?)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}

/// Another request, or the clock, was first.
pub(crate) fn changed_meanwhile(status: SubscriptionStatus) -> ApiError {
    let status = name_of(status).unwrap_or_default();
    ApiError::conflict(
        "subscription_changed",
        format!("the subscription was changed by another request: it is {status}"),
    )
}

/// Which subscriptions the clock moves: those of one organization, or of all live ones (`$2 = ''`), whose clock is the
/// machine's.
const CLOCKED: &str = "($2 = '' OR organization_id = $2) AND ($2 <> '' OR organization_id IN (SELECT id FROM organizations WHERE sandbox = 0))";

impl Catalog {
    /// Does `action` to a subscription.
    ///
    /// # Errors
    /// 404 when the organization has no such subscription; 400 or (for endings) 404 when its state does not allow it; 409 when
    /// another request or the clock changed its state after this one came.
    pub async fn act_on_subscription(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        action: Action,
        now: Timestamp,
    ) -> Result<SubscriptionRecord, ApiError> {
        // Looked up before the turn to write is waited for: of two requests at one instant the second would else find the state
        // that the first left, and be told that it asked for what cannot be.
        let seen = self.subscription(organization, id).await?.status;
        let mut write = self.write().await?;
        let before = select(&mut write, organization, id).await?;
        if before.status != seen {
            return Err(changed_meanwhile(before.status));
        }
        let mut subscription = before.clone();
        act(&mut write, organization, &mut subscription, action, now).await?;
        logged(&mut write, organization, Some(&before), &subscription, now).await?;
        write.commit().await?;
        Ok(subscription)
    }

    /// Starts and ends the subscriptions that the clock has reached by `now`: of one organization, or of all live ones. Each
    /// starts and ends at its planned instant, however late this is called. Harmless when repeated.
    ///
    /// # Errors
    /// When the database fails; nothing was changed then.
    pub async fn advance(
        &self,
        organization: Option<OrganizationId>,
        now: Timestamp,
    ) -> Result<Vec<Done>, DatabaseError> {
        let scope = organization.map(|id| id.to_string()).unwrap_or_default();
        let mut write = self.write().await?;
        // A planned change starts once what it goes on from has ended; it may end itself within the same step of the clock. So the
        // two are repeated until neither finds anything: as often as the longest chain of changes is long.
        let started = format!(
            "UPDATE subscriptions SET status = 'active', activated_at = started_at, updated_at = $1 \
             WHERE status = 'pending' AND started_at <= $1 AND {CLOCKED} AND (previous_subscription_id IS NULL \
             OR NOT EXISTS (SELECT 1 FROM subscriptions earlier WHERE earlier.id = subscriptions.previous_subscription_id \
             AND earlier.status IN ('active', 'paused'))) \
             RETURNING id, started_at AS happened_at"
        );
        let ended = format!(
            "UPDATE subscriptions SET status = 'terminated', ended_at = ending_at, updated_at = $1 \
             WHERE (status IN ('active', 'paused') OR (status = 'pending' AND (started_at IS NULL OR started_at > $1))) \
             AND ending_at <= $1 AND {CLOCKED} RETURNING id, ending_at AS happened_at"
        );
        let updates = [(started, "subscription.activated"), (ended, "subscription.ended")];
        let mut done = Vec::new();
        loop {
            let before = done.len();
            for (update, what) in &updates {
                let query = sqlx::query(AssertSqlSafe(update.clone())).bind(now.0).bind(&scope);
                for row in &query.fetch_all(write.connection()).await? {
                    done.push(Done { at: row.instant("happened_at")?, what: (*what).into(), id: row.text("id")? });
                }
            }
            if done.len() == before {
                break;
            }
        }
        done.extend(trials::ended(&mut write, now, (&scope, CLOCKED)).await?);
        write.commit().await?;
        done.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_allowed_from_its_own_states_only() {
        use SubscriptionStatus::{Active, Canceled, Paused, Pending, Terminated};
        let all = [Pending, Active, Paused, Canceled, Terminated];
        let from = |action: Action| all.into_iter().filter(|status| action.allowed_from(*status)).collect::<Vec<_>>();
        assert_eq!(from(Action::Activate), [Pending]);
        assert_eq!(from(Action::Pause), [Active]);
        assert_eq!(from(Action::Resume), [Paused]);
        assert_eq!(from(Action::Cancel(Termination::default())), [Pending, Active, Paused]);
        assert_eq!(from(Action::Terminate(Termination::default())), [Pending, Active, Paused]);
    }
}

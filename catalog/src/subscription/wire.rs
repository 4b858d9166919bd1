//! Subscriptions as the contract spells them.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use crate::plan::wire::PlanUpdate;
use domain::catalog::{BillingTime, SubscriptionStatus, UnusedAdvance};
use domain::ids::{CustomerId, PlanId, SubscriptionId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// What happens to money when a subscription ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminationAction {
    /// Bills what is owed and credits unused advance.
    #[default]
    GenerateInvoice,
    /// Only credits.
    GenerateCreditNote,
    /// Neither.
    Skip,
}

/// What happens to money when somebody ends a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// What is billed.
    pub action: TerminationAction,
    /// Where what was paid ahead and not used goes.
    pub credit_note: UnusedAdvance,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SubscriptionResponse)]
pub struct SubscriptionRecord {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: SubscriptionId,
    /// The client's own id; unique among the organization's running subscriptions.
    pub external_id: String,
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// To what.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// The plan before the last change.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub previous_plan_id: Option<PlanId>,
    /// The subscription that this one goes on from, with the plan before: a plan change ends one and starts the next.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub previous_subscription_id: Option<SubscriptionId>,
    /// For people.
    pub name: Option<String>,
    /// `pending`, `active`, `paused`, `canceled` or `terminated`.
    #[schema(value_type = String)]
    pub status: SubscriptionStatus,
    /// `calendar` or `anniversary`.
    #[schema(value_type = String)]
    pub billing_time: BillingTime,
    /// Flat fee at the period's start.
    pub pay_in_advance: bool,
    /// Days before the flat fee begins.
    pub trial_period_days: u32,
    /// What happens to money at the end.
    pub on_termination_action: TerminationAction,
    /// Where what was paid ahead and not used goes at the end.
    #[schema(value_type = String)]
    pub on_termination_credit_note: UnusedAdvance,
    /// As sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub subscription_at: Option<Timestamp>,
    /// The first start, also over plan changes: periods and the trial are counted from it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub anchor_at: Option<Timestamp>,
    /// First instant of usage; while pending the planned one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// Planned end, or the end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ending_at: Option<Timestamp>,
    /// First instant that is no longer part of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When it was canceled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub canceled_at: Option<Timestamp>,
    /// Since when it is paused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<Timestamp>,
    /// When it was last resumed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resumed_at: Option<Timestamp>,
    /// When its plan was last changed to a cheaper one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub downgraded_at: Option<Timestamp>,
    /// When its trial ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trial_ended_at: Option<Timestamp>,
    /// Whether its end is that of a plan change: another subscription goes on from it.
    #[serde(skip)]
    pub ended_by_change: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl SubscriptionRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            external_id: row.text("external_id")?,
            customer_id: row.parsed("customer_id")?,
            plan_id: row.parsed("plan_id")?,
            previous_plan_id: row.optional_parsed("previous_plan_id")?,
            previous_subscription_id: row.optional_parsed("previous_subscription_id")?,
            name: row.optional_text("name")?,
            status: row.named("status")?,
            billing_time: row.named("billing_time")?,
            pay_in_advance: row.flag("pay_in_advance")?,
            trial_period_days: row.small("trial_period_days")?,
            on_termination_action: row.named("on_termination_action")?,
            on_termination_credit_note: row.named("on_termination_credit_note")?,
            subscription_at: row.optional_instant("subscription_at")?,
            anchor_at: row.optional_instant("anchor_at")?,
            started_at: row.optional_instant("started_at")?,
            ending_at: row.optional_instant("ending_at")?,
            ended_at: row.optional_instant("ended_at")?,
            canceled_at: row.optional_instant("canceled_at")?,
            paused_at: row.optional_instant("paused_at")?,
            resumed_at: row.optional_instant("resumed_at")?,
            downgraded_at: row.optional_instant("downgraded_at")?,
            trial_ended_at: row.optional_instant("trial_ended_at")?,
            ended_by_change: row.flag("ended_by_change")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new subscription.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct SubscriptionCreate {
    /// 1–255 characters; taken while a subscription of this id runs.
    pub external_id: String,
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// To what.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// `calendar` or `anniversary`.
    #[serde(default = "calendar")]
    #[schema(value_type = String)]
    pub billing_time: BillingTime,
    /// Flat fee at the period's start; the plan's when not sent.
    pub pay_in_advance: Option<bool>,
    /// Days before the flat fee begins; the plan's when not sent.
    pub trial_period_days: Option<u32>,
    /// What happens to money at the end.
    #[serde(default)]
    pub on_termination_action: TerminationAction,
    /// With a zone. Not later than now: active from then; later: pending until then; absent: pending until it is activated.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// Kept as sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub subscription_at: Option<Timestamp>,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ending_at: Option<Timestamp>,
    /// For people.
    pub name: Option<String>,
    /// What differs from the plan for this subscription alone: it gets a plan of its own, which no list shows.
    pub plan_overrides: Option<PlanUpdate>,
}

fn calendar() -> BillingTime {
    BillingTime::Calendar
}

impl SubscriptionCreate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self, now: Timestamp) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("external_id", &self.external_id);
        if let Some(name) = &self.name {
            checks.length("name", name, 0, 255);
        }
        checks.days("trial_period_days", self.trial_period_days.unwrap_or(0));
        let instants =
            [("started_at", self.started_at), ("subscription_at", self.subscription_at), ("ending_at", self.ending_at)];
        for (field, instant) in instants {
            if let Some(instant) = instant {
                checks.instant(field, instant);
            }
        }
        if let Some(end) = self.ending_at.filter(|end| *end <= self.started_at.unwrap_or(now)) {
            checks.broken("ending_at", "should lie after the start", end.to_string());
        }
        checks.finish()
    }
}

/// Changes of a subscription: only what is sent; null counts as not sent, but clears `name` and `ending_at`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct SubscriptionUpdate {
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// Null clears it; must lie in the future.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ending_at: Option<Option<Timestamp>>,
    /// What happens to money at the end.
    pub on_termination_action: Option<TerminationAction>,
    /// Does what the action of that name does.
    #[schema(value_type = Option<String>)]
    pub status: Option<SubscriptionStatus>,
    /// Only while pending.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub plan_id: Option<PlanId>,
    /// Only while pending.
    #[schema(value_type = Option<String>)]
    pub billing_time: Option<BillingTime>,
    /// Only while pending.
    pub pay_in_advance: Option<bool>,
    /// Only while pending.
    pub trial_period_days: Option<u32>,
    /// Only while pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub subscription_at: Option<Timestamp>,
    /// Set by Tollgate: refused when it differs.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub previous_plan_id: Option<PlanId>,
    /// Set by Tollgate: refused when it differs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub canceled_at: Option<Timestamp>,
    /// Set by Tollgate: refused when it differs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub downgraded_at: Option<Timestamp>,
    /// Set by Tollgate: refused when it differs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trial_ended_at: Option<Timestamp>,
}

impl SubscriptionUpdate {
    /// The subscription with the changes, its status aside.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn apply(&self, kept: &SubscriptionRecord, now: Timestamp) -> Result<SubscriptionRecord, ApiError> {
        let mut checks = Checks::new();
        if let Some(Some(name)) = &self.name {
            checks.length("name", name, 0, 255);
        }
        if let Some(end) = self.ending_at.flatten().filter(|end| Some(*end) != kept.ending_at) {
            checks.instant("ending_at", end);
            if end <= now || kept.started_at.is_some_and(|start| end <= start) {
                checks.broken("ending_at", "should lie after now and after the start", end.to_string());
            }
        }
        checks.days("trial_period_days", self.trial_period_days.unwrap_or(0));
        if kept.ended_by_change && self.ending_at.is_some_and(|end| end != kept.ending_at) {
            checks.broken("ending_at", "a plan change is planned for the end of the period", Value::Null);
        }
        self.check_own(&mut checks, kept);
        if kept.status != SubscriptionStatus::Pending {
            self.check_frozen(&mut checks, kept);
        }
        checks.finish()?;
        Ok(SubscriptionRecord {
            name: self.name.clone().unwrap_or_else(|| kept.name.clone()),
            ending_at: self.ending_at.unwrap_or(kept.ending_at),
            on_termination_action: self.on_termination_action.unwrap_or(kept.on_termination_action),
            plan_id: self.plan_id.unwrap_or(kept.plan_id),
            billing_time: self.billing_time.unwrap_or(kept.billing_time),
            pay_in_advance: self.pay_in_advance.unwrap_or(kept.pay_in_advance),
            trial_period_days: self.trial_period_days.unwrap_or(kept.trial_period_days),
            subscription_at: self.subscription_at.or(kept.subscription_at),
            updated_at: now,
            ..kept.clone()
        })
    }

    /// Fields that only Tollgate sets.
    fn check_own(&self, checks: &mut Checks, kept: &SubscriptionRecord) {
        let differs = [
            ("previous_plan_id", self.previous_plan_id.is_some() && self.previous_plan_id != kept.previous_plan_id),
            ("canceled_at", self.canceled_at.is_some() && self.canceled_at != kept.canceled_at),
            ("downgraded_at", self.downgraded_at.is_some() && self.downgraded_at != kept.downgraded_at),
            ("trial_ended_at", self.trial_ended_at.is_some() && self.trial_ended_at != kept.trial_ended_at),
        ];
        for (field, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            checks.broken(field, "is set by Tollgate alone", Value::Null);
        }
    }

    /// Fields that closed periods depend on.
    fn check_frozen(&self, checks: &mut Checks, kept: &SubscriptionRecord) {
        let differs = [
            ("plan_id", self.plan_id.is_some_and(|sent| sent != kept.plan_id)),
            ("billing_time", self.billing_time.is_some_and(|sent| sent != kept.billing_time)),
            ("pay_in_advance", self.pay_in_advance.is_some_and(|sent| sent != kept.pay_in_advance)),
            ("trial_period_days", self.trial_period_days.is_some_and(|sent| sent != kept.trial_period_days)),
            ("subscription_at", self.subscription_at.is_some() && self.subscription_at != kept.subscription_at),
        ];
        for (field, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            checks.broken(field, "can be changed only while the subscription is pending", Value::Null);
        }
    }
}

/// Several subscriptions.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct BulkSubscriptionRequest {
    /// At least one.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub subscription_ids: Vec<SubscriptionId>,
}

/// Several subscriptions to end.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct BulkTerminateRequest {
    /// At least one.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub subscription_ids: Vec<SubscriptionId>,
    /// What happens to money.
    #[serde(default)]
    pub on_termination_action: TerminationAction,
    /// Where what was paid ahead and not used goes.
    #[serde(default)]
    #[schema(value_type = String)]
    pub on_termination_credit_note: UnusedAdvance,
}

/// What became of several subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkSubscriptionResponse {
    /// In the order of the request.
    pub results: Vec<BulkSubscriptionResult>,
    /// How many did.
    pub succeeded_count: usize,
    /// How many did not.
    pub failed_count: usize,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkSubscriptionResult {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub subscription_id: SubscriptionId,
    /// Whether it was done.
    pub success: bool,
    /// Why not.
    pub error: Option<String>,
}

/// When a subscription is billed next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NextBillingDateResponse {
    /// End of the running period.
    #[schema(value_type = String, format = DateTime)]
    pub next_billing_date: Timestamp,
    /// Start of the running period.
    #[schema(value_type = String, format = DateTime)]
    pub current_period_started_at: Timestamp,
    /// Period length.
    pub interval: String,
    /// Local days from today to that date.
    pub days_until_next_billing: i64,
}

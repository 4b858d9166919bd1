//! What is due: which stretches of which subscriptions have to be billed up to an instant. Pure.
//!
//! A subscription has four parts that are billed by period: its usage (at the period's end), the plan's flat fee (at the
//! end, or at the start when paid in advance), what metrics that are paid in advance carry into a period (at the start) and what
//! its minimum commitment lacks (at the end). For each part the ledger keeps how far it is billed ([`Frontier`]); what is due begins exactly there and ends at the next boundary of the subscription's calendar. So whatever changes in between (a
//! timezone, a plan, the end of the subscription), no instant is billed twice and none is left out (I4, I6).
//!
//! **Two chains.** A subscription may be created with a start in the past. The scheduler bills from the period in which it was
//! created ([`Chain::Main`]); periods that had ended before that wait for a run somebody asks for ([`Chain::Backlog`]).
//! Each chain is billed without gaps from its own start.
//!
//! It refuses to rate, to know money beyond the share of days owed, and to read a clock: `as_of` is an argument.

mod share;

pub use share::{share_handed_over, share_of, share_owed};

use catalog::BillingTerms;
use domain::catalog::{Customer, Ending, Subscription, SubscriptionStatus};
use domain::ids::SubscriptionId;
use domain::period::later_by_days;
use domain::period::{BillingCalendar, Period, PeriodError, Proration, Timezones};
use domain::time::Timestamp;
use rater::RatingItem;
use rater::view::{RatablePlan, usage_interval};
use std::sync::Arc;

/// What of a subscription is billed by period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The flat fee of the plan.
    PlanFee,
    /// Its charges.
    Usage,
    /// What recurring metrics that are paid in advance carry into a period; at its start.
    Carried,
    /// What its minimum commitment lacks; always at the end of the plan's period.
    Commitment,
}

/// Which stretch of a subscription's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// Periods that had ended when the subscription was created.
    Backlog,
    /// From the period in which it was created.
    Main,
}

/// Everything of one part and chain in `[starts_at, until)` is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// Where the chain began when it was billed first.
    pub starts_at: Timestamp,
    /// The first instant not billed yet.
    pub until: Timestamp,
}

/// How far one subscription is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frontiers {
    plan_fee: [Option<Frontier>; 2],
    usage: [Option<Frontier>; 2],
    carried: [Option<Frontier>; 2],
    commitment: [Option<Frontier>; 2],
}

impl Frontiers {
    /// How far `part` is billed on `chain`; absent when nothing of it is.
    #[must_use]
    pub fn get(&self, part: Part, chain: Chain) -> Option<Frontier> {
        match part {
            Part::PlanFee => self.plan_fee[chain as usize],
            Part::Usage => self.usage[chain as usize],
            Part::Carried => self.carried[chain as usize],
            Part::Commitment => self.commitment[chain as usize],
        }
    }

    /// Records how far `part` is billed on `chain`.
    pub fn set(&mut self, part: Part, chain: Chain, frontier: Frontier) {
        match part {
            Part::PlanFee => self.plan_fee[chain as usize] = Some(frontier),
            Part::Usage => self.usage[chain as usize] = Some(frontier),
            Part::Carried => self.carried[chain as usize] = Some(frontier),
            Part::Commitment => self.commitment[chain as usize] = Some(frontier),
        }
    }
}

/// Who asks what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A run somebody asked for: all of a subscription's life.
    Everything,
    /// The scheduler: nothing that had ended before the subscription was created.
    SinceCreation,
}

/// One stretch of one subscription that has to be billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Usage or flat fee.
    pub part: Part,
    /// Part of which chain.
    pub chain: Chain,
    /// The period the stretch lies in.
    pub period: Period,
    /// First instant billed.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// From when on it is owed; the scheduler's instant.
    pub due_at: Timestamp,
    /// Local days owed of the period's: for the flat fee, and for least amounts of charges.
    pub share: Proration,
    /// How far the ledger must be for this to come next (I4).
    pub after: Option<Frontier>,
    /// Of a flat fee in advance: the period that ends where its own begins, whose usage is on the same invoice; absent for the first.
    pub closes: Option<(Timestamp, Timestamp)>,
}

/// What [`due_of`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueList {
    /// Everything due, each part and chain in order of time.
    pub items: Vec<Due>,
    /// When something becomes due next, if anything will.
    pub next: Option<Timestamp>,
}

/// A subscription with what its periods depend on.
#[derive(Clone, Copy, Debug)]
pub struct Billable<'a> {
    /// The subscription.
    pub subscription: &'a Subscription,
    /// Its customer, for the timezones.
    pub customer: &'a Customer,
    /// All versions of its plan, oldest first; never empty.
    pub plans: &'a [Arc<RatablePlan>],
    /// Which versions of plans have a minimum commitment.
    pub terms: &'a BillingTerms,
}

impl<'a> Billable<'a> {
    /// The version of the plan in force at `instant`; before the first version the first.
    ///
    /// Absent only when the plan has no version at all.
    #[must_use]
    pub fn plan_at(&self, instant: Timestamp) -> Option<&'a Arc<RatablePlan>> {
        let later = self.plans.partition_point(|ratable| ratable.plan.valid_from <= instant);
        self.plans.get(later.saturating_sub(1))
    }
}

/// What of one subscription is due up to and with `as_of` and not billed yet.
///
/// # Errors
/// When the customer's timezones cannot be read.
pub fn due_of(
    billable: Billable<'_>,
    frontiers: &Frontiers,
    as_of: Timestamp,
    reach: Reach,
) -> Result<DueList, PeriodError> {
    let subscription = billable.subscription;
    let (Some(started_at), Some(anchor), Some(created_in)) =
        (subscription.started_at, subscription.anchor(), billable.plan_at(subscription.created_at))
    else {
        return Ok(DueList::default());
    };
    if subscription.status == SubscriptionStatus::Pending {
        // Its start is only planned: once it is activated everything since then is due.
        return Ok(DueList::default());
    }
    let zones = Timezones::parse(&billable.customer.timezones)?;
    let mut list = DueList::default();
    for part in [Part::PlanFee, Part::Usage, Part::Carried, Part::Commitment] {
        let interval = match part {
            Part::PlanFee | Part::Commitment => created_in.plan.interval,
            Part::Usage | Part::Carried => usage_interval(&created_in.plan),
        };
        let calendar = BillingCalendar::new(interval, subscription.billing_time, anchor, zones.clone());
        let life = Life::new(billable, &calendar, started_at, part, frontiers);
        let backlog = (reach == Reach::Everything).then_some(Chain::Backlog);
        for chain in backlog.into_iter().chain([Chain::Main]) {
            life.walk(chain, as_of, &mut list);
        }
    }
    Ok(list)
}

/// One part of one subscription over its life.
struct Life<'a> {
    billable: Billable<'a>,
    calendar: &'a BillingCalendar,
    part: Part,
    started_at: Timestamp,
    /// The start of the main chain, which is the end of the backlog.
    main_start: Timestamp,
    trial_end: Timestamp,
    frontiers: &'a Frontiers,
}

impl<'a> Life<'a> {
    fn new(
        billable: Billable<'a>,
        calendar: &'a BillingCalendar,
        started_at: Timestamp,
        part: Part,
        frontiers: &'a Frontiers,
    ) -> Self {
        let subscription = billable.subscription;
        let created = calendar.period_containing(subscription.created_at).start.max(started_at);
        let main_start = match (frontiers.get(part, Chain::Main), frontiers.get(part, Chain::Backlog)) {
            (Some(main), _) => main.starts_at,
            (None, Some(backlog)) => created.max(backlog.until),
            (None, None) => created,
        };
        let anchor = subscription.anchor().unwrap_or(started_at);
        let zone = calendar.period_containing(anchor).zone;
        let trial_end = later_by_days(zone, anchor, subscription.trial_period_days);
        Self { billable, calendar, part, started_at, main_start, trial_end, frontiers }
    }

    /// Adds what of `chain` is due, and when the next of it will be.
    fn walk(&self, chain: Chain, as_of: Timestamp, list: &mut DueList) {
        let (chain_start, chain_end) = match chain {
            Chain::Backlog => (self.started_at, self.main_start),
            Chain::Main => (self.main_start, Timestamp(i64::MAX)),
        };
        let life_end = self.billable.subscription.ended_at.unwrap_or(Timestamp(i64::MAX)).min(chain_end);
        let mut after = self.frontiers.get(self.part, chain);
        let mut cursor = self.first_billed(after.map_or(chain_start, |frontier| frontier.until));
        while cursor < life_end {
            let period = self.calendar.period_containing(cursor);
            let to = period.end.min(life_end);
            let due_at = if self.in_advance() { cursor } else { to };
            if due_at > as_of {
                list.next = Some(list.next.map_or(due_at, |next| next.min(due_at)));
                return;
            }
            if self.owes_anything(&period) && !self.is_forgiven(to) {
                list.items.push(self.item(chain, period, cursor, to, due_at, after));
                let starts_at = after.map_or(cursor, |frontier| frontier.starts_at);
                after = Some(Frontier { starts_at, until: to });
            }
            cursor = to;
        }
    }

    fn item(
        &self,
        chain: Chain,
        period: Period,
        from: Timestamp,
        to: Timestamp,
        due_at: Timestamp,
        after: Option<Frontier>,
    ) -> Due {
        let share = share_of(self.billable.subscription, &period, from, to);
        let subscription = self.billable.subscription.id;
        let closes = (self.part == Part::PlanFee && self.in_advance() && self.started_at < period.start).then(|| {
            let before = self.calendar.previous(&period);
            (before.start.max(self.started_at), before.end)
        });
        Due { subscription, part: self.part, chain, period, from, to, due_at, share, after, closes }
    }

    /// The first instant at or after `instant` that is charged for: the flat fee begins when the trial ends.
    fn first_billed(&self, instant: Timestamp) -> Timestamp {
        match self.part {
            Part::Usage | Part::Carried | Part::Commitment => instant,
            Part::PlanFee => instant.max(self.trial_end),
        }
    }

    /// Whether the stretch that ends at `to` is left unbilled because the subscription ended so.
    fn is_forgiven(&self, to: Timestamp) -> bool {
        let subscription = self.billable.subscription;
        subscription.ending == Ending::BillsNothing && subscription.ended_at == Some(to) && !self.in_advance()
    }

    fn in_advance(&self) -> bool {
        match self.part {
            Part::PlanFee => self.billable.subscription.pay_in_advance,
            Part::Carried => true,
            Part::Usage | Part::Commitment => false,
        }
    }

    /// A plan without flat fee, or without charges, leaves nothing to put on an invoice.
    fn owes_anything(&self, period: &Period) -> bool {
        self.billable.plan_at(priced_at(self.started_at, period)).is_some_and(|ratable| match self.part {
            Part::Usage => !ratable.plan.charges.is_empty(),
            // More than the charges on recurring metrics; where nothing is carried over there is no fee.
            Part::Carried => ratable.plan.charges.iter().any(|charge| charge.pay_in_advance),
            Part::PlanFee => ratable.plan.amount.0 != 0,
            Part::Commitment => {
                let terms = self.billable.terms.plan(ratable.plan.id, ratable.plan.version);
                terms.is_some_and(|terms| terms.commitment.is_some())
            }
        })
    }
}

/// The instant whose versions price a period: when it begins, or the subscription does (as usage is rated).
fn priced_at(started_at: Timestamp, period: &Period) -> Timestamp {
    started_at.max(period.start)
}

impl Due {
    /// The stretch as the rater takes it.
    #[must_use]
    pub fn to_rate(&self) -> RatingItem {
        RatingItem {
            subscription: self.subscription,
            period: self.period,
            from: self.from,
            to: self.to,
            minimum_share: self.share,
        }
    }

    /// How far the ledger is once this is billed.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        Frontier { starts_at: self.after.map_or(self.from, |frontier| frontier.starts_at), until: self.to }
    }
}

#[cfg(test)]
#[path = "due/tests.rs"]
mod tests;

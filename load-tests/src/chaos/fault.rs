//! What is done to a system, and which rounds do what: a pure function of the seed.

use super::topology::Topology;
use crate::system::member::Role;
use crate::system::proxy::Weather;
use crate::workload::facts::mix;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A consumer that stands still for longer than its session (10 s) loses its partitions, and goes on as a zombie.
const LOSES_MEMBERSHIP: Duration = Duration::from_secs(11);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of one process; started again unless somebody else does.
    Kill(Role),
    /// SIGSTOP, a pause, SIGCONT.
    Pause(Role),
    /// SIGSTOP, a pause, then `kill -9` of all that takes events while the first still stands: what was acknowledged must be
    /// safe, and what the first does once it goes on must not double anything.
    PauseThenKillFront(Role),
    /// `kill -9` of everything but the brokers, at once.
    KillTree,
    /// Aggregators come and go: one joins, one leaves in order, one is killed.
    Rebalance,
    /// Between the services and the event store.
    Store(Weather),
    /// Between the clients and the gateway.
    Clients(Weather),
}

/// When it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Amid the load.
    Load,
    /// Amid the billing run.
    Billing,
}

/// What happens in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Number, from 1.
    pub round: u32,
    /// What is done.
    pub fault: Fault,
    /// Amid what.
    pub moment: Moment,
    /// How long after the beginning of the load, or of the billing run.
    pub after: Duration,
    /// How long it lasts, where it lasts.
    pub length: Duration,
    /// Decides the rest of what is random in the round.
    pub seed: u64,
}

impl Fault {
    /// What can be done to a system of this shape, each once.
    #[must_use]
    pub fn of(topology: Topology) -> Vec<Fault> {
        let mut faults = vec![
            Fault::KillTree,
            Fault::Kill(Role::Engine),
            Fault::Pause(Role::Engine),
            Fault::PauseThenKillFront(Role::Engine),
            Fault::Clients(Weather::Resets),
            Fault::Clients(Weather::HalfAnswers),
        ];
        if topology == Topology::Services {
            faults.extend([Role::Gateway, Role::Aggregator, Role::Rater, Role::Api].map(Fault::Kill));
            faults.extend([Role::Gateway, Role::Aggregator].map(Fault::Pause));
            faults.push(Fault::Rebalance);
        } else {
            faults.extend([Fault::Kill(Role::Server), Fault::Pause(Role::Server)]);
        }
        if topology.has_store_proxy() {
            faults.extend([Weather::Slow, Weather::Resets, Weather::HalfAnswers, Weather::Errors].map(Fault::Store));
        }
        if topology.has_brokers() {
            faults.extend([Fault::Kill, Fault::Pause, Fault::PauseThenKillFront].map(|fault| fault(Role::Broker)));
        }
        faults
    }

    /// Whether it also means something amid a billing run.
    fn may_strike_billing(self) -> bool {
        matches!(
            self,
            Fault::Kill(Role::Server | Role::Rater | Role::Api | Role::Engine) | Fault::KillTree | Fault::Store(_)
        )
    }
}

/// The plans of `rounds` rounds of one topology. Faults are dealt like cards: each of those whose name
/// contains `only` comes once before one comes again; none when there is no such fault.
#[must_use]
pub fn plans(seed: u64, topology: Topology, rounds: RangeInclusive<u32>, load: Duration, only: &str) -> Vec<Plan> {
    let mut wanted = Fault::of(topology);
    wanted.retain(|fault| fault.to_string().contains(only));
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut deck: Vec<Fault> = Vec::new();
    let mut plans = Vec::new();
    for round in rounds {
        let mut chance = Chance(mix(seed ^ mix(u64::from(round))));
        if deck.is_empty() {
            deck.clone_from(&wanted);
        }
        let drawn = usize::try_from(chance.below(deck.len() as u64)).unwrap_or(0);
        let fault = deck.swap_remove(drawn);
        let amid_billing = fault.may_strike_billing() && chance.below(5) == 0;
        let millis = u64::try_from(load.as_millis()).unwrap_or(u64::MAX);
        let (moment, after) = if amid_billing {
            (Moment::Billing, chance.below(400))
        } else {
            (Moment::Load, millis / 5 + chance.below((millis * 2 / 5).max(1)))
        };
        let mut length = Duration::from_millis(500 + chance.below(2_500));
        if fault == Fault::Pause(Role::Aggregator) && chance.below(2) == 0 {
            length += LOSES_MEMBERSHIP;
        }
        plans.push(Plan { round, fault, moment, after: Duration::from_millis(after), length, seed: chance.next() });
    }
    plans
}

/// A stream of random numbers.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(role) => write!(f, "kill -9 of {role}"),
            Fault::Pause(role) => write!(f, "SIGSTOP of {role}"),
            Fault::PauseThenKillFront(role) => write!(f, "SIGSTOP of {role}, kill -9 of what takes events"),
            Fault::KillTree => f.write_str("kill -9 of the process tree"),
            Fault::Rebalance => f.write_str("aggregators come and go"),
            Fault::Store(weather) => write!(f, "event store {weather}"),
            Fault::Clients(weather) => write!(f, "clients' connections {weather}"),
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::Load => "load",
            Moment::Billing => "billing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const LOAD: Duration = Duration::from_secs(4);

    #[test]
    fn a_seed_repeats_its_plans_and_another_makes_others() {
        let one = plans(1, Topology::Apart, 1..=50, LOAD, "");
        assert_eq!(one, plans(1, Topology::Apart, 1..=50, LOAD, ""));
        assert_ne!(one, plans(2, Topology::Apart, 1..=50, LOAD, ""));
    }

    #[test]
    fn every_fault_comes_before_one_comes_again() {
        let faults = Fault::of(Topology::Apart);
        let count = u32::try_from(faults.len()).unwrap();
        let dealt: BTreeSet<String> =
            plans(7, Topology::Apart, 1..=count, LOAD, "").iter().map(|plan| plan.fault.to_string()).collect();
        assert_eq!(dealt.len(), faults.len());
    }

    #[test]
    fn faults_strike_amid_the_load_or_the_billing_run() {
        let plans = plans(3, Topology::Apart, 1..=200, LOAD, "");
        assert!(plans.iter().any(|plan| plan.moment == Moment::Billing));
        for plan in plans.iter().filter(|plan| plan.moment == Moment::Load) {
            assert!(plan.after >= LOAD / 5 && plan.after <= LOAD * 3 / 5, "{plan:?}");
        }
    }
}

//! What an audit found.

use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// One comparison of a figure of the oracle with one of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// The oracle's figure.
    pub expected: String,
    /// The system's.
    pub found: String,
    /// Whether they agree.
    pub holds: bool,
}

/// What is wrong with an event or a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Acknowledged, and not stored.
    Lost,
    /// Stored more than once.
    Doubled,
    /// Stored, though refused, or never sent.
    Unexpected,
    /// Stored, but not as sent.
    Altered,
    /// Every event is stored once, but the rated figure differs.
    Misrated,
}

/// Something that cannot be accounted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// What is wrong.
    pub fault: Fault,
    /// The customer, where it concerns one.
    pub customer: Option<String>,
    /// The event, where it concerns one.
    pub transaction_id: Option<String>,
    /// What was expected and found, for a person.
    pub detail: String,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Distinct events acknowledged.
    pub acknowledged: u64,
    /// Events the system says it stored.
    pub stored: u64,
    /// Time until the store had caught up; `None` when it never did.
    pub settled_after: Option<Duration>,
    /// Events of unknown outcome that were found stored.
    pub unknown_stored: u64,
    /// Events of unknown outcome that were not found.
    pub unknown_absent: u64,
    /// Customers whose usage was compared.
    pub customers: u64,
    /// Events compared field by field.
    pub samples: u64,
    /// Comparisons of totals.
    pub checks: Vec<Check>,
    /// What cannot be accounted for, the first 200.
    pub discrepancies: Vec<Discrepancy>,
    /// What cannot be accounted for, all.
    pub discrepancies_total: u64,
}

impl Check {
    /// A comparison for equality.
    pub fn equal<T: PartialEq + Display>(what: &str, expected: &T, found: &T) -> Self {
        let holds = expected == found;
        Self { what: what.to_owned(), expected: expected.to_string(), found: found.to_string(), holds }
    }
}

impl Discrepancy {
    /// One that concerns no single event.
    #[must_use]
    pub fn of(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, customer: None, transaction_id: None, detail: detail.into() }
    }

    /// The same of a customer.
    #[must_use]
    pub fn customer(self, customer: impl Into<String>) -> Self {
        Self { customer: Some(customer.into()), ..self }
    }

    /// The same of an event.
    #[must_use]
    pub fn event(self, transaction_id: impl Into<String>) -> Self {
        Self { transaction_id: Some(transaction_id.into()), ..self }
    }
}

impl AuditReport {
    /// Whether everything is accounted for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.discrepancies_total == 0 && self.checks.iter().all(|check| check.holds)
    }

    pub(crate) fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(crate) fn note(&mut self, discrepancy: Discrepancy) {
        self.discrepancies_total += 1;
        if self.discrepancies.len() < super::LISTED {
            self.discrepancies.push(discrepancy);
        }
    }
}

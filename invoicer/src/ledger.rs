//! The ledger: fees, invoices, their numbers, how far everything is billed, and the runs. Rows in, rows out.
//!
//! Where to look:
//! - [`schema`]: the tables and the keys that hold I4
//! - [`mod@write`]: a batch of invoices in one transaction ([`fee_rows`]); [`frontiers`]: what makes it exactly once; [`drafts`]: finalizing
//! - [`runs`]: billing runs as rows; [`reports`]: what they come to by plan
//! - [`invoices`], [`fees`]: reading; [`tally`]: how many invoices there are
//! - [`advanced`]: up to where events are billed as they come in
//! - [`progressive`]: usage that is billed as thresholds are crossed
//! - [`alerts`]: usage alerts and their firings
//! - [`waiting_notes`]: credit notes over drafts
//! - [`watch_progress`]: how far those looked who follow usage as it comes in
//! - [`bulk`]: many rows in few statements
//!
//! It refuses to decide what is due, to rate, and to read a clock. Every read that serves a tenant names the organization (I8).
//! On an error nothing of the transaction is kept.

pub mod adjusted;
pub mod advanced;
pub mod alerts;
pub(crate) mod below_zero;
pub mod bulk;
pub mod counted;
pub mod coupons;
pub mod credit_notes;
mod credit_tables;
pub mod drafts;
pub mod fee_rows;
pub mod fees;
pub mod frontiers;
pub mod funds;
pub mod invoices;
pub mod payment_requests;
mod payment_tables;
pub mod payments;
pub mod progressive;
pub mod reports;
pub mod run_leases;
pub mod runs;
pub mod schema;
pub mod settle;
pub mod states;
pub mod tally;
pub mod waiting_notes;
pub mod wallet_rules;
pub mod wallet_statement;
pub mod wallets;
pub mod watch_progress;
pub mod write;

use crate::model::UnknownText;
use catalog::database::DatabaseError;
use domain::ids::SubscriptionId;
use domain::money::{Currency, MoneyError};
use domain::quantity::Quantity;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::fmt::Display;
use uuid::Uuid;

/// Why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database refused, or is not there.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A value that this program did not write.
    #[error("the ledger holds a {column} that cannot be read: '{value}'")]
    Corrupt {
        /// Table and column.
        column: String,
        /// What stands there.
        value: String,
    },
    /// JSON that this program did not write.
    #[error("the ledger holds JSON that cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Sums past 64 bits.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Other runs billed the same things again and again between two attempts of this one.
    #[error("other billing runs keep writing the same invoices: start this one again when they are done")]
    Contended,
    /// Stretches of one subscription in a batch that do not follow one another: a fault of this program.
    #[error("the periods of subscription {subscription} are not billed in order")]
    OutOfOrder {
        /// Whose.
        subscription: SubscriptionId,
    },
    /// More than 9.2 × 10¹⁸ of something counted.
    #[error("a count passes 9,223,372,036,854,775,807")]
    TooManyEvents,
}

impl LedgerError {
    pub(crate) fn corrupt(column: &str, value: impl Display) -> Self {
        Self::Corrupt { column: column.to_owned(), value: value.to_string().chars().take(64).collect() }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<UnknownText> for LedgerError {
    fn from(error: UnknownText) -> Self {
        Self::Corrupt { column: "text".into(), value: error.to_string() }
    }
}

fn read_uuid(row: &AnyRow, column: &str) -> Result<Uuid, LedgerError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| LedgerError::corrupt(column, text))
}

fn read_quantity(column: &str, text: &str) -> Result<Quantity, LedgerError> {
    Quantity::parse(text).map_err(|_| LedgerError::corrupt(column, text))
}

fn read_currency(row: &AnyRow, column: &str) -> Result<Currency, LedgerError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| LedgerError::corrupt(column, text))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
#[cfg(postgres_installed)]
#[allow(clippy::duplicate_mod, clippy::unwrap_used)] // One text, two databases.
#[path = "ledger/tests.rs"]
mod tests_on_postgres;

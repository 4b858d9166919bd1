//! What is taken off an invoice, in the order in which it is (I5). Pure.
//!
//! ```text
//! fees − coupons + taxes − progressive credit − credit notes − wallets = due
//! ```
//!
//! - [`bill`]: an invoice as this sees it, and how much of it is still open, line by line
//! - [`fund`]: what a customer has to spend: applied coupons, credit notes, wallets, each an account of the ledger
//! - [`coupons`]: discounts, and their exact shares of fees
//! - [`note`]: what a credit note comes to
//! - [`spend`]: the order of application, and what it takes from which fund
//!
//! It refuses to read the ledger, to write it and to know who waits for whom: `ledger::settle` does. A draft shows what coupons will
//! take off; nothing is spent on it.

pub mod bill;
pub mod coupons;
pub mod fund;
pub mod note;
pub mod spend;

#[cfg(test)]
mod tests;

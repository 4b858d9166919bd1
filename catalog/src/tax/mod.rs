//! Taxes and what they are attached to. Which of them a fee bears is decided when it is billed, by
//! [`crate::billing::BillingTerms`].

pub mod api;
mod attachments;
pub mod storage;
pub mod wire;

//! The whole tool against a small server in memory that can be told to misbehave: the audit must find exactly what it did.

// Helpers outside of #[test] functions are tests, too: a panic names the place.
#![expect(clippy::unwrap_used, reason = "a test that panics has done its job")]

mod audits;
mod commands;
mod interrupted;
mod profiles;
mod store;
mod system;

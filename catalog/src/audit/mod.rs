//! The audit log: who changed what, with before and after, written in the transaction that makes the change. Append only: no
//! code changes or removes a row but wiping its organization.

pub mod api;
pub mod storage;

pub use storage::{AuditLogRecord, Change, written_down};

//! From rated usage to invoices: what is due, assembling it, writing it once, and the runs that do so.

pub mod assemble;
pub mod due;
pub mod ledger;
pub mod local_days;
pub mod model;

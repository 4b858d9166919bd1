//! From rated usage to invoices: what is due, assembling it, writing it once, and the runs that do so.

pub mod assemble;
pub mod charge_fee;
pub mod due;
pub mod inputs;
pub mod ledger;
pub mod local_days;
pub mod model;
pub mod run;

#[cfg(test)]
mod testing;

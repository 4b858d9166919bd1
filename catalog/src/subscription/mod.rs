//! Subscriptions: who is on which plan since when, and the states they pass through. Money moves elsewhere (rater, invoicer).
//!
//! Once a subscription has started, what rating sees of it (plan, anchor, start, advance, trial) cannot be edited: a closed
//! period would change (I3); a plan change ends it and starts the next. Raw writes of `status` follow the same transitions as the actions (behaviour W59 did not).

pub mod api;
pub mod change_plan;
pub mod change_preview;
pub mod next_billing;
pub mod storage;
pub mod transitions;
mod trials;
pub mod wire;

//! Plans: flat fee, charges and their prices; every version is kept (I3).
//!
//! A version is written whole, as one document, and never touched again. A charge keeps its id over versions as long as it
//! stays the same line of the plan ([`identity`]).

pub mod api;
pub mod changes;
pub mod charges;
pub mod commitment;
pub mod document;
pub mod filters;
pub mod identity;
pub mod overrides;
pub mod simulate;
pub mod storage;
pub mod wire;

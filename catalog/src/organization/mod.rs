//! Organizations (tenants), their sandbox clocks, and their API keys.
//!
//! I8 begins here: an organization is known by its id alone, and its id by a credential alone. Raw keys are shown once and
//! never stored or logged; secrets are never given back.

pub mod api;
pub mod clock;
pub mod key_api;
pub mod key_storage;
pub mod storage;
pub mod wire;

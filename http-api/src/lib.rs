//! What every HTTP surface of Tollgate shares: who is asking, what was sent, how an error looks, what is logged.
//!
//! Purpose: a route handler holds business rules only. Reading requests strictly, answering errors in the contract's form,
//! request ids, access logs, metrics and panics live here, once.
//!
//! It refuses to know any business: no storage, no pricing, no events. Catalog data reaches it as a
//! [`domain::snapshot::SnapshotCell`] only.
//!
//! Where to look:
//! - who is asking: [`auth`] (API key, admin secret), with [`secret`] and [`clock`]
//! - what was sent: [`json_body`] over [`strict_json`], [`arguments`] (path and query), [`list_params`], [`decimal`]
//! - what is answered: [`error`], [`total_count`], [`decimal::shortest`]
//! - around every request: [`request_context`], [`idempotency`]
//!
//! Invariants asserted here: I8 (the organization comes from the credential alone, [`auth`]), I5 (decimals never pass through
//! a float, [`decimal`]).

pub mod actor;
pub mod arguments;
pub mod auth;
pub mod clock;
pub mod decimal;
pub mod error;
pub mod idempotency;
pub mod json_body;
pub mod list_params;
pub mod request_context;
pub mod secret;
pub mod strict_json;
pub mod validation;

pub use actor::Actor;
pub use arguments::{PathArguments, QueryArguments};
pub use auth::{Admin, AuthState, Authenticated, Caller, KeyUsage};
pub use clock::{Clock, FixedClock, SharedClock, SystemClock};
pub use decimal::ExactDecimal;
pub use error::{ApiError, FieldError, Loc};
pub use idempotency::{IdempotencyState, IdempotencyStore};
pub use json_body::JsonBody;
pub use list_params::{ListParams, Order, total_count};
pub use request_context::{RequestContext, RequestId, collection, finish};
pub use secret::Secret;
pub use validation::Checks;

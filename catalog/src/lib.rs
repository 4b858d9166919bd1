//! Organizations, API keys, customers, billable metrics, plans, subscriptions, taxes, add-ons, billing entities and the audit log:
//! storage and REST.
//!
//! Purpose: the one place that writes them. Rating and billing read them in bulk ([`billing`]), the event path through a
//! snapshot ([`Catalog::snapshot`]); routes over them are [`router`].
//!
//! It refuses to know ClickHouse, events, fees and invoices. Other components take part in its actions through the hooks of
//! [`state`], and keep their tables in the same [`database`].
//!
//! Where to look:
//! - storage: [`database`] (SQLite or PostgreSQL), [`catalog`] (the handle), `schema/` (tables by version)
//! - resources, each with `wire` (contract form and checks), `storage`, `api`: [`organization`], [`customer`], [`metric`],
//!   [`plan`], [`subscription`], [`tax`], [`threshold`], [`add_on`], [`billing_entity`]
//! - who changed what: [`audit`]
//! - for others: [`billing`], [`idempotency`], [`routes_not_built`]
//!
//! Invariants: I3 (versions of plans, charges, metrics and time zones are kept for ever), I6 (a zone holds from an instant on),
//! I8 (every query carries the organization).
//!
//! Failure behaviour: a request either commits one transaction or changes nothing; what the client did wrong is 4xx with its
//! place, a ledger that cannot be written is 503.

pub mod add_on;
pub mod audit;
pub mod billing;
pub mod billing_entity;
pub mod catalog;
mod columns;
pub mod customer;
pub mod database;
mod fields;
pub mod idempotency;
pub mod metric;
pub mod organization;
mod page;
pub mod plan;
mod router;
pub mod routes_not_built;
pub mod schema;
mod snapshot;
pub mod state;
pub mod subscription;
pub mod tax;
pub mod threshold;

pub use billing::{BillingCatalog, BillingOrganization, BillingScope, BillingTerms};
pub use catalog::Catalog;
pub use database::{Database, DatabaseError, Dialect, WriteTransaction};
pub use router::{openapi, operations, router};
pub use routes_not_built::not_built;
pub use state::{AddOnApplied, CatalogState, ClockMoved, Done, OrganizationWiped, SubscriptionsChanged};

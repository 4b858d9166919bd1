//! Add-ons: products sold once. Applying one records it for a customer; the invoice for it is invoicing's, which takes part in the
//! same transaction through [`crate::state::AddOnApplied`].

pub mod api;
pub mod storage;
pub mod wire;

//! Billing entities: who issues invoices, with addresses and numbers of their own. A customer is billed by the entity it names, else
//! by the organization's default one, else by the organization itself.

pub mod api;
pub mod numbers;
pub mod storage;
pub mod wire;

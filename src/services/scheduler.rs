//! Automatic billing.

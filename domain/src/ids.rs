//! Identities: one type per kind of thing, so that a plan's id cannot be passed where a charge's is meant.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! identity {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random id.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

identity! {
    /// A tenant. Every query and every key is scoped by it (I8).
    OrganizationId,
    /// One API key of an organization.
    ApiKeyId,
    /// A customer of an organization.
    CustomerId,
    /// A billable metric.
    MetricId,
    /// A declared filter key of a billable metric.
    MetricFilterId,
    /// A plan.
    PlanId,
    /// A charge of a plan.
    ChargeId,
    /// A subscription of a customer to a plan.
    SubscriptionId,
    /// A fee.
    FeeId,
    /// An invoice.
    InvoiceId,
    /// A billing run.
    BillingRunId,
}

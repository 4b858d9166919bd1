//! Fees and invoices as the ledger holds them. Pure.
//!
//! Money is whole minor units; `units`, `unit_amount` and `precise_amount` are exact decimals (I5), the latter two in minor
//! units as well. A fee names what it was rated from (I3): the cut of its run, the versions it used, and a fingerprint of
//! exactly the events in it.

use crate::tax::{AppliedTax, InvoiceTaxes};
use domain::identity::EventId;
use domain::ids::{BillingRunId, ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Declares an enum with the texts it has in the ledger and on the wire.
macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All of them, in order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The text in the ledger and on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownText;
            fn from_str(text: &str) -> Result<Self, UnknownText> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(UnknownText { wanted: stringify!($name), text: text.chars().take(64).collect() }),
                }
            }
        }
    };
}

/// A text that names none of the values it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {wanted}")]
pub struct UnknownText {
    wanted: &'static str,
    text: String,
}

texts! {
    /// Why a fee is owed.
    FeeKind {
        /// Usage of a metric.
        Charge = "charge",
        /// The flat fee of a plan.
        Subscription = "subscription",
        /// A product sold once.
        AddOn = "add_on",
        /// A line given by hand.
        OneOff = "one_off",
        /// Prepaid credit.
        Credit = "credit",
        /// What a minimum lacks.
        Commitment = "commitment",
        /// A closed period rated again, minus what was billed for it.
        Adjustment = "adjustment",
    }
}

texts! {
    /// Whether a fee is paid.
    FeePayment {
        /// Not yet.
        Pending = "pending",
        /// Paid.
        Succeeded = "succeeded",
        /// An attempt failed.
        Failed = "failed",
        /// Paid back.
        Refunded = "refunded",
    }
}

texts! {
    /// Where an invoice stands.
    InvoiceStatus {
        /// May still change; has no number.
        Draft = "draft",
        /// Issued.
        Finalized = "finalized",
        /// Issued and settled.
        Paid = "paid",
        /// Taken back.
        Voided = "voided",
    }
}

texts! {
    /// What an invoice is for.
    InvoiceKind {
        /// Fees of subscriptions by period.
        Subscription = "subscription",
        /// Add-ons.
        AddOn = "add_on",
        /// Prepaid credit.
        Credit = "credit",
        /// Lines given by hand.
        OneOff = "one_off",
        /// Usage past a threshold.
        ProgressiveBilling = "progressive_billing",
    }
}

/// The versions a fee was rated from; kept for ever (I3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeVersions {
    /// Version of the plan, which fixes that of its charges.
    pub plan: u32,
    /// Version of the metric; absent for flat fees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// One line of what is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Its id.
    pub id: FeeId,
    /// Why it is owed.
    pub kind: FeeKind,
    /// For which subscription.
    pub subscription: Option<SubscriptionId>,
    /// By which plan.
    pub plan: Option<PlanId>,
    /// By which charge of the plan.
    pub charge: Option<ChargeId>,
    /// Tells the filters and groups of a charge apart; empty for a charge without either (I4).
    pub line_key: String,
    /// Title of the line.
    pub description: String,
    /// Code of the metric.
    pub metric_code: Option<String>,
    /// Quantity.
    pub units: Quantity,
    /// Price of a unit in minor units, where there is one.
    pub unit_amount: Quantity,
    /// What is owed, rounded once.
    pub amount: MinorUnits,
    /// The same before rounding, in minor units.
    pub precise_amount: Quantity,
    /// Events in it.
    pub events_count: u64,
    /// Sum of the events' fingerprint terms; absent for flat fees.
    pub fingerprint: Option<u128>,
    /// First instant it covers.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// What it was rated from.
    pub versions: FeeVersions,
    /// The prices used and what else explains the amount; a JSON object.
    pub properties: String,
    /// The taxes it bears.
    pub taxes: Vec<AppliedTax>,
    /// Its share of the invoice's coupons in minor units: exact to thirty places (I5).
    pub coupons: Quantity,
    /// The fee of a closed period that it corrects.
    pub adjusts: Option<FeeId>,
    /// Of usage that is paid in advance: what it is for.
    pub in_advance: Option<PaidAhead>,
}

/// What a fee of usage that is paid in advance is for; part of what makes it unique (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PaidAhead {
    /// One event, as it was accepted.
    Event(EventId),
    /// What a recurring metric carried into the period, as that began.
    Carried,
    /// The period so far, as usage reached this level of a threshold. The period's invoice bills it again, and takes off what was
    /// billed so.
    Threshold {
        /// The threshold.
        id: Uuid,
        /// The amount that was reached.
        level: MinorUnits,
    },
}

impl PaidAhead {
    /// The event, when it is for one.
    #[must_use]
    pub fn event(self) -> Option<EventId> {
        match self {
            PaidAhead::Event(id) => Some(id),
            PaidAhead::Carried | PaidAhead::Threshold { .. } => None,
        }
    }
}

/// Where [`PaidAhead::Carried`] stands in the ledger; an event is its id.
const CARRIED: &str = "carried";
/// Before id and level of [`PaidAhead::Threshold`].
const THRESHOLD: &str = "threshold:";

impl fmt::Display for PaidAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PaidAhead::Event(id) => id.fmt(f),
            PaidAhead::Carried => f.write_str(CARRIED),
            PaidAhead::Threshold { id, level } => write!(f, "{THRESHOLD}{id}:{level}"),
        }
    }
}

impl From<PaidAhead> for String {
    fn from(paid: PaidAhead) -> Self {
        paid.to_string()
    }
}

impl TryFrom<String> for PaidAhead {
    type Error = UnknownText;
    fn try_from(text: String) -> Result<Self, UnknownText> {
        text.parse()
    }
}

impl FromStr for PaidAhead {
    type Err = UnknownText;
    fn from_str(text: &str) -> Result<Self, UnknownText> {
        if text == CARRIED {
            return Ok(PaidAhead::Carried);
        }
        let unknown = || UnknownText { wanted: "event in advance", text: text.chars().take(64).collect() };
        if let Some(named) = text.strip_prefix(THRESHOLD) {
            let (id, level) = named.split_once(':').ok_or_else(unknown)?;
            let id = Uuid::parse_str(id).map_err(|_| unknown())?;
            let level = level.parse().map(MinorUnits).map_err(|_| unknown())?;
            return Ok(PaidAhead::Threshold { id, level });
        }
        Uuid::parse_str(text).map(|id| PaidAhead::Event(EventId(id.as_u128()))).map_err(|_| unknown())
    }
}

/// What is taken off an invoice, in the order in which it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    /// By coupons, before taxes.
    pub coupons: MinorUnits,
    /// Billed before, as thresholds were crossed.
    pub progressive: MinorUnits,
    /// By credit notes.
    pub credit_notes: MinorUnits,
    /// From wallets.
    pub wallets: MinorUnits,
}

/// An invoice with its fees, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Tenant.
    pub organization: OrganizationId,
    /// Who owes it.
    pub customer: CustomerId,
    /// The subscription, when it is one.
    pub subscription: Option<SubscriptionId>,
    /// What it is for.
    pub kind: InvoiceKind,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// When what is on it fell due; with `occasion` its identity (I4).
    pub due_at: Timestamp,
    /// The first thing billed on it: two runs that bill it at once meet here.
    pub occasion: String,
    /// Start of the period it is for.
    pub period_start: Timestamp,
    /// End of the period it is for.
    pub period_end: Timestamp,
    /// When it is (or, a draft, will be) issued.
    pub issued_at: Timestamp,
    /// By when to pay.
    pub due_date: Timestamp,
    /// When it was settled.
    pub paid_at: Option<Timestamp>,
    /// The run that made it.
    pub run: Option<BillingRunId>,
    /// The voided invoice that it replaces.
    pub regenerated_from: Option<InvoiceId>,
    /// Who issues it; absent: the organization itself.
    pub entity: Option<Uuid>,
    /// Its lines.
    pub fees: Vec<Fee>,
    /// Σ fees.
    pub subtotal: MinorUnits,
    /// What its taxes come to.
    pub taxes: InvoiceTaxes,
    /// What is taken off it.
    pub credits: Credits,
    /// What is due: subtotal − coupons + taxes − progressive credit − credit notes − wallets (I5).
    pub total: MinorUnits,
}

impl Invoice {
    /// Whether there is anything on it, be it of 0. A period whose whole usage was paid as it came in leaves nothing; one that was
    /// billed as a threshold was crossed, and of which nothing is left, gives that back.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        !self.fees.is_empty() || self.credits.progressive != MinorUnits::ZERO
    }
}

//! What is wrong with a request body: which event, which field, why.
//!
//! The words and the `kind` names are those clients of the contract know from its validation errors. A problem never quotes
//! more of the body than a name of bounded length: an error must not become a copy of a hostile request.

use super::scan::{Malformed, Syntax};
use domain::event::MAX_NAME_CHARS;
use domain::quantity::QuantityError;
use domain::time::{Timestamp, TimestampError};

/// Problems listed in one answer; all are counted.
pub const MAX_LISTED_PROBLEMS: usize = 100;

/// A member of an event that Tollgate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The client's own id.
    TransactionId,
    /// The client's id of the customer.
    ExternalCustomerId,
    /// The client's id of the subscription.
    ExternalSubscriptionId,
    /// Metric code.
    Code,
    /// When the usage happened.
    Timestamp,
    /// One JSON object.
    Properties,
    /// Price of this very event, for dynamic charges.
    PreciseTotalAmountCents,
}

impl Field {
    /// The member's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TransactionId => "transaction_id",
            Self::ExternalCustomerId => "external_customer_id",
            Self::ExternalSubscriptionId => "external_subscription_id",
            Self::Code => "code",
            Self::Timestamp => "timestamp",
            Self::Properties => "properties",
            Self::PreciseTotalAmountCents => "precise_total_amount_cents",
        }
    }

    /// The member of that name, if Tollgate reads it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "transaction_id" => Some(Self::TransactionId),
            "external_customer_id" => Some(Self::ExternalCustomerId),
            "external_subscription_id" => Some(Self::ExternalSubscriptionId),
            "code" => Some(Self::Code),
            "timestamp" => Some(Self::Timestamp),
            "properties" => Some(Self::Properties),
            "precise_total_amount_cents" => Some(Self::PreciseTotalAmountCents),
            _ => None,
        }
    }
}

/// Where in the body a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The list of a batch.
    Events,
    /// One event, or one field of it. `event` is absent where the body is the event (single, NDJSON line), and for
    /// what stands around the events of a batch.
    Event {
        /// Index in the batch, from 0.
        event: Option<u32>,
        /// Which member; absent for the event as a whole.
        field: Option<Field>,
    },
}

impl Place {
    /// The body as a whole.
    pub const BODY: Self = Self::Event { event: None, field: None };
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A required member is not there.
    #[error("Field required")]
    Missing,
    /// Neither of the two members that say whose usage it is.
    #[error("Field required: external_customer_id or external_subscription_id")]
    Nobody,
    /// Another JSON type where a string belongs.
    #[error("Input should be a valid string")]
    NotAString,
    /// The empty string.
    #[error("String should have at least 1 character")]
    Empty,
    /// A name past its limit.
    #[error("String should have at most {MAX_NAME_CHARS} characters")]
    TooLong,
    /// `\u0000` in a name: databases and C programs downstream would cut the name there.
    #[error("String should not contain the character U+0000")]
    HasNul,
    /// Another JSON type where an object belongs.
    #[error("Input should be an object")]
    NotAnObject,
    /// Another JSON type where a list belongs.
    #[error("Input should be a valid list")]
    NotAList,
    /// Another JSON type where a time text belongs.
    #[error("Input should be a string with an ISO 8601 time and zone, such as \"2026-03-01T12:00:00Z\"")]
    NotATimeText,
    /// A text that is no instant.
    #[error("Input should be a valid datetime: it {0}")]
    BadTime(#[from] TimestampError),
    /// An instant outside of what an event may carry.
    #[error("Input should be a datetime from {} to before {}", Timestamp::EARLIEST, Timestamp::LATEST)]
    AbsurdTime,
    /// Neither a number nor a string.
    #[error("Input should be a number, or a string that holds one")]
    NotANumber,
    /// Not a usable decimal.
    #[error("Input should be a valid decimal: it {0}")]
    BadDecimal(#[from] QuantityError),
    /// No metric of the organization has this code.
    #[error("Billable metric with code '{0}' not found")]
    UnknownCode(String),
    /// `events` is empty.
    #[error("List should have at least 1 item")]
    NoEvents,
    /// `events` is too long; the rest was not read.
    #[error("List should have at most {0} items")]
    TooManyEvents(usize),
    /// Not JSON as RFC 8259 has it, or JSON that means different things to different readers.
    #[error("JSON decode error: {} (at byte {})", .0.what, .0.at)]
    Malformed(Syntax),
}

impl Flaw {
    /// The machine-readable kind, as the contract's validation errors call it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nobody => "missing",
            Self::NotAString => "string_type",
            Self::Empty => "string_too_short",
            Self::TooLong => "string_too_long",
            Self::HasNul => "string_pattern_mismatch",
            Self::NotAnObject => "dict_type",
            Self::NotAList => "list_type",
            Self::NotATimeText => "datetime_type",
            Self::BadTime(TimestampError::NoZone) => "timezone_aware",
            Self::BadTime(TimestampError::NotRfc3339) => "datetime_parsing",
            Self::AbsurdTime => "datetime_range",
            Self::NotANumber => "decimal_type",
            Self::BadDecimal(QuantityError::NotANumber) => "decimal_parsing",
            Self::BadDecimal(QuantityError::TooLong) => "decimal_max_digits",
            Self::UnknownCode(_) => "unknown_code",
            Self::NoEvents => "too_short",
            Self::TooManyEvents(_) => "too_long",
            Self::Malformed(syntax) => match syntax.what {
                Malformed::DuplicateKey(_) => "json_duplicate_key",
                Malformed::TooDeep => "json_too_deep",
                _ => "json_invalid",
            },
        }
    }
}

/// One thing that is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub flaw: Flaw,
}

/// Everything that is wrong with a body: never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first [`MAX_LISTED_PROBLEMS`], in the order of the body.
    pub listed: Vec<Problem>,
    /// How many there are in all.
    pub total: usize,
    /// Events that were read, good and bad.
    pub events: usize,
}

impl Problems {
    /// A body with this one problem.
    #[must_use]
    pub fn only(place: Place, flaw: Flaw) -> Self {
        Self { listed: vec![Problem { place, flaw }], total: 1, events: 0 }
    }

    /// Adds one; past the limit it is only counted.
    pub fn add(&mut self, place: Place, flaw: Flaw) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED_PROBLEMS {
            self.listed.push(Problem { place, flaw });
        }
    }

    /// Whether one of those listed is an unknown code: a newer picture of the catalog may cure it.
    #[must_use]
    pub fn has_unknown_code(&self) -> bool {
        self.listed.iter().any(|problem| matches!(problem.flaw, Flaw::UnknownCode(_)))
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

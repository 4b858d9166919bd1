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
    /// Of a CloudEvent: the version of that specification.
    SpecVersion,
    /// Of a CloudEvent: unique within its source.
    Id,
    /// Of a CloudEvent: where it happened.
    Source,
    /// Of a CloudEvent: the metric code.
    Type,
    /// Of a CloudEvent: the client's id of the customer.
    Subject,
    /// Of a CloudEvent: when the usage happened.
    Time,
    /// Of a CloudEvent: what its data is.
    DataContentType,
    /// Of a CloudEvent: the properties.
    Data,
    /// Of a CloudEvent: the properties as base64 of their JSON.
    DataBase64,
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
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::Data => "data",
            Self::DataBase64 => "data_base64",
        }
    }

    /// The attribute of a CloudEvent of that name, or its data, if Tollgate reads it.
    #[must_use]
    pub fn of_cloud_event(name: &str) -> Option<Self> {
        match name {
            "specversion" => Some(Self::SpecVersion),
            "id" => Some(Self::Id),
            "source" => Some(Self::Source),
            "type" => Some(Self::Type),
            "subject" => Some(Self::Subject),
            "time" => Some(Self::Time),
            "datacontenttype" => Some(Self::DataContentType),
            "data" => Some(Self::Data),
            "data_base64" => Some(Self::DataBase64),
            _ => None,
        }
    }

    /// The member of that name in the contract's events and in Lago's, if Tollgate reads it.
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
    /// What holds the events: the list of a batch, the member around one event.
    Events,
    /// An attribute of a CloudEvent in the request's head.
    Header(Field),
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

/// How events stand in the body; says what the way to one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frame {
    /// Alone, or as `{"events": […]}`.
    #[default]
    Events,
    /// `{"event": {…}}`.
    Wrapped,
    /// `[…]`.
    List,
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
    /// Neither seconds since 1970 nor a time text.
    #[error(
        "Input should be seconds since 1970 (a number, or a string that holds one) or an ISO 8601 time with a zone"
    )]
    NotAnEpoch,
    /// An instant outside of what an event may carry.
    #[error("Input should be a datetime from {} to before {}", Timestamp::EARLIEST, Timestamp::LATEST)]
    AbsurdTime,
    /// Neither a number nor a string.
    #[error("Input should be a number, or a string that holds one")]
    NotANumber,
    /// Not a usable decimal.
    #[error("Input should be a valid decimal: it {0}")]
    BadDecimal(#[from] QuantityError),
    /// Another version of CloudEvents than the one that is read.
    #[error("Input should be \"1.0\", the version of CloudEvents that is taken here")]
    WrongVersion,
    /// White space or control characters in a CloudEvent's source.
    #[error("Input should be a URI reference, which has no white space")]
    NotAUri,
    /// Source and id of a CloudEvent make the transaction_id, which has its limit.
    #[error("source and id together should have at most {} characters", MAX_NAME_CHARS - 1)]
    TooLongTogether,
    /// Data that is no JSON.
    #[error("Input should be \"application/json\": data becomes the event's properties, one JSON object")]
    NotJson,
    /// `data_base64` that holds no JSON object.
    #[error("Input should be the base64 form of one JSON object")]
    BadBase64,
    /// `data` and `data_base64` in one event.
    #[error("data is given twice, as data and as data_base64")]
    DataTwice,
    /// The same header twice.
    #[error("the header is given twice")]
    HeaderTwice,
    /// A header that is not percent-encoded UTF-8.
    #[error("the header should be percent-encoded UTF-8, as the HTTP binding of CloudEvents has it")]
    BadHeader,
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
            Self::NotAnEpoch => "datetime_parsing",
            Self::WrongVersion => "literal_error",
            Self::NotAUri => "url_parsing",
            Self::TooLongTogether => "string_too_long",
            Self::NotJson => "media_type",
            Self::BadBase64 => "bytes_invalid_encoding",
            Self::DataTwice | Self::HeaderTwice => "value_error",
            Self::BadHeader => "string_unicode",
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
    /// How they stand in the body.
    pub frame: Frame,
}

impl Problems {
    /// A body with this one problem.
    #[must_use]
    pub fn only(place: Place, flaw: Flaw) -> Self {
        Self { listed: vec![Problem { place, flaw }], total: 1, events: 0, frame: Frame::default() }
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

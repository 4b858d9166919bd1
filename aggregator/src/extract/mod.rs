//! Which value, text and dimensions an event has for a metric: one set of rules, used when events are written, when the
//! store reads raw properties again, and when a fee is proved.
//!
//! | property is | number form (sum, max, …) | text form (unique_count) | dimension |
//! |---|---|---|---|
//! | a JSON number | its exact value | shortest exact decimal: `1.0` → `1` | same text |
//! | a string | its exact value if it is decimal text, else unusable | its own text | its own text |
//! | `true`, `false` | unusable | `true`, `false` | same text |
//! | `null` | unusable | missing | `null` |
//! | not there | missing | missing | `null` |
//! | an object or array | unusable | unusable | its raw text |
//!
//! - Decimal text is `-?digits[.digits][e[+-]digits]`, at most 38 digits either side of the point; `NaN`, `Infinity`, blanks and
//!   longer numbers are unusable. A usable number that does not fit `Decimal(38, 18)` is *out of scale*: flagged at write time,
//!   read from the raw text when rating. Nothing is ever rounded.
//! - *Missing* counts as 0 in sums and is left out of maxima and distinct counts, silently: a metric may be optional.
//!   *Unusable* does the same, and is counted and listed as `invalid_value` (I9).
//! - A key given twice (the gateway refuses it): the first one holds.

mod number;
mod plan;
mod scan;
mod text;

pub use number::{Number, VALUE_SCALE};
pub use plan::{Extracted, ExtractionPlan, Form, ValueState, dimension_keys_hash, dimensions_text};
pub use scan::{RawValue, each_field, field, unescaped};
pub use text::canonical_number;

use std::borrow::Cow;

/// The number a property holds; `None` when it is missing.
#[must_use]
pub fn number_of(value: Option<RawValue<'_>>) -> Option<Number> {
    match value? {
        RawValue::Number(text) => Some(number::parse(text)),
        RawValue::String(raw) => Some(number::parse(&unescaped(raw))),
        RawValue::Bool(_) | RawValue::Null | RawValue::Nested(_) => Some(Number::Unusable),
    }
}

/// The text a property is counted by: `Ok(None)` when it is missing, `Err(())` when it is unusable.
#[allow(clippy::result_unit_err)]
pub fn text_of(value: Option<RawValue<'_>>) -> Result<Option<Cow<'_, str>>, ()> {
    match value {
        None | Some(RawValue::Null) => Ok(None),
        Some(RawValue::Number(digits)) => Ok(Some(canonical_number(digits))),
        Some(RawValue::String(raw)) => Ok(Some(unescaped(raw))),
        Some(RawValue::Bool(truth)) => Ok(Some(Cow::Borrowed(if truth { "true" } else { "false" }))),
        Some(RawValue::Nested(_)) => Err(()),
    }
}

/// The text a property is filtered and grouped by; `None` when it is missing or null.
#[must_use]
pub fn dimension_of(value: Option<RawValue<'_>>) -> Option<Cow<'_, str>> {
    match value {
        Some(RawValue::Nested(raw)) => Some(Cow::Borrowed(raw)),
        // Only nested values are unusable as text, and they are handled above.
        other => text_of(other).unwrap_or_default(),
    }
}

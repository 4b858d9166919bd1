//! Fields that several requests share, checked.

use bigdecimal::ToPrimitive;
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use http_api::{Checks, ExactDecimal};

/// Longest name or code (contract).
const MAX_NAME: usize = 255;
/// Longest description.
const MAX_DESCRIPTION: usize = 10_000;

/// A code or name of 1–255 characters.
pub(super) fn name(checks: &mut Checks, field: &'static str, text: &str) {
    checks.length(field, text, 1, MAX_NAME);
}

/// A description.
pub(super) fn description(checks: &mut Checks, text: Option<&String>) {
    if let Some(text) = text {
        checks.length("description", text, 0, MAX_DESCRIPTION);
    }
}

/// A currency of ISO 4217.
pub(super) fn currency(checks: &mut Checks, field: &'static str, code: &str) -> Option<Currency> {
    match code.parse() {
        Ok(currency) => Some(currency),
        Err(fault) => {
            let fault: domain::money::MoneyError = fault;
            checks.broken(field, fault.to_string(), code);
            None
        }
    }
}

/// Whole minor units, more than 0.
pub(super) fn amount(checks: &mut Checks, field: &'static str, sent: &ExactDecimal) -> Option<MinorUnits> {
    let whole = sent.0.is_integer().then(|| sent.0.to_i64()).flatten().filter(|cents| *cents > 0);
    if whole.is_none() {
        checks.broken(field, "should be whole minor units of the currency, more than 0", sent.to_string());
    }
    whole.map(MinorUnits)
}

/// A number more than 0 that a quantity can hold.
pub(super) fn positive(checks: &mut Checks, field: &'static str, sent: &ExactDecimal) -> Option<Quantity> {
    let parsed = Quantity::parse(&sent.to_string());
    match parsed {
        Ok(number) if number.is_positive() => Some(number),
        Ok(_) => {
            checks.fault("greater_than", [field.into()], "Input should be greater than 0", &sent.to_string().into());
            None
        }
        Err(fault) => {
            checks.broken(field, fault.to_string(), sent.to_string());
            None
        }
    }
}

/// More than 0 and at most 100 percent, as a fraction.
pub(super) fn percentage(checks: &mut Checks, field: &'static str, sent: &ExactDecimal) -> Option<Quantity> {
    let share = &positive(checks, field, sent)? * &Quantity::new(1, 2);
    if share > Quantity::ONE {
        checks.fault("less_than_equal", [field.into()], "Input should be at most 100", &sent.to_string().into());
        return None;
    }
    Some(share)
}

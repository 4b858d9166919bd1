//! Dynamic: each event says what it costs; the amount is the sum of that.

use super::{Priced, PricingError, UsageToPrice};

pub(super) fn price(usage: &UsageToPrice) -> Result<Priced, PricingError> {
    let total = usage.dynamic_total.clone().ok_or(PricingError::NeedsDynamicTotal)?;
    Ok(Priced::per_unit(total, usage.shown_units()))
}

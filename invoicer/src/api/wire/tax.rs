//! Taxes on the wire, with base and amount.

use crate::tax::{AppliedTax, TaxLine, exact_tax};
use domain::quantity::Quantity;
use serde::Serialize;
use utoipa::ToSchema;

/// A tax on a fee or an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppliedTaxRecord {
    /// The tax.
    pub tax_id: uuid::Uuid,
    /// Its code.
    pub tax_code: String,
    /// Its name.
    pub tax_name: String,
    /// A fraction.
    pub tax_rate: String,
    /// What it is taken of.
    pub base_amount_cents: String,
    /// What it comes to: on a fee exact, on an invoice rounded once.
    pub amount_cents: String,
}

impl AppliedTaxRecord {
    /// A tax on a fee of this amount, less its share of coupons.
    #[must_use]
    pub fn of(tax: &AppliedTax, base: &Quantity) -> Self {
        let exact = exact_tax(base, std::slice::from_ref(tax));
        Self::shown(tax, base.to_string(), exact.to_string())
    }

    /// A row of an invoice's tax table.
    #[must_use]
    pub fn of_invoice(line: &TaxLine) -> Self {
        Self::shown(&line.tax, line.base_amount_cents.to_string(), line.amount_cents.to_string())
    }

    fn shown(tax: &AppliedTax, base_amount_cents: String, amount_cents: String) -> Self {
        Self {
            tax_id: tax.tax_id,
            tax_code: tax.tax_code.clone(),
            tax_name: tax.tax_name.clone(),
            tax_rate: tax.tax_rate.to_string(),
            base_amount_cents,
            amount_cents,
        }
    }
}

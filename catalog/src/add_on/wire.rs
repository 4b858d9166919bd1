//! Add-ons as the contract spells them. Amounts are whole minor units of the currency.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use crate::organization::wire::default_currency;
use bigdecimal::num_traits::ToPrimitive;
use domain::ids::CustomerId;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// Longest description.
const MAX_DESCRIPTION: usize = 10_000;

/// An add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AddOnResponse)]
pub struct AddOnRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Unique in the organization.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Title on invoices; else the name.
    pub invoice_display_name: Option<String>,
    /// Price, as text.
    pub amount_cents: String,
    /// ISO 4217.
    pub amount_currency: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl AddOnRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            code: row.text("code")?,
            name: row.text("name")?,
            description: row.optional_text("description")?,
            invoice_display_name: row.optional_text("invoice_display_name")?,
            amount_cents: row.integer("amount_cents")?.to_string(),
            amount_currency: row.text("amount_currency")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new add-on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct AddOnCreate {
    /// 1–255 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Title on invoices.
    pub invoice_display_name: Option<String>,
    /// Price: whole minor units, at least 0.
    pub amount_cents: ExactDecimal,
    /// ISO 4217.
    #[serde(default = "default_currency")]
    pub amount_currency: String,
}

/// Changes of an add-on: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct AddOnUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub invoice_display_name: Option<Option<String>>,
    /// Price: whole minor units, at least 0.
    pub amount_cents: Option<ExactDecimal>,
    /// ISO 4217.
    pub amount_currency: Option<String>,
}

/// Whole minor units of at least 0 that fit 64 bits; a fault otherwise.
pub(crate) fn whole_cents(checks: &mut Checks, field: &'static str, amount: &ExactDecimal) -> i64 {
    let whole = amount.0.is_integer().then(|| amount.0.to_i64()).flatten().filter(|cents| *cents >= 0);
    whole.unwrap_or_else(|| {
        checks.broken(field, "should be whole minor units of the currency, at least 0", amount.to_string());
        // Never stored: the fault is answered first.
        0
    })
}

fn check_texts(checks: &mut Checks, description: Option<&String>, display_name: Option<&String>) {
    if let Some(description) = description {
        checks.length("description", description, 0, MAX_DESCRIPTION);
    }
    if let Some(name) = display_name {
        checks.length("invoice_display_name", name, 0, 255);
    }
}

impl AddOnCreate {
    /// The price in minor units.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<i64, ApiError> {
        let mut checks = Checks::new();
        checks.name("code", &self.code);
        checks.name("name", &self.name);
        checks.currency("amount_currency", &self.amount_currency);
        check_texts(&mut checks, self.description.as_ref(), self.invoice_display_name.as_ref());
        let cents = whole_cents(&mut checks, "amount_cents", &self.amount_cents);
        checks.finish().map(|()| cents)
    }
}

impl AddOnUpdate {
    /// The add-on with the changes.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn apply(&self, kept: &AddOnRecord, now: Timestamp) -> Result<AddOnRecord, ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.name("name", name);
        }
        if let Some(currency) = &self.amount_currency {
            checks.currency("amount_currency", currency);
        }
        let (description, title) = (self.description.as_ref(), self.invoice_display_name.as_ref());
        check_texts(&mut checks, description.and_then(Option::as_ref), title.and_then(Option::as_ref));
        let cents = self.amount_cents.as_ref().map(|amount| whole_cents(&mut checks, "amount_cents", amount));
        checks.finish()?;
        Ok(AddOnRecord {
            name: self.name.clone().unwrap_or_else(|| kept.name.clone()),
            description: description.cloned().unwrap_or_else(|| kept.description.clone()),
            invoice_display_name: title.cloned().unwrap_or_else(|| kept.invoice_display_name.clone()),
            amount_cents: cents.map_or_else(|| kept.amount_cents.clone(), |cents| cents.to_string()),
            amount_currency: self.amount_currency.clone().unwrap_or_else(|| kept.amount_currency.clone()),
            updated_at: now,
            ..kept.clone()
        })
    }
}

/// Applies an add-on to a customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ApplyAddOnRequest {
    /// Which.
    pub add_on_code: String,
    /// To whom.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// Another price.
    pub amount_cents: Option<ExactDecimal>,
    /// Must be the add-on's own currency and the customer's.
    pub amount_currency: Option<String>,
}

/// An add-on that a customer got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AppliedAddOnResponse)]
pub struct AppliedAddOnRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Which.
    pub add_on_id: uuid::Uuid,
    /// To whom.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// Price, as text.
    pub amount_cents: String,
    /// ISO 4217.
    pub amount_currency: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// An add-on that a customer got, with the customer's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AppliedAddOnDetailResponse)]
pub struct AppliedAddOnDetail {
    /// The application.
    #[serde(flatten)]
    pub applied: AppliedAddOnRecord,
    /// Who got it.
    pub customer_name: String,
}

//! Taxes as the contract spells them. A rate is a fraction: `"0.2"` is 20 %.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use bigdecimal::BigDecimal;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Greatest rate: ten times the price. Beyond it lies a percentage sent where a fraction is wanted.
const MAX_RATE: i64 = 10;
/// Longest description.
const MAX_DESCRIPTION: usize = 10_000;

/// A tax.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = TaxResponse)]
pub struct TaxRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Unique in the organization.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// A fraction.
    pub rate: ExactDecimal,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub category: Option<String>,
    /// Whether it holds for every fee that no nearer level taxes.
    pub applied_to_organization: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl TaxRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        let rate = row.text("rate")?;
        Ok(Self {
            id: row.parsed("id")?,
            code: row.text("code")?,
            name: row.text("name")?,
            rate: http_api::decimal::parse(&rate)
                .map(ExactDecimal)
                .map_err(|fault| DatabaseError::unreadable("rate of a tax", fault))?,
            description: row.optional_text("description")?,
            category: row.optional_text("category")?,
            applied_to_organization: row.flag("applied_to_organization")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new tax.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct TaxCreate {
    /// 1–255 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// A fraction from 0 to 10, with as many places as wanted.
    pub rate: ExactDecimal,
    /// For people.
    pub description: Option<String>,
    /// At most 100 characters.
    pub category: Option<String>,
    /// Holds for every fee that no nearer level taxes.
    #[serde(default)]
    pub applied_to_organization: bool,
}

/// Changes of a tax: only what is sent; they hold for invoices made from then on.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct TaxUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// A fraction from 0 to 10.
    pub rate: Option<ExactDecimal>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub category: Option<Option<String>>,
    /// Holds for every fee that no nearer level taxes.
    pub applied_to_organization: Option<bool>,
}

fn check_rate(checks: &mut Checks, rate: &ExactDecimal) {
    let (least, most) = (BigDecimal::from(0), BigDecimal::from(MAX_RATE));
    if rate.0 < least {
        checks.broken("rate", "Input should be greater than or equal to 0", rate.to_string());
    } else if rate.0 > most {
        checks.broken("rate", format!("a rate is a fraction: at most {MAX_RATE}"), rate.to_string());
    } else if let Err(fault) = Quantity::parse(&rate.to_string()) {
        checks.broken("rate", fault.to_string(), rate.to_string());
    }
}

fn check_texts(checks: &mut Checks, description: Option<&String>, category: Option<&String>) {
    if let Some(description) = description {
        checks.length("description", description, 0, MAX_DESCRIPTION);
    }
    if let Some(category) = category {
        checks.length("category", category, 0, 100);
    }
}

impl TaxCreate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("code", &self.code);
        checks.name("name", &self.name);
        check_rate(&mut checks, &self.rate);
        check_texts(&mut checks, self.description.as_ref(), self.category.as_ref());
        checks.finish()
    }
}

impl TaxUpdate {
    /// The tax with the changes.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn apply(&self, kept: &TaxRecord, now: Timestamp) -> Result<TaxRecord, ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.name("name", name);
        }
        if let Some(rate) = &self.rate {
            check_rate(&mut checks, rate);
        }
        let (description, category) = (self.description.as_ref(), self.category.as_ref());
        check_texts(&mut checks, description.and_then(Option::as_ref), category.and_then(Option::as_ref));
        checks.finish()?;
        Ok(TaxRecord {
            name: self.name.clone().unwrap_or_else(|| kept.name.clone()),
            rate: self.rate.clone().unwrap_or_else(|| kept.rate.clone()),
            description: description.cloned().unwrap_or_else(|| kept.description.clone()),
            category: category.cloned().unwrap_or_else(|| kept.category.clone()),
            applied_to_organization: self.applied_to_organization.unwrap_or(kept.applied_to_organization),
            updated_at: now,
            ..kept.clone()
        })
    }
}

/// What a tax can be attached to; the organization has a flag of the tax itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Taxable {
    /// A charge of a plan.
    Charge,
    /// A plan.
    Plan,
    /// A customer.
    Customer,
    /// A billing entity.
    BillingEntity,
}

/// Attaches a tax.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ApplyTaxRequest {
    /// Which tax.
    pub tax_code: String,
    /// To what kind of thing.
    pub taxable_type: Taxable,
    /// To which.
    pub taxable_id: uuid::Uuid,
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AppliedTaxResponse)]
pub struct AppliedTaxRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Which tax.
    pub tax_id: uuid::Uuid,
    /// To what kind of thing.
    pub taxable_type: Taxable,
    /// To which.
    pub taxable_id: uuid::Uuid,
    /// A fraction.
    pub tax_rate: ExactDecimal,
    /// Always 0: what a tax amounted to stands on each fee and invoice.
    pub tax_amount_cents: String,
    /// Name of the tax.
    pub tax_name: String,
    /// Code of the tax.
    pub tax_code: String,
    /// When it was attached.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Tax id → number of attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaxApplicationCountsResponse {
    /// Taxes without any are left out.
    pub counts: BTreeMap<String, i64>,
}

/// What a tax is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaxAppliedEntitiesResponse {
    /// Which tax.
    pub tax_id: uuid::Uuid,
    /// Its code.
    pub tax_code: String,
    /// `{taxable_type, taxable_id, applied_tax_id}` each.
    pub entities: Vec<BTreeMap<&'static str, String>>,
}

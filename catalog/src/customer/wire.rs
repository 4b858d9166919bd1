//! Customers as the contract spells them.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use crate::organization::wire::{default_currency, default_timezone};
use domain::ids::CustomerId;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// Days until an invoice is due when nothing else is said (contract).
const DEFAULT_PAYMENT_TERM: u32 = 30;

/// A customer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CustomerResponse)]
pub struct CustomerRecord {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: CustomerId,
    /// The client's own id, unique in the organization.
    pub external_id: String,
    /// Shown on invoices.
    pub name: String,
    /// Where to write.
    pub email: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// IANA: the zone in force now.
    pub timezone: String,
    /// Free.
    #[schema(value_type = Object)]
    pub billing_metadata: Map<String, Value>,
    /// Who bills it; null: the organization's default entity, if it has one.
    pub billing_entity_id: Option<uuid::Uuid>,
    /// Days a draft stays open.
    pub invoice_grace_period: u32,
    /// Days until an invoice is due.
    pub net_payment_term: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl CustomerRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            external_id: row.text("external_id")?,
            name: row.text("name")?,
            email: row.optional_text("email")?,
            currency: row.text("currency")?,
            timezone: row.text("timezone")?,
            billing_metadata: row.json("billing_metadata")?,
            billing_entity_id: row.optional_parsed("billing_entity_id")?,
            invoice_grace_period: row.small("invoice_grace_period")?,
            net_payment_term: row.small("net_payment_term")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CustomerCreate {
    /// 1–255 characters, unique in the organization.
    pub external_id: String,
    /// 1–255 characters.
    pub name: String,
    /// Where to write.
    pub email: Option<String>,
    /// ISO 4217.
    #[serde(default = "default_currency")]
    pub currency: String,
    /// IANA.
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// Free.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub billing_metadata: Map<String, Value>,
    /// Days a draft stays open.
    #[serde(default)]
    pub invoice_grace_period: u32,
    /// Days until an invoice is due.
    #[serde(default = "default_payment_term")]
    pub net_payment_term: u32,
    /// Who bills it.
    pub billing_entity_id: Option<uuid::Uuid>,
}

fn default_payment_term() -> u32 {
    DEFAULT_PAYMENT_TERM
}

/// Changes of a customer: only what is sent; null counts as not sent, but clears the email.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct CustomerUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// IANA; holds from now on.
    pub timezone: Option<String>,
    /// Replaces the whole.
    #[schema(value_type = Option<Object>)]
    pub billing_metadata: Option<Map<String, Value>>,
    /// Days a draft stays open.
    pub invoice_grace_period: Option<u32>,
    /// Days until an invoice is due.
    pub net_payment_term: Option<u32>,
    /// Null: the organization's default entity.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub billing_entity_id: Option<Option<uuid::Uuid>>,
}

impl CustomerCreate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("external_id", &self.external_id);
        checks.name("name", &self.name);
        if let Some(email) = &self.email {
            checks.email("email", email);
        }
        checks.currency("currency", &self.currency);
        checks.timezone("timezone", &self.timezone);
        checks.days("invoice_grace_period", self.invoice_grace_period);
        checks.days("net_payment_term", self.net_payment_term);
        checks.finish()
    }
}

impl CustomerUpdate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.name("name", name);
        }
        if let Some(Some(email)) = &self.email {
            checks.email("email", email);
        }
        if let Some(currency) = &self.currency {
            checks.currency("currency", currency);
        }
        if let Some(timezone) = &self.timezone {
            checks.timezone("timezone", timezone);
        }
        checks.days("invoice_grace_period", self.invoice_grace_period.unwrap_or(0));
        checks.days("net_payment_term", self.net_payment_term.unwrap_or(0));
        checks.finish()
    }
}

//! Billing entities as the contract spells them.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use crate::organization::wire::{default_currency, default_timezone};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// Days until an invoice is due when nothing else is said (contract).
const DEFAULT_PAYMENT_TERM: u32 = 30;
/// Longest address line, city, state, zip code and tax number.
const MAX_LINE: usize = 255;

/// What is printed on invoices and decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntityDocument {
    /// Registered name.
    pub legal_name: Option<String>,
    /// Address.
    pub address_line1: Option<String>,
    /// Address.
    pub address_line2: Option<String>,
    /// Address.
    pub city: Option<String>,
    /// Address.
    pub state: Option<String>,
    /// Address.
    pub zip_code: Option<String>,
    /// ISO 3166, two letters.
    pub country: Option<String>,
    /// Where to write.
    pub email: Option<String>,
    /// Tax number.
    pub tax_id: Option<String>,
    /// ISO 4217.
    #[serde(default = "default_currency")]
    pub currency: String,
    /// IANA.
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// Language of documents.
    #[serde(default = "default_locale")]
    pub document_locale: String,
    /// Days a draft stays open; the customer's own count.
    #[serde(default)]
    pub invoice_grace_period: u32,
    /// Days until an invoice is due; the customer's own count.
    #[serde(default = "default_payment_term")]
    pub net_payment_term: u32,
    /// Printed below.
    pub invoice_footer: Option<String>,
}

fn default_locale() -> String {
    "en".into()
}

fn default_payment_term() -> u32 {
    DEFAULT_PAYMENT_TERM
}

/// A billing entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BillingEntityResponse)]
pub struct BillingEntityRecord {
    /// Stable id.
    pub id: uuid::Uuid,
    /// Unique in the organization.
    pub code: String,
    /// Shown.
    pub name: String,
    /// Address, terms and texts.
    #[serde(flatten)]
    pub document: EntityDocument,
    /// Before the numbers of its invoices; unique in the organization.
    pub invoice_prefix: String,
    /// The next invoice's.
    pub next_invoice_number: i64,
    /// Whether it bills customers that name no entity.
    pub is_default: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl BillingEntityRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            code: row.text("code")?,
            name: row.text("name")?,
            document: row.json("document")?,
            invoice_prefix: row.text("invoice_prefix")?,
            next_invoice_number: row.integer("next_invoice_number")?,
            is_default: row.flag("is_default")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new billing entity.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct BillingEntityCreate {
    /// 1–100 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// Address, terms and texts.
    #[serde(flatten)]
    pub document: EntityDocument,
    /// At most 20 characters; else the code in capitals.
    pub invoice_prefix: Option<String>,
    /// Number of its first invoice.
    #[serde(default = "first_number")]
    pub next_invoice_number: i64,
    /// Bills customers that name no entity; at most one of an organization does.
    #[serde(default)]
    pub is_default: bool,
}

fn first_number() -> i64 {
    1
}

impl BillingEntityCreate {
    /// The prefix sent, else the code in capitals, as far as it fits.
    pub(crate) fn prefix(&self) -> String {
        let from_code = || self.code.to_uppercase().chars().take(20).collect();
        self.invoice_prefix.clone().filter(|prefix| !prefix.is_empty()).unwrap_or_else(from_code)
    }

    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.length("code", &self.code, 1, 100);
        checks.name("name", &self.name);
        checks.at_least("next_invoice_number", self.next_invoice_number, 1);
        check_prefix(&mut checks, self.invoice_prefix.as_deref());
        self.document.check(&mut checks);
        checks.finish()
    }
}

fn check_prefix(checks: &mut Checks, prefix: Option<&str>) {
    if let Some(prefix) = prefix {
        checks.length("invoice_prefix", prefix, 0, 20);
    }
}

impl EntityDocument {
    fn check(&self, checks: &mut Checks) {
        let lines = [
            ("legal_name", &self.legal_name),
            ("address_line1", &self.address_line1),
            ("address_line2", &self.address_line2),
            ("city", &self.city),
            ("state", &self.state),
            ("zip_code", &self.zip_code),
            ("tax_id", &self.tax_id),
        ];
        for (field, text) in lines {
            if let Some(text) = text {
                checks.length(field, text, 0, MAX_LINE);
            }
        }
        if let Some(country) = &self.country {
            checks.length("country", country, 2, 2);
        }
        if let Some(email) = &self.email {
            checks.email("email", email);
        }
        if let Some(footer) = &self.invoice_footer {
            checks.length("invoice_footer", footer, 0, 1024);
        }
        checks.currency("currency", &self.currency);
        checks.timezone("timezone", &self.timezone);
        checks.length("document_locale", &self.document_locale, 1, 10);
        checks.days("invoice_grace_period", self.invoice_grace_period);
        checks.days("net_payment_term", self.net_payment_term);
    }
}

/// Changes of a billing entity: only what is sent; null clears texts.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct BillingEntityUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Registered name.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub legal_name: Option<Option<String>>,
    /// Address.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub address_line1: Option<Option<String>>,
    /// Address.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub address_line2: Option<Option<String>>,
    /// Address.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub city: Option<Option<String>>,
    /// Address.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub state: Option<Option<String>>,
    /// Address.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub zip_code: Option<Option<String>>,
    /// ISO 3166, two letters.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub country: Option<Option<String>>,
    /// Where to write.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// Tax number.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub tax_id: Option<Option<String>>,
    /// Printed below.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub invoice_footer: Option<Option<String>>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// IANA.
    pub timezone: Option<String>,
    /// Language of documents.
    pub document_locale: Option<String>,
    /// Days a draft stays open.
    pub invoice_grace_period: Option<u32>,
    /// Days until an invoice is due.
    pub net_payment_term: Option<u32>,
    /// Only while it has issued no invoice.
    pub invoice_prefix: Option<String>,
    /// Only while it has issued no invoice: numbers have no gaps.
    pub next_invoice_number: Option<i64>,
    /// Bills customers that name no entity.
    pub is_default: Option<bool>,
}

impl BillingEntityUpdate {
    /// The entity with the changes.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn apply(&self, kept: &BillingEntityRecord, now: Timestamp) -> Result<BillingEntityRecord, ApiError> {
        let mut checks = Checks::new();
        let mut changed = kept.clone();
        if let Some(name) = &self.name {
            checks.name("name", name);
            changed.name.clone_from(name);
        }
        self.apply_texts(&mut changed.document);
        let document = &mut changed.document;
        document.currency = self.currency.clone().unwrap_or_else(|| document.currency.clone());
        document.timezone = self.timezone.clone().unwrap_or_else(|| document.timezone.clone());
        document.document_locale = self.document_locale.clone().unwrap_or_else(|| document.document_locale.clone());
        document.invoice_grace_period = self.invoice_grace_period.unwrap_or(document.invoice_grace_period);
        document.net_payment_term = self.net_payment_term.unwrap_or(document.net_payment_term);
        document.check(&mut checks);
        check_prefix(&mut checks, self.invoice_prefix.as_deref());
        checks.at_least("next_invoice_number", self.next_invoice_number.unwrap_or(1), 1);
        checks.finish()?;
        changed.invoice_prefix = self.invoice_prefix.clone().unwrap_or(changed.invoice_prefix);
        changed.next_invoice_number = self.next_invoice_number.unwrap_or(changed.next_invoice_number);
        changed.is_default = self.is_default.unwrap_or(changed.is_default);
        changed.updated_at = now;
        Ok(changed)
    }

    fn apply_texts(&self, document: &mut EntityDocument) {
        let texts = [
            (&self.legal_name, &mut document.legal_name),
            (&self.address_line1, &mut document.address_line1),
            (&self.address_line2, &mut document.address_line2),
            (&self.city, &mut document.city),
            (&self.state, &mut document.state),
            (&self.zip_code, &mut document.zip_code),
            (&self.country, &mut document.country),
            (&self.email, &mut document.email),
            (&self.tax_id, &mut document.tax_id),
            (&self.invoice_footer, &mut document.invoice_footer),
        ];
        for (sent, kept) in texts {
            if let Some(sent) = sent {
                kept.clone_from(sent);
            }
        }
    }
}

//! Organizations and API keys as the contract spells them.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::fields::SharedChecks;
use domain::ids::{ApiKeyId, OrganizationId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// Shown in place of a secret that is set: behaviour W38 gave it back in clear.
pub const MASKED: &str = "********";

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrganizationResponse)]
pub struct OrganizationRecord {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: OrganizationId,
    /// Shown.
    pub name: String,
    /// Made of the name; unique.
    pub slug: String,
    /// ISO 4217.
    pub default_currency: String,
    /// IANA.
    pub timezone: String,
    /// `********` when a secret is set.
    pub hmac_key: Option<String>,
    /// Shown in the portal.
    pub logo_url: Option<String>,
    /// Shown in the portal.
    pub portal_accent_color: Option<String>,
    /// Shown in the portal.
    pub portal_welcome_message: Option<String>,
    /// Whether it has a clock of its own.
    pub sandbox: bool,
    /// Events a second it may send; absent: no limit.
    pub events_per_second: Option<u32>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl OrganizationRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.text("name")?,
            slug: row.text("slug")?,
            default_currency: row.text("default_currency")?,
            timezone: row.text("timezone")?,
            hmac_key: row.optional_text("hmac_key")?.map(|_| MASKED.to_string()),
            logo_url: row.optional_text("logo_url")?,
            portal_accent_color: row.optional_text("portal_accent_color")?,
            portal_welcome_message: row.optional_text("portal_welcome_message")?,
            sandbox: row.flag("sandbox")?,
            events_per_second: row.optional_small("events_per_second")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// A new organization.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct OrganizationCreate {
    /// 1–255 characters.
    pub name: String,
    /// ISO 4217.
    #[serde(default = "default_currency")]
    pub default_currency: String,
    /// IANA.
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// Secret that signs outgoing webhooks.
    pub hmac_key: Option<String>,
    /// At most 2048 characters.
    pub logo_url: Option<String>,
    /// At most 7 characters.
    pub portal_accent_color: Option<String>,
    /// At most 500 characters.
    pub portal_welcome_message: Option<String>,
    /// With a clock that can be moved.
    #[serde(default)]
    pub sandbox: bool,
    /// Events a second it may send.
    pub events_per_second: Option<u32>,
}

/// Changes of an organization: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct OrganizationUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// ISO 4217.
    pub default_currency: Option<String>,
    /// IANA.
    pub timezone: Option<String>,
    /// Null clears it; `********` leaves it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub hmac_key: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub logo_url: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub portal_accent_color: Option<Option<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub portal_welcome_message: Option<Option<String>>,
    /// Null: no limit.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<u32>)]
    pub events_per_second: Option<Option<u32>>,
}

pub(crate) fn default_currency() -> String {
    "USD".into()
}

pub(crate) fn default_timezone() -> String {
    "UTC".into()
}

fn check_texts(checks: &mut Checks, texts: [(&'static str, Option<&String>, usize); 4]) {
    for (field, text, most) in texts {
        if let Some(text) = text {
            checks.length(field, text, 0, most);
        }
    }
}

/// An address has the contract's length. A picture that stands in it itself (`data:image/…;base64,…`), which is what invoices are
/// printed with, may have 512 KiB.
fn longest_logo(logo: Option<&String>) -> usize {
    let is_picture = logo.is_some_and(|text| text.starts_with("data:image/"));
    // Four characters for three bytes, and what stands before them.
    if is_picture { 512 * 1024 / 3 * 4 + 64 } else { 2048 }
}

impl OrganizationCreate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        checks.name("name", &self.name);
        checks.currency("default_currency", &self.default_currency);
        checks.timezone("timezone", &self.timezone);
        checks.rate_limit("events_per_second", self.events_per_second);
        let texts = [
            ("hmac_key", self.hmac_key.as_ref(), 255),
            ("logo_url", self.logo_url.as_ref(), longest_logo(self.logo_url.as_ref())),
            ("portal_accent_color", self.portal_accent_color.as_ref(), 7),
            ("portal_welcome_message", self.portal_welcome_message.as_ref(), 500),
        ];
        check_texts(&mut checks, texts);
        checks.finish()
    }
}

impl OrganizationUpdate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.name("name", name);
        }
        if let Some(currency) = &self.default_currency {
            checks.currency("default_currency", currency);
        }
        if let Some(timezone) = &self.timezone {
            checks.timezone("timezone", timezone);
        }
        checks.rate_limit("events_per_second", self.events_per_second.flatten());
        let logo = self.logo_url.as_ref().and_then(Option::as_ref);
        let texts = [
            ("hmac_key", self.hmac_key.as_ref().and_then(Option::as_ref), 255),
            ("logo_url", logo, longest_logo(logo)),
            ("portal_accent_color", self.portal_accent_color.as_ref().and_then(Option::as_ref), 7),
            ("portal_welcome_message", self.portal_welcome_message.as_ref().and_then(Option::as_ref), 500),
        ];
        check_texts(&mut checks, texts);
        checks.finish()
    }
}

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKeyListResponse)]
pub struct ApiKeyRecord {
    /// Stable id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ApiKeyId,
    /// First 12 characters of the key.
    pub key_prefix: String,
    /// Given by its maker.
    pub name: Option<String>,
    /// `active` or `revoked`.
    pub status: String,
    /// When it was last used, to about a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Refused from then on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Events a second it may send; absent: no limit.
    pub events_per_second: Option<u32>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl ApiKeyRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            key_prefix: row.text("key_prefix")?,
            name: row.optional_text("name")?,
            status: row.text("status")?,
            last_used_at: row.optional_instant("last_used_at")?,
            expires_at: row.optional_instant("expires_at")?,
            events_per_second: row.optional_small("events_per_second")?,
            created_at: row.instant("created_at")?,
        })
    }
}

/// A key at its making: the only answer that ever holds the raw key.
#[derive(Clone, Serialize, ToSchema)]
pub struct ApiKeyCreateResponse {
    /// The key without the key.
    #[serde(flatten)]
    pub key: ApiKeyRecord,
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    pub organization_id: OrganizationId,
    /// The key itself. It cannot be shown again.
    pub raw_key: String,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for ApiKeyCreateResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeyCreateResponse").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A new organization with its first key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrganizationCreateResponse {
    /// The organization.
    #[serde(flatten)]
    pub organization: OrganizationRecord,
    /// Its first key.
    pub api_key: ApiKeyCreateResponse,
}

/// A new key.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct ApiKeyCreate {
    /// At most 255 characters.
    pub name: Option<String>,
    /// Refused from then on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Events a second it may send.
    pub events_per_second: Option<u32>,
}

impl ApiKeyCreate {
    /// # Errors
    /// 422 with every fault.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checks.length("name", name, 0, 255);
        }
        if let Some(expires_at) = self.expires_at {
            checks.instant("expires_at", expires_at);
        }
        checks.rate_limit("events_per_second", self.events_per_second);
        checks.finish()
    }
}

/// A sandbox's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxClock {
    /// What it shows.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
}

//! Wallets on the wire: credits and what they are in minor units, both exact.

use super::checked;
use super::wallet_rule::{RecurringTransactionRule, RulesOf, cents_of, rules_of};
use crate::ledger::wallets::StoredWallet;
use crate::model::FeeKind;
use crate::wallets::{NewWallet, WalletChange, empty};
use domain::ids::{CustomerId, OrganizationId};
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most fee types or metrics of a wallet.
const MAX_LIMITS: usize = 100;

/// A wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WalletResponse)]
pub struct WalletRecord {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// For people.
    pub name: Option<String>,
    /// Unique among the customer's; events may name it as `target_wallet_code`.
    pub code: Option<String>,
    /// `active`, or `terminated` by hand or by its expiry.
    pub status: &'static str,
    /// What is left, in credits.
    pub credits_balance: String,
    /// What is left, in minor units.
    pub balance_cents: String,
    /// What it paid, in credits.
    pub consumed_credits: String,
    /// What it paid, in minor units.
    pub consumed_amount_cents: String,
    /// Minor units of one credit.
    pub rate_amount: String,
    /// ISO 4217.
    pub currency: String,
    /// 1 pays first.
    pub priority: i64,
    /// It pays fees of these kinds, or of these metrics; neither: of any.
    pub allowed_fee_types: Vec<FeeKind>,
    /// Codes of metrics.
    pub limited_to_metric_codes: Vec<String>,
    /// From when on it pays nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
    /// When it was ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub terminated_at: Option<Timestamp>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl WalletRecord {
    /// As the contract spells a wallet; its status is that at `now`.
    #[must_use]
    pub fn of(wallet: &StoredWallet, now: Timestamp) -> Self {
        Self {
            id: wallet.id,
            customer_id: wallet.customer,
            name: wallet.name.clone(),
            code: wallet.code.clone(),
            status: if wallet.is_active(now) { "active" } else { "terminated" },
            credits_balance: wallet.credits(wallet.balance).to_string(),
            balance_cents: wallet.balance.to_string(),
            consumed_credits: wallet.credits(wallet.consumed).to_string(),
            consumed_amount_cents: wallet.consumed.to_string(),
            rate_amount: wallet.rate.to_string(),
            currency: wallet.currency.to_string(),
            priority: wallet.priority,
            allowed_fee_types: wallet.fee_types.clone(),
            limited_to_metric_codes: wallet.metrics.clone(),
            expiration_at: wallet.expires_at,
            terminated_at: wallet.terminated_at,
            created_at: wallet.created_at,
            updated_at: wallet.updated_at,
        }
    }
}

/// A wallet to open.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct WalletCreate {
    /// Whose.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// 1–255 characters.
    pub name: Option<String>,
    /// 1–255 characters, unique among the customer's.
    pub code: Option<String>,
    /// Minor units of one credit, more than 0; 1 when absent.
    pub rate_amount: Option<ExactDecimal>,
    /// The customer's; also when absent.
    pub currency: Option<String>,
    /// 1–50, 1 pays first; 1 when absent.
    pub priority: Option<i64>,
    /// From when on it pays nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
    /// Credits that are given at once.
    pub initial_granted_credits: Option<ExactDecimal>,
    /// Credits that are sold: they come as their invoice is paid.
    pub initial_paid_credits: Option<ExactDecimal>,
    /// It pays fees of these kinds, or of these metrics; neither: of any.
    #[serde(default)]
    pub allowed_fee_types: Vec<FeeKind>,
    /// Codes of metrics.
    #[serde(default)]
    pub limited_to_metric_codes: Vec<String>,
    /// How it is filled up.
    #[serde(default)]
    pub recurring_transaction_rules: Vec<RecurringTransactionRule>,
}

impl WalletCreate {
    /// What to open.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn wallet(self, organization: OrganizationId, now: Timestamp) -> Result<NewWallet, ApiError> {
        let mut checks = Checks::new();
        check_texts(&mut checks, self.name.as_ref(), self.code.as_ref());
        check_terms(&mut checks, self.priority, self.expiration_at, now);
        if self.allowed_fee_types.len() > MAX_LIMITS || self.limited_to_metric_codes.len() > MAX_LIMITS {
            let msg = format!("should have at most {MAX_LIMITS} entries");
            checks.broken("limited_to_metric_codes", msg, Value::Null);
        }
        let mut wallet = empty(organization, self.customer_id, now);
        if let Some(rate) =
            self.rate_amount.as_ref().and_then(|rate| checked::positive(&mut checks, "rate_amount", rate))
        {
            wallet.rate = rate;
        }
        if let Some(currency) = self.currency.as_ref().and_then(|code| checked::currency(&mut checks, "currency", code))
        {
            wallet.currency = currency;
        }
        let granted =
            cents_of(&mut checks, "initial_granted_credits", self.initial_granted_credits.as_ref(), &wallet.rate);
        let paid = cents_of(&mut checks, "initial_paid_credits", self.initial_paid_credits.as_ref(), &wallet.rate);
        let of = RulesOf { organization, wallet: wallet.id, rate: &wallet.rate, now };
        let rules = rules_of(&self.recurring_transaction_rules, &of, &mut checks);
        checks.finish()?;
        wallet.name = self.name;
        wallet.code = self.code;
        wallet.priority = self.priority.unwrap_or(1);
        wallet.expires_at = self.expiration_at;
        wallet.fee_types = self.allowed_fee_types;
        wallet.metrics = self.limited_to_metric_codes;
        Ok(NewWallet { wallet, has_currency: self.currency.is_some(), granted, paid, rules })
    }
}

fn check_texts(checks: &mut Checks, name: Option<&String>, code: Option<&String>) {
    if let Some(name) = name {
        checked::name(checks, "name", name);
    }
    if let Some(code) = code {
        checked::name(checks, "code", code);
    }
}

fn check_terms(checks: &mut Checks, priority: Option<i64>, expires_at: Option<Timestamp>, now: Timestamp) {
    if let Some(priority) = priority {
        checks.at_least("priority", priority, 1);
        checks.at_most("priority", priority, 50);
    }
    if let Some(at) = expires_at {
        checks.instant("expiration_at", at);
        if at <= now {
            checks.broken("expiration_at", "should be later than now", at.to_string());
        }
    }
}

/// Changes of a wallet: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct WalletUpdate {
    /// 1–255 characters; null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// Later than now; null: never.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Option<Timestamp>>,
    /// 1–50.
    pub priority: Option<i64>,
    /// Others in place of those it has.
    pub recurring_transaction_rules: Option<Vec<RecurringTransactionRule>>,
}

impl WalletUpdate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn change(self, wallet: &StoredWallet, now: Timestamp) -> Result<WalletChange, ApiError> {
        let mut checks = Checks::new();
        check_texts(&mut checks, self.name.as_ref().and_then(Option::as_ref), None);
        check_terms(&mut checks, self.priority, self.expiration_at.flatten(), now);
        let of = RulesOf { organization: wallet.organization, wallet: wallet.id, rate: &wallet.rate, now };
        let rules = self.recurring_transaction_rules.map(|sent| rules_of(&sent, &of, &mut checks));
        checks.finish()?;
        Ok(WalletChange { name: self.name, priority: self.priority, expires_at: self.expiration_at, rules })
    }
}

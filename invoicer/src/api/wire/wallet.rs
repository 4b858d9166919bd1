//! Wallets on the wire: credits and what they are in minor units, both exact.

use super::checked;
use crate::ledger::wallet_rules::{Cause, Every, Rule};
use crate::ledger::wallet_statement::{Day, Movement};
use crate::ledger::wallets::StoredWallet;
use crate::model::FeeKind;
use crate::wallets::{NewWallet, WalletChange, empty, whole};
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most fee types, metrics or rules of a wallet.
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

/// When a rule fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleTrigger {
    /// Each time an interval is over.
    Interval,
    /// As the balance falls to `threshold_credits`.
    Threshold,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleInterval {
    /// Seven days.
    Weekly,
    /// A month.
    Monthly,
    /// Three months.
    Quarterly,
    /// Twelve months.
    Yearly,
}

/// A rule that fills a wallet up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct RecurringTransactionRule {
    /// When.
    pub trigger: RuleTrigger,
    /// Of an interval.
    pub interval: Option<RuleInterval>,
    /// Of a threshold: at least 0.
    pub threshold_credits: Option<ExactDecimal>,
    /// Credits that are given.
    pub granted_credits: Option<ExactDecimal>,
    /// Credits that are sold: they come as their invoice is paid.
    pub paid_credits: Option<ExactDecimal>,
    /// Where intervals are counted from; absent: now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// From when on it does not fill up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
}

/// Whose rules, and what one credit is there.
struct RulesOf<'a> {
    organization: OrganizationId,
    wallet: Uuid,
    rate: &'a Quantity,
    now: Timestamp,
}

impl RecurringTransactionRule {
    fn rule(&self, of: &RulesOf<'_>, checks: &mut Checks) -> Option<Rule> {
        let cause = self.cause(of.rate, checks);
        let granted = cents_of(checks, "granted_credits", self.granted_credits.as_ref(), of.rate);
        let paid = cents_of(checks, "paid_credits", self.paid_credits.as_ref(), of.rate);
        if granted.0 == 0 && paid.0 == 0 {
            checks.broken("recurring_transaction_rules", "a rule should grant or sell credits", Value::Null);
        }
        if let Some(at) = self.started_at {
            checks.instant("started_at", at);
        }
        let mut rule = Rule {
            id: Uuid::now_v7(),
            organization: of.organization,
            wallet: of.wallet,
            cause: cause?,
            granted,
            paid,
            anchor: self.started_at.unwrap_or(of.now),
            times: 0,
            next_at: None,
            expires_at: self.expiration_at,
        };
        // Intervals that were over before now are not made up for.
        rule.times = (0..).find(|times| rule.after(*times).is_none_or(|at| at > of.now)).unwrap_or(0);
        rule.next_at = rule.after(rule.times);
        Some(rule)
    }

    fn cause(&self, rate: &Quantity, checks: &mut Checks) -> Option<Cause> {
        let field = "recurring_transaction_rules";
        match (self.trigger, self.interval, &self.threshold_credits) {
            (RuleTrigger::Interval, Some(interval), None) => Some(Cause::Interval(match interval {
                RuleInterval::Weekly => Every::Week,
                RuleInterval::Monthly => Every::Month,
                RuleInterval::Quarterly => Every::Quarter,
                RuleInterval::Yearly => Every::Year,
            })),
            (RuleTrigger::Threshold, None, Some(credits)) => {
                Some(Cause::Threshold(cents_of(checks, "threshold_credits", Some(credits), rate)))
            }
            (RuleTrigger::Interval, ..) => {
                checks.broken(field, "a rule of an interval should name it, and no threshold", Value::Null);
                None
            }
            (RuleTrigger::Threshold, ..) => {
                checks.broken(field, "a rule of a threshold should name it, and no interval", Value::Null);
                None
            }
        }
    }
}

/// Credits as whole minor units, at least 0; nothing sent is 0.
fn cents_of(checks: &mut Checks, field: &'static str, credits: Option<&ExactDecimal>, rate: &Quantity) -> MinorUnits {
    let Some(credits) = credits else { return MinorUnits::ZERO };
    let parsed = Quantity::parse(&credits.to_string()).ok().filter(|number| !number.is_negative());
    let Some(number) = parsed else {
        let msg = "Input should be greater than or equal to 0";
        checks.fault("greater_than_equal", [field.into()], msg, &credits.to_string().into());
        return MinorUnits::ZERO;
    };
    whole(&(&number * rate)).unwrap_or_else(|| {
        let msg = format!("at {rate} minor units a credit this does not come to whole minor units of 64 bits");
        checks.broken(field, msg, credits.to_string());
        MinorUnits::ZERO
    })
}

fn rules_of(sent: &[RecurringTransactionRule], of: &RulesOf<'_>, checks: &mut Checks) -> Vec<Rule> {
    if sent.len() > MAX_LIMITS {
        checks.broken("recurring_transaction_rules", format!("should have at most {MAX_LIMITS} rules"), Value::Null);
        return Vec::new();
    }
    sent.iter().filter_map(|rule| rule.rule(of, checks)).collect()
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

/// Why a wallet is filled up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopUpSource {
    /// By hand.
    #[default]
    Manual,
    /// Because time went by.
    Interval,
    /// Because little was left.
    Threshold,
}

/// Credits for a wallet.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct WalletTopUp {
    /// How many, more than 0; they must come to whole minor units.
    pub credits: ExactDecimal,
    /// A label.
    #[serde(default)]
    pub source: TopUpSource,
    /// Whether they are sold: an invoice is issued, whose payment brings them. Else they are given at once.
    #[serde(default)]
    pub paid: bool,
}

impl WalletTopUp {
    /// Label, minor units, whether they are sold.
    ///
    /// # Errors
    /// 422 when it is nothing, or no whole minor units.
    pub(crate) fn top_up(&self, rate: &Quantity) -> Result<(&'static str, MinorUnits, bool), ApiError> {
        let mut checks = Checks::new();
        let cents = match checked::positive(&mut checks, "credits", &self.credits) {
            Some(_) => cents_of(&mut checks, "credits", Some(&self.credits), rate),
            None => MinorUnits::ZERO,
        };
        checks.finish()?;
        let source = match self.source {
            TopUpSource::Manual => "manual",
            TopUpSource::Interval => "interval",
            TopUpSource::Threshold => "threshold",
        };
        Ok((source, cents, self.paid))
    }
}

/// Credits that go from one wallet to another.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct WalletTransferRequest {
    /// From which.
    pub source_wallet_id: Uuid,
    /// To which, of the same customer and currency.
    pub target_wallet_id: Uuid,
    /// How many of the source's credits, more than 0.
    pub credits: ExactDecimal,
}

impl WalletTransferRequest {
    /// # Errors
    /// 422 when it is nothing.
    pub(crate) fn credits(&self) -> Result<Quantity, ApiError> {
        let mut checks = Checks::new();
        let credits = checked::positive(&mut checks, "credits", &self.credits);
        checks.finish()?;
        credits.ok_or_else(|| ApiError::internal("a number without a fault is missing"))
    }
}

/// What a transfer did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WalletTransferResponse {
    /// Where they came from.
    pub source_wallet: WalletRecord,
    /// Where they went.
    pub target_wallet: WalletRecord,
    /// How many of the source's credits.
    pub credits_transferred: String,
}

/// What went in or out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WalletTransactionResponse)]
pub struct WalletTransactionRecord {
    /// Its id.
    pub id: Uuid,
    /// Of which wallet.
    pub wallet_id: Uuid,
    /// Whose.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// `inbound` or `outbound`.
    pub transaction_type: &'static str,
    /// `granted`, `purchased`, `invoiced`, or `voided` for what was withdrawn.
    pub transaction_status: &'static str,
    /// What happened, in one word more: `applied`, `given_back`, `transferred_in`, `expired`, …
    pub kind: String,
    /// `manual`, `interval` or `threshold`.
    pub source: &'static str,
    /// `settled`; `pending` while it waits to be paid; `failed` when its invoice was taken back.
    pub status: String,
    /// Credits.
    pub amount: String,
    /// Minor units.
    pub credit_amount: String,
    /// Which invoice it paid, or which pays for it.
    #[schema(value_type = Option<Uuid>)]
    pub invoice_id: Option<InvoiceId>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl WalletTransactionRecord {
    /// As the contract spells it.
    #[must_use]
    pub fn of(wallet: &StoredWallet, movement: &Movement) -> Self {
        let cents = MinorUnits(movement.cents.abs());
        Self {
            id: movement.id,
            wallet_id: wallet.id,
            customer_id: wallet.customer,
            transaction_type: if movement.cents > 0 { "inbound" } else { "outbound" },
            transaction_status: match movement.kind.as_str() {
                "purchased" | "overpaid" => "purchased",
                "applied" | "given_back" => "invoiced",
                "voided" | "expired" => "voided",
                _ => "granted",
            },
            kind: movement.kind.clone(),
            source: match movement.source.as_str() {
                "interval" => "interval",
                "threshold" => "threshold",
                _ => "manual",
            },
            status: movement.status.clone(),
            amount: wallet.credits(cents).to_string(),
            credit_amount: cents.to_string(),
            invoice_id: movement.invoice,
            created_at: movement.at,
            updated_at: movement.updated_at,
        }
    }
}

/// A day on which something moved, in minor units.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BalanceTimelinePoint {
    /// Of UTC: `2026-07-01`.
    pub date: String,
    /// What came in.
    pub inbound: String,
    /// What went out.
    pub outbound: String,
    /// What was left as the day ended.
    pub balance: String,
}

/// A statement by days.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BalanceTimelineResponse {
    /// Of which wallet.
    pub wallet_id: Uuid,
    /// Days on which something moved, oldest first.
    pub points: Vec<BalanceTimelinePoint>,
}

impl BalanceTimelineResponse {
    /// Of these days.
    #[must_use]
    pub fn of(wallet_id: Uuid, days: &[Day]) -> Self {
        let point = |day: &Day| BalanceTimelinePoint {
            date: day.start.to_chrono().date_naive().to_string(),
            inbound: day.inbound.to_string(),
            outbound: day.outbound.to_string(),
            balance: day.balance.to_string(),
        };
        Self { wallet_id, points: days.iter().map(point).collect() }
    }
}

/// When a wallet will be empty, if it is used as lately.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DepletionForecastResponse {
    /// Which wallet.
    pub wallet_id: Uuid,
    /// What is left, in minor units.
    pub current_balance_cents: String,
    /// Minor units a day, over the days asked for.
    pub avg_daily_consumption: String,
    /// Null when nothing is left or nothing is used.
    pub days_remaining: Option<i64>,
    /// That many days from now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub projected_depletion_date: Option<Timestamp>,
}

impl DepletionForecastResponse {
    /// From what was paid in the last `days`.
    #[must_use]
    pub fn of(wallet: &StoredWallet, paid: MinorUnits, days: i64, now: Timestamp) -> Self {
        /// Places of an average that is for reading.
        const PLACES: u32 = 6;
        const DAY: i64 = 86_400_000_000;
        let average = Quantity::from(paid.0.max(0)).divided(&Quantity::from(days), PLACES).unwrap_or(Quantity::ZERO);
        // ⌈balance ÷ (paid ÷ days)⌉ in integers of 128 bits: no product of 64-bit numbers passes them.
        let product = i128::from(wallet.balance.0) * i128::from(days);
        let left = (paid.0 > 0 && product > 0).then(|| (product + i128::from(paid.0) - 1) / i128::from(paid.0));
        let days_remaining = left.and_then(|days| i64::try_from(days).ok());
        let date = days_remaining.and_then(|days| now.0.checked_add(days.checked_mul(DAY)?)).map(Timestamp);
        Self {
            wallet_id: wallet.id,
            current_balance_cents: wallet.balance.to_string(),
            avg_daily_consumption: average.to_string(),
            days_remaining,
            projected_depletion_date: date.filter(|at| *at < Timestamp::LATEST),
        }
    }
}

/// What is left of a wallet once usage that is not billed yet will have been paid.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OngoingBalanceResponse {
    /// Which wallet.
    pub wallet_id: Uuid,
    /// What is left now, in minor units.
    pub balance_cents: String,
    /// What usage of the open periods will take, with taxes, before coupons and credit notes.
    pub ongoing_usage_cents: String,
    /// The one less the other; below 0 when the wallet will not do.
    pub ongoing_balance_cents: String,
    /// The same in credits.
    pub credits_ongoing_balance: String,
}

impl OngoingBalanceResponse {
    /// Of a wallet with this usage.
    #[must_use]
    pub fn of(wallet: &StoredWallet, usage: MinorUnits) -> Self {
        let left = MinorUnits(wallet.balance.0.saturating_sub(usage.0));
        Self {
            wallet_id: wallet.id,
            balance_cents: wallet.balance.to_string(),
            ongoing_usage_cents: usage.to_string(),
            ongoing_balance_cents: left.to_string(),
            credits_ongoing_balance: wallet.credits(left).to_string(),
        }
    }
}

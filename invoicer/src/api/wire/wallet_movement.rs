//! Credits that go in, over and out of wallets, on the wire.

use super::checked;
use super::wallet::WalletRecord;
use super::wallet_rule::cents_of;
use crate::ledger::wallet_statement::{Day, Movement};
use crate::ledger::wallets::StoredWallet;
use domain::ids::{CustomerId, InvoiceId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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

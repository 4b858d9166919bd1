//! What is done with wallets by hand: opened, filled, moved, changed, ended.
//!
//! A wallet is an account in whole minor units of its currency. Credits are what people call them: `rate` minor units each. A top-up
//! whose credits do not come to whole minor units is refused, so that no fraction is ever made or lost.
//!
//! ```text
//! granted ─────────────────────────────► balance ──invoices, in the transaction that issues them──► 0, never below
//! sold ──an invoice, once it is paid──►     │  └─transfer─► another wallet of the same customer and currency
//!                                           └──terminate, expiry──► what was left is withdrawn
//! ```
//!
//! Every action locks the account first; the entries' keys refuse what a missing lock would let through (I7).
//! [`tend`] is what the clock does: rules that fill up, and expiry.

pub mod ongoing;
pub mod tend;
mod transfer;

use crate::actions::ActionError;
use crate::api::WalletRecord;
use crate::credits::fund::FundKind;
use crate::handmade::{GivenLine, Handmade};
use crate::inputs::World;
use crate::ledger::LedgerError;
use crate::ledger::funds::{self, Account, Change as Entry, NewAccount};
use crate::ledger::wallet_rules::{self, Rule};
use crate::ledger::wallets::{self, PaidTopUp, StoredWallet};
use crate::model::InvoiceKind;
use crate::run::BillingRuns;
use crate::tax::SHARE_PLACES;
use catalog::audit::{Change, written_down};
use catalog::customer::storage::currency_of;
use catalog::{DatabaseError, WriteTransaction};
use domain::ids::{CustomerId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

const RESOURCE: &str = "wallet";

/// A wallet to open.
#[derive(Clone, Debug)]
pub struct NewWallet {
    /// As it will stand, with nothing in it; its currency is that of the request.
    pub wallet: StoredWallet,
    /// Whether a currency was sent; else it is the customer's.
    pub has_currency: bool,
    /// Minor units that are given at once.
    pub granted: MinorUnits,
    /// Minor units that are sold.
    pub paid: MinorUnits,
    /// How it is filled up.
    pub rules: Vec<Rule>,
}

/// Changes of a wallet.
#[derive(Clone, Debug, Default)]
pub struct WalletChange {
    /// For people.
    pub name: Option<Option<String>>,
    /// 1–50.
    pub priority: Option<i64>,
    /// From when on it pays nothing.
    pub expires_at: Option<Option<Timestamp>>,
    /// Other rules in place of those it has.
    pub rules: Option<Vec<Rule>>,
}

fn refused(code: &'static str, detail: impl Into<String>) -> ActionError {
    ActionError::Api(ApiError::bad_request(code, detail.into()))
}

fn not_found() -> ActionError {
    ActionError::Api(ApiError::not_found("Wallet"))
}

impl StoredWallet {
    /// Whether it pays at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.terminated_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// What an amount is in credits: exact where it can be, else to thirty places.
    #[must_use]
    pub fn credits(&self, amount: MinorUnits) -> Quantity {
        // The rate is more than 0 by the checks of a request.
        Quantity::from(amount.0).divided(&self.rate, SHARE_PLACES).unwrap_or(Quantity::ZERO)
    }
}

impl BillingRuns {
    /// Opens a wallet, with what is given at once and an invoice for what is sold.
    ///
    /// # Errors
    /// 400 for an unknown customer or a code that it has, 422 for another currency than the customer's.
    pub async fn open_wallet(
        &self,
        organization: OrganizationId,
        new: NewWallet,
        now: Timestamp,
    ) -> Result<StoredWallet, ActionError> {
        let mut wallet = new.wallet;
        let world = self.world_to_sell(&wallet, new.paid).await?;
        let mut write = self.database().write().await?;
        let billed_in = currency_of(&mut write, organization, wallet.customer).await;
        let billed_in = billed_in.map_err(|fault| match fault.status().as_u16() {
            404 => refused("unknown_customer", "Customer not found"),
            _ => fault.into(),
        })?;
        if !new.has_currency {
            wallet.currency = billed_in.parse().map_err(ApiError::internal)?;
        }
        if wallet.currency.code() != billed_in {
            let detail = format!("the wallet is in {} and the customer is billed in {billed_in}", wallet.currency);
            return Err(ApiError::unprocessable("currency_mismatch", detail).into());
        }
        let account = NewAccount {
            id: wallet.id,
            organization,
            customer: wallet.customer,
            kind: FundKind::Wallet,
            currency: Some(wallet.currency),
            balance: new.granted.0,
            entry: "granted",
            source: "manual".into(),
            spendable: true,
        };
        funds::open(write.connection(), &account, now).await?;
        let written = wallets::insert(write.connection(), &wallet).await;
        written.map_err(|fault| match fault {
            LedgerError::Database(DatabaseError::Unique(_)) => {
                refused("code_taken", "another wallet of the customer has this code")
            }
            other => other.into(),
        })?;
        for rule in &new.rules {
            wallet_rules::insert(write.connection(), rule, now).await?;
        }
        if let Some(world) = &world {
            self.sell(&mut write, world, &wallet, ("manual", new.paid), now).await?;
        }
        self.logged_wallet(write, None, &wallet, now).await
    }

    /// One wallet.
    ///
    /// # Errors
    /// 404 when the organization has no such wallet.
    pub async fn wallet(&self, organization: OrganizationId, id: Uuid) -> Result<StoredWallet, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        wallets::get(&mut connection, organization, id).await?.ok_or_else(not_found)
    }

    /// Changes what was sent.
    ///
    /// # Errors
    /// 404, 422 when the wallet has ended.
    pub async fn update_wallet(
        &self,
        organization: OrganizationId,
        id: Uuid,
        change: WalletChange,
        now: Timestamp,
    ) -> Result<StoredWallet, ActionError> {
        let mut write = self.database().write().await?;
        let (_, before) = locked(&mut write, organization, id).await?.ok_or_else(not_found)?;
        if !before.is_active(now) {
            return Err(ApiError::unprocessable("wallet_terminated", "the wallet is terminated or has expired").into());
        }
        let after = StoredWallet {
            name: change.name.unwrap_or_else(|| before.name.clone()),
            priority: change.priority.unwrap_or(before.priority),
            expires_at: change.expires_at.unwrap_or(before.expires_at),
            updated_at: now,
            ..before.clone()
        };
        wallets::update(write.connection(), &after).await?;
        if let Some(rules) = change.rules {
            wallet_rules::clear(write.connection(), id).await?;
            for rule in &rules {
                wallet_rules::insert(write.connection(), rule, now).await?;
            }
        }
        self.logged_wallet(write, Some(&before), &after, now).await
    }

    /// Adds credit: given at once, or sold by an invoice whose payment brings it.
    ///
    /// # Errors
    /// 400 for an unknown wallet or one that has ended, 422 past 64 bits.
    pub async fn top_up_wallet(
        &self,
        organization: OrganizationId,
        id: Uuid,
        (source, cents, sold): (&'static str, MinorUnits, bool),
        now: Timestamp,
    ) -> Result<StoredWallet, ActionError> {
        let unknown = || refused("unknown_wallet", "Wallet not found");
        let found = self.wallet(organization, id).await.map_err(|_| unknown())?;
        let world = self.world_to_sell(&found, if sold { cents } else { MinorUnits::ZERO }).await?;
        let mut write = self.database().write().await?;
        let (mut account, before) = locked(&mut write, organization, id).await?.ok_or_else(unknown)?;
        if !before.is_active(now) {
            return Err(refused("wallet_terminated", "the wallet is terminated or has expired"));
        }
        match &world {
            Some(world) => self.sell(&mut write, world, &before, (source, cents), now).await?,
            None => put(&mut write, &mut account, ("granted", source, cents.0), now).await?,
        }
        self.logged_wallet(write, Some(&before), &before, now).await
    }

    /// Ends a wallet: what was left is withdrawn.
    ///
    /// # Errors
    /// 404, 400 when it has ended before, or while credit that was sold waits to be paid.
    pub async fn terminate_wallet(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let mut write = self.database().write().await?;
        let (account, before) = locked(&mut write, organization, id).await?.ok_or_else(not_found)?;
        if before.terminated_at.is_some() {
            return Err(refused("wallet_terminated", "the wallet was terminated before"));
        }
        if wallets::waits(write.connection(), id).await? {
            let detail = "credit that was sold waits to be paid: void its invoice first";
            return Err(refused("top_up_pending", detail));
        }
        self.end_wallet(write, account, &before, "voided", now).await
    }

    async fn end_wallet(
        &self,
        mut write: WriteTransaction,
        mut account: Account,
        before: &StoredWallet,
        entry: &'static str,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let left = account.balance;
        account.spendable = false;
        if left > 0 {
            put(&mut write, &mut account, (entry, "manual", -left), now).await?;
        }
        funds::close(write.connection(), account.id).await?;
        wallet_rules::clear(write.connection(), account.id).await?;
        let after = StoredWallet { terminated_at: Some(now), updated_at: now, ..before.clone() };
        wallets::update(write.connection(), &after).await?;
        self.logged_wallet(write, Some(before), &after, now).await.map(|_| ())
    }

    /// The customer's world, where something is sold.
    async fn world_to_sell(&self, wallet: &StoredWallet, paid: MinorUnits) -> Result<Option<World>, ActionError> {
        if paid == MinorUnits::ZERO {
            return Ok(None);
        }
        let world = self.inputs().customer_world(wallet.organization, wallet.customer).await;
        Ok(Some(world.map_err(crate::run::RunError::from)?))
    }

    /// An invoice for credit, whose payment brings it.
    async fn sell(
        &self,
        write: &mut WriteTransaction,
        world: &World,
        wallet: &StoredWallet,
        (source, cents): (&'static str, MinorUnits),
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let handmade = credit_sold(wallet, cents);
        let invoice = self.insert_by_hand(write, world, &handmade, now).await?;
        let new = PaidTopUp { wallet: wallet.id, organization: wallet.organization, invoice, source, cents };
        Ok(wallets::wait_for(write.connection(), &new, now).await?)
    }

    async fn logged_wallet(
        &self,
        mut write: WriteTransaction,
        before: Option<&StoredWallet>,
        after: &StoredWallet,
        now: Timestamp,
    ) -> Result<StoredWallet, ActionError> {
        let stored = self.written_wallet(&mut write, before, after, now).await?;
        write.commit().await?;
        Ok(stored)
    }

    async fn written_wallet(
        &self,
        write: &mut WriteTransaction,
        before: Option<&StoredWallet>,
        after: &StoredWallet,
        now: Timestamp,
    ) -> Result<StoredWallet, ActionError> {
        let found = wallets::get(write.connection(), after.organization, after.id).await?;
        let stored = found.ok_or_else(not_found)?;
        let (old, new) = (before.map(|wallet| WalletRecord::of(wallet, now)), WalletRecord::of(&stored, now));
        let change = Change { resource: RESOURCE, before: old.as_ref(), after: Some(&new) };
        written_down(write, after.organization, after.id, change, now).await?;
        Ok(stored)
    }
}

fn credit_sold(wallet: &StoredWallet, cents: MinorUnits) -> Handmade {
    let line = GivenLine {
        description: wallet
            .name
            .as_ref()
            .map_or_else(|| "Prepaid credit".into(), |name| format!("Prepaid credit: {name}")),
        units: wallet.credits(cents),
        unit_amount: wallet.rate.clone(),
        amount: cents,
        charge: None,
        metric_code: None,
    };
    Handmade {
        organization: wallet.organization,
        customer: wallet.customer,
        currency: wallet.currency,
        entity: None,
        kind: InvoiceKind::Credit,
        occasion: format!("credit:{}", Uuid::now_v7()),
        issue: true,
        due_date: None,
        lines: vec![line],
    }
}

/// A wallet whose account is locked.
async fn locked(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<(Account, StoredWallet)>, ActionError> {
    let row_lock = write.for_update();
    let Some(account) = funds::lock(write.connection(), row_lock, organization, id).await? else { return Ok(None) };
    let wallet = wallets::get(write.connection(), organization, id).await?;
    Ok(wallet.map(|wallet| (account, wallet)))
}

async fn put(
    write: &mut WriteTransaction,
    account: &mut Account,
    (entry, source, amount): (&'static str, &'static str, i64),
    now: Timestamp,
) -> Result<(), ActionError> {
    if account.balance.checked_add(amount).is_none() {
        let detail = "the balance would pass 9,223,372,036,854,775,807 minor units";
        return Err(ApiError::unprocessable("balance_too_large", detail).into());
    }
    let change =
        Entry { entry, amount, invoice: None, invoice_cents: 0, source: source.into(), spendable: account.spendable };
    Ok(funds::change(write.connection(), account, &change, now).await?)
}

/// Whole minor units that fit 64 bits.
#[must_use]
pub fn whole(amount: &Quantity) -> Option<MinorUnits> {
    let cents = crate::tax::rounded(amount).ok()?;
    (Quantity::from(cents.0) == *amount).then_some(cents)
}

/// A wallet as it is opened.
#[must_use]
pub fn empty(organization: OrganizationId, customer: CustomerId, now: Timestamp) -> StoredWallet {
    StoredWallet {
        id: Uuid::now_v7(),
        organization,
        customer,
        code: None,
        name: None,
        currency: Currency::USD,
        rate: Quantity::ONE,
        priority: 1,
        fee_types: Vec::new(),
        metrics: Vec::new(),
        expires_at: None,
        terminated_at: None,
        balance: MinorUnits::ZERO,
        consumed: MinorUnits::ZERO,
        created_at: now,
        updated_at: now,
    }
}

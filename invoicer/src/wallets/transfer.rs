//! Credit that goes from one wallet to another.

use super::{locked, not_found, put, refused, whole};
use crate::actions::ActionError;
use crate::ledger::wallets::StoredWallet;
use crate::run::BillingRuns;
use domain::ids::OrganizationId;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

impl BillingRuns {
    /// Moves credit to another wallet of the same customer and currency: the same money, whatever each calls a credit.
    ///
    /// # Errors
    /// 400 for unknown or ended wallets, one and the same, another customer's or currency, or more than there is.
    pub async fn transfer_credits(
        &self,
        organization: OrganizationId,
        (source, target): (Uuid, Uuid),
        credits: &Quantity,
        now: Timestamp,
    ) -> Result<(StoredWallet, StoredWallet), ActionError> {
        if source == target {
            return Err(refused("same_wallet", "source and target should be two wallets"));
        }
        let mut write = self.database().write().await?;
        let unknown = || refused("unknown_wallet", "Wallet not found");
        // In the order of ids, as everywhere.
        let (first, second) = (source.min(target), source.max(target));
        let one = locked(&mut write, organization, first).await?.ok_or_else(unknown)?;
        let other = locked(&mut write, organization, second).await?.ok_or_else(unknown)?;
        let (mut from, mut to) = if first == source { (one, other) } else { (other, one) };
        if !from.1.is_active(now) || !to.1.is_active(now) {
            return Err(refused("wallet_terminated", "a wallet is terminated or has expired"));
        }
        if from.1.customer != to.1.customer || from.1.currency != to.1.currency {
            return Err(refused("wallets_differ", "both wallets should be of one customer and one currency"));
        }
        let cents = whole(&(credits * &from.1.rate)).ok_or_else(|| {
            ActionError::Api(ApiError::unprocessable("not_whole", "credits should come to whole minor units"))
        })?;
        if cents > from.1.balance {
            return Err(refused("insufficient_credits", format!("the wallet holds {} minor units", from.1.balance)));
        }
        put(&mut write, &mut from.0, ("transferred_out", "manual", -cents.0), now).await?;
        put(&mut write, &mut to.0, ("transferred_in", "manual", cents.0), now).await?;
        let mut moved = Vec::with_capacity(2);
        for before in [&from.1, &to.1] {
            moved.push(self.written_wallet(&mut write, Some(before), before, now).await?);
        }
        write.commit().await?;
        let target = moved.pop().ok_or_else(not_found)?;
        Ok((moved.pop().ok_or_else(not_found)?, target))
    }
}

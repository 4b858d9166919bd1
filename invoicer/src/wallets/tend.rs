//! What the clock does with wallets: rules fill them up, expired ones are ended.
//!
//! Each rule and each wallet is a transaction of its own that looks again under the account's lock: two processes that tend at once
//! fill up once. A rule that sells does not sell again while its invoice waits to be paid.

use super::{locked, put};
use crate::actions::ActionError;
use crate::ledger::wallet_rules::{self, Cause, Every, Rule};
use crate::ledger::wallets;
use crate::run::BillingRuns;
use chrono::{Days, Months};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use uuid::Uuid;

/// Something that was done to a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tended {
    /// When it fell due.
    pub at: Timestamp,
    /// `wallet.topped_up` or `wallet.expired`.
    pub what: &'static str,
    /// Which.
    pub wallet: Uuid,
}

/// The instant that is `times` intervals after an anchor; absent: beyond the calendar.
#[must_use]
pub fn occurrence(anchor: Timestamp, every: Every, times: i64) -> Option<Timestamp> {
    let count = u32::try_from(times).ok()?;
    let start = anchor.to_chrono();
    let at = match every {
        Every::Week => start.checked_add_days(Days::new(u64::from(count) * 7)),
        Every::Month => start.checked_add_months(Months::new(count)),
        Every::Quarter => start.checked_add_months(Months::new(count.checked_mul(3)?)),
        Every::Year => start.checked_add_months(Months::new(count.checked_mul(12)?)),
    };
    at.map(|at| Timestamp(at.timestamp_micros())).filter(|at| *at < Timestamp::LATEST)
}

impl Rule {
    /// When it fills up after `times` times, of an interval that has not expired by then.
    #[must_use]
    pub fn after(&self, times: i64) -> Option<Timestamp> {
        let Cause::Interval(every) = self.cause else { return None };
        let at = occurrence(self.anchor, every, times.checked_add(1)?)?;
        self.expires_at.is_none_or(|end| at < end).then_some(at)
    }

    fn source(&self) -> &'static str {
        match self.cause {
            Cause::Interval(_) => "interval",
            Cause::Threshold(_) => "threshold",
        }
    }
}

impl BillingRuns {
    /// Fills up and ends what is due by `now`, of one organization or of all that are live.
    ///
    /// # Errors
    /// When the ledger or the catalog fails; what was done stays, the next call goes on.
    pub async fn tend_wallets(
        &self,
        organization: Option<OrganizationId>,
        now: Timestamp,
    ) -> Result<Vec<Tended>, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let expired = wallets::expired(&mut connection, organization, now).await?;
        let due = wallet_rules::due(&mut connection, organization, now).await?;
        drop(connection);
        let mut done = Vec::new();
        for (owner, wallet) in expired {
            if organization.is_none() && self.is_sandbox(owner).await? {
                continue;
            }
            done.extend(self.expire(owner, wallet, now).await?);
        }
        for rule in due {
            if organization.is_none() && self.is_sandbox(rule.organization).await? {
                continue;
            }
            done.extend(self.fill_up(&rule, now).await?);
        }
        done.sort_by_key(|one| one.at);
        Ok(done)
    }

    async fn expire(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Tended>, ActionError> {
        let mut write = self.database().write().await?;
        let Some((account, wallet)) = locked(&mut write, organization, id).await? else { return Ok(None) };
        let at = wallet.expires_at.filter(|at| *at <= now && wallet.terminated_at.is_none());
        let Some(at) = at else { return Ok(None) };
        self.end_wallet(write, account, &wallet, "expired", at).await?;
        Ok(Some(Tended { at, what: "wallet.expired", wallet: id }))
    }

    async fn fill_up(&self, rule: &Rule, now: Timestamp) -> Result<Option<Tended>, ActionError> {
        let found = self.wallet(rule.organization, rule.wallet).await?;
        let world = self.world_to_sell(&found, rule.paid).await?;
        let mut write = self.database().write().await?;
        let Some((mut account, wallet)) = locked(&mut write, rule.organization, rule.wallet).await? else {
            return Ok(None);
        };
        let at = rule.next_at.unwrap_or(now);
        let waits = wallets::waits(write.connection(), wallet.id).await?;
        let wanted = match rule.cause {
            Cause::Interval(_) => true,
            Cause::Threshold(most) => account.balance <= most.0 && !waits,
        };
        if !wanted {
            return Ok(None);
        }
        if !wallet.is_active(at) {
            // Its account waits for money; its rules are over.
            wallet_rules::clear(write.connection(), wallet.id).await?;
            write.commit().await?;
            return Ok(None);
        }
        if !wallet_rules::advance(write.connection(), rule, rule.after(rule.times + 1)).await? {
            return Ok(None);
        }
        if rule.granted.0 > 0 {
            put(&mut write, &mut account, ("granted", rule.source(), rule.granted.0), at).await?;
        }
        // An interval that comes while the last one's invoice is open sells nothing more.
        if let Some(world) = world.as_ref().filter(|_| !waits) {
            self.sell(&mut write, world, &wallet, (rule.source(), rule.paid), at).await?;
        }
        self.logged_wallet(write, Some(&wallet), &wallet, now).await?;
        Ok(Some(Tended { at, what: "wallet.topped_up", wallet: rule.wallet }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted_from_the_anchor_so_that_a_short_one_moves_no_later_one() {
        let anchor = Timestamp::parse("2026-01-31T10:00:00Z").unwrap();
        let months: Vec<String> =
            (1..4).map(|times| occurrence(anchor, Every::Month, times).unwrap().to_string()).collect();
        assert_eq!(months, ["2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z"]);
        assert_eq!(occurrence(anchor, Every::Week, 2).unwrap().to_string(), "2026-02-14T10:00:00Z");
        assert_eq!(occurrence(anchor, Every::Year, 500), None);
    }
}

//! What is done with coupons by hand: made, changed, ended, applied to customers, taken from them.
//!
//! ```text
//! coupon:  active ──terminate, or its expiry comes──► terminated      (what was applied before goes on)
//! applied: active ──used up, or ended by hand──► terminated           (used up: a voided invoice gives the use back)
//! ```
//!
//! What an applied coupon takes off is decided as an invoice is issued ([`crate::credits`]); here only the account is opened that
//! counts its uses. A discount of a fixed amount is applied to customers of its currency only.
//!
//! Whoever changes or applies a coupon locks its row, so that none is applied beside its own end.

use crate::actions::ActionError;
use crate::api::{AppliedCouponRecord, CouponRecord};
use crate::credits::fund::{Discount, FundKind};
use crate::ledger::LedgerError;
use crate::ledger::coupons::{self, AppliedCoupon, CouponUse, Frequency, StoredCoupon};
use crate::ledger::funds::{self, NewAccount};
use crate::run::BillingRuns;
use catalog::DatabaseError;
use catalog::WriteTransaction;
use catalog::audit::{Change, written_down};
use catalog::customer::storage::currency_of;
use domain::ids::{CustomerId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

const RESOURCE: &str = "coupon";
const APPLIED: &str = "applied_coupon";

/// Changes of a coupon.
#[derive(Clone, Debug, Default)]
pub struct CouponChange {
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub description: Option<Option<String>>,
    /// When it expires; `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether it is ended.
    pub terminated: Option<bool>,
}

/// A coupon to apply.
#[derive(Clone, Debug)]
pub struct Application {
    /// Code of the coupon.
    pub coupon: String,
    /// To whom.
    pub customer: CustomerId,
    /// Another amount than the coupon's.
    pub amount: Option<MinorUnits>,
    /// Of that amount; must be the customer's.
    pub currency: Option<Currency>,
    /// Another share than the coupon's, as a fraction.
    pub share: Option<Quantity>,
}

impl BillingRuns {
    /// Makes a coupon.
    ///
    /// # Errors
    /// 409 when the code is taken.
    pub async fn create_coupon(
        &self,
        organization: OrganizationId,
        coupon: StoredCoupon,
        now: Timestamp,
    ) -> Result<StoredCoupon, ActionError> {
        let mut write = self.database().write().await?;
        let made = coupons::insert(write.connection(), organization, &coupon).await;
        made.map_err(|fault| conflict(fault, "code_taken", "another coupon has this code"))?;
        logged(write, organization, None, coupon, now).await
    }

    /// The coupon of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such coupon.
    pub async fn coupon(&self, organization: OrganizationId, code: &str) -> Result<StoredCoupon, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = coupons::get(&mut connection, "", organization, code).await?;
        found.ok_or_else(|| ApiError::not_found("Coupon").into())
    }

    /// Changes what was sent; what was applied before goes on as it was.
    ///
    /// # Errors
    /// 404.
    pub async fn update_coupon(
        &self,
        organization: OrganizationId,
        code: &str,
        change: CouponChange,
        now: Timestamp,
    ) -> Result<StoredCoupon, ActionError> {
        let mut write = self.database().write().await?;
        let before = locked(&mut write, organization, code).await?;
        let terminated_at = match change.terminated {
            Some(true) => before.terminated_at.or(Some(now)),
            Some(false) => None,
            None => before.terminated_at,
        };
        let after = StoredCoupon {
            name: change.name.unwrap_or_else(|| before.name.clone()),
            description: change.description.unwrap_or_else(|| before.description.clone()),
            expires_at: change.expires_at.unwrap_or(before.expires_at),
            terminated_at,
            updated_at: now,
            ..before.clone()
        };
        coupons::update(write.connection(), &after).await?;
        logged(write, organization, Some(before), after, now).await
    }

    /// Ends a coupon: nobody gets it any more. Ending it twice is harmless.
    ///
    /// # Errors
    /// 404.
    pub async fn terminate_coupon(
        &self,
        organization: OrganizationId,
        code: &str,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let change = CouponChange { terminated: Some(true), ..CouponChange::default() };
        self.update_coupon(organization, code, change, now).await.map(|_| ())
    }

    /// The same coupon under `<code>_copy`, active.
    ///
    /// # Errors
    /// 404, 409 when that code is taken, 422 when it is too long.
    pub async fn duplicate_coupon(
        &self,
        organization: OrganizationId,
        code: &str,
        now: Timestamp,
    ) -> Result<StoredCoupon, ActionError> {
        let original = self.coupon(organization, code).await?;
        let copy = StoredCoupon {
            id: Uuid::now_v7(),
            code: format!("{}_copy", original.code),
            name: format!("{} (Copy)", original.name),
            terminated_at: None,
            created_at: now,
            updated_at: now,
            ..original
        };
        if copy.code.chars().count() > 255 || copy.name.chars().count() > 255 {
            let detail = "the copy's code and name would pass 255 characters";
            return Err(ApiError::unprocessable("name_too_long", detail).into());
        }
        self.create_coupon(organization, copy, now).await
    }

    /// What became of a coupon.
    ///
    /// # Errors
    /// 404.
    pub async fn coupon_use(
        &self,
        organization: OrganizationId,
        code: &str,
    ) -> Result<(StoredCoupon, CouponUse), ActionError> {
        let coupon = self.coupon(organization, code).await?;
        let mut connection = self.database().pool().acquire().await?;
        let found = coupons::use_of(&mut connection, coupon.id).await?;
        Ok((coupon, found))
    }

    /// Applies a coupon to a customer: its next invoices use it.
    ///
    /// # Errors
    /// 404 for an unknown coupon or customer, 400 when the coupon is ended or expired, 409 when the customer had it and it is not
    /// reusable, 422 for another currency than the customer's or for an amount where the coupon has a share.
    pub async fn apply_coupon(
        &self,
        organization: OrganizationId,
        asked: Application,
        now: Timestamp,
    ) -> Result<AppliedCoupon, ActionError> {
        let mut write = self.database().write().await?;
        let coupon = locked(&mut write, organization, &asked.coupon).await?;
        let billed_in = currency_of(&mut write, organization, asked.customer).await?;
        if !coupon.is_active(now) {
            let detail = "the coupon is terminated or has expired";
            return Err(ApiError::bad_request("coupon_not_active", detail).into());
        }
        let (discount, currency) = discount_for(&coupon, &asked, &billed_in)?;
        let id = Uuid::now_v7();
        let account = NewAccount {
            id,
            organization,
            customer: asked.customer,
            kind: FundKind::Coupon,
            currency,
            balance: coupon.frequency.uses(),
            entry: "opened",
            source: "coupon".into(),
            spendable: true,
        };
        funds::open(write.connection(), &account, now).await?;
        let applied = applied_from(&coupon, id, asked.customer, (discount, currency), now);
        let only_once = (!coupon.reusable).then(|| format!("{}:{}", coupon.id, asked.customer));
        let written = coupons::insert_applied(write.connection(), organization, &applied, only_once).await;
        written.map_err(|fault| {
            conflict(fault, "coupon_already_applied", "the customer had this coupon, which is not reusable")
        })?;
        let record = AppliedCouponRecord::of(&applied);
        let change = Change { resource: APPLIED, before: None, after: Some(&record) };
        written_down(&mut write, organization, id, change, now).await?;
        write.commit().await?;
        Ok(applied)
    }

    /// Takes a coupon from a customer. What it took off invoices stays; taking it twice is harmless.
    ///
    /// # Errors
    /// 404.
    pub async fn end_applied_coupon(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let missing = || ActionError::Api(ApiError::not_found("Applied coupon"));
        let mut write = self.database().write().await?;
        let row_lock = write.for_update();
        funds::lock(write.connection(), row_lock, organization, id).await?.ok_or_else(missing)?;
        let before = coupons::applied(write.connection(), organization, id).await?.ok_or_else(missing)?;
        coupons::end(write.connection(), id, now).await?;
        let after = coupons::applied(write.connection(), organization, id).await?.ok_or_else(missing)?;
        let (old, new) = (AppliedCouponRecord::of(&before), AppliedCouponRecord::of(&after));
        let change = Change { resource: APPLIED, before: Some(&old), after: Some(&new) };
        written_down(&mut write, organization, id, change, now).await?;
        Ok(write.commit().await?)
    }
}

/// The discount of an application, with the currency that binds it.
fn discount_for(
    coupon: &StoredCoupon,
    asked: &Application,
    billed_in: &str,
) -> Result<(Discount, Option<Currency>), ActionError> {
    let refused = |field, why: &str| ActionError::Api(ApiError::invalid_field(field, why, &serde_json::Value::Null));
    match &coupon.discount {
        Discount::Share(_) if asked.amount.is_some() || asked.currency.is_some() => {
            Err(refused("amount_cents", "the coupon takes off a percentage"))
        }
        Discount::Share(share) => Ok((Discount::Share(asked.share.clone().unwrap_or_else(|| share.clone())), None)),
        Discount::Fixed(_) if asked.share.is_some() => {
            Err(refused("percentage_rate", "the coupon takes off a fixed amount"))
        }
        Discount::Fixed(amount) => {
            let currency = asked.currency.or(coupon.currency);
            let code = currency.map(|currency| currency.to_string()).unwrap_or_default();
            if code != billed_in {
                let detail = format!("the coupon is in {code} and the customer is billed in {billed_in}");
                return Err(ApiError::unprocessable("currency_mismatch", detail).into());
            }
            Ok((Discount::Fixed(asked.amount.unwrap_or(*amount)), currency))
        }
    }
}

fn applied_from(
    coupon: &StoredCoupon,
    id: Uuid,
    customer: CustomerId,
    (discount, currency): (Discount, Option<Currency>),
    now: Timestamp,
) -> AppliedCoupon {
    AppliedCoupon {
        id,
        coupon: coupon.id,
        coupon_code: coupon.code.clone(),
        customer,
        discount,
        currency,
        frequency: coupon.frequency,
        uses_left: coupon.frequency.uses(),
        active: true,
        terminated_at: None,
        created_at: now,
        updated_at: now,
    }
}

impl StoredCoupon {
    /// Whether customers get it at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.terminated_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Uses of a coupon that counts them.
    #[must_use]
    pub fn counts_uses(&self) -> bool {
        !Frequency::is_endless(self.frequency)
    }
}

async fn locked(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<StoredCoupon, ActionError> {
    let row_lock = write.for_update();
    let found = coupons::get(write.connection(), row_lock, organization, code).await?;
    found.ok_or_else(|| ApiError::not_found("Coupon").into())
}

async fn logged(
    mut write: WriteTransaction,
    organization: OrganizationId,
    before: Option<StoredCoupon>,
    after: StoredCoupon,
    now: Timestamp,
) -> Result<StoredCoupon, ActionError> {
    let (old, new) = (before.map(|coupon| CouponRecord::of(&coupon, now)), CouponRecord::of(&after, now));
    let change = Change { resource: RESOURCE, before: old.as_ref(), after: Some(&new) };
    written_down(&mut write, organization, after.id, change, now).await?;
    write.commit().await?;
    Ok(after)
}

fn conflict(fault: LedgerError, code: &'static str, detail: &'static str) -> ActionError {
    match fault {
        LedgerError::Database(DatabaseError::Unique(_)) => ActionError::Api(ApiError::conflict(code, detail)),
        other => other.into(),
    }
}

//! Coupons, and to whom they are applied, in the ledger. An applied coupon is an account that counts uses ([`super::funds`]).

use super::bulk::query_with;
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_quantity, read_uuid};
use crate::credits::fund::Discount;
use domain::ids::{CustomerId, OrganizationId, PlanId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use uuid::Uuid;

/// How often a coupon is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// On one invoice.
    Once,
    /// On so many invoices; absent: on all.
    Recurring(Option<i64>),
    /// On all invoices.
    Forever,
}

impl Frequency {
    /// The text in the ledger and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Recurring(_) => "recurring",
            Self::Forever => "forever",
        }
    }

    /// Uses that an applied coupon begins with; 0 when they are not counted.
    #[must_use]
    pub fn uses(self) -> i64 {
        match self {
            Self::Once => 1,
            Self::Recurring(times) => times.unwrap_or(0),
            Self::Forever => 0,
        }
    }

    /// Whether uses are not counted.
    #[must_use]
    pub fn is_endless(self) -> bool {
        matches!(self, Self::Recurring(None) | Self::Forever)
    }

    /// Uses of a recurring coupon.
    #[must_use]
    pub fn times(self) -> Option<i64> {
        match self {
            Self::Recurring(times) => times,
            Self::Once | Self::Forever => None,
        }
    }

    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        match row.try_get::<&str, _>("frequency")? {
            "once" => Ok(Self::Once),
            "recurring" => Ok(Self::Recurring(row.try_get("frequency_duration")?)),
            "forever" => Ok(Self::Forever),
            other => Err(LedgerError::corrupt("coupons.frequency", other)),
        }
    }
}

/// A coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCoupon {
    /// Its id.
    pub id: Uuid,
    /// Unique in the organization; never changes.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What it takes off.
    pub discount: Discount,
    /// Of a fixed discount.
    pub currency: Option<Currency>,
    /// How often.
    pub frequency: Frequency,
    /// Whether a customer may get it more than once.
    pub reusable: bool,
    /// From when on it is applied to nobody.
    pub expires_at: Option<Timestamp>,
    /// Codes of the plans whose fees it discounts; empty: all.
    pub plan_codes: Vec<String>,
    /// The same plans.
    pub plans: Vec<PlanId>,
    /// Codes of the metrics whose fees it discounts; empty: all.
    pub metrics: Vec<String>,
    /// Since when it is applied to nobody, by hand.
    pub terminated_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A coupon that a customer got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedCoupon {
    /// Its id, which is its account's.
    pub id: Uuid,
    /// Which coupon.
    pub coupon: Uuid,
    /// Code of the coupon.
    pub coupon_code: String,
    /// Whose.
    pub customer: CustomerId,
    /// What it takes off.
    pub discount: Discount,
    /// Of a fixed discount.
    pub currency: Option<Currency>,
    /// How often.
    pub frequency: Frequency,
    /// Uses that are left, when they are counted.
    pub uses_left: i64,
    /// Whether later invoices use it.
    pub active: bool,
    /// When it was ended by hand, or used up.
    pub terminated_at: Option<Timestamp>,
    /// When the customer got it.
    pub created_at: Timestamp,
    /// When it was last changed or used.
    pub updated_at: Timestamp,
}

/// What became of a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouponUse {
    /// To how many it was applied.
    pub applied: i64,
    /// Of these, still used.
    pub active: i64,
    /// Uses left of those; meaningless for endless coupons.
    pub uses_left: i64,
    /// What they took off invoices that were not voided.
    pub discount: MinorUnits,
}

/// The coupon of a code; `row_lock` after it keeps others from changing it in this transaction.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    row_lock: &str,
    organization: OrganizationId,
    code: &str,
) -> Result<Option<StoredCoupon>, LedgerError> {
    let sql = format!("SELECT * FROM coupons WHERE organization_id = $1 AND code = $2{row_lock}");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(code.to_owned());
    query.fetch_optional(connection).await?.as_ref().map(coupon_of).transpose()
}

/// A page of an organization's coupons, and the number of all.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    page: &PageOf,
) -> Result<(Vec<StoredCoupon>, i64), LedgerError> {
    let values = [organization.to_string()];
    let sql = format!("SELECT * FROM coupons WHERE organization_id = $1 ORDER BY {} LIMIT $2 OFFSET $3", page.order);
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = "SELECT COUNT(*) AS total FROM coupons WHERE organization_id = $1".to_owned();
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(coupon_of).collect::<Result<_, _>>()?, total))
}

/// Writes a new coupon.
///
/// # Errors
/// As the database; a taken code is a broken unique key.
pub async fn insert(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    coupon: &StoredCoupon,
) -> Result<(), LedgerError> {
    let (amount, share) = stored_discount(&coupon.discount);
    sqlx::query(
        "INSERT INTO coupons (id, organization_id, code, name, description, coupon_type, amount_cents, currency,
             percentage, frequency, frequency_duration, reusable, expires_at, plan_codes, plan_ids, metric_codes,
             terminated_at, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 1, $18, $19)",
    )
    .bind(coupon.id.to_string())
    .bind(organization.to_string())
    .bind(coupon.code.clone())
    .bind(coupon.name.clone())
    .bind(coupon.description.clone())
    .bind(if amount.is_some() { "fixed_amount" } else { "percentage" })
    .bind(amount)
    .bind(coupon.currency.map(|currency| currency.code().to_owned()))
    .bind(share)
    .bind(coupon.frequency.as_str())
    .bind(coupon.frequency.times())
    .bind(i64::from(coupon.reusable))
    .bind(coupon.expires_at.map(|at| at.0))
    .bind(serde_json::to_string(&coupon.plan_codes)?)
    .bind(serde_json::to_string(&coupon.plans)?)
    .bind(serde_json::to_string(&coupon.metrics)?)
    .bind(coupon.terminated_at.map(|at| at.0))
    .bind(coupon.created_at.0)
    .bind(coupon.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what may change of a coupon that is locked.
///
/// # Errors
/// As the database.
pub async fn update(connection: &mut AnyConnection, coupon: &StoredCoupon) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE coupons SET name = $2, description = $3, expires_at = $4, terminated_at = $5, updated_at = $6,
             version = version + 1 WHERE id = $1",
    )
    .bind(coupon.id.to_string())
    .bind(coupon.name.clone())
    .bind(coupon.description.clone())
    .bind(coupon.expires_at.map(|at| at.0))
    .bind(coupon.terminated_at.map(|at| at.0))
    .bind(coupon.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes an application; its account must be open. `only_once` is a key that refuses a second application.
///
/// # Errors
/// As the database; a second application of a coupon that is not reusable is a broken unique key.
pub async fn insert_applied(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    applied: &AppliedCoupon,
    only_once: Option<String>,
) -> Result<(), LedgerError> {
    let (amount, share) = stored_discount(&applied.discount);
    sqlx::query(
        "INSERT INTO applied_coupons (id, organization_id, customer_id, coupon_id, only_once, amount_cents, percentage,
             endless, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(applied.id.to_string())
    .bind(organization.to_string())
    .bind(applied.customer.to_string())
    .bind(applied.coupon.to_string())
    .bind(only_once)
    .bind(amount)
    .bind(share)
    .bind(i64::from(applied.frequency.is_endless()))
    .bind(applied.created_at.0)
    .bind(applied.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

const APPLIED: &str =
    "SELECT a.*, c.code AS coupon_code, c.frequency, c.frequency_duration, k.currency, k.balance, k.spendable,
        (SELECT CAST(MAX(e.created_at) AS BIGINT) FROM credit_entries e
         WHERE e.account_id = a.id AND e.invoice_id IS NOT NULL) AS used_at
    FROM applied_coupons a JOIN coupons c ON c.id = a.coupon_id JOIN credit_accounts k ON k.id = a.id";

/// What a customer got, in the order in which it was applied.
///
/// # Errors
/// As the database.
pub async fn of_customer(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    customer: CustomerId,
) -> Result<Vec<AppliedCoupon>, LedgerError> {
    let sql = format!("{APPLIED} WHERE a.organization_id = $1 AND a.customer_id = $2 ORDER BY a.created_at, a.id");
    let rows = query_with(sql, &[organization.to_string(), customer.to_string()]).fetch_all(connection).await?;
    rows.iter().map(applied_of).collect()
}

/// One application.
///
/// # Errors
/// As the database.
pub async fn applied(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<AppliedCoupon>, LedgerError> {
    let sql = format!("{APPLIED} WHERE a.organization_id = $1 AND a.id = $2");
    let query = query_with(sql, &[organization.to_string(), id.to_string()]).fetch_optional(connection).await?;
    query.as_ref().map(applied_of).transpose()
}

/// Ends an application whose account is locked: no invoice uses it from now on, also when it gets a use back.
///
/// # Errors
/// As the database.
pub async fn end(connection: &mut AnyConnection, id: Uuid, now: Timestamp) -> Result<(), LedgerError> {
    let sql = "UPDATE applied_coupons SET terminated_at = COALESCE(terminated_at, $2), updated_at = $2 WHERE id = $1";
    sqlx::query(sql).bind(id.to_string()).bind(now.0).execute(&mut *connection).await?;
    super::funds::close(connection, id).await
}

/// What became of a coupon.
///
/// # Errors
/// As the database.
pub async fn use_of(connection: &mut AnyConnection, coupon: Uuid) -> Result<CouponUse, LedgerError> {
    let counts = sqlx::query(
        "SELECT COUNT(*) AS applied, CAST(COALESCE(SUM(k.spendable), 0) AS BIGINT) AS active,
             CAST(COALESCE(SUM(k.balance * k.spendable), 0) AS BIGINT) AS uses_left
         FROM applied_coupons a JOIN credit_accounts k ON k.id = a.id WHERE a.coupon_id = $1",
    )
    .bind(coupon.to_string())
    .fetch_one(&mut *connection)
    .await?;
    let taken = sqlx::query(
        "SELECT CAST(COALESCE(SUM(e.invoice_cents), 0) AS BIGINT) AS cents
         FROM applied_coupons a JOIN credit_entries e ON e.account_id = a.id WHERE a.coupon_id = $1",
    )
    .bind(coupon.to_string())
    .fetch_one(connection)
    .await?;
    Ok(CouponUse {
        applied: counts.try_get("applied")?,
        active: counts.try_get("active")?,
        uses_left: counts.try_get("uses_left")?,
        discount: MinorUnits(taken.try_get("cents")?),
    })
}

fn stored_discount(discount: &Discount) -> (Option<i64>, Option<String>) {
    match discount {
        Discount::Fixed(amount) => (Some(amount.0), None),
        Discount::Share(share) => (None, Some(share.to_string())),
    }
}

fn discount_of(row: &AnyRow) -> Result<Discount, LedgerError> {
    let share: Option<&str> = row.try_get("percentage")?;
    Ok(match share {
        Some(text) => Discount::Share(read_quantity("percentage", text)?),
        None => Discount::Fixed(MinorUnits(row.try_get("amount_cents")?)),
    })
}

fn instant(row: &AnyRow, column: &str) -> Result<Option<Timestamp>, LedgerError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

fn coupon_of(row: &AnyRow) -> Result<StoredCoupon, LedgerError> {
    let has_currency = row.try_get::<Option<&str>, _>("currency")?.is_some();
    Ok(StoredCoupon {
        id: read_uuid(row, "id")?,
        code: row.try_get("code")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        discount: discount_of(row)?,
        currency: has_currency.then(|| read_currency(row, "currency")).transpose()?,
        frequency: Frequency::read(row)?,
        reusable: row.try_get::<i64, _>("reusable")? != 0,
        expires_at: instant(row, "expires_at")?,
        plan_codes: serde_json::from_str(row.try_get("plan_codes")?)?,
        plans: serde_json::from_str(row.try_get("plan_ids")?)?,
        metrics: serde_json::from_str(row.try_get("metric_codes")?)?,
        terminated_at: instant(row, "terminated_at")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

fn applied_of(row: &AnyRow) -> Result<AppliedCoupon, LedgerError> {
    let has_currency = !row.try_get::<&str, _>("currency")?.is_empty();
    let active = row.try_get::<i64, _>("spendable")? != 0;
    let used_at = instant(row, "used_at")?;
    let updated_at = Timestamp(row.try_get("updated_at")?);
    Ok(AppliedCoupon {
        id: read_uuid(row, "id")?,
        coupon: read_uuid(row, "coupon_id")?,
        coupon_code: row.try_get("coupon_code")?,
        customer: CustomerId(read_uuid(row, "customer_id")?),
        discount: discount_of(row)?,
        currency: has_currency.then(|| read_currency(row, "currency")).transpose()?,
        frequency: Frequency::read(row)?,
        uses_left: row.try_get("balance")?,
        active,
        terminated_at: instant(row, "terminated_at")?.or(used_at.filter(|_| !active)),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: used_at.map_or(updated_at, |used| used.max(updated_at)),
    })
}

//! How far each subscription is billed: read whole for a run, moved only from where the writer believed it to be (I4).

use super::LedgerError;
use super::bulk::{BulkInsert, Cell, LISTED_AT_ONCE, placeholders, rows_in};
use crate::due::{Chain, Due, Frontier, Frontiers, Part};
use domain::ids::{OrganizationId, SubscriptionId};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeMap, HashMap};

/// One frontier of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontierKey {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Of what.
    pub part: Part,
    /// On which chain.
    pub chain: Chain,
}

impl From<&Due> for FrontierKey {
    fn from(due: &Due) -> Self {
        Self { subscription: due.subscription, part: due.part, chain: due.chain }
    }
}

/// From where to where one frontier moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontierMove {
    /// Tenant.
    pub organization: OrganizationId,
    /// Where it must stand; absent: nothing is billed yet.
    pub after: Option<Frontier>,
    /// Where it stands then.
    pub to: Frontier,
    /// Whether all that came late up to the run's cut is billed with it; else it is looked for again from where it was looked for last.
    pub late_is_billed: bool,
}

/// Frontiers of many subscriptions.
pub type FrontierMap = HashMap<SubscriptionId, Frontiers>;

const COLUMNS: &str = "subscription_id, part, chain, starts_at, until_at";

/// Every frontier of one organization, or of all: one query however many there are.
///
/// # Errors
/// As the database.
pub async fn read_all(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
) -> Result<FrontierMap, LedgerError> {
    let rows = match organization {
        Some(organization) => {
            let sql = format!("SELECT {COLUMNS} FROM billing_frontiers WHERE organization_id = $1");
            sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).fetch_all(connection).await?
        }
        None => {
            let sql = format!("SELECT {COLUMNS} FROM billing_frontiers");
            sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?
        }
    };
    collect(&rows)
}

/// The frontiers of these subscriptions.
///
/// # Errors
/// As the database.
pub async fn read_of(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<FrontierMap, LedgerError> {
    let sql = |list: &str| format!("SELECT {COLUMNS} FROM billing_frontiers WHERE subscription_id IN ({list})");
    collect(&rows_in(connection, subscriptions, sql).await?)
}

fn collect(rows: &[AnyRow]) -> Result<FrontierMap, LedgerError> {
    let mut map = FrontierMap::new();
    for row in rows {
        let subscription = SubscriptionId(super::read_uuid(row, "subscription_id")?);
        let part = part_of(row.try_get("part")?)?;
        let chain = chain_of(row.try_get("chain")?)?;
        let frontier =
            Frontier { starts_at: Timestamp(row.try_get("starts_at")?), until: Timestamp(row.try_get("until_at")?) };
        map.entry(subscription).or_default().set(part, chain, frontier);
    }
    Ok(map)
}

/// Moves frontiers, billed at the cut of this id; answers false, with some of them moved, when one did not stand where it had to: roll back then.
///
/// # Errors
/// As the database.
pub async fn advance(
    connection: &mut AnyConnection,
    cut_id: &str,
    moves: &BTreeMap<FrontierKey, FrontierMove>,
) -> Result<bool, LedgerError> {
    let insert = BulkInsert {
        table: "billing_frontiers",
        columns: "subscription_id, part, chain, organization_id, starts_at, until_at, moved_from, cut_id",
        // A first move has no moved_from: it never equals, so it never overwrites what another run wrote first.
        tail: "ON CONFLICT (subscription_id, part, chain) DO UPDATE
               SET until_at = excluded.until_at, moved_from = excluded.moved_from,
                   cut_id = CASE excluded.cut_id WHEN '' THEN billing_frontiers.cut_id ELSE excluded.cut_id END
               WHERE billing_frontiers.until_at = excluded.moved_from",
    };
    let rows = moves.iter().map(|(key, step)| row_of(key, step, cut_id)).collect();
    let moved = insert.run(connection, rows).await?;
    Ok(moved == moves.len() as u64)
}

/// Up to which cut the usage of a subscription was looked at for what came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The cut's id; ids of cuts grow with time.
    pub cut_id: String,
}

/// Of these subscriptions those that were not looked at up to the cut of this id, and have been billed: each with the oldest cut of its chains.
///
/// # Errors
/// As the database.
pub async fn looked_before(
    connection: &mut AnyConnection,
    cut_id: &str,
    subscriptions: &[SubscriptionId],
) -> Result<Vec<Looked>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "SELECT subscription_id, MIN(cut_id) AS cut_id FROM billing_frontiers
             WHERE part = 'usage' AND cut_id <> '' AND subscription_id IN ({list}) GROUP BY subscription_id"
        )
    };
    let rows = rows_in(connection, subscriptions, sql).await?;
    let looked = |row: &AnyRow| {
        let subscription = SubscriptionId(super::read_uuid(row, "subscription_id")?);
        Ok(Looked { subscription, cut_id: row.try_get("cut_id")? })
    };
    let all = rows.iter().map(looked).collect::<Result<Vec<_>, LedgerError>>()?;
    Ok(all.into_iter().filter(|looked| looked.cut_id.as_str() < cut_id).collect())
}

/// Notes that these were looked at up to a cut; answers false when another run has looked at one meanwhile: roll back then.
///
/// # Errors
/// As the database.
pub async fn look_at(connection: &mut AnyConnection, cut_id: &str, looked: &[&Looked]) -> Result<bool, LedgerError> {
    let mut by_cut: BTreeMap<&str, Vec<SubscriptionId>> = BTreeMap::new();
    for one in looked {
        by_cut.entry(&one.cut_id).or_default().push(one.subscription);
    }
    for (before, subscriptions) in by_cut {
        for some in subscriptions.chunks(LISTED_AT_ONCE) {
            // The oldest of a subscription's chains is the one that was read; the others are not older.
            let sql = format!(
                "UPDATE billing_frontiers SET cut_id = $1 WHERE part = 'usage' AND cut_id = $2 AND subscription_id IN ({})",
                placeholders(2, some.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(cut_id).bind(before);
            let done =
                some.iter().fold(query, |query, id| query.bind(id.to_string())).execute(&mut *connection).await?;
            if done.rows_affected() < some.len() as u64 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn row_of(key: &FrontierKey, step: &FrontierMove, cut_id: &str) -> Vec<Cell> {
    vec![
        Cell::Text(key.subscription.to_string()),
        Cell::Text(part_text(key.part).into()),
        Cell::Text(chain_text(key.chain).into()),
        Cell::Text(step.organization.to_string()),
        Cell::Int(step.to.starts_at.0),
        Cell::Int(step.to.until.0),
        Cell::MaybeInt(step.after.map(|frontier| frontier.until.0)),
        Cell::Text(if step.late_is_billed { cut_id.to_owned() } else { String::new() }),
    ]
}

fn part_text(part: Part) -> &'static str {
    match part {
        Part::PlanFee => "plan_fee",
        Part::Usage => "usage",
        Part::Carried => "carried",
        Part::Commitment => "commitment",
    }
}

fn part_of(text: &str) -> Result<Part, LedgerError> {
    match text {
        "plan_fee" => Ok(Part::PlanFee),
        "usage" => Ok(Part::Usage),
        "carried" => Ok(Part::Carried),
        "commitment" => Ok(Part::Commitment),
        _ => Err(LedgerError::corrupt("billing_frontiers.part", text)),
    }
}

fn chain_text(chain: Chain) -> &'static str {
    match chain {
        Chain::Backlog => "backlog",
        Chain::Main => "main",
    }
}

fn chain_of(text: &str) -> Result<Chain, LedgerError> {
    match text {
        "backlog" => Ok(Chain::Backlog),
        "main" => Ok(Chain::Main),
        _ => Err(LedgerError::corrupt("billing_frontiers.chain", text)),
    }
}

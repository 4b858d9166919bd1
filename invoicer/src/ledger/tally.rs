//! How many invoices an organization has by status, without counting them: a page of a list shows that number, and counting a
//! million rows for each page takes longer than the page.
//!
//! Every change of the number is a row of its own, written in the transaction that makes it true; the number is their sum. So nobody
//! waits for anybody, as with a counter that all write to. Now and then the rows are folded into one: last in a transaction, status by
//! status in order, so that no two that fold wait for each other in a circle. `check_ledger` compares the sums with the invoices.

use super::LedgerError;
use super::bulk::{BulkInsert, Cell};
use crate::model::InvoiceStatus;
use domain::ids::OrganizationId;
use sqlx::{AnyConnection, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The table, with what is there already.
pub(super) const MIGRATION: &str = "
CREATE TABLE invoice_tallies (
    organization_id TEXT NOT NULL,
    status TEXT NOT NULL,
    id TEXT NOT NULL,
    change BIGINT NOT NULL,
    PRIMARY KEY (organization_id, status, id)
);
INSERT INTO invoice_tallies (organization_id, status, id, change)
    SELECT organization_id, status, '', COUNT(*) FROM invoices GROUP BY organization_id, status;
CREATE INDEX invoices_by_status ON invoices (organization_id, status, created_at, id);
CREATE INDEX invoices_by_number ON invoices (organization_id, number, id);
";

/// One change in so many is followed by a fold: the sum is over some hundreds of rows, and few changes wait for the fold.
const FOLDED_EVERY: u128 = 256;

const CHANGES: BulkInsert =
    BulkInsert { table: "invoice_tallies", columns: "organization_id, status, id, change", tail: "" };

/// By how much the numbers change.
#[derive(Clone, Debug, Default)]
pub struct Changes(BTreeMap<(OrganizationId, &'static str), i64>);

impl Changes {
    /// One more of this status.
    pub fn more(&mut self, organization: OrganizationId, status: InvoiceStatus) {
        *self.0.entry((organization, status.as_str())).or_default() += 1;
    }

    /// One less of this status.
    pub fn less(&mut self, organization: OrganizationId, status: InvoiceStatus) {
        *self.0.entry((organization, status.as_str())).or_default() -= 1;
    }

    /// One that goes from status to status.
    #[must_use]
    pub fn of_one(organization: OrganizationId, from: InvoiceStatus, to: InvoiceStatus) -> Self {
        let mut changes = Self::default();
        changes.less(organization, from);
        changes.more(organization, to);
        changes
    }

    /// Writes them down, in the transaction that makes them true.
    ///
    /// # Errors
    /// As the database.
    pub async fn write(self, connection: &mut AnyConnection) -> Result<(), LedgerError> {
        let changed = self.0.into_iter().filter(|(_, change)| *change != 0);
        let rows = changed.map(|((organization, status), change)| {
            let id = Uuid::now_v7().to_string();
            vec![Cell::Text(organization.to_string()), Cell::Text(status.into()), Cell::Text(id), Cell::Int(change)]
        });
        CHANGES.run(connection, rows.collect()).await?;
        Ok(())
    }
}

/// How many there are, of all statuses or of one.
///
/// # Errors
/// As the database.
pub async fn read(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    status: Option<InvoiceStatus>,
) -> Result<i64, LedgerError> {
    let sum = "SELECT CAST(COALESCE(SUM(change), 0) AS BIGINT) AS total FROM invoice_tallies WHERE organization_id = $1
                   AND ($2 = '' OR status = $2)";
    let status = status.map_or("", InvoiceStatus::as_str);
    let row = sqlx::query(sum).bind(organization.to_string()).bind(status).fetch_one(connection).await?;
    Ok(row.try_get("total")?)
}

/// Folds the rows of an organization once in a while. Nothing may be locked after it: call it last.
///
/// # Errors
/// As the database.
pub async fn fold_sometimes(connection: &mut AnyConnection, organization: OrganizationId) -> Result<(), LedgerError> {
    if Uuid::new_v4().as_u128().is_multiple_of(FOLDED_EVERY) { fold(connection, organization).await } else { Ok(()) }
}

/// One row for each status instead of many.
async fn fold(connection: &mut AnyConnection, organization: OrganizationId) -> Result<(), LedgerError> {
    for status in InvoiceStatus::ALL {
        let taken = "DELETE FROM invoice_tallies WHERE organization_id = $1 AND status = $2 RETURNING change";
        let query = sqlx::query(taken).bind(organization.to_string()).bind(status.as_str());
        let mut sum = 0;
        for row in query.fetch_all(&mut *connection).await? {
            sum += row.try_get::<i64, _>("change")?;
        }
        let folded = Changes(BTreeMap::from([((organization, status.as_str()), sum)]));
        folded.write(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema::{COMPONENT, MIGRATIONS};
    use catalog::Database;

    #[tokio::test]
    async fn folded_or_not_the_sum_is_the_same_and_other_organizations_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let database = Database::open(&url).await.unwrap();
        database.migrate(COMPONENT, MIGRATIONS).await.unwrap();
        let (one, other) = (OrganizationId::random(), OrganizationId::random());
        let mut write = database.write().await.unwrap();
        let connection = write.connection();
        for _ in 0..3 {
            let mut changes = Changes::default();
            changes.more(one, InvoiceStatus::Finalized);
            changes.more(one, InvoiceStatus::Draft);
            changes.more(other, InvoiceStatus::Draft);
            changes.write(connection).await.unwrap();
        }
        Changes::of_one(one, InvoiceStatus::Finalized, InvoiceStatus::Paid).write(connection).await.unwrap();
        for folded in [false, true] {
            if folded {
                fold(connection, one).await.unwrap();
            }
            for (status, wanted) in [
                (None, 6),
                (Some(InvoiceStatus::Draft), 3),
                (Some(InvoiceStatus::Finalized), 2),
                (Some(InvoiceStatus::Paid), 1),
                (Some(InvoiceStatus::Voided), 0),
            ] {
                assert_eq!(read(connection, one, status).await.unwrap(), wanted, "{status:?}, folded: {folded}");
            }
            assert_eq!(read(connection, other, None).await.unwrap(), 3);
        }
        let rows = sqlx::query("SELECT COUNT(*) FROM invoice_tallies WHERE organization_id = $1").bind(one.to_string());
        let rows: i64 = rows.fetch_one(connection).await.unwrap().get(0);
        assert_eq!(rows, 3, "one a status, none for a sum of nothing");
    }
}

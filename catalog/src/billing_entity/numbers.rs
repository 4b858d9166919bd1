//! The numbers of an entity's invoices: taken inside the transaction that issues, so that they have no gaps.

use crate::columns::Columns;
use crate::database::DatabaseError;
use sqlx::AnyConnection;
use uuid::Uuid;

/// Takes `count` numbers of an entity and answers the prefix and the first. The row stays locked until the transaction ends: a transaction
/// that is rolled back has taken none.
///
/// # Errors
/// When the database fails, or the entity is gone.
pub async fn take(connection: &mut AnyConnection, entity: Uuid, count: i64) -> Result<(String, i64), DatabaseError> {
    let update = "UPDATE billing_entities SET next_invoice_number = next_invoice_number + $2, numbers_taken = 1 \
         WHERE id = $1 RETURNING invoice_prefix, next_invoice_number";
    let row = sqlx::query(update).bind(entity.to_string()).bind(count).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| DatabaseError::unreadable("billing entity", "it does not exist any more"))?;
    Ok((row.text("invoice_prefix")?, row.integer("next_invoice_number")? - count))
}

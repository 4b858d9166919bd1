//! Requests for payment of several invoices together. A request is answered once nothing is due of any of them: its state is theirs.

use super::bulk::query_with;
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_uuid};
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Who is asked.
    pub customer: CustomerId,
    /// ISO 4217.
    pub currency: Currency,
    /// What was due of its invoices when it was made.
    pub amount: MinorUnits,
    /// Its invoices, with the id of each place on it.
    pub invoices: Vec<(Uuid, InvoiceId)>,
    /// Whether nothing is due of them any more.
    pub answered: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the last of them was paid or taken back; until then when it was made.
    pub updated_at: Timestamp,
}

/// Which requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFilter {
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// Answered ones, or those that are not.
    pub answered: Option<bool>,
}

/// An invoice of which something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueInvoice {
    /// Which.
    pub id: InvoiceId,
    /// Whose.
    pub customer: CustomerId,
    /// ISO 4217.
    pub currency: Currency,
    /// How much.
    pub due: MinorUnits,
    /// Whether a request waits for it.
    pub requested: bool,
}

const OPEN: &str = "EXISTS (SELECT 1 FROM payment_request_invoices p JOIN invoices i ON i.id = p.invoice_id
     WHERE p.payment_request_id = r.id AND i.status = 'finalized')";

/// Whether a request that waits names the invoice `i`.
const REQUESTED: &str = "EXISTS (SELECT 1 FROM payment_request_invoices p JOIN payment_request_invoices q
         ON q.payment_request_id = p.payment_request_id JOIN invoices j ON j.id = q.invoice_id
     WHERE p.invoice_id = i.id AND j.status = 'finalized')";

/// One request.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredRequest>, LedgerError> {
    let condition = "r.organization_id = $1 AND r.id = $2";
    let mut found = read(connection, condition, "", vec![organization.to_string(), id.to_string()], None).await?;
    Ok(found.pop())
}

/// A page of requests, and the number of all that match.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: &RequestFilter,
    page: &PageOf,
) -> Result<(Vec<StoredRequest>, i64), LedgerError> {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("r.organization_id = $1");
    if let Some(customer) = filter.customer {
        values.push(customer.to_string());
        condition.push_str(" AND r.customer_id = $2");
    }
    match filter.answered {
        Some(true) => condition.push_str(&format!(" AND NOT {OPEN}")),
        Some(false) => condition.push_str(&format!(" AND {OPEN}")),
        None => {}
    }
    let count = format!("SELECT COUNT(*) AS total FROM payment_requests r WHERE {condition}");
    let total = query_with(count, &values).fetch_one(&mut *connection).await?.try_get("total")?;
    let order = format!(" ORDER BY {}", page.order_in("r"));
    Ok((read(connection, &condition, &order, values, Some((page.limit, page.skip))).await?, total))
}

async fn read(
    connection: &mut AnyConnection,
    condition: &str,
    order: &str,
    values: Vec<String>,
    page: Option<(i64, i64)>,
) -> Result<Vec<StoredRequest>, LedgerError> {
    let limits = page.map(|_| format!(" LIMIT ${} OFFSET ${}", values.len() + 1, values.len() + 2)).unwrap_or_default();
    let sql = format!("SELECT r.* FROM payment_requests r WHERE {condition}{order}{limits}");
    let mut query = query_with(sql, &values);
    if let Some((limit, skip)) = page {
        query = query.bind(limit).bind(skip);
    }
    let mut requests = Vec::new();
    for row in query.fetch_all(&mut *connection).await? {
        requests.push(request_of(connection, &row).await?);
    }
    Ok(requests)
}

async fn request_of(connection: &mut AnyConnection, row: &AnyRow) -> Result<StoredRequest, LedgerError> {
    let id = read_uuid(row, "id")?;
    let sql = "SELECT p.id, p.invoice_id, i.status, i.paid_at, i.voided_at FROM payment_request_invoices p
               JOIN invoices i ON i.id = p.invoice_id WHERE p.payment_request_id = $1 ORDER BY i.created_at, i.id";
    let created_at = Timestamp(row.try_get("created_at")?);
    let (mut invoices, mut answered, mut last) = (Vec::new(), true, created_at);
    for one in sqlx::query(sql).bind(id.to_string()).fetch_all(connection).await? {
        invoices.push((read_uuid(&one, "id")?, InvoiceId(read_uuid(&one, "invoice_id")?)));
        answered &= one.try_get::<&str, _>("status")? != "finalized";
        for column in ["paid_at", "voided_at"] {
            last = last.max(one.try_get::<Option<i64>, _>(column)?.map_or(last, Timestamp));
        }
    }
    Ok(StoredRequest {
        id,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        currency: read_currency(row, "currency")?,
        amount: MinorUnits(row.try_get("amount_cents")?),
        invoices,
        answered,
        created_at,
        updated_at: if answered { last } else { created_at },
    })
}

/// Which of these invoices of an organization are finalized, with what is due of each; locked.
///
/// # Errors
/// As the database.
pub async fn due_among(
    connection: &mut AnyConnection,
    row_lock: &str,
    organization: OrganizationId,
    ids: &[InvoiceId],
) -> Result<Vec<DueInvoice>, LedgerError> {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for id in sorted {
        let lock = format!("SELECT id FROM invoices WHERE organization_id = $1 AND id = $2{row_lock}");
        let values = [organization.to_string(), id.to_string()];
        query_with(lock, &values).fetch_optional(&mut *connection).await?;
        let sql = format!("{} AND i.id = $2", due_sql());
        let row = query_with(sql, &values).fetch_optional(&mut *connection).await?;
        found.extend(row.as_ref().map(due_of).transpose()?);
    }
    Ok(found)
}

/// Invoices of an organization that are overdue at `now` and that no request waits for, by customer, currency, due date.
///
/// # Errors
/// As the database.
pub async fn overdue(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    now: Timestamp,
) -> Result<Vec<DueInvoice>, LedgerError> {
    let sql = format!(
        "{} AND i.due_date < {} AND NOT {REQUESTED} ORDER BY i.customer_id, i.currency, i.due_date, i.id",
        due_sql(),
        now.0
    );
    let rows = query_with(sql, &[organization.to_string()]).fetch_all(connection).await?;
    rows.iter().map(due_of).collect()
}

fn due_sql() -> String {
    format!(
        "SELECT i.id, i.customer_id, i.currency, CAST(CASE WHEN {REQUESTED} THEN 1 ELSE 0 END AS BIGINT) AS requested,
             CAST(i.total_cents - COALESCE((SELECT SUM(s.amount_cents) FROM invoice_settlements s
                 WHERE s.invoice_id = i.id), 0) AS BIGINT) AS due
         FROM invoices i WHERE i.organization_id = $1 AND i.status = 'finalized'"
    )
}

fn due_of(row: &AnyRow) -> Result<DueInvoice, LedgerError> {
    Ok(DueInvoice {
        id: InvoiceId(read_uuid(row, "id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        currency: read_currency(row, "currency")?,
        due: MinorUnits(row.try_get("due")?),
        requested: row.try_get::<i64, _>("requested")? != 0,
    })
}

/// Writes a request.
///
/// # Errors
/// As the database.
pub async fn insert(connection: &mut AnyConnection, request: &StoredRequest) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO payment_requests (id, organization_id, customer_id, currency, amount_cents, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(request.id.to_string())
    .bind(request.organization.to_string())
    .bind(request.customer.to_string())
    .bind(request.currency.code().to_owned())
    .bind(request.amount.0)
    .bind(request.created_at.0)
    .execute(&mut *connection)
    .await?;
    for (place, invoice) in &request.invoices {
        let sql = "INSERT INTO payment_request_invoices (payment_request_id, invoice_id, id) VALUES ($1, $2, $3)";
        sqlx::query(sql)
            .bind(request.id.to_string())
            .bind(invoice.to_string())
            .bind(place.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Something that happened to an invoice of a request since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Which invoice.
    pub invoice: InvoiceId,
    /// `payment`, `credit_note` or `manual`.
    pub kind: String,
    /// How much of it was settled.
    pub amount: MinorUnits,
}

/// What was settled of a request's invoices since it was made, oldest first.
///
/// # Errors
/// As the database.
pub async fn attempts(connection: &mut AnyConnection, request: &StoredRequest) -> Result<Vec<Attempt>, LedgerError> {
    let rows = sqlx::query(
        "SELECT s.invoice_id, s.settlement_type, s.amount_cents, s.created_at FROM invoice_settlements s
         JOIN payment_request_invoices p ON p.invoice_id = s.invoice_id
         WHERE p.payment_request_id = $1 AND s.created_at >= $2 ORDER BY s.created_at, s.id",
    )
    .bind(request.id.to_string())
    .bind(request.created_at.0)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        Ok(Attempt {
            at: Timestamp(row.try_get("created_at")?),
            invoice: InvoiceId(read_uuid(row, "invoice_id")?),
            kind: row.try_get("settlement_type")?,
            amount: MinorUnits(row.try_get("amount_cents")?),
        })
    };
    rows.iter().map(read).collect()
}

//! Export of invoices: CSV (one row an invoice) or JSON Lines (one invoice with its lines a row), read and sent page by page.

use super::InvoicerState;
use super::wire::InvoiceRecord;
use crate::ledger::invoices::{self, InvoiceFilter, PageOf};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::ids::OrganizationId;
use futures::stream;
use http_api::{ApiError, Authenticated, QueryArguments, collection};
use serde::Deserialize;

/// Invoices read at once: with ten lines each, about five megabytes.
const PAGE: i64 = 1000;

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/invoices/export", get(export))
}

/// In which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InvoiceExportForm)]
pub(crate) enum Form {
    /// A row an invoice, with a row of names.
    #[default]
    Csv,
    /// A line an invoice, whole.
    Jsonl,
}

/// All invoices, oldest first, as CSV or JSON Lines.
#[utoipa::path(get, path = "/v1/invoices/export", tag = "Invoices", security(("api_key" = [])),
    params(("format" = Option<Form>, Query), ("customer_id" = Option<uuid::Uuid>, Query),
        ("subscription_id" = Option<uuid::Uuid>, Query), ("status" = Option<crate::model::InvoiceStatus>, Query)),
    responses((status = 200, content_type = "text/csv", body = String), (status = 401), (status = 422)))]
async fn export(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    query: QueryArguments,
) -> Result<Response, ApiError> {
    let form: Form = query.choice("format")?.unwrap_or_default();
    let filter = InvoiceFilter {
        customer: query.id("customer_id")?,
        subscription: query.id("subscription_id")?,
        status: query.choice("status")?,
        overdue: None,
    };
    // The first page before the answer begins, so that what goes wrong at once is told as an error.
    let first = page(&state, caller.organization, filter, 0, form).await?;
    let organization = caller.organization;
    let pages = stream::try_unfold((Some(first), 0), move |(ready, skip)| {
        let state = state.clone();
        async move {
            let (text, rows) = match ready {
                Some(page) => page,
                None => page(&state, organization, filter, skip, form).await.map_err(|fault| {
                    // The connection breaks off: a file that ends well must be whole.
                    std::io::Error::other(fault.detail_text())
                })?,
            };
            let next = (None, skip + rows);
            Ok::<_, std::io::Error>((rows > 0 || skip == 0).then(|| (Bytes::from(text), next)))
        }
    });
    let (kind, name) = match form {
        Form::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"invoices.csv\""),
        Form::Jsonl => ("application/x-ndjson", "attachment; filename=\"invoices.jsonl\""),
    };
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], Body::from_stream(pages)).into_response())
}

async fn page(
    state: &InvoicerState,
    organization: OrganizationId,
    filter: InvoiceFilter,
    skip: i64,
    form: Form,
) -> Result<(String, i64), ApiError> {
    let page = PageOf { order: "created_at ASC, id ASC".into(), skip, limit: PAGE };
    let (found, _) = invoices::list(&mut *state.connection().await?, organization, &filter, &page).await?;
    let rows = i64::try_from(found.len()).unwrap_or(PAGE);
    let mut text = String::new();
    if form == Form::Csv && skip == 0 {
        text.push_str(HEAD);
    }
    for invoice in &found {
        let record = InvoiceRecord::read(invoice)?;
        match form {
            Form::Csv => csv_row(&mut text, &record),
            Form::Jsonl => {
                text.push_str(&serde_json::to_string(&record).map_err(ApiError::internal)?);
                text.push('\n');
            }
        }
    }
    Ok((text, rows))
}

const HEAD: &str = "number,id,customer_id,subscription_id,invoice_type,status,currency,subtotal_cents,coupons_cents,\
tax_cents,progressive_credit_cents,credit_notes_cents,prepaid_credit_cents,total_cents,issued_at,due_date,paid_at,\
period_start,period_end\r\n";

fn csv_row(text: &mut String, invoice: &InvoiceRecord) {
    let instant = |at: Option<domain::time::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let cells = [
        invoice.invoice_number.clone(),
        invoice.id.to_string(),
        invoice.customer_id.to_string(),
        invoice.subscription_id.map(|id| id.to_string()).unwrap_or_default(),
        invoice.invoice_type.to_string(),
        invoice.status.to_string(),
        invoice.currency.clone(),
        invoice.subtotal_cents.clone(),
        invoice.coupons_amount_cents.clone(),
        invoice.tax_amount_cents.clone(),
        invoice.progressive_billing_credit_amount_cents.clone(),
        invoice.credit_notes_amount_cents.clone(),
        invoice.prepaid_credit_amount_cents.clone(),
        invoice.total_cents.clone(),
        instant(invoice.issued_at),
        instant(Some(invoice.due_date)),
        instant(invoice.paid_at),
        instant(Some(invoice.billing_period_start)),
        instant(Some(invoice.billing_period_end)),
    ];
    // RFC 4180; only the number can hold what must be quoted: its prefix is the client's text.
    let quoted = cells.iter().map(|cell| {
        if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(['=', '+', '@']) {
            // A cell that a spreadsheet would take for a formula is kept a text.
            let safe = if cell.starts_with(['=', '+', '@']) { format!("'{cell}") } else { cell.clone() };
            format!("\"{}\"", safe.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    text.push_str(&quoted.collect::<Vec<_>>().join(","));
    text.push_str("\r\n");
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(export), components(schemas(Form)))]
pub(super) struct Document;

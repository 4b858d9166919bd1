//! The report of a billing run: by plan and currency, of a dry run against the stretches before, with the subscriptions that stand
//! out; as JSON, as CSV, or as a page to print. A page stands by itself: no script, nothing fetched.

use super::InvoicerState;
use super::wire::BillingRunRecord;
use crate::ledger::reports::{self, Outlier, PlanRow};
use crate::ledger::runs::RunRecord;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::ids::{PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use http_api::{ApiError, Caller, PathArguments, QueryArguments, collection};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use utoipa::ToSchema;

/// Subscriptions that stand out, in a report; the rest is counted.
const OUTLIERS: i64 = 1000;

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/billing_runs/{billing_run_id}/report", get(report))
}

/// In which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BillingRunReportForm)]
pub(crate) enum Form {
    /// For programs.
    #[default]
    Json,
    /// For spreadsheets.
    Csv,
    /// For people.
    Html,
}

/// One plan in one currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportedPlan {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// Its code; null once it was deleted.
    pub plan_code: Option<String>,
    /// Its name; null once it was deleted.
    pub plan_name: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// How many are billed.
    pub subscriptions: i64,
    /// Σ fees without taxes.
    pub amount_cents: String,
    /// What the same were billed for the stretches before; null in the report of a run that is not dry.
    pub previous_cents: Option<String>,
}

/// A subscription whose bill is far from the one before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportedOutlier {
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    pub subscription_id: SubscriptionId,
    /// By which plan.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// ISO 4217.
    pub currency: String,
    /// What it would be billed.
    pub amount_cents: String,
    /// What it was billed for the stretch before.
    pub previous_cents: String,
}

/// What a run comes to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BillingRunReport {
    /// The run.
    pub run: BillingRunRecord,
    /// The largest first.
    pub plans: Vec<ReportedPlan>,
    /// Three times as much as before or more, or a third or less, and ten currency units apart; of a dry run.
    pub outliers: Vec<ReportedOutlier>,
    /// How many there are; at most 1,000 are listed.
    pub outliers_total: i64,
}

/// A run by plan and currency; of a dry run against the stretches before, with the subscriptions that stand out.
#[utoipa::path(get, path = "/v1/billing_runs/{billing_run_id}/report", tag = "Billing Runs",
    security(("api_key" = []), ("admin_secret" = [])),
    params(("billing_run_id" = uuid::Uuid, Path), ("format" = Option<Form>, Query)),
    responses((status = 200, body = BillingRunReport), (status = 401), (status = 404), (status = 422)))]
async fn report(
    caller: Caller,
    State(state): State<InvoicerState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Response, ApiError> {
    let form: Form = query.choice("format")?.unwrap_or_default();
    let organization = match &caller {
        Caller::Organization(caller) => Some(caller.organization),
        Caller::Admin => None,
    };
    let found = state.runs.get(organization, path.id("billing_run_id")?).await?;
    let run = found.ok_or_else(|| ApiError::not_found("Billing run"))?;
    let mut connection = state.connection().await?;
    let plans = reports::plans(&mut connection, run.id, run.scope.dry_run).await?;
    let (outliers, total) = reports::outliers(&mut connection, run.id, OUTLIERS).await?;
    Ok(match form {
        Form::Json => Json(written(&run, &plans, &outliers, total)).into_response(),
        Form::Csv => file("text/csv; charset=utf-8", "csv", csv(&run, &plans, &outliers)),
        Form::Html => file("text/html; charset=utf-8", "html", html(&run, &plans, &outliers, total)),
    })
}

fn file(kind: &'static str, ending: &str, text: String) -> Response {
    let disposition = format!("inline; filename=\"billing-run.{ending}\"");
    ([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, disposition)], text).into_response()
}

fn written(run: &RunRecord, plans: &[PlanRow], outliers: &[Outlier], total: i64) -> BillingRunReport {
    let plan = |row: &PlanRow| ReportedPlan {
        plan_id: row.plan,
        plan_code: row.code.clone(),
        plan_name: row.name.clone(),
        currency: row.currency.to_string(),
        subscriptions: row.totals.subscriptions,
        amount_cents: row.totals.amount.to_string(),
        previous_cents: run.scope.dry_run.then(|| row.totals.previous.to_string()),
    };
    let outlier = |one: &Outlier| ReportedOutlier {
        subscription_id: one.subscription,
        plan_id: one.plan,
        currency: one.currency.to_string(),
        amount_cents: one.amount.to_string(),
        previous_cents: one.previous.to_string(),
    };
    BillingRunReport {
        run: BillingRunRecord::from(run),
        plans: plans.iter().map(plan).collect(),
        outliers: outliers.iter().map(outlier).collect(),
        outliers_total: total,
    }
}

const HEAD: &str = "kind,plan_code,plan_id,subscription_id,currency,subscriptions,amount_cents,previous_cents\r\n";

fn csv(run: &RunRecord, plans: &[PlanRow], outliers: &[Outlier]) -> String {
    let mut text = String::from(HEAD);
    for row in plans {
        let code = cell(row.code.as_deref().unwrap_or_default());
        let previous = if run.scope.dry_run { row.totals.previous.to_string() } else { String::new() };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "plan,{code},{},,{},{},{},{previous}\r\n",
            row.plan, row.currency, row.totals.subscriptions, row.totals.amount
        );
    }
    for one in outliers {
        let (plan, subscription) = (one.plan, one.subscription);
        let _ = write!(text, "outlier,,{plan},{subscription},{},1,{},{}\r\n", one.currency, one.amount, one.previous);
    }
    text
}

/// RFC 4180; what a spreadsheet would take for a formula is kept a text.
fn cell(text: &str) -> String {
    let safe = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if safe.contains(['"', ',', '\n', '\r', '\'']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#111}\
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{padding:.35rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.4rem 0}\
.up{color:#b45309}.down{color:#b91c1c}small{color:#555}";

fn html(run: &RunRecord, plans: &[PlanRow], outliers: &[Outlier], total: i64) -> String {
    let dry = run.scope.dry_run;
    let kind = if dry { "Dry run" } else { "Billing run" };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{kind} {id}</title><style>{STYLE}</style>\
         <h1>{kind} as of {as_of}</h1><p>{status}: {invoices} invoices of {done} of {all} subscriptions<br><small>{id}</small></p>",
        id = run.id,
        as_of = run.scope.as_of,
        status = run.status.as_str(),
        invoices = run.invoices_created,
        done = run.subscriptions_done,
        all = run.subscriptions_total,
    );
    if let Some(error) = &run.error {
        let _ = write!(page, "<p class=\"down\">{}</p>", escaped(error));
    }
    page.push_str("<table><caption>Totals with taxes</caption>");
    for (currency, cents) in &run.totals {
        let _ = write!(page, "<tr><td>{currency}<td class=\"n\">{}", money(*cents, *currency));
    }
    page.push_str("</table><table><caption>By plan, without taxes</caption><tr><th>Plan<th>Currency<th class=\"n\">Subscriptions<th class=\"n\">Amount");
    if dry {
        page.push_str("<th class=\"n\">Before<th class=\"n\">Change");
    }
    for row in plans {
        let name = escaped(row.name.as_deref().or(row.code.as_deref()).unwrap_or("(deleted)"));
        let (totals, currency) = (&row.totals, row.currency);
        let _ = write!(
            page,
            "<tr><td>{name}<td>{currency}<td class=\"n\">{}<td class=\"n\">{}",
            totals.subscriptions,
            money(totals.amount, currency)
        );
        if dry {
            let change = changed(totals.amount, totals.previous);
            let _ = write!(page, "<td class=\"n\">{}<td class=\"n\">{change}", money(totals.previous, currency));
        }
    }
    page.push_str("</table>");
    if dry {
        let _ = write!(page, "<table><caption>{total} subscriptions stand out</caption>");
        page.push_str(
            "<tr><th>Subscription<th>Currency<th class=\"n\">Amount<th class=\"n\">Before<th class=\"n\">Change",
        );
        for one in outliers {
            let (amount, before) = (money(one.amount, one.currency), money(one.previous, one.currency));
            let change = changed(one.amount, one.previous);
            let (subscription, currency) = (one.subscription, one.currency);
            let _ = write!(
                page,
                "<tr><td>{subscription}<td>{currency}<td class=\"n\">{amount}<td class=\"n\">{before}<td class=\"n\">{change}"
            );
        }
        page.push_str("</table>");
    }
    page
}

/// With a point before the minor units.
fn money(cents: MinorUnits, currency: Currency) -> String {
    let places = usize::try_from(currency.exponent()).unwrap_or(0);
    let digits = format!("{:0>width$}", cents.0.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if cents.0 < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// In whole percent, down towards nothing.
fn changed(amount: MinorUnits, previous: MinorUnits) -> String {
    if previous.0 <= 0 {
        return "–".to_owned();
    }
    let percent = i128::from(amount.0 - previous.0) * 100 / i128::from(previous.0);
    let class = if percent < 0 { "down" } else { "up" };
    format!("<span class=\"{class}\">{percent:+} %</span>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(report), components(schemas(Form)))]
pub(super) struct Document;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plans_name_is_neither_a_formula_nor_markup() {
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        let written = |cents, code: &str| money(MinorUnits(cents), code.parse().unwrap());
        assert_eq!(
            (written(-5, "USD"), written(5, "JPY"), written(12_345, "KWD")),
            ("-0.05".into(), "5".into(), "12.345".into())
        );
    }

    #[test]
    fn a_change_is_told_in_percent_of_what_was_before() {
        assert!(changed(MinorUnits(150), MinorUnits(100)).contains("+50 %"));
        assert!(changed(MinorUnits(1), MinorUnits(100)).contains("-99 %"));
        assert_eq!(changed(MinorUnits(5), MinorUnits(0)), "–");
    }
}

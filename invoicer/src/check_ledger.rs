//! Whether every sum and balance of the ledger adds up: invoices against their fees, taxes and credits, numbers against counters, fees
//! against how far their subscriptions are billed, runs against what they wrote.
//!
//! It trusts nothing that another rule has not shown, and repairs nothing. What it reads is what is committed when each rule looks:
//! on a ledger that is being written a run that commits between two rules can show as a problem that the next look does not find.
//!
//! Cost: most rules are one grouped scan in the database; taxes are worked out again here, a thousand invoices at a time.

use crate::ledger::LedgerError;
use crate::ledger::bulk::{placeholders, query_with};
use crate::tax::{AppliedTax, TaxLine, Taxed, taxes_of};
use catalog::Database;
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::HashMap;
use utoipa::ToSchema;

mod credit_rules;
mod threshold_rules;

/// Problems told of each rule; the rest is counted.
const TOLD: usize = 100;
/// Invoices whose taxes are worked out at once.
const PAGE: i64 = 1000;

/// Something that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerProblem {
    /// Which rule is broken.
    pub rule: &'static str,
    /// By what: a kind of row and its id.
    pub what: String,
    /// How.
    pub why: String,
}

/// What a look at the whole ledger found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerReport {
    /// Whether everything adds up.
    pub holds: bool,
    /// Invoices looked at.
    pub invoices: i64,
    /// Fees looked at.
    pub fees: i64,
    /// Problems found.
    pub problems_total: usize,
    /// At most 100 of each rule.
    pub problems: Vec<LedgerProblem>,
}

/// A rule as a query of what breaks it: columns `what` and `why`, both texts.
struct Rule {
    name: &'static str,
    broken: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "subtotal is the sum of the fees (I5)",
        broken: "SELECT 'invoice ' || i.id AS what, 'subtotal is ' || CAST(i.subtotal_cents AS TEXT) || ', its fees come to '
                || CAST(COALESCE(SUM(f.amount_cents), 0) AS TEXT) AS why
            FROM invoices i LEFT JOIN fees f ON f.invoice_id = i.id GROUP BY i.id, i.subtotal_cents
            HAVING i.subtotal_cents <> COALESCE(SUM(f.amount_cents), 0)",
    },
    Rule {
        name: "total is what subtotal, taxes and credits come to (I5)",
        broken: "SELECT 'invoice ' || id AS what, 'total is ' || CAST(total_cents AS TEXT) AS why FROM invoices
            WHERE total_cents <> subtotal_cents - coupons_cents + tax_cents - progressive_credit_cents - credit_notes_cents
                - prepaid_credit_cents",
    },
    Rule {
        name: "a fee is on an invoice of its organization, customer and currency (I8)",
        broken: "SELECT 'fee ' || f.id AS what, 'its invoice is ' || COALESCE(f.invoice_id, 'nowhere') AS why
            FROM fees f LEFT JOIN invoices i ON i.id = f.invoice_id
            WHERE (i.id IS NULL AND (f.invoice_id IS NOT NULL OR f.in_advance IS NULL))
                OR i.organization_id <> f.organization_id OR i.customer_id <> f.customer_id OR i.currency <> f.currency",
    },
    Rule {
        name: "a fee is voided when its invoice is",
        broken: "SELECT 'fee ' || f.id AS what, 'its invoice is ' || i.status AS why FROM fees f
            JOIN invoices i ON i.id = f.invoice_id WHERE (i.status = 'voided') <> (f.voided = 1)",
    },
    Rule {
        name: "an invoice is paid at an instant, or it is not paid",
        broken: "SELECT 'invoice ' || id AS what, 'status is ' || status AS why FROM invoices
            WHERE (status = 'paid') <> (paid_at IS NOT NULL) OR (status = 'voided') <> (voided_at IS NOT NULL)",
    },
    Rule {
        name: "settlements do not exceed what is due (I7)",
        broken: "SELECT 'invoice ' || i.id AS what, 'settled are ' || CAST(SUM(s.amount_cents) AS TEXT) || ' of '
                || CAST(i.total_cents AS TEXT) AS why
            FROM invoices i JOIN invoice_settlements s ON s.invoice_id = i.id GROUP BY i.id, i.total_cents
            HAVING SUM(s.amount_cents) > i.total_cents",
    },
    Rule {
        name: "numbers have no gaps",
        broken: "SELECT 'numbers ' || number_prefix || ' of organization ' || organization_id AS what,
                CAST(COUNT(DISTINCT number) AS TEXT) || ' numbers from ' || CAST(MIN(number) AS TEXT) || ' to '
                || CAST(MAX(number) AS TEXT) AS why
            FROM invoices WHERE number IS NOT NULL GROUP BY organization_id, number_prefix
            HAVING MAX(number) - MIN(number) + 1 <> COUNT(DISTINCT number) OR COUNT(number) <> COUNT(DISTINCT number)",
    },
    Rule {
        name: "an organization's counter is its last number",
        broken: "SELECT 'counter ' || c.prefix || ' of organization ' || c.organization_id AS what,
                'counter is ' || CAST(c.last_number AS TEXT) || ', last number ' || CAST(COALESCE(MAX(i.number), 0) AS TEXT) AS why
            FROM invoice_counters c LEFT JOIN invoices i ON i.organization_id = c.organization_id AND i.billing_entity = ''
                AND i.number_prefix = c.prefix
            GROUP BY c.organization_id, c.prefix, c.last_number HAVING c.last_number <> COALESCE(MAX(i.number), 0)",
    },
    Rule {
        name: "a billing entity's next number follows its last",
        broken: "SELECT 'billing entity ' || e.id AS what, 'next number is ' || CAST(e.next_invoice_number AS TEXT)
                || ', last ' || CAST(COALESCE(MAX(i.number), 0) AS TEXT) AS why
            FROM billing_entities e LEFT JOIN invoices i ON i.billing_entity = e.id
            WHERE e.numbers_taken = 1 GROUP BY e.id, e.next_invoice_number
            HAVING e.next_invoice_number <> COALESCE(MAX(i.number), 0) + 1",
    },
    Rule {
        name: "no instant of a line is billed twice (I4)",
        broken: "SELECT 'fee ' || b.id AS what, 'it begins before fee ' || a.id || ' of the same line ends' AS why
            FROM fees a JOIN fees b ON b.subscription_id = a.subscription_id AND b.fee_type = a.fee_type
                AND b.charge_id = a.charge_id AND b.line_hash = a.line_hash AND b.period_start > a.period_start
                AND b.period_start < a.period_end
            WHERE a.voided = 0 AND b.voided = 0 AND a.fee_type IN ('subscription', 'charge', 'commitment')",
    },
    Rule {
        name: "a subscription is billed as far as its fees reach (I4)",
        broken: "SELECT 'fee ' || f.id AS what, 'its subscription is not marked as billed to its end' AS why FROM fees f
            WHERE f.voided = 0 AND f.fee_type IN ('subscription', 'charge', 'commitment') AND f.period_start < f.period_end
                AND f.in_advance IS NULL
                AND NOT EXISTS (SELECT 1 FROM billing_frontiers b WHERE b.subscription_id = f.subscription_id
                    AND b.part = CASE f.fee_type WHEN 'subscription' THEN 'plan_fee' WHEN 'charge' THEN 'usage'
                        ELSE 'commitment' END
                    AND b.starts_at <= f.period_start AND b.until_at >= f.period_end)",
    },
    Rule {
        name: "invoices are as many of each status as were noted",
        broken: "SELECT 'organization ' || organization_id AS what, CAST(SUM(change) AS TEXT) || ' are noted as ' || status || ', there are '
                || CAST(SUM(invoices) AS TEXT) AS why
            FROM (SELECT organization_id, status, change, 0 AS invoices FROM invoice_tallies
                UNION ALL SELECT organization_id, status, 0, 1 FROM invoices) AS noted
            GROUP BY organization_id, status HAVING SUM(change) <> SUM(invoices)",
    },
    Rule {
        name: "a run made the invoices it counts",
        broken: "SELECT 'billing run ' || r.id AS what, 'it counts ' || CAST(r.invoices_created AS TEXT) || ' invoices, there are '
                || CAST(COUNT(i.id) AS TEXT) AS why
            FROM billing_runs r LEFT JOIN invoices i ON i.run_id = r.id WHERE r.dry_run = 0
            GROUP BY r.id, r.invoices_created HAVING r.invoices_created <> COUNT(i.id)",
    },
];

/// Looks at everything.
///
/// # Errors
/// When the ledger cannot be read. What is off is an answer, not an error.
pub async fn check_ledger(database: &Database) -> Result<LedgerReport, LedgerError> {
    let mut report = LedgerReport {
        invoices: count(database, "SELECT COUNT(*) FROM invoices").await?,
        fees: count(database, "SELECT COUNT(*) FROM fees").await?,
        ..LedgerReport::default()
    };
    for rule in RULES.iter().chain(credit_rules::RULES).chain(threshold_rules::RULES) {
        let rows = sqlx::query(rule.broken).fetch_all(database.pool()).await?;
        report.problems_total += rows.len();
        for row in rows.iter().take(TOLD) {
            report.problems.push(LedgerProblem {
                rule: rule.name,
                what: row.try_get("what")?,
                why: row.try_get("why")?,
            });
        }
    }
    check_taxes(database, &mut report).await?;
    report.holds = report.problems_total == 0;
    Ok(report)
}

async fn count(database: &Database, sql: &'static str) -> Result<i64, LedgerError> {
    Ok(sqlx::query(sql).fetch_one(database.pool()).await?.try_get(0)?)
}

struct TaxedInvoice {
    id: String,
    tax_cents: i64,
    lines: Vec<TaxLine>,
}

/// The taxes of every invoice from the rates on its fees, by the function that bills.
async fn check_taxes(database: &Database, report: &mut LedgerReport) -> Result<(), LedgerError> {
    let mut after = String::new();
    loop {
        let page = "SELECT id, tax_cents, taxes FROM invoices WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = sqlx::query(page).bind(after.clone()).bind(PAGE).fetch_all(database.pool()).await?;
        let invoices = rows.iter().map(taxed_invoice).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = invoices.last() else { return Ok(()) };
        after.clone_from(&last.id);
        let mut fees = fees_of(database, &invoices, report).await?;
        for invoice in &invoices {
            let own = fees.remove(&invoice.id).unwrap_or_default();
            if let Some(why) = wrong_tax(invoice, &own)? {
                note(
                    report,
                    "taxes are what the rates on the fees come to (I5)",
                    format!("invoice {}", invoice.id),
                    why,
                );
            }
        }
    }
}

fn taxed_invoice(row: &AnyRow) -> Result<TaxedInvoice, LedgerError> {
    Ok(TaxedInvoice {
        id: row.try_get("id")?,
        tax_cents: row.try_get("tax_cents")?,
        lines: serde_json::from_str(row.try_get("taxes")?)?,
    })
}

type TaxedFee = (MinorUnits, Quantity, Vec<AppliedTax>);
type TaxedFees = HashMap<String, Vec<TaxedFee>>;

async fn fees_of(
    database: &Database,
    invoices: &[TaxedInvoice],
    report: &mut LedgerReport,
) -> Result<TaxedFees, LedgerError> {
    let list = placeholders(0, invoices.len());
    let ids: Vec<String> = invoices.iter().map(|invoice| invoice.id.clone()).collect();
    let sql = format!(
        "SELECT id, invoice_id, amount_cents, coupons, tax_cents, taxes FROM fees
         WHERE invoice_id IN ({list}) AND (tax_cents <> 0 OR taxes <> '[]')"
    );
    let mut fees = TaxedFees::new();
    for row in query_with(sql, &ids).fetch_all(database.pool()).await? {
        let amount = MinorUnits(row.try_get("amount_cents")?);
        let taxes: Vec<AppliedTax> = serde_json::from_str(row.try_get("taxes")?)?;
        let text: &str = row.try_get("coupons")?;
        let coupons = Quantity::parse(text).map_err(|_| LedgerError::corrupt("fees.coupons", text))?;
        let taxed = Taxed { amount, coupons: &coupons, taxes: &taxes };
        let (stored, again) = (row.try_get::<i64, _>("tax_cents")?, taxed.rounded_tax()?.0);
        if stored != again {
            let id: String = row.try_get("id")?;
            let why = format!("tax is {stored}, its rates come to {again}");
            note(report, "a fee's tax is what its rates come to", format!("fee {id}"), why);
        }
        fees.entry(row.try_get("invoice_id")?).or_default().push((amount, coupons, taxes));
    }
    Ok(fees)
}

fn wrong_tax(invoice: &TaxedInvoice, fees: &[TaxedFee]) -> Result<Option<String>, MoneyError> {
    let taxed = fees.iter().map(|(amount, coupons, taxes)| Taxed { amount: *amount, coupons, taxes });
    let again = taxes_of(taxed)?;
    if again.amount.0 != invoice.tax_cents {
        return Ok(Some(format!("taxes are {}, the rates come to {}", invoice.tax_cents, again.amount)));
    }
    Ok((again.lines != invoice.lines).then(|| "the tax table is another than the rates make".to_owned()))
}

fn note(report: &mut LedgerReport, rule: &'static str, what: String, why: String) {
    report.problems_total += 1;
    if report.problems.iter().filter(|problem| problem.rule == rule).count() < TOLD {
        report.problems.push(LedgerProblem { rule, what, why });
    }
}

#[cfg(test)]
#[path = "check_ledger/tests.rs"]
mod tests;
#[cfg(test)]
#[cfg(postgres_installed)]
#[allow(clippy::duplicate_mod, clippy::unwrap_used)] // One text, two databases.
#[path = "check_ledger/tests.rs"]
mod tests_on_postgres;

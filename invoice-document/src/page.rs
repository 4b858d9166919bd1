//! A document as the template reads it: texts only, money and dates already written.

use crate::locale::Labels;
use crate::typesetting::logo_name;
use crate::{Document, Kind, Line, Section, Standing};
use domain::money::MinorUnits;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Page<'a> {
    title: String,
    heading: String,
    stamp: Option<&'static str>,
    number: &'a str,
    language: &'static str,
    currency: String,
    labels: &'static Labels,
    issuer: Vec<String>,
    customer: &'a [String],
    facts: Vec<[String; 2]>,
    sections: Vec<PageSection<'a>>,
    sums: Vec<[String; 2]>,
    due: [String; 2],
    taxes: Vec<[String; 4]>,
    footer: &'a str,
    note: String,
    logo: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct PageSection<'a> {
    title: &'a str,
    period: String,
    charges: Vec<PageCharge<'a>>,
    /// Of more than one line.
    sum: Option<String>,
}

/// Lines that follow one another.
#[derive(Debug, Serialize)]
struct PageCharge<'a> {
    /// What its lines share and do not repeat; none for a line that is alone.
    heading: Option<&'a str>,
    rows: Vec<PageRow<'a>>,
}

#[derive(Debug, Serialize)]
struct PageRow<'a> {
    description: &'a str,
    detail: &'a str,
    quantity: String,
    unit_price: String,
    amount: String,
}

impl<'a> Page<'a> {
    pub(crate) fn of(document: &'a Document) -> Self {
        let (locale, labels) = (document.locale, document.locale.labels);
        let money = |cents| locale.money(cents, document.currency);
        let stamp = match document.standing {
            Standing::Draft => Some(labels.draft),
            Standing::Paid => Some(labels.paid),
            Standing::Voided => Some(labels.voided),
            Standing::Open => None,
        };
        let mut issuer = document.issuer.clone();
        issuer.extend(document.tax_number.as_ref().map(|number| format!("{} {number}", labels.tax_number)));
        let rates = document.taxes.iter().map(|row| {
            [
                row.name.clone(),
                locale.percent(&row.rate),
                locale.amount(row.base, document.currency),
                locale.amount(row.amount, document.currency),
            ]
        });
        Self {
            title: heading(document),
            heading: heading(document),
            stamp,
            number: &document.number,
            language: locale.language,
            currency: document.currency.to_string(),
            labels,
            issuer,
            customer: &document.customer,
            facts: facts(document),
            sections: document.sections.iter().map(|section| page_section(document, section)).collect(),
            sums: sums(document),
            due: [due_label(document).to_owned(), money(document.sums.total)],
            taxes: rates.collect(),
            footer: &document.footer,
            note: note(document),
            logo: document.logo.as_ref().and_then(logo_name),
        }
    }
}

fn heading(document: &Document) -> String {
    let labels = document.locale.labels;
    let what = if document.kind == Kind::Invoice { labels.invoice } else { labels.credit_note };
    format!("{what} {}", document.number)
}

fn due_label(document: &Document) -> &'static str {
    let labels = document.locale.labels;
    if document.kind == Kind::Invoice { labels.amount_due } else { labels.amount_credited }
}

/// Where a credit note's total goes.
fn note(document: &Document) -> String {
    let Kind::CreditNote { credit, refund, offset, .. } = &document.kind else { return String::new() };
    let labels = document.locale.labels;
    let parts = [(labels.later_invoices, credit), (labels.paid_back, refund), (labels.off_invoice, offset)];
    let told = parts.into_iter().filter(|(_, cents)| **cents != MinorUnits::ZERO);
    let written = told.map(|(label, cents)| format!("{label}: {}", document.locale.money(*cents, document.currency)));
    written.collect::<Vec<_>>().join(" · ")
}

fn facts(document: &Document) -> Vec<[String; 2]> {
    let (locale, labels) = (document.locale, document.locale.labels);
    let number = if document.kind == Kind::Invoice { labels.number } else { labels.note_number };
    let mut facts = vec![[number.to_owned(), document.number.clone()]];
    if let Kind::CreditNote { invoice, .. } = &document.kind {
        facts.push([labels.of_invoice.to_owned(), invoice.clone()]);
    }
    facts.extend(document.issued.as_ref().map(|day| [labels.issued.to_owned(), locale.date(day)]));
    facts.extend(document.due.as_ref().map(|day| [labels.due.to_owned(), locale.date(day)]));
    facts.extend(document.period.as_ref().map(|days| [labels.period.to_owned(), between(document, days)]));
    facts
}

fn between(document: &Document, (first, last): &(String, String)) -> String {
    format!("{} – {}", document.locale.date(first), document.locale.date(last))
}

fn page_section<'a>(document: &'a Document, section: &'a Section) -> PageSection<'a> {
    let title = if section.title.is_empty() { document.locale.labels.other } else { &section.title };
    // For showing only: what is owed stands in the ledger.
    let sum = section.lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount.0));
    PageSection {
        title,
        period: section.period.as_ref().map(|days| between(document, days)).unwrap_or_default(),
        charges: section
            .lines
            .chunk_by(|one, next| one.description == next.description && has_detail(one) && has_detail(next))
            .map(|lines| page_charge(document, lines))
            .collect(),
        sum: (section.lines.len() > 1).then(|| document.locale.amount(MinorUnits(sum), document.currency)),
    }
}

fn has_detail(line: &Line) -> bool {
    !line.detail.is_empty()
}

fn page_charge<'a>(document: &'a Document, lines: &'a [Line]) -> PageCharge<'a> {
    match lines {
        [first, _, ..] => PageCharge {
            heading: Some(&first.description),
            rows: lines.iter().map(|line| page_row(document, (&line.detail, ""), line)).collect(),
        },
        _ => PageCharge {
            heading: None,
            rows: lines.iter().map(|line| page_row(document, (&line.description, &line.detail), line)).collect(),
        },
    }
}

fn page_row<'a>(document: &'a Document, (description, detail): (&'a str, &'a str), line: &'a Line) -> PageRow<'a> {
    let (locale, currency) = (document.locale, document.currency);
    PageRow {
        description,
        detail,
        quantity: locale.number(&line.units),
        unit_price: if line.units.is_empty() { String::new() } else { locale.price(&line.unit_amount, currency) },
        amount: locale.amount(line.amount, currency),
    }
}

/// Subtotal, then whatever is not nothing.
fn sums(document: &Document) -> Vec<[String; 2]> {
    let (sums, labels) = (&document.sums, document.locale.labels);
    let written = |cents: MinorUnits| document.locale.money(cents, document.currency);
    let mut rows = vec![[labels.subtotal.to_owned(), written(sums.subtotal)]];
    let others = [
        (labels.coupons, MinorUnits(-sums.coupons.0)),
        (labels.taxes, sums.taxes),
        (labels.progressive_credit, MinorUnits(-sums.progressive_credit.0)),
        (labels.credit_notes, MinorUnits(-sums.credit_notes.0)),
        (labels.prepaid_credit, MinorUnits(-sums.prepaid_credit.0)),
    ];
    let told = others.into_iter().filter(|(_, cents)| *cents != MinorUnits::ZERO);
    rows.extend(told.map(|(label, cents)| [label.to_owned(), written(cents)]));
    rows
}

//! An invoice, or a credit note, as the page to send: what stands in the ledger, with the names and addresses that the catalog says now.
//!
//! Lines are grouped by subscription, in the order of the invoice. Days are those of the customer's timezone; a period is shown
//! with its last day. It refuses to fetch anything: a logo is printed when the organization's `logo_url` holds the picture itself
//! (a `data:` address), never from the network.

use crate::credits::note::NoteItem;
use crate::ledger::LedgerError;
use crate::ledger::credit_notes::StoredNote;
use crate::ledger::fees::StoredFee;
use crate::ledger::invoices::StoredInvoice;
use crate::model::InvoiceStatus;
use crate::tax::{TaxLine, rounded_sum};
use base64::Engine;
use catalog::billing_entity::wire::BillingEntityRecord;
use catalog::customer::wire::CustomerRecord;
use catalog::organization::wire::OrganizationRecord;
use chrono_tz::Tz;
use domain::ids::SubscriptionId;
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use invoice_document::locale::Locale;
use invoice_document::{Document, Kind, Line, Logo, Section, Standing, Sums, TaxRow};
use rater::RatingView;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Whose names and addresses are on the page.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Issues it where no entity does; its logo is printed.
    pub organization: &'a OrganizationRecord,
    /// Issues it.
    pub entity: Option<&'a BillingEntityRecord>,
    /// Owes it.
    pub customer: &'a CustomerRecord,
    /// For the names of plans and subscriptions.
    pub view: &'a RatingView,
}

/// The page of an invoice.
///
/// # Errors
/// When the ledger holds what cannot be read.
pub fn page_of(invoice: &StoredInvoice, names: &Names<'_>) -> Result<Document, LedgerError> {
    let zone: Tz = names.customer.timezone.parse().unwrap_or(Tz::UTC);
    let locale = names.entity.map_or("en", |entity| entity.document.document_locale.as_str());
    let issued = Some(invoice.issued_at).filter(|at| *at < Timestamp::LATEST);
    Ok(Document {
        kind: Kind::Invoice,
        locale: Locale::of(locale),
        number: invoice.number.clone().unwrap_or_else(|| format!("DRAFT-{}", invoice.id)),
        standing: match invoice.status {
            InvoiceStatus::Draft => Standing::Draft,
            InvoiceStatus::Finalized => Standing::Open,
            InvoiceStatus::Paid => Standing::Paid,
            InvoiceStatus::Voided => Standing::Voided,
        },
        issued: issued.map(|at| day(zone, at)),
        due: Some(day(zone, invoice.due_date)),
        period: (invoice.period_start < invoice.period_end)
            .then(|| days(zone, invoice.period_start, invoice.period_end)),
        issuer: issuer_of(names),
        tax_number: names.entity.and_then(|entity| entity.document.tax_id.clone()),
        customer: customer_of(names.customer),
        currency: invoice.currency,
        sections: sections_of(invoice, names.view, zone)?,
        taxes: tax_rows(&invoice.taxes),
        sums: Sums {
            subtotal: invoice.subtotal,
            coupons: invoice.coupons,
            taxes: invoice.tax,
            progressive_credit: invoice.progressive_credit,
            credit_notes: invoice.credit_notes,
            prepaid_credit: invoice.prepaid_credit,
            total: invoice.total,
        },
        footer: names.entity.and_then(|entity| entity.document.invoice_footer.clone()).unwrap_or_default(),
        logo: names.organization.logo_url.as_deref().and_then(embedded),
    })
}

/// The page of a credit note over `invoice`, of whose fees it credits these amounts.
///
/// # Errors
/// When the ledger holds what cannot be read, or past 64 bits.
pub fn note_page_of(
    note: &StoredNote,
    items: &[NoteItem],
    invoice: &StoredInvoice,
    names: &Names<'_>,
) -> Result<Document, LedgerError> {
    let page = page_of(invoice, names)?;
    let zone: Tz = names.customer.timezone.parse().unwrap_or(Tz::UTC);
    let lines = note_lines(note, items, invoice)?;
    Ok(Document {
        kind: Kind::CreditNote { invoice: page.number, credit: note.credit, refund: note.refund, offset: note.offset },
        number: note.number.clone(),
        standing: if note.voided_at.is_some() { Standing::Voided } else { Standing::Open },
        issued: note.issued_at.map(|at| day(zone, at)),
        due: None,
        period: None,
        sections: vec![Section { title: note.description.clone().unwrap_or_default(), period: None, lines }],
        taxes: tax_rows(&note.sums.taxes),
        sums: Sums {
            subtotal: note.sums.net.plus(note.sums.coupons)?,
            coupons: note.sums.coupons,
            taxes: note.sums.tax,
            total: note.sums.total()?,
            ..Sums::default()
        },
        ..page
    })
}

/// Shares of fees may be exact decimals: what is shown of each is rounded so that the lines add up.
fn note_lines(note: &StoredNote, items: &[NoteItem], invoice: &StoredInvoice) -> Result<Vec<Line>, LedgerError> {
    let line = |description: String, amount: MinorUnits| Line {
        description,
        detail: String::new(),
        units: String::new(),
        unit_amount: String::new(),
        amount,
    };
    let (mut lines, mut exact, mut shown) = (Vec::new(), Quantity::ZERO, MinorUnits::ZERO);
    for item in items {
        let fee = invoice.fees.iter().find(|fee| fee.id == item.fee);
        exact += &item.amount;
        let so_far = rounded_sum(&exact)?;
        let title = fee.map(|fee| fee.description.clone()).unwrap_or_default();
        lines.push(line(title, so_far.plus(MinorUnits(-shown.0))?));
        shown = so_far;
    }
    if lines.is_empty() {
        lines.push(line(note.reason.clone(), note.sums.net.plus(note.sums.coupons)?));
    }
    Ok(lines)
}

fn tax_rows(taxes: &[TaxLine]) -> Vec<TaxRow> {
    let row = |line: &TaxLine| TaxRow {
        name: line.tax.tax_name.clone(),
        rate: line.tax.tax_rate.to_string(),
        base: line.base_amount_cents,
        amount: line.amount_cents,
    };
    taxes.iter().map(row).collect()
}

fn day(zone: Tz, instant: Timestamp) -> String {
    instant.to_chrono().with_timezone(&zone).date_naive().to_string()
}

/// First and last day of `[from, to)`.
fn days(zone: Tz, from: Timestamp, to: Timestamp) -> (String, String) {
    let last = Timestamp(to.0.saturating_sub(1)).max(from);
    (day(zone, from), day(zone, last))
}

fn issuer_of(names: &Names<'_>) -> Vec<String> {
    let Some(entity) = names.entity else { return vec![names.organization.name.clone()] };
    let document = &entity.document;
    let city = [&document.zip_code, &document.city, &document.state];
    let city: Vec<&str> = city.into_iter().flatten().map(String::as_str).collect();
    let mut lines = vec![document.legal_name.clone().unwrap_or_else(|| entity.name.clone())];
    lines.extend([&document.address_line1, &document.address_line2].into_iter().flatten().cloned());
    lines.push(city.join(" "));
    lines.extend([&document.country, &document.email].into_iter().flatten().cloned());
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// Parts of an address that a customer's free metadata may hold, in the order in which they are written.
const ADDRESS: [&[&str]; 4] =
    [&["address_line1", "address"], &["address_line2"], &["zip_code", "zipcode", "city", "state"], &["country"]];

fn customer_of(customer: &CustomerRecord) -> Vec<String> {
    let mut lines = vec![customer.name.clone()];
    for line in ADDRESS {
        let parts = line.iter().filter_map(|key| customer.billing_metadata.get(*key).and_then(Value::as_str));
        lines.push(parts.collect::<Vec<_>>().join(" "));
    }
    lines.extend(customer.email.clone());
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// Longest logo that is printed: pages are mailed.
const MAX_LOGO_BYTES: usize = 512 * 1024;

/// A picture that stands in the address itself.
fn embedded(url: &str) -> Option<Logo> {
    let (head, data) = url.strip_prefix("data:image/")?.split_once(',')?;
    if !head.ends_with(";base64") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim()).ok()?;
    (bytes.len() <= MAX_LOGO_BYTES).then_some(Logo { bytes })
}

fn sections_of(invoice: &StoredInvoice, view: &RatingView, zone: Tz) -> Result<Vec<Section>, LedgerError> {
    let mut sections: Vec<(Option<SubscriptionId>, Section, (Timestamp, Timestamp))> = Vec::new();
    for fee in &invoice.fees {
        let line = line_of(fee)?;
        match sections.iter_mut().find(|(subscription, ..)| *subscription == fee.subscription) {
            Some((_, section, (from, to))) => {
                section.lines.push(line);
                (*from, *to) = ((*from).min(fee.from), (*to).max(fee.to));
            }
            None => {
                let section = Section { title: title_of(fee, view), period: None, lines: vec![line] };
                sections.push((fee.subscription, section, (fee.from, fee.to)));
            }
        }
    }
    let finished = sections.into_iter().map(|(_, mut section, (from, to))| {
        section.period = (from < to).then(|| days(zone, from, to));
        section
    });
    Ok(finished.collect())
}

fn title_of(fee: &StoredFee, view: &RatingView) -> String {
    let Some(subscription) = fee.subscription.and_then(|id| view.subscription(id).ok()) else { return String::new() };
    let plan = fee.plan.unwrap_or(subscription.plan_id);
    match view.plan_version(plan, fee.versions.plan) {
        Ok(version) => format!("{} · {}", version.plan.name, subscription.external_id),
        Err(_) => subscription.external_id.clone(),
    }
}

fn line_of(fee: &StoredFee) -> Result<Line, LedgerError> {
    let properties: Map<String, Value> = serde_json::from_str(&fee.properties)?;
    let mut detail = String::new();
    for values in [properties.get("filter"), properties.get("group")].into_iter().flatten() {
        for (key, value) in values.as_object().into_iter().flatten() {
            let comma = if detail.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(detail, "{comma}{key}: {}", plain(value));
        }
    }
    Ok(Line {
        description: fee.description.clone(),
        detail,
        units: fee.units.clone(),
        unit_amount: fee.unit_amount.clone(),
        amount: fee.amount,
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        Value::Array(several) => several.iter().map(plain).collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_printed_only_when_the_address_holds_the_picture() {
        assert_eq!(
            embedded("data:image/png;base64,iVBORw0="),
            Some(Logo { bytes: vec![0x89, b'P', b'N', b'G', 0x0d] })
        );
        assert_eq!(embedded("https://example.com/logo.png"), None);
        assert_eq!(embedded("data:image/png,raw"), None);
    }

    #[test]
    fn a_period_is_shown_with_its_last_local_day() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let shown = days(Tz::Europe__Paris, at("2026-06-30T22:00:00Z"), at("2026-07-31T22:00:00Z"));
        assert_eq!(shown, ("2026-07-01".to_owned(), "2026-07-31".to_owned()));
    }
}

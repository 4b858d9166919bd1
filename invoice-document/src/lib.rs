//! An invoice or a credit note as a PDF: a page one would send.
//!
//! [`Document`] says what is on it, in the terms of the ledger; `Document::pdf` sets it with typst, where the crate is built with its
//! feature `typesetting` (typst takes minutes to compile). [`locale`] writes numbers,
//! money and dates; `template.typ` is the page.
//!
//! It refuses to look anything up, to reach the network, and to read a client's text as markup: texts reach the template as data.
//! The same document gives the same bytes: no clock is read.
//!
//! Fonts are those that come with typst (Latin, Greek, Cyrillic); a text in another script shows boxes.

pub mod locale;
#[cfg(feature = "typesetting")]
mod page;
#[cfg(feature = "typesetting")]
mod typesetting;

use domain::money::{Currency, MinorUnits};
use locale::Locale;

/// What the page is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Asks for money.
    #[default]
    Invoice,
    /// Takes some of an invoice back.
    CreditNote {
        /// The invoice's number.
        invoice: String,
        /// To be spent by later invoices.
        credit: MinorUnits,
        /// To be paid back in money.
        refund: MinorUnits,
        /// Off what was still due of the invoice.
        offset: MinorUnits,
    },
}

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// May still change.
    Draft,
    /// To be paid.
    Open,
    /// Settled.
    Paid,
    /// Taken back.
    Voided,
}

/// One line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Title.
    pub description: String,
    /// Filter, group, or what else tells it from others.
    pub detail: String,
    /// Exact decimal; empty where an amount stands by itself.
    pub units: String,
    /// Price of a unit in minor units, exact decimal; empty with the units.
    pub unit_amount: String,
    /// What is owed.
    pub amount: MinorUnits,
}

/// The lines of one subscription, or of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Plan and subscription; empty for lines that belong to none.
    pub title: String,
    /// First and last local day, `YYYY-MM-DD`.
    pub period: Option<(String, String)>,
    /// In order.
    pub lines: Vec<Line>,
}

/// One row of the tax table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxRow {
    /// Name.
    pub name: String,
    /// A fraction, exact decimal.
    pub rate: String,
    /// On how much.
    pub base: MinorUnits,
    /// How much.
    pub amount: MinorUnits,
}

/// What leads from the lines to what is due, each as it stands in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Σ lines.
    pub subtotal: MinorUnits,
    /// Taken off.
    pub coupons: MinorUnits,
    /// Added.
    pub taxes: MinorUnits,
    /// Taken off: billed before by thresholds.
    pub progressive_credit: MinorUnits,
    /// Taken off.
    pub credit_notes: MinorUnits,
    /// Taken off: paid from wallets.
    pub prepaid_credit: MinorUnits,
    /// What is due.
    pub total: MinorUnits,
}

/// A picture at the head of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// PNG, JPEG or SVG, told by its first bytes.
    pub bytes: Vec<u8>,
}

/// Everything on the page.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// How it is written.
    pub locale: Locale,
    /// Its number.
    pub number: String,
    /// Where it stands.
    pub standing: Standing,
    /// Local day of issue, `YYYY-MM-DD`; absent: not yet.
    pub issued: Option<String>,
    /// Local day by which to pay; a credit note has none.
    pub due: Option<String>,
    /// First and last local day.
    pub period: Option<(String, String)>,
    /// Name and address, a line each, the name first.
    pub issuer: Vec<String>,
    /// The issuer's tax number.
    pub tax_number: Option<String>,
    /// Name and address, a line each, the name first.
    pub customer: Vec<String>,
    /// Of all amounts.
    pub currency: Currency,
    /// At least one.
    pub sections: Vec<Section>,
    /// The tax table.
    pub taxes: Vec<TaxRow>,
    /// From the lines to what is due.
    pub sums: Sums,
    /// Printed on every page.
    pub footer: String,
    /// At the head.
    pub logo: Option<Logo>,
}

/// Why there is no PDF.
#[cfg(feature = "typesetting")]
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The page cannot be written as JSON.
    #[error("the invoice cannot be handed to the typesetter: {0}")]
    Data(#[from] serde_json::Error),
    /// typst refused; its first complaint.
    #[error("the invoice cannot be typeset: {0}")]
    Typesetting(String),
}

#[cfg(feature = "typesetting")]
impl Document {
    /// The PDF. Keeps a processor busy (some tens of milliseconds): call it where that may be.
    ///
    /// # Errors
    /// When the typesetter refuses, such as a logo that is no picture.
    pub fn pdf(&self) -> Result<Vec<u8>, DocumentError> {
        let data = serde_json::to_vec(&page::Page::of(self))?;
        typesetting::pdf(data, self.logo.as_ref(), &self.number)
    }
}

#[cfg(all(test, feature = "typesetting"))]
#[allow(clippy::unwrap_used)] // Of tests, where clippy allows it; by its path it does not see that.
#[path = "specimens.rs"]
mod specimens;

#[cfg(all(test, feature = "typesetting"))]
mod tests {
    use super::specimens::{credit_note, long, short};
    use super::*;

    fn pages(pdf: &[u8]) -> usize {
        let text = String::from_utf8_lossy(pdf);
        text.matches("/Type/Page").count() + text.matches("/Type /Page").count()
            - text.matches("/Type/Pages").count()
            - text.matches("/Type /Pages").count()
    }

    #[test]
    fn an_invoice_becomes_a_pdf_and_the_same_invoice_the_same_bytes() {
        let document = short();
        let pdf = document.pdf().unwrap();
        assert!(pdf.starts_with(b"%PDF-"), "{:?}", &pdf[..8]);
        assert_eq!(pages(&pdf), 1);
        assert_eq!(document.pdf().unwrap(), pdf);
    }

    #[test]
    fn a_credit_note_is_a_page_that_says_so_and_where_its_total_goes() {
        let note = credit_note();
        assert_eq!(pages(&note.pdf().unwrap()), 1);
        let page = serde_json::to_value(page::Page::of(&note)).unwrap();
        assert_eq!(page["heading"], "Credit note CN-000007");
        assert_eq!(page["due"], serde_json::json!(["Amount credited", "EUR\u{a0}529.20"]));
        let parts = "To be spent by later invoices: EUR\u{a0}400.00 · To be paid back: EUR\u{a0}129.20";
        assert_eq!(page["note"], parts);
        assert_eq!(page["facts"][1], serde_json::json!(["For invoice", "ACME-000042"]));
    }

    #[test]
    fn hundreds_of_lines_go_on_over_pages() {
        assert!(pages(&long(300).pdf().unwrap()) > 5);
    }

    #[test]
    fn texts_are_never_read_as_markup_and_a_broken_picture_is_said_so() {
        let mut document = short();
        document.customer[0] = "#panic(\"x\") $ * _ [ ] <a> \\ #import \"/etc/passwd\"".into();
        document.sections[0].lines[0].description = "= heading #read(\"/etc/passwd\")".into();
        document.pdf().unwrap();
        document.logo = Some(Logo { bytes: b"no picture".to_vec() });
        document.pdf().unwrap();
        document.logo = Some(Logo { bytes: vec![0x89, b'P', b'N', b'G', 1, 2, 3] });
        assert!(matches!(document.pdf(), Err(DocumentError::Typesetting(_))));
    }
}

//! Writes two invoices and a credit note to look at: `cargo run -p invoice-document --example specimen -- DIRECTORY`.
#![allow(clippy::unwrap_used, missing_docs)]

use domain::money::MinorUnits;
use invoice_document::locale::Locale;
use invoice_document::{Document, Kind, Line, Logo, Section, Standing, Sums, TaxRow};

#[path = "../src/specimens.rs"]
mod specimens;

fn main() {
    let directory = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let all = [("short", specimens::short()), ("long", specimens::long(300)), ("note", specimens::credit_note())];
    for (name, document) in all {
        let started = std::time::Instant::now();
        let pdf = document.pdf().unwrap();
        println!("{name}: {} bytes in {:?}", pdf.len(), started.elapsed());
        std::fs::write(directory.join(format!("{name}.pdf")), pdf).unwrap();
    }
}

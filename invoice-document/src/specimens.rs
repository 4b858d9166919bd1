//! Invoices to look at: for tests and `examples/specimen.rs`.

use super::{Document, Kind, Line, Locale, Logo, MinorUnits, Section, Standing, Sums, TaxRow};

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="220" height="60"><rect width="60" height="60" rx="12" fill="#1d4ed8"/><path d="M14 40 L30 16 L46 40 Z" fill="white"/><text x="74" y="40" font-size="30" fill="#111">Acme</text></svg>"##;

fn line(description: &str, detail: &str, units: &str, unit_amount: &str, cents: i64) -> Line {
    Line {
        description: description.into(),
        detail: detail.into(),
        units: units.into(),
        unit_amount: unit_amount.into(),
        amount: MinorUnits(cents),
    }
}

/// One page, two subscriptions, two taxes, a logo.
pub fn short() -> Document {
    let july = Some(("2026-07-01".to_owned(), "2026-07-31".to_owned()));
    Document {
        kind: Kind::Invoice,
        locale: Locale::of("en"),
        number: "ACME-000042".into(),
        standing: Standing::Open,
        issued: Some("2026-08-01".into()),
        due: Some("2026-08-31".into()),
        period: july.clone(),
        issuer: ["Acme Metering GmbH", "Lindenstraße 12", "10969 Berlin", "DE", "billing@acme.example"]
            .map(Into::into)
            .into(),
        tax_number: Some("DE 123 456 789".into()),
        customer: ["Ada Lovelace & Søns A/S", "12 St James’s Square", "London SW1Y 4LB", "GB"].map(Into::into).into(),
        currency: "EUR".parse().unwrap(),
        sections: vec![
            Section {
                title: "Pro · ada-production".into(),
                period: july.clone(),
                lines: vec![
                    line("Pro", "", "1", "4900", 4_900),
                    line("API calls", "region: eu", "1234567", "0.4", 493_827),
                    line("API calls", "region: us", "98000.5", "0.45", 44_100),
                    line("Storage (up to the minimum)", "", "1", "173", 173),
                ],
            },
            Section {
                title: "Basic · ada-staging".into(),
                period: july,
                lines: vec![line("Basic", "", "1", "1000", 1_000), line("Storage (late usage)", "", "-3", "100", -300)],
            },
        ],
        taxes: vec![
            TaxRow { name: "VAT".into(), rate: "0.2".into(), base: MinorUnits(543_700), amount: MinorUnits(108_740) },
            TaxRow {
                name: "Digital levy".into(),
                rate: "0.0088755".into(),
                base: MinorUnits(4_900),
                amount: MinorUnits(43),
            },
        ],
        sums: Sums {
            subtotal: MinorUnits(543_700),
            taxes: MinorUnits(108_783),
            total: MinorUnits(652_483),
            ..Sums::default()
        },
        footer: "Acme Metering GmbH · HRB 12345 B · IBAN DE02 1203 0000 0000 2020 51".into(),
        logo: Some(Logo { bytes: LOGO.as_bytes().to_vec() }),
    }
}

/// So many lines, in German.
pub fn long(lines: usize) -> Document {
    let mut document = short();
    document.locale = Locale::of("de");
    document.standing = Standing::Paid;
    let several = (0..lines).map(|number| {
        line("Nachrichten", &format!("Land: {number:03}"), &format!("{}", number * 1_999), "1.25", 250_000)
    });
    document.sections[0].lines = several.collect();
    document
}

/// Part of [`short`], taken back.
pub fn credit_note() -> Document {
    let of = short();
    Document {
        kind: Kind::CreditNote {
            invoice: of.number.clone(),
            credit: MinorUnits(40_000),
            refund: MinorUnits(12_920),
            offset: MinorUnits::ZERO,
        },
        number: "CN-000007".into(),
        issued: Some("2026-08-12".into()),
        due: None,
        period: None,
        sections: vec![Section {
            title: "Wrong price for the first week of July".into(),
            period: None,
            lines: vec![line("API calls", "", "", "", 44_100)],
        }],
        taxes: vec![TaxRow {
            name: "VAT".into(),
            rate: "0.2".into(),
            base: MinorUnits(44_100),
            amount: MinorUnits(8_820),
        }],
        sums: Sums {
            subtotal: MinorUnits(44_100),
            taxes: MinorUnits(8_820),
            total: MinorUnits(52_920),
            ..Sums::default()
        },
        ..of
    }
}

//! Numbers, money and dates as people of a locale write them. Decimal text in, text out: no float is near.

use domain::catalog::RoundingFunction;
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use serde::Serialize;

/// The texts of the page.
#[allow(missing_docs, reason = "each is named by its English text")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Labels {
    pub invoice: &'static str,
    pub off_invoice: &'static str,
    pub paid_back: &'static str,
    pub later_invoices: &'static str,
    pub amount_credited: &'static str,
    pub of_invoice: &'static str,
    pub note_number: &'static str,
    pub credit_note: &'static str,
    pub draft: &'static str,
    pub paid: &'static str,
    pub voided: &'static str,
    pub number: &'static str,
    pub issued: &'static str,
    pub due: &'static str,
    pub period: &'static str,
    pub bill_to: &'static str,
    pub description: &'static str,
    pub quantity: &'static str,
    pub unit_price: &'static str,
    pub amount: &'static str,
    pub section_sum: &'static str,
    pub subtotal: &'static str,
    pub coupons: &'static str,
    pub taxes: &'static str,
    pub progressive_credit: &'static str,
    pub credit_notes: &'static str,
    pub prepaid_credit: &'static str,
    pub amount_due: &'static str,
    pub tax: &'static str,
    pub tax_rate: &'static str,
    pub tax_base: &'static str,
    pub tax_amount: &'static str,
    pub tax_number: &'static str,
    pub page: &'static str,
    pub other: &'static str,
}

const ENGLISH: Labels = Labels {
    invoice: "Invoice",
    off_invoice: "Off what was due of the invoice",
    paid_back: "To be paid back",
    later_invoices: "To be spent by later invoices",
    amount_credited: "Amount credited",
    of_invoice: "For invoice",
    note_number: "Credit note number",
    credit_note: "Credit note",
    draft: "Draft",
    paid: "Paid",
    voided: "Voided",
    number: "Invoice number",
    issued: "Date of issue",
    due: "Date due",
    period: "Billing period",
    bill_to: "Bill to",
    description: "Description",
    quantity: "Quantity",
    unit_price: "Unit price",
    amount: "Amount",
    section_sum: "Sum",
    subtotal: "Subtotal",
    coupons: "Coupons",
    taxes: "Taxes",
    progressive_credit: "Billed before",
    credit_notes: "Credit notes",
    prepaid_credit: "Prepaid credit",
    amount_due: "Amount due",
    tax: "Tax",
    tax_rate: "Rate",
    tax_base: "On",
    tax_amount: "Tax amount",
    tax_number: "Tax number",
    page: "Page",
    other: "Other items",
};

const GERMAN: Labels = Labels {
    invoice: "Rechnung",
    off_invoice: "Von der Rechnung abgezogen",
    paid_back: "Wird zurückgezahlt",
    later_invoices: "Für spätere Rechnungen",
    amount_credited: "Gutgeschrieben",
    of_invoice: "Zu Rechnung",
    note_number: "Gutschriftsnummer",
    credit_note: "Gutschrift",
    draft: "Entwurf",
    paid: "Bezahlt",
    voided: "Storniert",
    number: "Rechnungsnummer",
    issued: "Rechnungsdatum",
    due: "Zahlbar bis",
    period: "Abrechnungszeitraum",
    bill_to: "Rechnung an",
    description: "Bezeichnung",
    quantity: "Menge",
    unit_price: "Einzelpreis",
    amount: "Betrag",
    section_sum: "Summe",
    subtotal: "Zwischensumme",
    coupons: "Gutscheine",
    taxes: "Steuern",
    progressive_credit: "Bereits berechnet",
    credit_notes: "Gutschriften",
    prepaid_credit: "Guthaben",
    amount_due: "Zahlbetrag",
    tax: "Steuer",
    tax_rate: "Satz",
    tax_base: "Auf",
    tax_amount: "Steuerbetrag",
    tax_number: "Steuernummer",
    page: "Seite",
    other: "Weitere Posten",
};

const FRENCH: Labels = Labels {
    invoice: "Facture",
    off_invoice: "Déduit de la facture",
    paid_back: "À rembourser",
    later_invoices: "À valoir sur les prochaines factures",
    amount_credited: "Montant crédité",
    of_invoice: "Pour la facture",
    note_number: "Numéro d’avoir",
    credit_note: "Avoir",
    draft: "Brouillon",
    paid: "Payée",
    voided: "Annulée",
    number: "Numéro de facture",
    issued: "Date d’émission",
    due: "Date d’échéance",
    period: "Période de facturation",
    bill_to: "Facturé à",
    description: "Désignation",
    quantity: "Quantité",
    unit_price: "Prix unitaire",
    amount: "Montant",
    section_sum: "Somme",
    subtotal: "Sous-total",
    coupons: "Remises",
    taxes: "Taxes",
    progressive_credit: "Déjà facturé",
    credit_notes: "Avoirs",
    prepaid_credit: "Crédit prépayé",
    amount_due: "Montant dû",
    tax: "Taxe",
    tax_rate: "Taux",
    tax_base: "Base",
    tax_amount: "Montant de la taxe",
    tax_number: "Numéro fiscal",
    page: "Page",
    other: "Autres lignes",
};

/// How a locale writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locale {
    /// The texts of the page.
    pub labels: &'static Labels,
    /// ISO 639, for hyphens and readers of the screen.
    pub language: &'static str,
    group: &'static str,
    point: &'static str,
    /// Day before month, with dots or slashes; else year first.
    date: DateForm,
    /// Whether the currency comes before the amount.
    currency_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateForm {
    YearFirst,
    Dots,
    Slashes,
}

/// No break between groups of digits, nor between an amount and its currency.
const NARROW_SPACE: &str = "\u{202f}";
const SPACE: &str = "\u{a0}";

impl Locale {
    /// The locale of a tag such as `de` or `fr-CA`; what is not known is English, with dates that cannot be misread.
    #[must_use]
    pub fn of(tag: &str) -> Self {
        let lower = tag.to_ascii_lowercase().replace('_', "-");
        let language = lower.split('-').next().unwrap_or_default();
        let base =
            |labels, language, group, point, date| Self { labels, language, group, point, date, currency_first: false };
        match (language, lower.as_str()) {
            (_, "de-ch" | "de-li") => base(&GERMAN, "de", "’", ".", DateForm::Dots),
            ("de", _) => base(&GERMAN, "de", ".", ",", DateForm::Dots),
            ("fr", _) => base(&FRENCH, "fr", NARROW_SPACE, ",", DateForm::Slashes),
            _ => Self { currency_first: true, ..base(&ENGLISH, "en", ",", ".", DateForm::YearFirst) },
        }
    }

    /// A decimal text with this locale's separators; anything else as it is.
    #[must_use]
    pub fn number(&self, decimal: &str) -> String {
        let (sign, digits) = match decimal.strip_prefix('-') {
            Some(rest) => ("−", rest),
            None => ("", decimal),
        };
        let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || !whole.bytes().chain(places.bytes()).all(|byte| byte.is_ascii_digit()) {
            return decimal.to_owned();
        }
        let mut text = String::from(sign);
        for (place, digit) in whole.char_indices() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                text.push_str(self.group);
            }
            text.push(digit);
        }
        if !places.is_empty() {
            text.push_str(self.point);
            text.push_str(places);
        }
        text
    }

    /// An amount without its currency, with all digits of the currency.
    #[must_use]
    pub fn amount(&self, cents: MinorUnits, currency: Currency) -> String {
        self.number(&shifted(&cents.to_string(), currency.exponent(), true))
    }

    /// A price in minor units, exact, as currency units with at least the digits of the currency. One that goes on beyond
    /// [`LONGEST_PRICE`] decimals is what graduated prices came to per unit, cut off: it is rounded, and says so.
    #[must_use]
    pub fn price(&self, cents: &str, currency: Currency) -> String {
        let exact = shifted(cents, currency.exponent(), true);
        match rounded_average(&exact) {
            Some(rounded) => format!("≈{SPACE}{}", self.number(&rounded)),
            None => self.number(&exact),
        }
    }

    /// An amount with its currency.
    #[must_use]
    pub fn money(&self, cents: MinorUnits, currency: Currency) -> String {
        let amount = self.amount(cents, currency);
        if self.currency_first { format!("{currency}{SPACE}{amount}") } else { format!("{amount}{SPACE}{currency}") }
    }

    /// A fraction as percent.
    #[must_use]
    pub fn percent(&self, fraction: &str) -> String {
        let hundredfold = shifted_left(fraction, 2);
        format!("{}{SPACE}%", self.number(&hundredfold))
    }

    /// A local day, given as `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self, day: &str) -> String {
        let parts: Vec<&str> = day.split('-').collect();
        match (self.date, parts.as_slice()) {
            (DateForm::Dots, [year, month, day]) => format!("{day}.{month}.{year}"),
            (DateForm::Slashes, [year, month, day]) => format!("{day}/{month}/{year}"),
            _ => day.to_owned(),
        }
    }
}

/// Decimals of the finest price that is somebody's own: a millionth of a millionth of a currency unit.
const LONGEST_PRICE: usize = 12;
/// Digits that a rounded average shows.
const AVERAGE_DIGITS: usize = 6;

/// An average with [`AVERAGE_DIGITS`] digits from its first that is not 0; absent when the text is short enough to be shown.
fn rounded_average(decimal: &str) -> Option<String> {
    let (whole, places) = decimal.trim_start_matches('-').split_once('.')?;
    if places.len() <= LONGEST_PRICE {
        return None;
    }
    let digits = match whole.trim_start_matches('0').len() {
        0 => places.bytes().take_while(|digit| *digit == b'0').count() + AVERAGE_DIGITS,
        whole => AVERAGE_DIGITS.saturating_sub(whole).max(2),
    };
    let exact = Quantity::parse(decimal).ok()?;
    Some(exact.rounded(RoundingFunction::Round, i32::try_from(digits).ok()?).to_string())
}

/// A decimal text with its point `places` to the left; filled up to `places` decimals when `fill`, without other trailing zeros.
fn shifted(decimal: &str, places: u32, fill: bool) -> String {
    let places = usize::try_from(places).unwrap_or(0);
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", decimal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole:0>width$}", width = places + 1);
    let (before, after) = padded.split_at(padded.len() - places);
    let mut after = format!("{after}{fraction}");
    let least = if fill { places } else { 0 };
    while after.len() > least && after.ends_with('0') {
        after.pop();
    }
    if after.is_empty() { format!("{sign}{before}") } else { format!("{sign}{before}.{after}") }
}

/// A decimal text with its point `places` to the right, without zeros that say nothing.
fn shifted_left(decimal: &str, places: usize) -> String {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let padded = format!("{fraction:0<places$}");
    let (before, after) = padded.split_at(places);
    let joined = format!("{whole}{before}");
    let trimmed = joined.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    let after = after.trim_end_matches('0');
    if after.is_empty() { whole.to_owned() } else { format!("{whole}.{after}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_people_of_the_locale_write_it() {
        let money = |tag: &str, cents: i64, code: &str| {
            Locale::of(tag).money(MinorUnits(cents), code.parse().unwrap()).replace([' ', '\u{a0}', '\u{202f}'], "_")
        };
        assert_eq!(money("en", 123_456_789, "USD"), "USD_1,234,567.89");
        assert_eq!(money("de-DE", 123_456_789, "EUR"), "1.234.567,89_EUR");
        assert_eq!(money("de_CH", -123_405, "CHF"), "−1’234.05_CHF");
        assert_eq!(money("fr", 100_000, "JPY"), "100_000_JPY");
        assert_eq!(money("xx", 5, "KWD"), "KWD_0.005");
    }

    #[test]
    fn a_price_that_is_an_average_without_end_is_rounded_and_says_so() {
        let price = |cents: &str| Locale::of("de").price(cents, "EUR".parse().unwrap()).replace(SPACE, "_");
        assert_eq!(price("0.3507737922739"), "≈_0,00350774");
        assert_eq!(price("123456.7890123456789"), "≈_1.234,57");
        assert_eq!(price("-33.3333333333333"), "≈_−0,333333");
        assert_eq!(price("0.0000000015"), "0,000000000015");
    }

    #[test]
    fn prices_keep_every_digit_and_rates_become_percent() {
        let english = Locale::of("en");
        let usd = "USD".parse().unwrap();
        assert_eq!(english.price("0.4", usd), "0.004");
        assert_eq!(english.price("1999", usd), "19.99");
        assert_eq!(english.price("100000", usd), "1,000.00");
        assert_eq!(Locale::of("de").percent("0.088755").replace(SPACE, "_"), "8,8755_%");
        assert_eq!(english.percent("0.2").replace(SPACE, "_"), "20_%");
        assert_eq!(english.number("1234567.00012"), "1,234,567.00012");
        assert_eq!(english.number("a text"), "a text");
        assert_eq!(
            (Locale::of("fr").date("2026-07-01"), english.date("2026-07-01")),
            ("01/07/2026".into(), "2026-07-01".into())
        );
    }
}

//! Checks of fields that several resources share.

use domain::money::Currency;
use domain::period::parse_timezone;
use http_api::Checks;

/// Longest name, code or external id (contract).
pub(crate) const MAX_NAME: usize = 255;
/// Longest time zone name (contract).
const MAX_TIMEZONE: usize = 50;
/// Longest payment term or grace period: ten years of days; beyond it lies a slip.
pub(crate) const MAX_DAYS: i64 = 3_660;

/// Checks beyond what `http-api` offers.
pub(crate) trait SharedChecks {
    /// A name, code or external id: 1–255 characters.
    fn name(&mut self, field: &'static str, text: &str);
    /// A currency of ISO 4217.
    fn currency(&mut self, field: &'static str, code: &str) -> Currency;
    /// A zone of the IANA database.
    fn timezone(&mut self, field: &'static str, name: &str);
    /// An email address, as far as that can be told without sending one.
    fn email(&mut self, field: &'static str, address: &str);
    /// A limit of events a second: at least 1; leaving it out or null means no limit.
    fn rate_limit(&mut self, field: &'static str, limit: Option<u32>);
    /// A number of days.
    fn days(&mut self, field: &'static str, days: u32);
}

impl SharedChecks for Checks {
    fn name(&mut self, field: &'static str, text: &str) {
        self.length(field, text, 1, MAX_NAME);
    }

    fn currency(&mut self, field: &'static str, code: &str) -> Currency {
        code.parse().unwrap_or_else(|fault: domain::money::MoneyError| {
            self.broken(field, fault.to_string(), code);
            // Never stored: the fault is answered first.
            Currency::USD
        })
    }

    fn timezone(&mut self, field: &'static str, name: &str) {
        self.length(field, name, 1, MAX_TIMEZONE);
        if let Err(fault) = parse_timezone(name) {
            self.broken(field, fault.to_string(), name);
        }
    }

    fn email(&mut self, field: &'static str, address: &str) {
        let well_formed = address.split_once('@').is_some_and(|(local, domain)| {
            let printable =
                |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
            printable(local)
                && printable(domain)
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        });
        if !well_formed || address.chars().count() > MAX_NAME {
            self.broken(field, "value is not a valid email address", address);
        }
    }

    fn rate_limit(&mut self, field: &'static str, limit: Option<u32>) {
        if let Some(limit) = limit {
            self.at_least(field, i64::from(limit), 1);
        }
    }

    fn days(&mut self, field: &'static str, days: u32) {
        self.at_most(field, i64::from(days), MAX_DAYS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: impl FnOnce(&mut Checks)) -> bool {
        let mut checks = Checks::new();
        check(&mut checks);
        checks.finish().is_err()
    }

    #[test]
    fn only_real_currencies_zones_and_addresses_pass() {
        assert!(!refused(|checks| checks.timezone("timezone", "America/Argentina/Buenos_Aires")));
        assert!(!refused(|checks| checks.email("email", "ada+1@example.co.uk")));
        assert!(!refused(|checks| assert_eq!(checks.currency("currency", "KWD").exponent(), 3)));
        for zone in ["", "Mars/Olympus", "+02:00", "europe/paris "] {
            assert!(refused(|checks| checks.timezone("timezone", zone)), "{zone}");
        }
        for address in ["", "ada", "@x.y", "ada@", "a b@x.y", "a@b@c", "a@.b"] {
            assert!(refused(|checks| checks.email("email", address)), "{address}");
        }
        for code in ["usd", "US", "XXY", "₿₿₿"] {
            assert!(refused(|checks| _ = checks.currency("currency", code)), "{code}");
        }
    }
}

//! Who may ask: one user, one password, compared in constant time.
//!
//! Refusals carry ClickHouse's code 516, and the same text whatever was wrong, so that a guess learns nothing.

use base64::Engine as _;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::exception::{Exception, code};
use crate::request::header;

/// The one user there is; ClickHouse's own default, so that clients which name none are right.
pub const USER: &str = "default";

/// Checks credentials from, in this order, `X-ClickHouse-User`/`-Key`, `Authorization: Basic`, the URL.
///
/// # Errors
/// Code 516.
pub(crate) fn authenticate(headers: &HeaderMap, pairs: &[(String, String)], password: &str) -> Result<(), Exception> {
    let (user, given) = credentials(headers, pairs);
    let right_user = user.is_empty() || user == USER;
    let right_password = bool::from(given.as_bytes().ct_eq(password.as_bytes()));
    if right_user && right_password {
        return Ok(());
    }
    let named = if user.is_empty() { USER } else { &user };
    Err(Exception::new(
        code::AUTHENTICATION_FAILED,
        format!("{named}: Authentication failed: password is incorrect, or there is no user with such name."),
    ))
}

fn credentials(headers: &HeaderMap, pairs: &[(String, String)]) -> (String, String) {
    let own_user = header(headers, "x-clickhouse-user");
    let own_key = header(headers, "x-clickhouse-key");
    if own_user.is_some() || own_key.is_some() {
        return (own_user.unwrap_or_default().to_owned(), own_key.unwrap_or_default().to_owned());
    }
    if let Some(basic) = header(headers, AUTHORIZATION.as_str()).and_then(basic_credentials) {
        return basic;
    }
    let parameter = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    (parameter("user"), parameter("password"))
}

fn basic_credentials(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], url: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let pairs: Vec<_> = url.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        authenticate(&map, &pairs, "secret").is_ok()
    }

    #[test]
    fn all_three_ways_to_send_credentials_work() {
        assert!(check(&[("x-clickhouse-user", "default"), ("x-clickhouse-key", "secret")], &[]));
        assert!(check(&[("x-clickhouse-key", "secret")], &[]));
        // default:secret
        assert!(check(&[("authorization", "Basic ZGVmYXVsdDpzZWNyZXQ=")], &[]));
        assert!(check(&[], &[("password", "secret")]));
        assert!(check(&[], &[("user", "default"), ("password", "secret")]));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(!check(&[], &[]));
        assert!(!check(&[], &[("password", "secre")]));
        assert!(!check(&[], &[("user", "admin"), ("password", "secret")]));
        assert!(!check(&[("authorization", "Basic !!!")], &[]));
        assert!(!check(&[("authorization", "Bearer secret")], &[]));
        // A wrong header is not made up for by a right parameter.
        assert!(!check(&[("x-clickhouse-key", "no")], &[("password", "secret")]));
    }

    #[test]
    fn the_refusal_is_clickhouses() {
        let error = authenticate(&HeaderMap::new(), &[], "secret").unwrap_err();
        assert_eq!(error.code, 516);
        assert_eq!(error.status().as_u16(), 403);
        assert!(error.text.starts_with("Code: 516. DB::Exception: default: Authentication failed"));
    }
}

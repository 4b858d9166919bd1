//! Where the system under test listens.

use hyper::Uri;

/// Host, port and path prefix of the system under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, for connecting and for the `Host` header.
    pub authority: String,
    /// Path before `/v1`, without a final slash; mostly empty.
    pub prefix: String,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Not a URL.
    #[error("{0:?} is not a URL such as http://127.0.0.1:8080")]
    NotAUrl(String),
    /// TLS would measure the generator's own encryption on the same cores.
    #[error("{0:?} is not http: drive the system behind its TLS terminator, where its own cost shows")]
    NotHttp(String),
}

impl Target {
    /// Reads `http://host[:port][/prefix]`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::NotAUrl(url.to_owned()))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(TargetError::NotAUrl(url.to_owned()));
        };
        if scheme != "http" {
            return Err(TargetError::NotHttp(url.to_owned()));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)), prefix })
    }

    /// The full URL of a path that begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let plain = Target::parse("http://localhost:8080/").unwrap();
        assert_eq!(plain.url("/v1/events/"), "http://localhost:8080/v1/events/");
        let behind_proxy = Target::parse("http://[::1]/tollgate/").unwrap();
        assert_eq!(behind_proxy.url("/metrics"), "http://[::1]:80/tollgate/metrics");
    }

    #[test]
    fn what_is_not_plain_http_is_refused_by_reason() {
        assert!(matches!(Target::parse("https://example.com"), Err(TargetError::NotHttp(_))));
        assert!(matches!(Target::parse("localhost:8080"), Err(TargetError::NotAUrl(_))));
        assert!(matches!(Target::parse("/v1"), Err(TargetError::NotAUrl(_))));
    }
}

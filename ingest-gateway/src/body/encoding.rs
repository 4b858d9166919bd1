//! What a body may be: media type and compression, both by name; anything else is 415.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_api::ApiError;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Encoding {
    /// The encoding that the headers name.
    ///
    /// # Errors
    /// 415 for any other, and for several.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = named.next() else { return Ok(Self::Identity) };
        let name = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        let encoding = match name.as_str() {
            "identity" | "" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            _ => return Err(unknown_encoding()),
        };
        // Encodings applied one over another multiply what a bomb expands to.
        if named.next().is_some() { Err(unknown_encoding()) } else { Ok(encoding) }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unknown_encoding() -> ApiError {
    ApiError::unsupported_media_type("send the body plain, or as Content-Encoding: gzip or zstd")
}

/// The form of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchForm {
    /// `{"events": […]}`.
    Json,
    /// An event a line.
    Ndjson,
}

impl BatchForm {
    /// The form that the headers name.
    ///
    /// # Errors
    /// 415 for any other, also when there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if ["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&essence.as_str()) {
            return Ok(Self::Ndjson);
        }
        http_api::json_body::require_json(headers).map(|()| Self::Json).map_err(|_| {
            ApiError::unsupported_media_type("send the batch as Content-Type: application/json or application/x-ndjson")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue, StatusCode};

    fn headers(pairs: &[(&HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn known_encodings_are_told_apart_and_others_refused() {
        assert_eq!(Encoding::of(&headers(&[])).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::of(&headers(&[(&CONTENT_ENCODING, "GZip")])).unwrap(), Encoding::Gzip);
        assert_eq!(Encoding::of(&headers(&[(&CONTENT_ENCODING, "zstd")])).unwrap(), Encoding::Zstd);
        for refused in ["br", "deflate", "gzip, gzip", "gzip;q=1", "compress"] {
            let error = Encoding::of(&headers(&[(&CONTENT_ENCODING, refused)])).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{refused}");
        }
        assert!(Encoding::of(&headers(&[(&CONTENT_ENCODING, "gzip"), (&CONTENT_ENCODING, "gzip")])).is_err());
    }

    #[test]
    fn a_batch_is_json_or_ndjson_and_nothing_else() {
        assert_eq!(BatchForm::of(&headers(&[(&CONTENT_TYPE, "application/json")])).unwrap(), BatchForm::Json);
        let ndjson = headers(&[(&CONTENT_TYPE, "Application/X-NDJSON; charset=utf-8")]);
        assert_eq!(BatchForm::of(&ndjson).unwrap(), BatchForm::Ndjson);
        assert!(BatchForm::of(&headers(&[(&CONTENT_TYPE, "text/plain")])).is_err());
        assert!(BatchForm::of(&headers(&[])).is_err());
    }
}

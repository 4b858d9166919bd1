//! Which dialect a request to `/api/v1/events` speaks, by its head alone: Lago's JSON or one of CloudEvents' three modes.

use crate::parse::{Attributes, Field, is_json};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_api::ApiError;

/// The prefix of attributes in the head.
const ATTRIBUTE_PREFIX: &str = "ce-";

/// What the body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"event": {…}}`.
    Lago,
    /// A CloudEvent as JSON.
    CloudEvent,
    /// A list of them.
    CloudEvents,
    /// Data alone, the attributes being in the head.
    BinaryCloudEvent(Attributes),
}

impl Dialect {
    /// The dialect that the headers name.
    ///
    /// # Errors
    /// 415 for any other.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/cloudevents+json" => return Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => return Ok(Self::CloudEvents),
            other if other.starts_with("application/cloudevents") => {
                return Err(ApiError::unsupported_media_type("CloudEvents are taken in their JSON format"));
            }
            _ => {}
        }
        let is_data = essence.is_empty() || is_json(&essence);
        if headers.keys().any(|name| name.as_str().starts_with(ATTRIBUTE_PREFIX)) {
            return match is_data {
                true => Ok(Self::BinaryCloudEvent(attributes(headers))),
                false => {
                    Err(ApiError::unsupported_media_type("data becomes the event's properties: send one JSON object"))
                }
            };
        }
        http_api::json_body::require_json(headers).map(|()| Self::Lago).map_err(|_| {
            ApiError::unsupported_media_type(
                "send application/json with an event, application/cloudevents+json, \
                 application/cloudevents-batch+json, or a CloudEvent's attributes as ce- headers",
            )
        })
    }
}

fn attributes(headers: &HeaderMap) -> Attributes {
    let mut texts = Vec::new();
    for (name, value) in headers {
        let field = name.as_str().strip_prefix(ATTRIBUTE_PREFIX).and_then(Field::of_cloud_event);
        // Data and its type are the body and Content-Type in this mode; headers of such names mean nothing.
        if let Some(field) =
            field.filter(|field| !matches!(field, Field::Data | Field::DataBase64 | Field::DataContentType))
        {
            texts.push((field, attribute_text(value.as_bytes())));
        }
    }
    Attributes { texts }
}

/// The text of a header as the HTTP binding has it: quotes of older senders taken off, then one round of percent-decoding.
fn attribute_text(value: &[u8]) -> Option<String> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unescaped(inner),
        plain => plain.to_vec(),
    };
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_slice();
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'%' {
            bytes.push(*byte);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        text.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue, StatusCode};

    fn dialect(pairs: &[(&'static str, &'static str)]) -> Result<Dialect, StatusCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Dialect::of(&headers).map_err(|error| error.status())
    }

    #[test]
    fn the_head_names_the_dialect() {
        assert_eq!(dialect(&[("content-type", "application/json; charset=utf-8")]), Ok(Dialect::Lago));
        assert_eq!(
            dialect(&[("content-type", "Application/CloudEvents+JSON; charset=utf-8")]),
            Ok(Dialect::CloudEvent)
        );
        assert_eq!(dialect(&[("content-type", "application/cloudevents-batch+json")]), Ok(Dialect::CloudEvents));
        let attributes = |texts: &[(Field, &str)]| {
            let texts = texts.iter().map(|(field, text)| (*field, Some((*text).to_owned()))).collect();
            Ok(Dialect::BinaryCloudEvent(Attributes { texts }))
        };
        let head = [("ce-id", "1"), ("ce-datacontenttype", "x"), ("ce-traceparent", "y"), ("ce-source", "/s")];
        assert_eq!(dialect(&head), attributes(&[(Field::Id, "1"), (Field::Source, "/s")]));
        let json = [("content-type", "application/vnd.usage+json"), ("ce-id", "1")];
        assert_eq!(dialect(&json), attributes(&[(Field::Id, "1")]));
        // In structured mode the head's attributes are copies for routers.
        let both = [("content-type", "application/cloudevents+json"), ("ce-id", "1")];
        assert_eq!(dialect(&both), Ok(Dialect::CloudEvent));
        for refused in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/cloudevents+avro")],
            &[("content-type", "application/xml"), ("ce-id", "1")],
        ] {
            assert_eq!(dialect(refused), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{refused:?}");
        }
    }

    #[test]
    fn a_header_is_unquoted_and_percent_decoded_once() {
        let text = |value: &str| attribute_text(value.as_bytes());
        assert_eq!(text("Euro%20%E2%82%AC%20%F0%9F%98%80").as_deref(), Some("Euro € 😀"));
        assert_eq!(text("%2525").as_deref(), Some("%25"));
        assert_eq!(text(r#""a \"b\" \\%20c""#).as_deref(), Some("a \"b\" \\ c"));
        assert_eq!(text("\"").as_deref(), Some("\""));
        for wrong in ["50%", "%zz", "%c3", "%ff%fe", "%+1"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}

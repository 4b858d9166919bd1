//! One HTTP request, read as ClickHouse's HTTP interface reads it: URL parameters, headers, form fields.
//!
//! Every parameter that is not the interface's own is a setting and goes to the engine, which refuses unknown ones.

use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use hyper::{HeaderMap, Method};

use crate::exception::{Exception, code};
use crate::input::ContentEncoding;
use crate::output::Encoding;
use crate::session::SessionKey;

/// What a ClickHouse server answers in when nobody names a format.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// Parameters of the interface that are neither settings nor used here. Sessions end with their request (see
/// [`crate::session`]), quotas and roles do not exist, a stack trace would tell nothing.
const IGNORED: [&str; 14] = [
    "user",
    "password",
    "quota_key",
    "role",
    "stacktrace",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "client_protocol_version",
    "buffer_size",
    "http_write_exception_in_output_format",
    "send_progress_in_http_headers",
    // Used to find a statement that is to be killed; see [`crate::session`].
    "log_comment",
];

/// A request for a statement.
#[derive(Debug)]
pub(crate) struct QueryRequest {
    /// The part of the statement that came by URL or form; the body continues it.
    pub(crate) query: String,
    /// Values for `{name:Type}`.
    pub(crate) parameters: Vec<(String, String)>,
    /// Database and settings the statement runs with.
    pub(crate) session: SessionKey,
    /// The format when the statement names none.
    pub(crate) default_format: String,
    /// The client's id for the statement, or a random one.
    pub(crate) query_id: String,
    /// How the response is to be encoded.
    pub(crate) output: Encoding,
    /// How the body is encoded.
    pub(crate) input: ContentEncoding,
    /// `decompress=1`: the body is in ClickHouse's framing.
    pub(crate) framed_input: bool,
    /// `wait_end_of_query=1`: the status is to tell how the whole statement ended.
    pub(crate) wait_end: bool,
}

impl QueryRequest {
    /// Reads method, headers and the (name, value) pairs of URL and form.
    ///
    /// # Errors
    /// Code 779-like refusals: an unknown `Content-Encoding` (code 36).
    pub(crate) fn read(method: &Method, headers: &HeaderMap, pairs: Vec<(String, String)>) -> Result<Self, Exception> {
        let mut request = Self::from_headers(headers)?;
        let mut compress = false;
        let mut http_compression = true;
        for (name, value) in pairs {
            match name.as_str() {
                "query" => request.query = value,
                "database" => request.session.database = Some(value).filter(|given| !given.is_empty()),
                "default_format" if header(headers, "x-clickhouse-format").is_none() => {
                    request.default_format = value;
                }
                "default_format" => {}
                "query_id" if !value.is_empty() => request.query_id = value,
                "query_id" => {}
                "compress" => compress = is_true(&value),
                "decompress" => request.framed_input = is_true(&value),
                "wait_end_of_query" => request.wait_end = is_true(&value),
                "enable_http_compression" => http_compression = is_true(&value),
                _ if IGNORED.contains(&name.as_str()) => {}
                _ => request.add_parameter_or_setting(name, value),
            }
        }
        request.output = match (compress, http_compression) {
            (true, _) => Encoding::Framed,
            (false, true) => header(headers, ACCEPT_ENCODING.as_str()).map_or(Encoding::Identity, Encoding::accepted),
            (false, false) => Encoding::Identity,
        };
        if method == Method::GET {
            request.session.set("readonly".to_owned(), "2".to_owned());
        }
        Ok(request)
    }

    fn from_headers(headers: &HeaderMap) -> Result<Self, Exception> {
        let encoding = header(headers, CONTENT_ENCODING.as_str()).unwrap_or_default();
        let input = ContentEncoding::parse(encoding).ok_or_else(|| {
            Exception::new(
                code::BAD_ARGUMENTS,
                format!("Unknown Content-Encoding '{encoding}'; known are gzip, deflate, zstd, lz4"),
            )
        })?;
        let mut session = SessionKey::default();
        session.database = header(headers, "x-clickhouse-database").map(str::to_owned);
        Ok(Self {
            query: String::new(),
            parameters: Vec::new(),
            session,
            default_format: header(headers, "x-clickhouse-format").unwrap_or(DEFAULT_FORMAT).to_owned(),
            query_id: uuid::Uuid::new_v4().to_string(),
            output: Encoding::Identity,
            input,
            framed_input: false,
            wait_end: false,
        })
    }

    fn add_parameter_or_setting(&mut self, name: String, value: String) {
        match name.strip_prefix("param_") {
            Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
            None => self.session.set(name, value),
        }
    }
}

/// The (name, value) pairs of a URL's query.
pub(crate) fn url_pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}

/// A header's value as text, if there is one.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "true" | "True" | "yes" | "on")
}

/// The boundary of a `multipart/form-data` body, if the content type says so.
pub(crate) fn form_boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = header(headers, "content-type")?;
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The fields of a `multipart/form-data` body. Files are external tables to ClickHouse, which are not provided.
///
/// # Errors
/// Code 117 for a body that is not such a form, 48 for a file.
pub(crate) fn form_pairs(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Exception> {
    let broken = || Exception::new(code::INCORRECT_DATA, "The multipart/form-data body is malformed");
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes()).ok_or_else(broken)?;
    let separator = format!("\r\n{delimiter}");
    let mut pairs = Vec::new();
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n").ok_or_else(broken)?;
        let end = position(part, separator.as_bytes()).ok_or_else(broken)?;
        let head_end = position(&part[..end], b"\r\n\r\n").ok_or_else(broken)?;
        let head = String::from_utf8_lossy(&part[..head_end]);
        let name = field_name(&head)?.ok_or_else(broken)?;
        let value = String::from_utf8_lossy(&part[head_end + 4..end]).into_owned();
        pairs.push((name, value));
        rest = &part[end + separator.len()..];
    }
    Ok(pairs)
}

fn field_name(head: &str) -> Result<Option<String>, Exception> {
    let Some(disposition) = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
    else {
        return Ok(None);
    };
    if disposition.contains("filename=") {
        return Err(Exception::new(
            code::NOT_IMPLEMENTED,
            "External tables (files in a form) are not provided by the embedded engine",
        ));
    }
    Ok(disposition.split(';').find_map(|parameter| {
        let value = parameter.trim().strip_prefix("name=")?;
        Some(value.trim_matches('"').to_owned())
    }))
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, headers: &[(&'static str, &str)]) -> QueryRequest {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        QueryRequest::read(&Method::POST, &map, url_pairs(Some(url))).unwrap()
    }

    #[test]
    fn parameters_settings_and_the_interfaces_own_names_are_told_apart() {
        let request = read(
            "query=SELECT+1%2B1&param_x=a%26b&max_threads=2&session_id=s&database=d&default_format=JSON&query_id=q&wait_end_of_query=1",
            &[],
        );
        assert_eq!(request.query, "SELECT 1+1");
        assert_eq!(request.parameters, [("x".to_owned(), "a&b".to_owned())]);
        assert_eq!(request.session.database.as_deref(), Some("d"));
        assert_eq!(request.session.settings().collect::<Vec<_>>(), [("max_threads", "2")]);
        assert_eq!((request.default_format.as_str(), request.query_id.as_str()), ("JSON", "q"));
        assert!(request.wait_end);
    }

    #[test]
    fn the_format_header_beats_the_parameter() {
        let request = read("default_format=JSON", &[("x-clickhouse-format", "CSV")]);
        assert_eq!(request.default_format, "CSV");
        assert_eq!(read("", &[]).default_format, "TabSeparated");
    }

    #[test]
    fn compression_follows_parameters_and_headers() {
        let accepts = ("accept-encoding", "gzip");
        assert_eq!(read("compress=1", &[accepts]).output, Encoding::Framed);
        assert_eq!(read("", &[accepts]).output, Encoding::Gzip);
        assert_eq!(read("enable_http_compression=0", &[accepts]).output, Encoding::Identity);
        assert_eq!(read("", &[("content-encoding", "zstd")]).input, ContentEncoding::Zstd);
        assert!(read("decompress=1", &[]).framed_input);
    }

    #[test]
    fn a_get_is_read_only() {
        let request = QueryRequest::read(&Method::GET, &HeaderMap::new(), Vec::new()).unwrap();
        assert_eq!(request.session.settings().collect::<Vec<_>>(), [("readonly", "2")]);
    }

    #[test]
    fn an_unknown_content_encoding_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "br".parse().unwrap());
        let error = QueryRequest::read(&Method::POST, &headers, Vec::new()).unwrap_err();
        assert_eq!(error.code, 36);
    }

    #[test]
    fn form_fields_are_read_with_line_ends_inside_and_files_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "multipart/form-data; boundary=b".parse().unwrap());
        assert_eq!(form_boundary(&headers).as_deref(), Some("b"));
        let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n1\r\n--b\r\n\
                    Content-Disposition: form-data; name=\"param_x\"\r\nContent-Type: text/plain\r\n\r\n\r\n--b--\r\n";
        let pairs = form_pairs(body.as_bytes(), "b").unwrap();
        assert_eq!(pairs[0], ("query".to_owned(), "SELECT\r\n1".to_owned()));
        assert_eq!(pairs[1], ("param_x".to_owned(), String::new()));
        let file = body.replace("name=\"param_x\"", "name=\"t\"; filename=\"t.csv\"");
        assert_eq!(form_pairs(file.as_bytes(), "b").unwrap_err().code, 48);
        for cut in 0..body.len() - 4 {
            assert!(form_pairs(&body.as_bytes()[..cut], "b").is_err(), "{cut}");
        }
    }
}

//! Exceptions of statements, with ClickHouse's codes, names and HTTP statuses.
//!
//! Text form: `Code: N. DB::Exception: message (NAME)`. What the engine reports is passed on; what the HTTP front refuses by
//! itself uses the code a ClickHouse server would use for the same refusal.

use hyper::StatusCode;

/// One failed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// ClickHouse's error code.
    pub(crate) code: u32,
    /// The whole text, without a line end.
    pub(crate) text: String,
}

/// Codes the HTTP front itself raises. Numbers and names are ClickHouse's.
pub(crate) mod code {
    pub(crate) const BAD_ARGUMENTS: (u32, &str) = (36, "BAD_ARGUMENTS");
    pub(crate) const NOT_IMPLEMENTED: (u32, &str) = (48, "NOT_IMPLEMENTED");
    pub(crate) const LOGICAL_ERROR: (u32, &str) = (49, "LOGICAL_ERROR");
    pub(crate) const SYNTAX_ERROR: (u32, &str) = (62, "SYNTAX_ERROR");
    pub(crate) const UNKNOWN_SETTING: (u32, &str) = (115, "UNKNOWN_SETTING");
    pub(crate) const INCORRECT_DATA: (u32, &str) = (117, "INCORRECT_DATA");
    pub(crate) const QUERY_IS_TOO_LARGE: (u32, &str) = (229, "QUERY_IS_TOO_LARGE");
    pub(crate) const CHECKSUM_DOESNT_MATCH: (u32, &str) = (40, "CHECKSUM_DOESNT_MATCH");
    pub(crate) const UNKNOWN_COMPRESSION_METHOD: (u32, &str) = (89, "UNKNOWN_COMPRESSION_METHOD");
    pub(crate) const CANNOT_DECOMPRESS: (u32, &str) = (271, "CANNOT_DECOMPRESS");
    pub(crate) const TOO_LARGE_SIZE_COMPRESSED: (u32, &str) = (39, "TOO_LARGE_SIZE_COMPRESSED");
    pub(crate) const CANNOT_READ_ALL_DATA: (u32, &str) = (33, "CANNOT_READ_ALL_DATA");
    pub(crate) const QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: (u32, &str) =
        (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING");
    pub(crate) const QUERY_WAS_CANCELLED: (u32, &str) = (394, "QUERY_WAS_CANCELLED");
    pub(crate) const AUTHENTICATION_FAILED: (u32, &str) = (516, "AUTHENTICATION_FAILED");
}

impl Exception {
    /// An exception the front raises itself.
    pub(crate) fn new((code, name): (u32, &str), message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        Self { code, text: format!("Code: {code}. DB::Exception: {message} ({name})") }
    }

    /// Something that cannot happen, said as ClickHouse would.
    pub(crate) fn internal(message: &str) -> Self {
        Self::new(code::LOGICAL_ERROR, message)
    }

    /// Reads the engine's text; one without a code counts as a logical error.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_end().trim_start_matches("Error: ");
        let code = text.strip_prefix("Code: ").and_then(|rest| {
            let digits = rest.split('.').next()?;
            digits.parse().ok()
        });
        match code {
            Some(code) => Self { code, text: text.to_owned() },
            None => Self::internal(text),
        }
    }

    /// The HTTP status a ClickHouse server answers with for this code.
    pub(crate) fn status(&self) -> StatusCode {
        status_of(self.code)
    }
}

/// ClickHouse's table from code to status; everything it does not name is 500.
fn status_of(code: u32) -> StatusCode {
    match code {
        // REQUIRED_PASSWORD
        194 => StatusCode::UNAUTHORIZED,
        // UNKNOWN_USER, WRONG_PASSWORD, ACCESS_DENIED, SET_NON_GRANTED_ROLE, AUTHENTICATION_FAILED
        192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
        // CANNOT_PARSE_TEXT, THERE_IS_NO_COLUMN, DUPLICATE_COLUMN, CANNOT_PARSE_ESCAPE_SEQUENCE, …_QUOTED_STRING,
        // …_INPUT_ASSERTION_FAILED, BAD_ARGUMENTS, UNKNOWN_ELEMENT_IN_AST, CANNOT_PARSE_DATE, …_DATETIME, ILLEGAL_COLUMN,
        // TYPE_MISMATCH, SYNTAX_ERROR, CANNOT_PARSE_NUMBER, INCORRECT_DATA, UNKNOWN_TYPE_OF_AST_NODE, TOO_DEEP_AST,
        // TOO_BIG_AST, UNEXPECTED_AST_STRUCTURE, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, CANNOT_PARSE_UUID,
        // CANNOT_COMPILE_REGEXP, CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING, CANNOT_PARSE_IPV4, …_IPV6
        6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168 | 223 | 321 | 376
        | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
        // UNKNOWN_FUNCTION, …_IDENTIFIER, …_TYPE, …_STORAGE, …_TABLE, …_AGGREGATE_FUNCTION, …_FORMAT, …_TYPE_OF_QUERY,
        // …_DATABASE, …_SETTING, …_DIRECTION_OF_SORTING, …_DATABASE_ENGINE, …_ROLE
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
        // QUERY_IS_TOO_LARGE
        229 => StatusCode::PAYLOAD_TOO_LARGE,
        // NOT_IMPLEMENTED
        48 => StatusCode::NOT_IMPLEMENTED,
        // CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK
        76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        // HTTP_LENGTH_REQUIRED
        381 => StatusCode::LENGTH_REQUIRED,
        // TIMEOUT_EXCEEDED
        159 => StatusCode::REQUEST_TIMEOUT,
        // UNSUPPORTED_MEDIA_TYPE
        779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_text_of_the_engine() {
        let exception = Exception::parse("Code: 60. DB::Exception: Table t.x does not exist. (UNKNOWN_TABLE)\n");
        assert_eq!(exception.code, 60);
        assert_eq!(exception.status(), StatusCode::NOT_FOUND);
        assert!(exception.text.ends_with("(UNKNOWN_TABLE)"));
    }

    #[test]
    fn a_text_without_a_code_is_a_logical_error_that_keeps_the_text() {
        let exception = Exception::parse("Invalid or closed connection");
        assert_eq!(exception.code, 49);
        assert_eq!(exception.text, "Code: 49. DB::Exception: Invalid or closed connection (LOGICAL_ERROR)");
        assert_eq!(exception.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn statuses_are_those_of_a_clickhouse_server() {
        for (code, status) in [(62, 400), (516, 403), (194, 401), (47, 404), (159, 408), (48, 501), (241, 500)] {
            assert_eq!(status_of(code).as_u16(), status, "code {code}");
        }
    }
}

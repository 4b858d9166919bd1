//! The bytes of a request: in time, within limits, decompressed.
//!
//! - [`encoding`]: which `Content-Encoding` and `Content-Type` are taken (415 otherwise).
//! - [`dialect`]: what a request to a route of several dialects speaks.
//! - [`reader`]: the body as chunks, under a time limit, decompressed; memory is one chunk and the decoder's window.
//! - [`whole`]: a JSON body collected under limits (413), its memory admitted by the sink as it grows.
//! - [`lines`]: chunks cut into NDJSON lines; a line past its limit is skipped without being held.

pub(crate) mod dialect;
pub(crate) mod encoding;
pub(crate) mod lines;
pub(crate) mod reader;
pub(crate) mod whole;

use crate::sink::SinkError;
use std::time::Duration;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes on the wire than allowed.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// More bytes after decompression than allowed.
    #[error("the body is longer than {0} bytes once decompressed")]
    TooLargeDecompressed(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// Not what its Content-Encoding says, or cut short.
    #[error("the body is not valid {encoding}: {reason}")]
    BrokenEncoding {
        /// Name of the encoding.
        encoding: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The connection ended before the body did.
    #[error("the body broke off: {0}")]
    BrokeOff(String),
    /// There is no room for it.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

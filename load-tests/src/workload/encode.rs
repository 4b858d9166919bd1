//! Forms of a request body and their compression.
//!
//! Compression runs at the fastest level: it is the generator's own cost, shown in the report, and a request is compressed
//! when it is due, because a run's bodies do not fit in memory.

use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One event, `POST /v1/events/`.
    Single,
    /// The contract's batch.
    Json,
    /// The contract's batch, gzip.
    JsonGzip,
    /// One event a line.
    Ndjson,
    /// One event a line, zstd.
    NdjsonZstd,
    /// A batch of Lago's, times as seconds since 1970.
    Lago,
    /// A batch of CloudEvents.
    CloudEvents,
}

/// What the answer that acknowledges a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// 201 with the one event.
    Event,
    /// 201 with counts.
    Counts,
    /// 204.
    Empty,
}

/// Fastest level of both algorithms.
const LEVEL: u32 = 1;

impl Encoding {
    /// Where it is posted.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Encoding::Single => "/v1/events/",
            Encoding::Lago => "/api/v1/events/batch",
            Encoding::CloudEvents => "/api/v1/events",
            _ => "/v1/events/batch",
        }
    }

    /// `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Ndjson | Encoding::NdjsonZstd => "application/x-ndjson",
            Encoding::CloudEvents => "application/cloudevents-batch+json",
            _ => "application/json",
        }
    }

    /// `Content-Encoding`, where there is one.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Encoding::JsonGzip => Some("gzip"),
            Encoding::NdjsonZstd => Some("zstd"),
            _ => None,
        }
    }

    /// What acknowledges it.
    #[must_use]
    pub fn acknowledgement(self) -> Acknowledgement {
        match self {
            Encoding::Single => Acknowledgement::Event,
            Encoding::Lago | Encoding::CloudEvents => Acknowledgement::Empty,
            _ => Acknowledgement::Counts,
        }
    }

    /// The body as sent; `plain` itself where nothing is compressed.
    ///
    /// # Errors
    /// When the compressor fails; writing to memory does not.
    pub fn compressed(self, plain: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Encoding::JsonGzip => {
                let mut gzip =
                    flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), flate2::Compression::new(LEVEL));
                gzip.write_all(&plain)?;
                gzip.finish()
            }
            // The level is 1: it fits.
            Encoding::NdjsonZstd => zstd::bulk::compress(&plain, LEVEL.cast_signed()),
            _ => Ok(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_compressed_reads_back() {
        let plain = b"{\"a\":1}\n".repeat(500);
        let gzip = Encoding::JsonGzip.compressed(plain.clone()).unwrap();
        let zstd = Encoding::NdjsonZstd.compressed(plain.clone()).unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
        assert_eq!(zstd::decode_all(zstd.as_slice()).unwrap(), plain);
        assert_eq!(Encoding::Json.compressed(plain.clone()).unwrap(), plain);
    }
}

//! A response's body on its way out: compressed as the client asked for, piece by piece.

use std::io::Write;

use bytes::Bytes;

use crate::exception::Exception;
use crate::framing;

/// How the response is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// `compress=1`: ClickHouse's own framing, no `Content-Encoding` header.
    Framed,
    /// `Content-Encoding: lz4` (frame format).
    Lz4,
    /// `Content-Encoding: zstd`.
    Zstd,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: deflate` (zlib).
    Deflate,
}

impl Encoding {
    /// Chooses by the `Accept-Encoding` header; the cheapest for a loopback first. `q=0` refuses a coding.
    pub(crate) fn accepted(header: &str) -> Self {
        const BY_COST: [(&str, Encoding); 4] = [
            ("lz4", Encoding::Lz4),
            ("zstd", Encoding::Zstd),
            ("gzip", Encoding::Gzip),
            ("deflate", Encoding::Deflate),
        ];
        let offers = |name: &str| {
            header.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        BY_COST.iter().find(|(name, _)| offers(name)).map_or(Self::Identity, |(_, encoding)| *encoding)
    }

    /// The value of `Content-Encoding`, where there is one.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Framed => None,
            Self::Lz4 => Some("lz4"),
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
        }
    }
}

/// Compression level of gzip and deflate: level 1, as loopback bandwidth is worth less than processor time.
const FAST: u32 = 1;
/// Compression level of zstd, for the same reason.
const ZSTD_FAST: i32 = 1;

/// Encodes a response piece by piece.
pub(crate) enum Encoder {
    Identity,
    Framed,
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    /// Starts an encoded body.
    ///
    /// # Errors
    /// Code 49 when the compressor cannot be set up.
    pub(crate) fn new(encoding: Encoding) -> Result<Self, Exception> {
        let level = flate2::Compression::new(FAST);
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Framed => Self::Framed,
            Encoding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Encoding::Zstd => {
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_FAST).map_err(|error| broken(&error))?)
            }
            Encoding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Encoding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
        })
    }

    /// Encodes one piece and returns what can be sent, which may be nothing yet.
    ///
    /// # Errors
    /// Code 49 when the compressor fails.
    pub(crate) fn push(&mut self, piece: Bytes) -> Result<Bytes, Exception> {
        let out = match self {
            Self::Identity => return Ok(piece),
            Self::Framed => return framing::compress(&piece).map(Into::into),
            Self::Lz4(encoder) => encoder.write_all(&piece).map(|()| std::mem::take(encoder.get_mut())),
            Self::Zstd(encoder) => encoder.write_all(&piece).map(|()| std::mem::take(encoder.get_mut())),
            Self::Gzip(encoder) => encoder.write_all(&piece).map(|()| std::mem::take(encoder.get_mut())),
            Self::Deflate(encoder) => encoder.write_all(&piece).map(|()| std::mem::take(encoder.get_mut())),
        };
        out.map(Bytes::from).map_err(|error| broken(&error))
    }

    /// Ends the body and returns what is left to send.
    ///
    /// # Errors
    /// Code 49 when the compressor fails.
    pub(crate) fn finish(self) -> Result<Bytes, Exception> {
        let out = match self {
            Self::Identity | Self::Framed => Ok(Vec::new()),
            Self::Lz4(encoder) => encoder.finish().map_err(std::io::Error::other),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        };
        out.map(Bytes::from).map_err(|error| broken(&error))
    }
}

fn broken(error: &std::io::Error) -> Exception {
    Exception::internal(&format!("Cannot compress the response: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{ContentEncoding, Input, RawBody};

    #[test]
    fn the_cheapest_offered_coding_is_chosen_and_refusals_are_kept() {
        assert_eq!(Encoding::accepted("gzip, deflate, zstd, LZ4"), Encoding::Lz4);
        assert_eq!(Encoding::accepted("gzip;q=0.5, zstd;q=0"), Encoding::Gzip);
        assert_eq!(Encoding::accepted("br, *"), Encoding::Identity);
        assert_eq!(Encoding::accepted(""), Encoding::Identity);
    }

    #[test]
    fn what_is_encoded_in_pieces_is_decoded_by_the_input_side() {
        let data: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
        for (encoding, content, framed) in [
            (Encoding::Identity, ContentEncoding::Identity, false),
            (Encoding::Framed, ContentEncoding::Identity, true),
            (Encoding::Lz4, ContentEncoding::Lz4, false),
            (Encoding::Zstd, ContentEncoding::Zstd, false),
            (Encoding::Gzip, ContentEncoding::Gzip, false),
            (Encoding::Deflate, ContentEncoding::Deflate, false),
        ] {
            let mut encoder = Encoder::new(encoding).unwrap();
            let mut arrived: std::collections::VecDeque<Bytes> =
                data.chunks(50_000).map(|piece| encoder.push(Bytes::copy_from_slice(piece)).unwrap()).collect();
            arrived.push_back(encoder.finish().unwrap());
            arrived.retain(|piece| !piece.is_empty());
            let mut input = Input::new(RawBody { arrived, rest: None }, content, framed).unwrap();
            let mut decoded = Vec::new();
            while let Some(piece) = input.next().unwrap() {
                decoded.extend_from_slice(&piece);
            }
            assert!(decoded == data, "{encoding:?}");
        }
    }
}

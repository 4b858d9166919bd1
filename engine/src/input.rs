//! A request's body as the blocking side sees it: pieces, decoded.
//!
//! What arrived while the request waited is held already; the rest is pulled from the connection when the engine is ready
//! for it, so that a large INSERT is never in memory as a whole. Undecoded bodies pass through without a copy.
//! A body that breaks off is an error, never an end: a half-sent INSERT must not commit (I1).

use std::io::{BufRead, Read};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::exception::{Exception, code};
use crate::framing;

/// Bytes per piece of a decoded body.
const DECODED_PIECE: usize = 1 << 20;

/// How the body is encoded as a whole (`Content-Encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl ContentEncoding {
    /// Reads the header's value; `None` for one we do not know.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// The raw body: pieces that arrived, then what is still to come.
pub(crate) struct RawBody {
    pub(crate) arrived: std::collections::VecDeque<Bytes>,
    pub(crate) rest: Option<(Incoming, Handle)>,
}

impl RawBody {
    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(piece) = self.arrived.pop_front() {
            return Ok(Some(piece));
        }
        let Some((body, runtime)) = &mut self.rest else {
            return Ok(None);
        };
        while let Some(frame) = runtime.block_on(body.frame()) {
            let frame = frame.map_err(std::io::Error::other)?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        self.rest = None;
        Ok(None)
    }
}

/// [`RawBody`] as a reader, for decoders.
struct BodyReader {
    body: RawBody,
    current: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.body.next()?.unwrap_or_default();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

enum Layer {
    Plain(RawBody),
    Decoded(Box<dyn Read + Send>),
    Framed(Box<dyn Read + Send>),
}

/// The body after decoding.
pub(crate) struct Input {
    layer: Layer,
}

impl Input {
    /// Wraps `body`; `framed` says that its decoded form is in ClickHouse's own compressed framing (`decompress=1`).
    ///
    /// # Errors
    /// Code 271 when the first bytes are not in the encoding that was announced.
    pub(crate) fn new(body: RawBody, encoding: ContentEncoding, framed: bool) -> Result<Self, Exception> {
        if encoding == ContentEncoding::Identity && !framed {
            return Ok(Self { layer: Layer::Plain(body) });
        }
        let reader = BodyReader { body, current: Bytes::new() };
        let decoded: Box<dyn Read + Send> = match encoding {
            ContentEncoding::Identity => Box::new(reader),
            ContentEncoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            ContentEncoding::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(reader)),
            ContentEncoding::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(reader)),
            ContentEncoding::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(reader).map_err(|error| unreadable(&error))?)
            }
        };
        Ok(Self { layer: if framed { Layer::Framed(decoded) } else { Layer::Decoded(decoded) } })
    }

    /// The next piece, never empty; `None` at the end.
    ///
    /// # Errors
    /// Code 33 or 271 for a body that breaks off or does not decode, and the codes of [`framing::read_block`].
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        loop {
            let piece = match &mut self.layer {
                Layer::Plain(body) => body.next().map_err(|error| unreadable(&error))?,
                Layer::Framed(reader) => framing::read_block(reader)?,
                Layer::Decoded(reader) => decode_piece(reader)?,
            };
            match piece {
                Some(bytes) if bytes.is_empty() => {}
                other => return Ok(other),
            }
        }
    }
}

fn decode_piece(reader: &mut impl Read) -> Result<Option<Bytes>, Exception> {
    let mut piece = Vec::new();
    let limit = u64::try_from(DECODED_PIECE).unwrap_or(u64::MAX);
    reader.take(limit).read_to_end(&mut piece).map_err(|error| unreadable(&error))?;
    Ok((!piece.is_empty()).then(|| piece.into()))
}

fn unreadable(error: &std::io::Error) -> Exception {
    Exception::new(code::CANNOT_READ_ALL_DATA, format!("Cannot read the request body: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn input(pieces: &[&[u8]], encoding: ContentEncoding, framed: bool) -> Input {
        let arrived = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        Input::new(RawBody { arrived, rest: None }, encoding, framed).unwrap()
    }

    fn all(mut input: Input) -> Result<Vec<u8>, Exception> {
        let mut out = Vec::new();
        while let Some(piece) = input.next()? {
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(data: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_gives_the_body_back_however_it_was_cut() {
        let data: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let framed = framing::compress(&data).unwrap();
        let cases = [
            (data.clone(), ContentEncoding::Identity, false),
            (gzip(&data), ContentEncoding::Gzip, false),
            (zstd::encode_all(&data[..], 1).unwrap(), ContentEncoding::Zstd, false),
            (lz4(&data), ContentEncoding::Lz4, false),
            (framed.clone(), ContentEncoding::Identity, true),
            (gzip(&framed), ContentEncoding::Gzip, true),
        ];
        for (body, encoding, is_framed) in cases {
            for size in [7_777, body.len()] {
                let pieces: Vec<&[u8]> = body.chunks(size).collect();
                assert!(all(input(&pieces, encoding, is_framed)).unwrap() == data, "{encoding:?} {size}");
            }
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        let data = vec![7_u8; 100_000];
        for (body, encoding) in [
            (gzip(&data), ContentEncoding::Gzip),
            (zstd::encode_all(&data[..], 1).unwrap(), ContentEncoding::Zstd),
            (lz4(&data), ContentEncoding::Lz4),
        ] {
            let cut = &body[..body.len() - 5];
            assert!(all(input(&[cut], encoding, false)).is_err(), "{encoding:?}");
        }
    }
}

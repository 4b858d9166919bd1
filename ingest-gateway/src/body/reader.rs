//! A body as chunks: under a time limit, decompressed as it arrives.
//!
//! Memory is bounded whatever is sent: one chunk from the connection, one of [`CHUNK_BYTES`] after decompression, and the
//! decoder's window (gzip 32 KiB; zstd at most [`ZSTD_WINDOW_LOG`]). How much a body may expand to is for the callers to say.

use super::BodyError;
use super::encoding::Encoding;
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, BodyDataStream, Bytes};
use bytes::BytesMut;
use futures::{Stream, StreamExt, TryStreamExt};
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use tokio_util::io::StreamReader;

/// Bytes decompressed in one step.
const CHUNK_BYTES: usize = 64 << 10;
/// Largest window of a zstd frame: 2²³ = 8 MiB, what RFC 8878 asks every decoder to support. The library's own limit of
/// 128 MiB would let a request of 20 bytes take that much memory.
const ZSTD_WINDOW_LOG: u32 = 23;

enum Source {
    Plain(BodyDataStream),
    Compressed { encoding: Encoding, decoder: Pin<Box<dyn AsyncRead + Send>> },
}

/// A body that is being read.
pub(crate) struct BodyReader {
    source: Source,
}

impl BodyReader {
    /// Reads `body`; at most `max_wire_bytes` of it as sent.
    pub(crate) fn new(body: Body, encoding: Encoding, max_wire_bytes: usize) -> Self {
        let source = match encoding {
            Encoding::Identity => Source::Plain(body.into_data_stream()),
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(wire(body, max_wire_bytes)));
                decoder.multiple_members(true);
                Source::Compressed { encoding, decoder: Box::pin(decoder) }
            }
            Encoding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(StreamReader::new(wire(body, max_wire_bytes)), &window);
                decoder.multiple_members(true);
                Source::Compressed { encoding, decoder: Box::pin(decoder) }
            }
        };
        Self { source }
    }

    /// The next chunk, never empty; `None` at the end. Loses nothing when it is dropped while waiting.
    ///
    /// # Errors
    /// When the body breaks off, is not what its encoding says, or is too long on the wire.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &mut self.source {
            Source::Plain(stream) => loop {
                match stream.next().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(BodyError::BrokeOff(error.to_string())),
                    Some(Ok(chunk)) if chunk.is_empty() => {}
                    Some(Ok(chunk)) => return Ok(Some(chunk)),
                }
            },
            Source::Compressed { encoding, decoder } => {
                let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
                match decoder.read_buf(&mut chunk).await {
                    Ok(0) => Ok(None),
                    Ok(_) => Ok(Some(chunk.freeze())),
                    Err(error) => Err(decoding_error(*encoding, error)),
                }
            }
        }
    }

    /// [`Self::next`], until `deadline`.
    ///
    /// # Errors
    /// As there, and [`BodyError::TimedOut`].
    pub(crate) async fn next_before(
        &mut self,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Option<Bytes>, BodyError> {
        match tokio::time::timeout_at(deadline, self.next()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(BodyError::TimedOut(timeout)),
        }
    }
}

fn wire(body: Body, max_bytes: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let mut left = max_bytes;
    body.into_data_stream().map_err(|error| BodyError::BrokeOff(error.to_string())).map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        left = left.checked_sub(chunk.len()).ok_or_else(|| io::Error::other(BodyError::TooLarge(max_bytes)))?;
        Ok(chunk)
    })
}

/// Our own errors travel through the decoder inside of an `io::Error`; what else comes out is the decoder's.
fn decoding_error(encoding: Encoding, error: io::Error) -> BodyError {
    match error.downcast::<BodyError>() {
        Ok(own) => own,
        Err(error) => BodyError::BrokenEncoding { encoding: encoding.name(), reason: error.to_string() },
    }
}

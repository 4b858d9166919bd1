//! A JSON body, whole in memory: within its limits, in time, and only as far as the sink admits its bytes.

use super::BodyError;
use super::encoding::Encoding;
use super::reader::BodyReader;
use crate::limits::GatewayLimits;
use crate::sink::{EventSink, Permit, SinkError};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use tokio::time::Instant;

/// Admitted at first when nothing says how long the body will be.
const FIRST_BYTES: usize = 64 << 10;

/// Room in the sink, growing with the body; given back when dropped.
pub(crate) struct Room<'a> {
    sink: &'a dyn EventSink,
    permits: Vec<Permit>,
    bytes: usize,
}

impl<'a> Room<'a> {
    /// Room for `bytes` at first.
    ///
    /// # Errors
    /// When the sink has none.
    pub(crate) fn new(sink: &'a dyn EventSink, bytes: usize) -> Result<Self, SinkError> {
        Ok(Self { sink, permits: vec![sink.admit(bytes)?], bytes })
    }

    /// Makes it at least `bytes`, doubling: a body that grows is admitted in a few steps.
    fn cover(&mut self, bytes: usize) -> Result<(), SinkError> {
        if bytes > self.bytes {
            let more = (bytes - self.bytes).max(self.bytes);
            self.permits.push(self.sink.admit(more)?);
            self.bytes += more;
        }
        Ok(())
    }
}

/// The length that the headers announce.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads and decompresses a whole body; the room is to be held until the request is answered.
///
/// # Errors
/// When it is too long, too slow, broken, or the sink has no room.
pub(crate) async fn read_whole<'a>(
    headers: &HeaderMap,
    body: Body,
    encoding: Encoding,
    limits: &GatewayLimits,
    sink: &'a dyn EventSink,
) -> Result<(Bytes, Room<'a>), BodyError> {
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > limits.max_body_bytes) {
        return Err(BodyError::TooLarge(limits.max_body_bytes));
    }
    let (limit, too_large): (usize, fn(usize) -> BodyError) = match encoding {
        Encoding::Identity => (limits.max_body_bytes, BodyError::TooLarge),
        _ => (limits.max_decompressed_bytes, BodyError::TooLargeDecompressed),
    };
    let mut room = Room::new(sink, announced.unwrap_or(FIRST_BYTES))?;
    let deadline = Instant::now() + limits.body_timeout;
    let mut reader = BodyReader::new(body, encoding, limits.max_body_bytes);
    let mut collected = Collected::default();
    while let Some(chunk) = reader.next_before(deadline, limits.body_timeout).await? {
        let length = collected.len() + chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        room.cover(length)?;
        collected.add(chunk);
    }
    Ok((collected.finish(), room))
}

/// Chunks put together; a body of one chunk, as most are, is not copied.
#[derive(Default)]
struct Collected {
    first: Option<Bytes>,
    all: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.as_ref().map_or(self.all.len(), Bytes::len)
    }

    fn add(&mut self, chunk: Bytes) {
        if self.first.is_none() && self.all.is_empty() {
            self.first = Some(chunk);
            return;
        }
        if let Some(first) = self.first.take() {
            self.all.extend_from_slice(&first);
        }
        self.all.extend_from_slice(&chunk);
    }

    fn finish(self) -> Bytes {
        self.first.unwrap_or_else(|| self.all.freeze())
    }
}

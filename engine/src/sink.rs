//! Where a statement's result goes: held back while it is small, streamed when it grows.
//!
//! The status line goes out with the first byte. Up to [`HOLD`] bytes are held, so that a failure among them still gets its
//! own status and headers, and so that a small result is sent whole, with its length and final counters. After that the
//! result flows through a channel of a few pieces: memory stays bounded however large it is, and a slow client slows the
//! engine down. A failure then can only be told inside the body, in the form ClickHouse 25.11 and later use
//! (`X-ClickHouse-Exception-Tag`), and by breaking the connection.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::exception::Exception;
use crate::ffi::{Counters, ResultBlock};
use crate::output::{Encoder, Encoding};

/// Bytes held back before the response begins; ClickHouse's own `http_response_buffer_size` default is 1 MiB too.
const HOLD: usize = 1 << 20;
/// With `wait_end_of_query=1` the client asks for the status of the whole; beyond this it is streamed all the same.
const HOLD_WAITING: usize = 64 << 20;
/// Below one network packet, encoding a whole response costs more than it saves.
const WORTH_ENCODING: usize = 1400;
/// Pieces in flight between the engine and the network; a piece is about 0.5–2 MB.
pub(crate) const PIECES_IN_FLIGHT: usize = 4;

/// What the response's head tells.
#[derive(Debug)]
pub(crate) struct Head {
    /// The format of the result.
    pub(crate) format: String,
    /// How it is encoded.
    pub(crate) encoding: Encoding,
    /// `X-ClickHouse-Summary`; of what was counted so far when the body is streamed.
    pub(crate) summary: String,
    /// `X-ClickHouse-Exception-Tag` of a streamed body.
    pub(crate) exception_tag: Option<String>,
}

/// The first answer of the blocking side.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The statement ended: the whole body.
    Whole(Head, Vec<Bytes>),
    /// The body begins with these pieces, the rest comes through the channel.
    Streamed(Head, Vec<Bytes>),
    /// The statement failed before anything was sent.
    Failed(Exception),
}

/// A later piece of a streamed body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The statement failed: the last bytes, after which the connection breaks.
    Failed(Bytes),
}

/// Whether the client still takes the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Listens,
    Left,
}

/// Takes a result block by block.
pub(crate) struct Sink {
    reply: Option<oneshot::Sender<Reply>>,
    pieces: mpsc::Sender<Piece>,
    encoding: Encoding,
    encoder: Option<Encoder>,
    format: String,
    held: Vec<Bytes>,
    held_bytes: usize,
    hold: usize,
    counters: Counters,
    begun: Instant,
    tag: String,
    version: String,
}

impl Sink {
    /// A sink that answers through `reply`, then `pieces`.
    pub(crate) fn new(
        reply: oneshot::Sender<Reply>,
        pieces: mpsc::Sender<Piece>,
        encoding: Encoding,
        wait_end: bool,
        version: &str,
    ) -> Self {
        Self {
            reply: Some(reply),
            pieces,
            encoding,
            encoder: None,
            format: String::new(),
            held: Vec::new(),
            held_bytes: 0,
            hold: if wait_end { HOLD_WAITING } else { HOLD },
            counters: Counters::default(),
            begun: Instant::now(),
            tag: random_tag(),
            version: version.to_owned(),
        }
    }

    /// Names the format of what follows.
    pub(crate) fn set_format(&mut self, format: &str) {
        format.clone_into(&mut self.format);
    }

    /// Adds counters that belong to no block.
    pub(crate) fn count(&mut self, counters: Counters) {
        self.counters.add(counters);
    }

    /// Takes the next block of the result. Its first `repeated` bytes are left out: the body has them already.
    ///
    /// # Errors
    /// Code 49 when the compressor fails.
    pub(crate) fn push(&mut self, block: ResultBlock, repeated: usize) -> Result<Client, Exception> {
        self.counters.add(block.counters());
        let data = Bytes::from_owner(block).slice(repeated..);
        if self.encoder.is_some() {
            return self.send(data);
        }
        self.held_bytes += data.len();
        if !data.is_empty() {
            self.held.push(data);
        }
        if self.held_bytes <= self.hold {
            return Ok(Client::Listens);
        }
        self.begin_stream()
    }

    fn begin_stream(&mut self) -> Result<Client, Exception> {
        let mut encoder = Encoder::new(self.encoding)?;
        let first = encode_all(&mut encoder, std::mem::take(&mut self.held))?;
        self.encoder = Some(encoder);
        let mut head = self.head(self.encoding);
        head.exception_tag = Some(self.tag.clone());
        let sent = self.reply.take().map(|reply| reply.send(Reply::Streamed(head, first)));
        Ok(match sent {
            Some(Ok(())) => Client::Listens,
            _ => Client::Left,
        })
    }

    fn send(&mut self, data: Bytes) -> Result<Client, Exception> {
        let Some(encoder) = &mut self.encoder else {
            return Err(Exception::internal("a piece was sent before the stream began"));
        };
        let encoded = encoder.push(data)?;
        if encoded.is_empty() || self.pieces.blocking_send(Piece::Data(encoded)).is_ok() {
            return Ok(Client::Listens);
        }
        Ok(Client::Left)
    }

    /// Ends the response after the statement has ended, one way or the other.
    pub(crate) fn end(mut self, result: Result<(), Exception>) {
        let ended = result.and_then(|()| self.end_well());
        if let Err(exception) = ended {
            self.end_badly(exception);
        }
    }

    fn end_well(&mut self) -> Result<(), Exception> {
        if let Some(encoder) = self.encoder.take() {
            let last = encoder.finish()?;
            if !last.is_empty() {
                // A client that left needs no end.
                let _ = self.pieces.blocking_send(Piece::Data(last));
            }
            return Ok(());
        }
        let small = self.held_bytes < WORTH_ENCODING && self.encoding != Encoding::Framed;
        let encoding = if small { Encoding::Identity } else { self.encoding };
        let mut encoder = Encoder::new(encoding)?;
        let mut body = encode_all(&mut encoder, std::mem::take(&mut self.held))?;
        body.extend(Some(encoder.finish()?).filter(|last| !last.is_empty()));
        let head = self.head(encoding);
        if let Some(reply) = self.reply.take() {
            // A client that left needs no answer.
            let _ = reply.send(Reply::Whole(head, body));
        }
        Ok(())
    }

    fn end_badly(&mut self, exception: Exception) {
        if let Some(reply) = self.reply.take() {
            // A client that left needs no answer.
            let _ = reply.send(Reply::Failed(exception));
            return;
        }
        let text = versioned(&exception.text, &self.version);
        let tag = &self.tag;
        // The length counts the text and its line end.
        let length = text.len() + 1;
        let notice = format!("\r\n__exception__\r\n{tag}\r\n{text}\n{length} {tag}\r\n__exception__\r\n");
        let encoded = self.encoder.take().map(|mut encoder| {
            let mut bytes = encoder.push(Bytes::from(notice))?.to_vec();
            bytes.extend_from_slice(&encoder.finish()?);
            Ok::<_, Exception>(bytes)
        });
        let last = match encoded {
            Some(Ok(bytes)) => bytes.into(),
            // Without its text the failure still shows: the connection breaks.
            Some(Err(_)) | None => Bytes::new(),
        };
        let _ = self.pieces.blocking_send(Piece::Failed(last));
    }

    fn head(&self, encoding: Encoding) -> Head {
        let counters = &self.counters;
        let summary = format!(
            "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
             \"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"{}\",\"elapsed_ns\":\"{}\"}}",
            counters.rows_read,
            counters.bytes_read,
            counters.rows_written,
            counters.bytes_written,
            counters.result_rows,
            counters.result_bytes,
            self.begun.elapsed().as_nanos(),
        );
        Head { format: self.format.clone(), encoding, summary, exception_tag: None }
    }
}

fn encode_all(encoder: &mut Encoder, pieces: Vec<Bytes>) -> Result<Vec<Bytes>, Exception> {
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let encoded = encoder.push(piece)?;
        out.extend(Some(encoded).filter(|bytes| !bytes.is_empty()));
    }
    Ok(out)
}

/// The text with the engine's version behind it, as a server writes it and clients look for it.
pub(crate) fn versioned(text: &str, version: &str) -> String {
    if text.contains("(version ") {
        return text.to_owned();
    }
    format!("{text} (version {version} (official build))")
}

fn random_tag() -> String {
    use rand::Rng as _;
    let mut random = rand::rng();
    (0..16).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_added_once() {
        let once = versioned("Code: 1. DB::Exception: x (Y)", "26.7");
        assert_eq!(once, "Code: 1. DB::Exception: x (Y) (version 26.7 (official build))");
        assert_eq!(versioned(&once, "26.7"), once);
    }
}

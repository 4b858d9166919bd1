//! Response bodies: known as a whole, or flowing from a statement that still runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::running::CancelGuard;
use crate::sink::Piece;

/// The body of a response.
pub(crate) struct ResponseBody {
    ready: VecDeque<Bytes>,
    flow: Option<Flow>,
}

struct Flow {
    pieces: mpsc::Receiver<Piece>,
    ending: Ending,
    /// Dropped with the body when the client leaves.
    _guard: CancelGuard,
}

/// How far a failed stream has come: its last words are given to the network before the connection is broken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    None,
    Flush,
    Break,
}

impl ResponseBody {
    /// A body that is known.
    pub(crate) fn whole(pieces: Vec<Bytes>) -> Self {
        Self { ready: pieces.into(), flow: None }
    }

    /// A body of which `first` is known and the rest comes.
    pub(crate) fn streamed(first: Vec<Bytes>, pieces: mpsc::Receiver<Piece>, guard: CancelGuard) -> Self {
        Self { ready: first.into(), flow: Some(Flow { pieces, ending: Ending::None, _guard: guard }) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(piece) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(flow) = &mut self.flow else {
            return Poll::Ready(None);
        };
        match flow.ending {
            Ending::None => {}
            Ending::Flush => {
                // While the body waits, the connection flushes; the waker brings us back at once.
                flow.ending = Ending::Break;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Ending::Break => {
                let error = std::io::Error::other("the statement failed after its result had begun");
                return Poll::Ready(Some(Err(error)));
            }
        }
        match flow.pieces.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Piece::Data(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(Some(Piece::Failed(last))) => {
                flow.ending = Ending::Flush;
                Poll::Ready(Some(Ok(Frame::data(last))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.flow.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.flow.is_some() {
            return SizeHint::default();
        }
        let length: usize = self.ready.iter().map(Bytes::len).sum();
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// ClickHouse's content type for a format.
pub(crate) fn content_type(format: &str) -> &'static str {
    const TYPES: [(&str, &str); 6] = [
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("JSON", "application/json; charset=UTF-8"),
        ("CSV", "text/csv; charset=UTF-8; header=absent"),
        ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
        ("TSV", "text/tab-separated-values; charset=UTF-8"),
        ("XML", "application/xml; charset=UTF-8"),
    ];
    const TEXT: [&str; 3] = ["Pretty", "Vertical", "Values"];
    let named = TYPES.iter().find(|(prefix, _)| format.starts_with(prefix));
    match named {
        Some((_, content)) => content,
        None if TEXT.iter().any(|prefix| format.starts_with(prefix)) => "text/plain; charset=UTF-8",
        None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_clickhouses() {
        assert_eq!(content_type("JSONEachRow"), "application/x-ndjson; charset=UTF-8");
        assert_eq!(content_type("JSONCompact"), "application/json; charset=UTF-8");
        assert_eq!(content_type("TabSeparatedWithNames"), "text/tab-separated-values; charset=UTF-8");
        assert_eq!(content_type("PrettyCompact"), "text/plain; charset=UTF-8");
        assert_eq!(content_type("Native"), "application/octet-stream");
    }

    #[test]
    fn a_whole_body_knows_its_length() {
        let body = ResponseBody::whole(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
    }
}

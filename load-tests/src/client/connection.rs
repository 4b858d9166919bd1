//! One keep-alive HTTP/1.1 connection that carries one request at a time, and tells after a failure whether the server may
//! have received the request: the audit treats the two differently.

use super::target::Target;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What of a request does not change from one to the next.
#[derive(Clone, Debug)]
pub struct Head {
    /// `GET` or `POST`.
    pub method: Method,
    /// Path with the target's prefix.
    pub path: Uri,
    /// All headers but the length.
    pub headers: HeaderMap,
}

/// What came back; the body is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Status code.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// The server cannot have received the request.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have.
    #[error("sent, outcome unknown: {0}")]
    Unknown(String),
}

/// A connection that reopens itself.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    limit: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection to `target`, opened by its first request; each request must be answered within `limit`.
    #[must_use]
    pub fn new(target: Target, limit: Duration) -> Self {
        Self { target, limit, sender: None }
    }

    /// Sends one request and reads its whole answer into `answer`, which is cleared first.
    ///
    /// # Errors
    /// [`SendError`]; the connection is opened anew by the next request.
    pub async fn send(&mut self, head: &Head, body: Bytes, answer: &mut Vec<u8>) -> Result<Received, SendError> {
        answer.clear();
        let sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.open().await?,
        };
        let exchange = exchange(sender, head, body, answer);
        let (received, reusable) = match timeout(self.limit, exchange).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(SendError::Unknown(format!("no answer within {:?}", self.limit))),
        };
        self.sender = Some(reusable);
        Ok(received)
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let not_sent = |error: &dyn std::fmt::Display| SendError::NotSent(format!("connect: {error}"));
        let stream = TcpStream::connect(&self.target.authority).await.map_err(|error| not_sent(&error))?;
        stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_sent(&error))?;
        // The driver ends with the connection; what it failed of reaches us through the request.
        tokio::spawn(driver);
        Ok(sender)
    }
}

async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    head: &Head,
    body: Bytes,
    answer: &mut Vec<u8>,
) -> Result<(Received, SendRequest<Full<Bytes>>), SendError> {
    sender.ready().await.map_err(|error| SendError::NotSent(error.to_string()))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.path.clone();
    *request.headers_mut() = head.headers.clone();
    let response = sender.try_send_request(request).await.map_err(|mut error| {
        // hyper hands the request back when it did not write a byte of it.
        let untouched = error.take_message().is_some();
        let reason = error.into_error().to_string();
        if untouched { SendError::NotSent(reason) } else { SendError::Unknown(reason) }
    })?;
    let received = Received { status: response.status().as_u16(), retry_after: retry_after(&response) };
    read(response.into_body(), answer).await?;
    Ok((received, sender))
}

async fn read(mut body: Incoming, answer: &mut Vec<u8>) -> Result<(), SendError> {
    while let Some(frame) = body.frame().await {
        // The status alone is no acknowledgement: a server may still fail while it writes the answer.
        let frame = frame.map_err(|error| SendError::Unknown(error.to_string()))?;
        if let Some(data) = frame.data_ref() {
            answer.extend_from_slice(data);
        }
    }
    Ok(())
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn head() -> Head {
        Head { method: Method::POST, path: "/v1/events/".parse().unwrap(), headers: HeaderMap::new() }
    }

    async fn listener() -> (TcpListener, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        (listener, target)
    }

    #[tokio::test]
    async fn nothing_listening_means_not_sent() {
        let (listener, target) = listener().await;
        drop(listener);
        let mut connection = Connection::new(target, Duration::from_secs(5));
        let outcome = connection.send(&head(), Bytes::new(), &mut Vec::new()).await;
        assert!(matches!(outcome, Err(SendError::NotSent(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_after_the_request_means_unknown() {
        let (listener, target) = listener().await;
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut some = [0; 64];
            let _ = socket.read(&mut some).await.unwrap();
        });
        let mut connection = Connection::new(target, Duration::from_secs(5));
        let outcome = connection.send(&head(), Bytes::from_static(b"{}"), &mut Vec::new()).await;
        assert!(matches!(outcome, Err(SendError::Unknown(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn no_answer_in_time_means_unknown() {
        let (listener, target) = listener().await;
        let held = tokio::spawn(async move { listener.accept().await.unwrap() });
        let mut connection = Connection::new(target, Duration::from_millis(50));
        let outcome = connection.send(&head(), Bytes::from_static(b"{}"), &mut Vec::new()).await;
        assert!(matches!(outcome, Err(SendError::Unknown(_))), "{outcome:?}");
        drop(held.await);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_means_unknown() {
        let (listener, target) = listener().await;
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut some = [0; 256];
            let _ = socket.read(&mut some).await.unwrap();
            socket.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"ing").await.unwrap();
        });
        let mut connection = Connection::new(target, Duration::from_secs(5));
        let outcome = connection.send(&head(), Bytes::from_static(b"{}"), &mut Vec::new()).await;
        assert!(matches!(outcome, Err(SendError::Unknown(_))), "{outcome:?}");
    }
}

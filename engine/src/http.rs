//! The HTTP side: connections, routes, headers. Everything that takes time happens in [`crate::execute`].
//!
//! Routes: `/ping` and `/replicas_status` answer `Ok.` to anyone (they say only that the process listens); `/` answers
//! statements, and `Ok.` when there is none. HTTP/1.1 only, as ClickHouse.
//!
//! A bounded number of statements runs at once; further ones wait in line, and leave it when their client does. INSERTs have
//! a line of their own: reports that hold all places, or clients that read them slowly, do not hold up ingestion.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::auth::authenticate;
use crate::exception::{Exception, code};
use crate::execute::Job;
use crate::input::RawBody;
use crate::request::{QueryRequest, form_boundary, form_pairs, url_pairs};
use crate::response::{ResponseBody, content_type};
use crate::running::{CancelGuard, Registry};
use crate::session::Sessions;
use crate::sink::{Head, PIECES_IN_FLIGHT, Reply, Sink, versioned};

/// Body bytes read before a request asks for a slot, so that a slow sender of a usual batch holds none.
const READ_AHEAD: usize = 8 << 20;
const INSERT: &[u8] = b"INSERT";
/// The longest form: a statement and its parameters.
const FORM_LIMIT: usize = 64 << 20;

/// What all requests share.
pub(crate) struct Server {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) password: String,
    pub(crate) slots: Slots,
    pub(crate) version: String,
    pub(crate) timezone: HeaderValue,
}

/// Places for statements under way.
pub(crate) struct Slots {
    inserts: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Slots {
    /// `count` places for INSERTs and as many for everything else.
    pub(crate) fn new(count: usize) -> Self {
        Self { inserts: Arc::new(Semaphore::new(count)), others: Arc::new(Semaphore::new(count)) }
    }

    /// The line to wait in. An INSERT that hides behind a comment or an encoding waits with the others.
    fn line_for(&self, request: &QueryRequest, body: &RawBody) -> Arc<Semaphore> {
        let by_url = request.query.as_bytes();
        let first = if by_url.is_empty() { body.arrived.front().map_or(&[][..], |piece| piece) } else { by_url };
        let word = first.trim_ascii_start().get(..INSERT.len());
        let inserts = word.is_some_and(|word| word.eq_ignore_ascii_case(INSERT));
        Arc::clone(if inserts { &self.inserts } else { &self.others })
    }
}

impl Server {
    /// Answers one request; never fails, as every failure has a response.
    pub(crate) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<ResponseBody> {
        let result = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => Ok(self.ok()),
            (&Method::GET | &Method::HEAD, "/") if request.uri().query().is_none() => Ok(self.ok()),
            (&Method::GET | &Method::POST | &Method::HEAD | &Method::PUT, "/" | "/query") => self.query(request).await,
            (_, path) => Ok(not_found(path)),
        };
        let mut response = result.unwrap_or_else(|exception| self.failed(&exception));
        let headers = response.headers_mut();
        headers.insert("x-clickhouse-server-display-name", HeaderValue::from_static("tollgate-engine"));
        headers.insert("x-clickhouse-timezone", self.timezone.clone());
        response
    }

    async fn query(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Exception> {
        let (head, mut body) = request.into_parts();
        let mut pairs = url_pairs(head.uri.query());
        authenticate(&head.headers, &pairs, &self.password)?;
        let mut arrived = VecDeque::new();
        let mut ended = body.is_end_stream();
        if let Some(boundary) = form_boundary(&head.headers) {
            let form = read_form(&mut body).await?;
            pairs.extend(form_pairs(&form, &boundary)?);
            ended = true;
        }
        let query = QueryRequest::read(&head.method, &head.headers, pairs)?;
        let mut length = 0;
        while !ended && length < READ_AHEAD {
            match body.frame().await {
                Some(frame) => {
                    let data = frame.map_err(|error| broken_body(&error))?.into_data();
                    // Trailers carry nothing ClickHouse knows.
                    if let Ok(data) = data {
                        length += data.len();
                        arrived.push_back(data);
                    }
                }
                None => ended = true,
            }
        }
        let rest = (!ended).then(|| (body, Handle::current()));
        self.run(query, RawBody { arrived, rest }).await
    }

    async fn run(&self, request: QueryRequest, body: RawBody) -> Result<Response<ResponseBody>, Exception> {
        let line = self.slots.line_for(&request, &body);
        let slot = line.acquire_owned().await.map_err(|_| Exception::internal("the engine is shutting down"))?;
        let query_id = request.query_id.clone();
        let running = self.registry.begin(&query_id)?;
        let guard = CancelGuard::new(&running, &self.sessions);
        let (reply_sender, reply) = oneshot::channel();
        let (piece_sender, pieces) = mpsc::channel(PIECES_IN_FLIGHT);
        let sink = Sink::new(reply_sender, piece_sender, request.output, request.wait_end, &self.version);
        let job = Job { request, running, sessions: Arc::clone(&self.sessions), registry: Arc::clone(&self.registry) };
        tokio::task::spawn_blocking(move || {
            job.run(body, sink);
            drop(slot);
        });
        let answered = reply.await.map_err(|_| Exception::internal("the statement ended without an answer"))?;
        let mut response = match answered {
            Reply::Whole(head, whole) => respond(&head, ResponseBody::whole(whole)),
            Reply::Streamed(head, first) => respond(&head, ResponseBody::streamed(first, pieces, guard)),
            Reply::Failed(exception) => self.failed(&exception),
        };
        if let Ok(value) = HeaderValue::from_str(&query_id) {
            response.headers_mut().insert("x-clickhouse-query-id", value);
        }
        Ok(response)
    }

    fn ok(&self) -> Response<ResponseBody> {
        plain(StatusCode::OK, "Ok.\n".to_owned())
    }

    fn failed(&self, exception: &Exception) -> Response<ResponseBody> {
        let text = versioned(&exception.text, &self.version);
        let mut response = plain(exception.status(), format!("{text}\n"));
        response.headers_mut().insert("x-clickhouse-exception-code", HeaderValue::from(exception.code));
        response
    }
}

async fn read_form(body: &mut Incoming) -> Result<Vec<u8>, Exception> {
    let mut form = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broken_body(&error))?.into_data() {
            form.extend_from_slice(&data);
        }
        if form.len() > FORM_LIMIT {
            let text = format!("The form is longer than {FORM_LIMIT} bytes");
            return Err(Exception::new(code::QUERY_IS_TOO_LARGE, text));
        }
    }
    Ok(form)
}

fn broken_body(error: &hyper::Error) -> Exception {
    Exception::new(code::CANNOT_READ_ALL_DATA, format!("Cannot read the request body: {error}"))
}

fn respond(head: &Head, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&head.format)));
    if let Some(encoding) = head.encoding.header() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let told = [
        ("x-clickhouse-format", Some(head.format.as_str())),
        ("x-clickhouse-summary", Some(head.summary.as_str())),
        ("x-clickhouse-exception-tag", head.exception_tag.as_deref()),
    ];
    for (name, value) in told {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(vec![Bytes::from(text)]));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

fn not_found(path: &str) -> Response<ResponseBody> {
    plain(
        StatusCode::NOT_FOUND,
        format!(
            "There is no handle {path}\n\nUse / or /ping for health checks.\nSend queries from your program with POST method or GET /?query=...\n"
        ),
    )
}

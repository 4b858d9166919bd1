//! The blocking half of a request: find the statement, run it in a session, feed the sink.
//!
//! One statement stays on one thread from start to end. An INSERT whose body breaks off is cancelled before it commits (I1);
//! blocks the engine already wrote by then may stay, as on a ClickHouse server, which is why a client sends its batch as one
//! block or sends the same rows again.

use std::sync::Arc;

use bytes::Bytes;

use crate::exception::{Exception, code};
use crate::ffi::{Connection, Statement};
use crate::input::{Input, RawBody};
use crate::joining::Joining;
use crate::request::QueryRequest;
use crate::running::{Registry, Running};
use crate::session::{Session, Sessions};
use crate::sink::{Client, Sink};
use crate::statement::{Analysis, InsertText, OtherText, analyze};

/// The longest statement that is not an INSERT's data; more than a thousand times what our own queries take.
const STATEMENT_LIMIT: usize = 64 << 20;
/// How much of a refused body is read and thrown away, so that its sender gets to read the refusal.
const DRAIN_LIMIT: usize = 1 << 30;

/// One request, ready to run.
pub(crate) struct Job {
    pub(crate) request: QueryRequest,
    pub(crate) running: Arc<Running>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) registry: Arc<Registry>,
}

/// The statement of a request; the data of an INSERT begins in `text` and goes on in the input.
struct Found {
    text: Vec<u8>,
    analysis: Analysis,
}

impl Job {
    /// Runs the request to its end; the answer goes through `sink`.
    pub(crate) fn run(self, body: RawBody, mut sink: Sink) {
        let request = &self.request;
        let result = Input::new(body, request.input, request.framed_input)
            .and_then(|mut input| self.answer(&mut input, &mut sink));
        // The id is free before the client hears of the end, or its next request could be refused.
        drop(self);
        sink.end(result);
    }

    fn answer(&self, input: &mut Input, sink: &mut Sink) -> Result<(), Exception> {
        let found = find(&self.request.query, input)?;
        let result = match &found.analysis {
            Analysis::Insert(insert) => self.insert(&found.text, insert, input, sink),
            Analysis::Other(other) => match &other.kills {
                Some(id) => self.kill(id, sink),
                None => self.statement(&found.text[..other.end], other, sink),
            },
            Analysis::Incomplete => Err(Exception::internal("a whole request was called incomplete")),
        };
        if result.is_err() {
            drain(input);
        }
        result
    }

    fn statement(&self, text: &[u8], other: &OtherText, sink: &mut Sink) -> Result<(), Exception> {
        let default_format = &self.request.default_format;
        let format = other.format.as_ref().unwrap_or(default_format);
        sink.set_format(format);
        let statement = Statement { text, format: default_format, parameters: &self.request.parameters };
        let run = |connection: &mut Connection| {
            let client = match Joining::of(format).filter(|_| other.streams) {
                Some(joining) => stream(connection, statement, joining, sink),
                None => whole(connection, statement, sink),
            }?;
            Ok(client == Client::Listens && !other.changes_session)
        };
        self.in_session(run)
    }

    fn insert(&self, text: &[u8], insert: &InsertText, input: &mut Input, sink: &mut Sink) -> Result<(), Exception> {
        sink.set_format(&insert.format);
        let statement = Statement {
            text: text[..insert.statement_end].trim_ascii_end(),
            format: &insert.format,
            parameters: &self.request.parameters,
        };
        let run = |connection: &mut Connection| {
            let mut stream = connection.insert(statement)?;
            let mut next = Some(Bytes::copy_from_slice(&text[insert.data_start..]));
            while let Some(piece) = next {
                if !piece.is_empty() && !stream.append(&piece) {
                    break;
                }
                next = input.next()?;
            }
            sink.count(stream.finish()?);
            Ok(true)
        };
        self.in_session(run)
    }

    /// Runs `work` in a session of the request's settings; the session is kept when it says so and nothing failed. A failed
    /// statement's session would be clean too, but failures are rare, and a fresh session is cheaper than finding out.
    fn in_session(&self, work: impl FnOnce(&mut Connection) -> Result<bool, Exception>) -> Result<(), Exception> {
        let mut session: Session = self.sessions.acquire(&self.request.session)?;
        self.running.enter(&session.mark)?;
        let result = work(&mut session.connection);
        let untouched = self.running.finish();
        let clean = result?;
        if clean && untouched {
            self.sessions.release(session);
        }
        Ok(())
    }

    /// `KILL QUERY WHERE query_id = …`: the ids clients know are ours, not the engine's. Answers as the engine would.
    fn kill(&self, id: &str, sink: &mut Sink) -> Result<(), Exception> {
        let target = self.registry.get(id);
        if let Some(running) = &target {
            running.kill(&self.sessions)?;
        }
        let text = format!(
            "SELECT 'waiting' AS kill_status, {{id:String}} AS query_id, 'default' AS user, '' AS query WHERE {}",
            u8::from(target.is_some())
        );
        let default_format = &self.request.default_format;
        sink.set_format(default_format);
        let parameters = [("id".to_owned(), id.to_owned())];
        let statement = Statement { text: text.as_bytes(), format: default_format, parameters: &parameters };
        self.in_session(|connection| whole(connection, statement, sink).map(|client| client == Client::Listens))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.running.finish();
        self.registry.end(&self.request.query_id);
    }
}

/// Runs a statement whose result comes in parts; as a whole where the engine has no parts to give.
fn stream(
    connection: &mut Connection,
    statement: Statement<'_>,
    joining: Joining,
    sink: &mut Sink,
) -> Result<Client, Exception> {
    match stream_parts(connection, statement, joining, sink) {
        // The engine refuses before it does anything.
        Err(error) if has_nothing_to_stream(&error) => whole(connection, statement, sink),
        result => result,
    }
}

fn stream_parts(
    connection: &mut Connection,
    statement: Statement<'_>,
    mut joining: Joining,
    sink: &mut Sink,
) -> Result<Client, Exception> {
    let mut blocks = connection.stream(statement)?;
    while let Some(block) = blocks.next()? {
        let repeated = joining.repeated(block.as_ref())?;
        if sink.push(block, repeated)? == Client::Left {
            return Ok(Client::Left);
        }
    }
    Ok(Client::Listens)
}

/// Runs a statement whose result, if any, is small.
fn whole(connection: &mut Connection, statement: Statement<'_>, sink: &mut Sink) -> Result<Client, Exception> {
    let block = connection.query(statement)?;
    sink.push(block, 0)
}

/// The engine's own words for a statement that it runs only as a whole, e.g. WITH … INSERT.
fn has_nothing_to_stream(error: &Exception) -> bool {
    error.code == code::BAD_ARGUMENTS.0 && error.text.contains("Streaming query is not supported")
}

/// Reads as much of the input as it takes to know the statement: URL first, then a line end, then the body.
fn find(url_query: &str, input: &mut Input) -> Result<Found, Exception> {
    let mut text = url_query.as_bytes().to_vec();
    if !text.is_empty() {
        // An INSERT that is complete here has its data in the body, which may be large: it must not be copied behind it.
        if let Ok(analysis @ Analysis::Insert(_)) = analyze(&text, true) {
            return Ok(Found { text, analysis });
        }
        text.push(b'\n');
    }
    // Text is looked at again only after it has doubled, so that a long statement in small pieces stays linear.
    let mut looked_at = 0;
    while let Some(piece) = input.next()? {
        text.extend_from_slice(&piece);
        if text.len() > STATEMENT_LIMIT {
            return Err(Exception::new(
                code::QUERY_IS_TOO_LARGE,
                format!("The statement is longer than {STATEMENT_LIMIT} bytes"),
            ));
        }
        if text.len() < looked_at * 2 {
            continue;
        }
        looked_at = text.len();
        if let analysis @ Analysis::Insert(_) = analyze(&text, false)? {
            return Ok(Found { text, analysis });
        }
    }
    let analysis = analyze(&text, true)?;
    Ok(Found { text, analysis })
}

fn drain(input: &mut Input) {
    let mut drained = 0;
    // What is thrown away need not decode; the request has failed for a better reason already.
    while let Ok(Some(piece)) = input.next() {
        drained += piece.len();
        if drained > DRAIN_LIMIT {
            return;
        }
    }
}

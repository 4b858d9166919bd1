//! The listener: accepts connections, and lets them end in good order within a bounded time.

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A client that sends its header slower than this is no client of ours; it would only hold a connection.
const HEADER_PATIENCE: Duration = Duration::from_secs(15);

/// For the first bytes of a connection that was accepted last. With 20 ms, on a machine whose cores were taken, one of twenty clients had its
/// request reset that it was just sending.
const TO_READ: Duration = Duration::from_millis(250);

/// A listener that is bound and does not serve yet.
pub(super) struct Bound {
    listener: TcpListener,
    /// Where, with the real port.
    pub(super) address: SocketAddr,
}

/// A serving listener.
pub(super) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<GracefulShutdown>,
}

/// Takes the address; done before anything slow is started, so that a busy port is told at once.
///
/// # Errors
/// The system's words with what to do.
pub(super) async fn bind(address: SocketAddr) -> Result<Bound, String> {
    let told = |fault: std::io::Error| {
        format!("cannot listen on {address}: {fault}: end what uses it, or choose another address with --listen")
    };
    let listener = TcpListener::bind(address).await.map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Begins to serve.
    pub(super) fn serve(self, router: Router) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(self.listener, router, stopped));
        Serving { stop, task }
    }
}

impl Serving {
    /// Accepts nothing more, lets requests under way finish for at most `patience`, then cuts them off.
    pub(super) async fn drain(self, patience: Duration) {
        // The task ends by this message or has ended by itself; either way it is awaited below.
        let _ = self.stop.send(());
        let Ok(connections) = self.task.await else { return };
        if tokio::time::timeout(patience, connections.shutdown()).await.is_err() {
            tracing::warn!(seconds = patience.as_secs(), "requests under way did not end in time and are cut off");
        }
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: oneshot::Receiver<()>) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    // A client that says "no more" still waits for its answer: by default its connection would be closed unanswered.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE).half_close(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADER_PATIENCE);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => {
                if let Err(fault) = take_waiting(listener, &builder, &router, &connections) {
                    tracing::warn!(%fault, "connections that waited to be accepted are cut off");
                }
                // Lets their tasks read what was sent: a connection without a request yet is closed by the drain that follows.
                tokio::time::sleep(TO_READ).await;
                return connections;
            }
        };
        match accepted {
            Ok((stream, _)) => serve_connection(stream, &builder, router.clone(), &connections),
            Err(fault) => {
                // Out of file descriptors, or a client that left at once: a short pause lets others close.
                tracing::warn!(%fault, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Takes the connections that the system has accepted for us already, and closes the listener in the same breath: what it holds when it
/// is closed is reset.
fn take_waiting(
    listener: TcpListener,
    builder: &Builder<TokioExecutor>,
    router: &Router,
    connections: &GracefulShutdown,
) -> std::io::Result<()> {
    // Asked of the system itself: the runtime knows of a connection only some moments after it.
    let listener = listener.into_std()?;
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        serve_connection(TcpStream::from_std(stream)?, builder, router.clone(), connections);
    }
    Ok(())
}

fn serve_connection(
    stream: TcpStream,
    builder: &Builder<TokioExecutor>,
    router: Router,
    connections: &GracefulShutdown,
) {
    // Without it a small answer waits for the client's acknowledgement of the one before (40 ms).
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%fault, "TCP_NODELAY was refused");
    }
    let service =
        tower::ServiceExt::map_request(router, |request: hyper::Request<hyper::body::Incoming>| request.map(Body::new));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    let watched = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(fault) = watched.await {
            tracing::debug!(%fault, "a connection ended early");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    async fn bound() -> (Bound, Router) {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        (bound, Router::new().route("/", axum::routing::get(|| async { "here" })))
    }

    fn answer(stream: &mut std::net::TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_that_wait_to_be_accepted_at_the_end_are_answered() {
        let (bound, router) = bound().await;
        let address = bound.address;
        let mut waiting: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for stream in &mut waiting {
            stream.write_all(REQUEST).unwrap();
        }
        bound.serve(router).drain(Duration::from_secs(5)).await;
        for stream in &mut waiting {
            assert!(answer(stream).ends_with("here"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_comes_after_the_end_began_is_refused_and_not_reset() {
        let (bound, router) = bound().await;
        let address = bound.address;
        let serving = bound.serve(router);
        let draining = tokio::spawn(serving.drain(Duration::from_secs(5)));
        // Amid the time that is left for first bytes.
        tokio::time::sleep(TO_READ / 3).await;
        let came = std::net::TcpStream::connect(address);
        draining.await.unwrap();
        let Ok(mut stream) = came else { return };
        stream.write_all(REQUEST).unwrap();
        assert!(answer(&mut stream).ends_with("here"), "taken, hence answered");
    }
}

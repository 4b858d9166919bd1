//! The engine's process: lock, engine, listener, and the end of it all.
//!
//! It ends when standard input closes (its parent died, also by `kill -9`), on SIGTERM and on SIGINT; statements under way
//! get a few seconds, then are killed. If the engine itself will not shut down the process kills itself: everything
//! answered is on disk already (I1). It never outlives its parent and never uses PDEATHSIG, which follows the thread that
//! spawned it, not the process.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{EngineConfig, SHORTEST_PASSWORD};
use crate::error::EngineError;
use crate::ffi::Library;
use crate::http::{Server, Slots};
use crate::library::find_library;
use crate::lock::DirectoryLock;
use crate::running::Registry;
use crate::session::Sessions;

/// How long statements under way may take when the process is to end.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the engine may take to close after that.
const CLOSE: Duration = Duration::from_secs(10);
/// Network threads: parsing requests and copying bytes between sockets is all they do.
const NETWORK_THREADS: usize = 2;

/// Runs an engine until its end. On success the process should end by [`crate::exit_process`]: the library cannot be started
/// twice, and its exit handlers take a second.
///
/// Prints one line `{"listening":"127.0.0.1:PORT"}` on standard output when it is ready; everything else goes to the log.
///
/// # Errors
/// Everything of [`EngineError`] that keeps an engine from starting.
pub fn serve(mut config: EngineConfig) -> Result<(), EngineError> {
    if config.password.len() < SHORTEST_PASSWORD {
        return Err(EngineError::PasswordTooShort);
    }
    let path = match &config.library {
        Some(path) => path.clone(),
        None => find_library()?,
    };
    // A relative path goes into the engine twice, once before itself: tables could be made, and no row be inserted.
    config.data_dir = std::path::absolute(&config.data_dir)
        .map_err(|source| EngineError::DataDirectory { path: config.data_dir.clone(), source })?;
    let _lock = DirectoryLock::take(&config.data_dir, config.lock_wait_seconds)?;
    let library = Library::load(&path)?;
    let server = Arc::new(open(&config, &library)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("engine-http")
        .enable_all()
        .build()?;
    runtime.block_on(listen(&config, &server))?;
    std::thread::spawn(|| {
        std::thread::sleep(CLOSE);
        tracing::warn!("the engine did not close in time and is killed; its data is on disk");
        // Nothing is left to do if even that is refused.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    server.sessions.close_idle();
    // The last connection closes with the server, and the engine with it.
    drop(server);
    tracing::info!("the engine is closed");
    Ok(())
}

fn open(config: &EngineConfig, library: &Arc<Library>) -> Result<Server, EngineError> {
    let unusable = |source| EngineError::DataDirectory { path: config.data_dir.clone(), source };
    std::fs::create_dir_all(config.store_dir()).map_err(unusable)?;
    std::fs::write(config.file(), config.xml()).map_err(unusable)?;
    let slots = config.concurrent_statements.max(1);
    let sessions = Sessions::open(library, config.arguments(), &config.data_dir, slots * 2)?;
    let value = |expression: &str| sessions.value(expression).map_err(|error| EngineError::Unusable(error.text));
    let version = value("version()")?;
    let timezone = value("timezone()")?;
    warn_of_broken_parts(&value("(SELECT count() FROM system.detached_parts)")?);
    tracing::info!(version, data_dir = %config.data_dir.display(), "the ClickHouse engine is open");
    Ok(Server {
        timezone: HeaderValue::from_str(&timezone).map_err(|error| EngineError::Unusable(error.to_string()))?,
        version,
        sessions: Arc::new(sessions),
        registry: Arc::new(Registry::default()),
        password: config.password.clone(),
        slots: Slots::new(slots),
    })
}

/// The engine sets parts aside that it cannot read and goes on without their rows: that must not stay silent (I9).
fn warn_of_broken_parts(count: &str) {
    if count != "0" {
        tracing::error!(
            count,
            "parts of tables are broken and were set aside; their rows are missing. \
             See system.detached_parts, and restore them from a backup"
        );
    }
}

async fn listen(config: &EngineConfig, server: &Arc<Server>) -> Result<(), EngineError> {
    let refused = |source| EngineError::Listen { address: config.listen, source };
    if !config.listen.ip().is_loopback() {
        let reason = "only loopback addresses are allowed, as the password crosses the wire in clear";
        return Err(refused(std::io::Error::other(reason)));
    }
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let parent_left = watch_stdin(config.follow_stdin);
    tokio::pin!(parent_left);
    announce(listener.local_addr()?)?;
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_connection(stream, server, &connections),
                // Out of file descriptors, or a client that left at once: the next one may be luckier.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut parent_left => break,
        }
    }
    tracing::info!("the engine shuts down");
    drop(listener);
    drain(server, connections).await;
    Ok(())
}

fn serve_connection(stream: tokio::net::TcpStream, server: &Arc<Server>, connections: &GracefulShutdown) {
    // Without it each small answer waits for an acknowledgement (40 ms); failing to set it costs only that.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let server = Arc::clone(server);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.handle(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

async fn drain(server: &Arc<Server>, connections: GracefulShutdown) {
    let finished = tokio::time::timeout(DRAIN, connections.shutdown()).await.is_ok();
    if finished {
        return;
    }
    for running in server.registry.all() {
        let sessions = Arc::clone(&server.sessions);
        let killed = tokio::task::spawn_blocking(move || running.kill(&sessions)).await;
        if !matches!(killed, Ok(Ok(()))) {
            tracing::warn!("a statement could not be killed");
        }
    }
}

/// Completes when standard input ends; never when it is not to be followed.
async fn watch_stdin(follow: bool) {
    if !follow {
        return std::future::pending().await;
    }
    let (sender, ended) = oneshot::channel::<()>();
    // A thread of its own: a blocked read of the runtime's would keep the runtime from ending.
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 256];
        // An error ends it like the end itself: there is nobody to follow.
        while matches!(std::io::stdin().read(&mut buffer), Ok(count) if count > 0) {}
        drop(sender);
    });
    // The sender is only ever dropped.
    let _ = ended.await;
}

fn announce(address: SocketAddr) -> Result<(), EngineError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{{\"listening\":\"{address}\"}}")?;
    output.flush()?;
    Ok(())
}

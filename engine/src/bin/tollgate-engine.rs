//! The engine alone, for tests of other crates and for trying things by hand: what `tollgate engine` does.
//!
//! The password comes from `TOLLGATE_ENGINE_PASSWORD`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use engine::{EngineConfig, PASSWORD_VARIABLE};

/// Serves the embedded ClickHouse engine over HTTP on loopback.
#[derive(Parser)]
struct Arguments {
    /// Where the data lives.
    #[arg(long)]
    data_dir: PathBuf,
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Goes on when standard input closes.
    #[arg(long)]
    standalone: bool,
    /// Bytes the engine may use in all.
    #[arg(long, default_value_t = 0)]
    max_memory_bytes: u64,
    /// Seconds to wait for another engine to let go of the data directory.
    #[arg(long, default_value_t = 10)]
    lock_wait_seconds: u64,
    /// Deletes the data directory at the end: for tests.
    #[arg(long)]
    delete_data: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy(),
        )
        .init();
    let arguments = Arguments::parse();
    let password = std::env::var(PASSWORD_VARIABLE).unwrap_or_default();
    let mut config = EngineConfig::new(&arguments.data_dir, password);
    config.listen = arguments.listen;
    config.follow_stdin = !arguments.standalone;
    config.lock_wait_seconds = arguments.lock_wait_seconds;
    config.max_memory_bytes = arguments.max_memory_bytes;
    let result = engine::serve(config);
    if arguments.delete_data
        && result.is_ok()
        && let Err(error) = std::fs::remove_dir_all(&arguments.data_dir)
    {
        tracing::warn!(%error, "the data directory could not be deleted");
    }
    match result {
        Ok(()) => engine::exit_process(0),
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `tollgate engine`

use crate::failure::Failure;
use clap::Args;
use engine::{EngineConfig, PASSWORD_VARIABLE};
use nix::sys::signal::{SigSet, Signal};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serve the embedded ClickHouse engine over ClickHouse's HTTP interface on loopback
#[derive(Args, Debug)]
#[command(after_help = "\
Example: look at the events of a stopped data directory
  export TOLLGATE_ENGINE_PASSWORD=$(openssl rand -hex 16)
  tollgate engine --data-dir tollgate-data/engine --listen 127.0.0.1:8123 &
  curl -s --user default:$TOLLGATE_ENGINE_PASSWORD http://127.0.0.1:8123/ -d 'SELECT count() FROM tollgate.events'

Prints {\"listening\": \"ADDRESS\"} when it is ready. The password comes from
TOLLGATE_ENGINE_PASSWORD (at least 16 characters). `tollgate up` starts and supervises its
own engine; this command is for looking into a store by hand.")]
pub struct EngineCommand {
    /// The engine's directory: `engine` in a data directory of `tollgate up`
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Loopback address and port; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// libchdb.so; else where `make build` put it
    #[arg(long, value_name = "FILE", env = "TOLLGATE_ENGINE_LIB")]
    library: Option<PathBuf>,
    /// Most memory for the engine in bytes; 0 for nine tenths of the machine's
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    memory_bytes: u64,
    /// End when standard input closes: how the engine of `tollgate up` follows it
    #[arg(long, hide = true)]
    follow_stdin: bool,
}

impl EngineCommand {
    /// Runs it, with threads of its own: call it outside any async runtime.
    ///
    /// # Errors
    /// What keeps an engine from starting, in one line.
    pub fn run(self) -> Result<(), Failure> {
        crate::logging::start_engine(!self.follow_stdin);
        if self.follow_stdin {
            leave_signals_to_parent()?;
        }
        let password = std::env::var(PASSWORD_VARIABLE).unwrap_or_default();
        let mut config = EngineConfig::new(self.data_dir, password);
        config.listen = self.listen;
        config.library = self.library;
        config.max_memory_bytes = self.memory_bytes;
        config.follow_stdin = self.follow_stdin;
        engine::serve(config).map_err(Failure::trouble)
    }
}

/// Blocks SIGTERM and SIGINT in this thread and all that it will start: a service manager that signals every process of a unit
/// must not end the engine while its parent still flushes into it. The parent ends it by closing its standard input.
fn leave_signals_to_parent() -> Result<(), Failure> {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
        .thread_block()
        .map_err(|fault| Failure::Trouble(format!("signals cannot be blocked: {fault}")))
}

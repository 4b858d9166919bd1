//! Ctrl-C and SIGTERM. The first one asks for a clean end, a second one does not wait for it.

use crate::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, caught from the moment this exists: one that comes while we start is not lost.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|fault| Failure::Trouble(format!("signals cannot be caught: {fault}")));
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    /// The next one's name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

//! The embedded ClickHouse engine (libchdb) behind ClickHouse's HTTP interface, and the supervisor that keeps it running.

mod auth;
mod child;
mod config;
mod error;
mod exception;
mod execute;
#[allow(unsafe_code)] // The one FFI module; each use states why it is sound.
mod ffi;
mod framing;
mod http;
mod input;
mod lexer;
mod library;
mod lock;
mod output;
mod request;
mod response;
mod running;
mod serve;
mod session;
mod sink;
mod statement;
mod supervisor;
pub mod testing;

pub use auth::USER;
pub use child::EngineCommand;
pub use config::{EngineConfig, PASSWORD_VARIABLE};
pub use error::EngineError;
pub use ffi::exit_process;
pub use library::{LIBRARY_VARIABLE, check_library, find_library};
pub use serve::serve;
pub use supervisor::{EngineState, Supervisor};

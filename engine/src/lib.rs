//! The embedded ClickHouse engine (libchdb) behind ClickHouse's HTTP interface, and the supervisor that keeps it running.
//!
//! What speaks to this front speaks to a ClickHouse server: only the URL differs. It is checked with two published clients,
//! the `clickhouse` crate and PyPI `clickhouse-connect`.
//!
//! # The way of a request
//! 1. `http`: connection, route, password (`auth`), parameters (`request`); up to 8 MiB of body are read; a place is
//!    waited for.
//! 2. `execute`, on one blocking thread from here to the end: the body is decoded (`input`, `framing`), the statement
//!    found in it (`statement`, `lexer`), a session with the wanted settings taken (`session`), the engine called
//!    (`ffi`).
//! 3. `joining`, `sink`: the result is held while it is small, else streamed; encoded by `output`, sent by `response`. Formats
//!    with a frame of their own (JSON, Parquet, CSV with names) are made as a whole, in memory.
//! 4. A client that leaves, a `KILL QUERY`, a shutdown stop a statement through `running`.
//!
//! # The way of a process
//! [`Supervisor`] → `child` → the program (`tollgate engine`, or `tollgate-engine` in tests) → [`serve()`]: `lock`,
//! `library`, `config`, then requests until standard input closes.
//!
//! # What it promises
//! - 200 to an INSERT means the engine has written it, and fsynced it in tables that do so, which is the default here (I1).
//!   A failure, also one at the very end, is never answered 200. A broken body stores nothing, unless it was longer than
//!   the engine's insert block (a million rows or 256 MB), of which whole blocks may stay.
//! - Materialized views are written after their source and not atomically with it, as in ClickHouse: an INSERT that failed
//!   may have written the source alone.
//! - Broken parts and failed merges are logged as errors (I9).
//!
//! # What it refuses
//! Other addresses than loopback, requests without the password, several statements in one request, external tables, other
//! users, HTTP/2, TLS. `session_id`, `role` and `quota_key` have no effect; `system.processes` shows the engine's own query
//! ids, not the clients' (`KILL QUERY WHERE query_id = …` knows the clients'); the Native format is that of protocol
//! version 0, whatever `client_protocol_version` says; a URL is at most 64 KiB long.
//!
//! # What it costs
//! `cargo run -p engine --example latency`, two cores shared with compilers (load 2 to 3), ext4 on a virtual disk whose fsync
//! took 0.4 ms alone and 4 ms under load; the engine called directly, without HTTP, in brackets:
//!
//! | request | median | p90 | p99 |
//! |---|---|---|---|
//! | `SELECT 1` | 0.55 ms (0.47) | 0.66 | 0.78 |
//! | 300 rows (54 KB Native) into `Null` | 0.72 ms (0.6) | 0.88 | 2.3 |
//! | 300 rows, fsync of parts and directories | 5.4 ms (3.0–4.0) | 13 | 29 |
//! | the same, and a second table by a materialized view | 9.5 ms (7.2) | 19 | 28 |
//! | 100,000 rows (18 MB) into `Null` | 15 ms | 17 | 17 |
//! | 100,000 rows, fsync | 52 ms | 62 | 73 |
//! | 300 rows, fsync, 2 / 4 / 8 writers at once | 7.1 / 11 / 20 ms | 10 / 15 / 30 | 15 / 32 / 43 |
//! | 30 M numbers (240 MB RowBinary), streamed | 0.49 s | | |
//!
//! Writing a part without fsync takes 1.4 ms; the rest is five fsyncs one after the other (the engine syncs the files of a
//! part in parallel). More writers give 270, 350, 370 inserts a second: larger groups pay more than more writers.
//! Starting takes 0.4 s, closing 0.01 s; 210 MB of memory when empty; no processor time when idle.

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
mod joining;
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

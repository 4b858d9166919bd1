//! `tollgate import`: rows of files become events, sent over HTTP, each once however often the command is run.
//!
//! The path of one row: [`source`] opens and decompresses the file, [`records`] reads CSV, NDJSON or JSON into fields,
//! [`event`] makes the event of it ([`timestamps`] for its time), [`sender`] sends chunks with retries, [`position`] notes how
//! far the server has acknowledged.
//!
//! It refuses to guess: a time without a zone needs `--timezone`, a row without a customer or a code is listed with its line and
//! left out, and standard input needs ids of its own. A row's id comes from its content (`--id-from`) or its file and line, so
//! that sending it again, after a crash or by hand, counts once (I2).

mod columns;
mod event;
mod options;
mod position;
mod records;
mod report;
mod run;
mod sender;
mod source;
mod timestamps;

pub use options::{ImportOptions, Mapping, Setting};
pub use records::Format;
pub use run::run;

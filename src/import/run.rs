//! The import of all files in order: a reading thread ahead of a sending task, one acknowledged position after another.

use super::event::{Prepared, prepare};
use super::options::ImportOptions;
use super::position::{self, Position, Totals, chained};
use super::records::{self, Format};
use super::report::Report;
use super::sender;
use super::source::{self, ReadBytes};
use crate::client::{Api, Credential};
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Most bytes of events in one request: well under the server's limit for a body, so that wide rows do not meet it.
const CHUNK_BYTES: usize = 4 << 20;
/// Chunks read ahead of the one being sent.
const CHUNKS_AHEAD: usize = 2;

/// Imports every file; prints refusals, progress and a summary on standard error.
///
/// # Errors
/// When a file cannot be read, the server does not take the events, or (exit code 1) rows were refused.
pub async fn run(options: ImportOptions) -> Result<(), Failure> {
    let options = Arc::new(options);
    check_names(&options)?;
    let api = Api::new(&options.url, Credential::Key(options.api_key.clone()))?;
    let mut report = Report::default();
    for file in &options.files {
        import_file(file, &options, &api, &mut report).await?;
    }
    report.finish()
}

/// Refuses what would make two rows share an id: two files of one name, and standard input without ids of its own.
fn check_names(options: &ImportOptions) -> Result<(), Failure> {
    if !options.id_from.is_empty() {
        return Ok(());
    }
    let mut names: BTreeMap<String, &Path> = BTreeMap::new();
    for file in &options.files {
        let known = names.insert(source::stem(file), file);
        if let Some(other) = known {
            return Err(Failure::Trouble(format!(
                "{} and {} have the same name, from which ids are made: import them one by one under different names, or use --id-from",
                other.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

struct Chunk {
    rows: Vec<Prepared>,
    chain: u64,
}

/// What the reading thread found at the end.
enum ReadEnd {
    Complete,
    /// The rows before the saved position are not those it was saved after.
    OtherFile,
    Failed(String),
}

async fn import_file(path: &Path, options: &Arc<ImportOptions>, api: &Api, report: &mut Report) -> Result<(), Failure> {
    let format = options.format.or_else(|| Format::of(path)).ok_or_else(|| {
        Failure::Trouble(format!("{}: say what it holds with --format csv, ndjson or json", path.display()))
    })?;
    let position_path = (!source::is_stdin(path)).then(|| position::path_for(path, options.position_dir.as_deref()));
    let digest = options.digest();
    let mut saved = match &position_path {
        Some(position_path) if !options.restart => position::load(position_path, &digest)?,
        _ => None,
    };
    loop {
        let start = saved.take().unwrap_or(Position { import: digest.clone(), chain: 0, totals: Totals::default() });
        let resumed = start.totals.rows > 0;
        match import_from(path, format, start, position_path.as_deref(), options, api, report).await? {
            ReadEnd::Complete => return Ok(()),
            ReadEnd::OtherFile if resumed => report.note(&format!(
                "{}: is not the file its saved position belongs to; starting at its first row",
                path.display()
            )),
            ReadEnd::OtherFile => {
                return Err(Failure::Trouble(format!("{}: changed while it was read", path.display())));
            }
            ReadEnd::Failed(reason) => return Err(Failure::Trouble(format!("{}: {reason}", path.display()))),
        }
    }
}

async fn import_from(
    path: &Path,
    format: Format,
    start: Position,
    position_path: Option<&Path>,
    options: &Arc<ImportOptions>,
    api: &Api,
    report: &mut Report,
) -> Result<ReadEnd, Failure> {
    let read_bytes = ReadBytes::default();
    report.begin(path, &start.totals, read_bytes.clone());
    let (chunks, mut received) = mpsc::channel::<Chunk>(CHUNKS_AHEAD);
    let reader = Reader {
        path: path.to_path_buf(),
        format,
        options: options.clone(),
        skip: start.totals.rows,
        skip_chain: start.chain,
        read_bytes,
    };
    let reading = std::thread::spawn(move || reader.read(&chunks));
    let mut position = start;
    while let Some(chunk) = received.recv().await {
        let outcome = sender::send(api, &chunk.rows, options, |failure, pause| report.waiting(failure, pause)).await?;
        report.chunk(path, &outcome);
        position.totals = position.totals.plus(&outcome.totals);
        position.chain = chunk.chain;
        if let Some(position_path) = position_path {
            position::save(position_path, &position)?;
        }
    }
    let end = reading.join().unwrap_or_else(|_| ReadEnd::Failed("reading it broke down".to_string()));
    if matches!(end, ReadEnd::Complete) {
        report.end(path, &position.totals);
    }
    Ok(end)
}

struct Reader {
    path: PathBuf,
    format: Format,
    options: Arc<ImportOptions>,
    skip: u64,
    skip_chain: u64,
    read_bytes: ReadBytes,
}

impl Reader {
    /// Reads the file to its end or until nobody listens any more; runs on its own thread, because files block.
    fn read(&self, chunks: &mpsc::Sender<Chunk>) -> ReadEnd {
        let input = match source::open(&self.path, self.read_bytes.clone()) {
            Ok(input) => input,
            Err(fault) => return ReadEnd::Failed(fault.to_string()),
        };
        let stem = source::stem(&self.path);
        let mut filling = Filling { rows: Vec::new(), bytes: 0, chain: 0, seen: 0 };
        let mut other_file = false;
        let outcome = records::read(input, self.format, |record| {
            let row = prepare(&record, &stem, &self.options);
            filling.chain = chained(filling.chain, &row);
            filling.seen += 1;
            if filling.seen <= self.skip {
                other_file = filling.seen == self.skip && filling.chain != self.skip_chain;
                return !other_file;
            }
            filling.add(row);
            !filling.is_full(self.options.chunk) || filling.flush(chunks)
        });
        if other_file || filling.seen < self.skip {
            return ReadEnd::OtherFile;
        }
        // What was read before an unreadable place is sent too: it is as good as if the file ended there.
        filling.flush(chunks);
        outcome.map_or_else(|fault| ReadEnd::Failed(fault.to_string()), |()| ReadEnd::Complete)
    }
}

/// The chunk being filled.
struct Filling {
    rows: Vec<Prepared>,
    bytes: usize,
    chain: u64,
    seen: u64,
}

impl Filling {
    fn add(&mut self, row: Prepared) {
        self.bytes += row.event.as_ref().map_or(0, String::len);
        self.rows.push(row);
    }

    fn is_full(&self, rows: usize) -> bool {
        self.rows.len() >= rows || self.bytes >= CHUNK_BYTES
    }

    /// Hands the chunk over; false when the sending side has given up.
    fn flush(&mut self, chunks: &mpsc::Sender<Chunk>) -> bool {
        if self.rows.is_empty() {
            return true;
        }
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        chunks.blocking_send(Chunk { rows, chain: self.chain }).is_ok()
    }
}

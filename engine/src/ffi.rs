//! The C interface of libchdb behind safe types: the only `unsafe` code of the project.
//!
//! What is relied on, all of it stated by the library's own header:
//! - a connection runs one statement at a time; connections of one process are independent of each other;
//! - every result handle, also one that holds an error, is destroyed exactly once;
//! - an insert handle is never null, is destroyed exactly once, and destroying an unfinished one cancels it;
//! - a streamed result or an insert must not outlive its connection, and no other statement may run meanwhile. The
//!   borrow of the [`Connection`] by [`ResultStream`] and [`InsertStream`] makes both impossible to write;
//! - strings are passed with their length and may hold any byte; data given to `append` is copied before it returns.
//!
//! A statement runs on the thread that calls (plus the engine's own); callers keep one statement on one thread from start
//! to end, because the engine keeps per-thread accounting. Everything here blocks: never call it on an async worker.
//!
//! The library is never unloaded: its threads live until the process ends. Its signal handlers are switched off before
//! the first connection, so that a crash ends the process at once and the supervisor sees it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::EngineError;
use crate::exception::Exception;
use crate::library::check_library;

type ConnectionHandle = *mut c_void;
type ResultHandle = *mut c_void;
type InsertHandle = *mut c_void;

/// `chdb_state`: zero is success.
const SUCCESS: c_int = 0;

type StatementWithParameters<Handle> = unsafe extern "C" fn(
    connection: ConnectionHandle,
    statement: *const c_char,
    statement_length: usize,
    format: *const c_char,
    format_length: usize,
    names: *const *const c_char,
    name_lengths: *const usize,
    values: *const *const c_char,
    value_lengths: *const usize,
    count: usize,
) -> Handle;

/// Declares the table of functions and loads each by its name, so that a missing one is reported by name.
macro_rules! symbols {
    ($($name:ident: $signature:ty = $symbol:literal;)*) => {
        struct Symbols { $($name: $signature,)* }

        impl Symbols {
            fn load(library: &libloading::Library) -> Result<Self, String> {
                $(
                    // SAFETY: the signature is the one that the library's header declares for this symbol.
                    let $name = *unsafe { library.get::<$signature>($symbol.as_bytes()) }
                        .map_err(|_| format!("it has no function {}", $symbol))?;
                )*
                Ok(Self { $($name,)* })
            }
        }
    };
}

symbols! {
    set_signal_handlers: unsafe extern "C" fn(c_int) = "chdb_set_signal_handlers_enabled";
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut ConnectionHandle = "chdb_connect";
    close: unsafe extern "C" fn(*mut ConnectionHandle) = "chdb_close_conn";
    query: StatementWithParameters<ResultHandle> = "chdb_query_with_params_n";
    stream_query: StatementWithParameters<ResultHandle> = "chdb_stream_query_with_params_n";
    stream_fetch: unsafe extern "C" fn(ConnectionHandle, ResultHandle) -> ResultHandle = "chdb_stream_fetch_result";
    stream_cancel: unsafe extern "C" fn(ConnectionHandle, ResultHandle) = "chdb_stream_cancel_query";
    destroy_result: unsafe extern "C" fn(ResultHandle) = "chdb_destroy_query_result";
    result_buffer: unsafe extern "C" fn(ResultHandle) -> *const u8 = "chdb_result_buffer";
    result_length: unsafe extern "C" fn(ResultHandle) -> usize = "chdb_result_length";
    result_error: unsafe extern "C" fn(ResultHandle) -> *const c_char = "chdb_result_error";
    result_rows: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_rows_read";
    result_bytes: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_bytes_read";
    storage_rows_read: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_storage_rows_read";
    storage_bytes_read: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_storage_bytes_read";
    rows_written: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_rows_written";
    bytes_written: unsafe extern "C" fn(ResultHandle) -> u64 = "chdb_result_bytes_written";
    insert: StatementWithParameters<InsertHandle> = "chdb_stream_insert_with_params_n";
    insert_append: unsafe extern "C" fn(InsertHandle, *const c_void, usize) -> c_int = "chdb_stream_append";
    insert_done: unsafe extern "C" fn(InsertHandle) -> ResultHandle = "chdb_stream_done";
    insert_error: unsafe extern "C" fn(InsertHandle) -> *const c_char = "chdb_stream_insert_error";
    insert_destroy: unsafe extern "C" fn(InsertHandle) = "chdb_destroy_insert_stream";
}

/// The loaded library.
pub(crate) struct Library {
    symbols: Symbols,
    _never_unloaded: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads `path` and switches the engine's signal handlers off.
    ///
    /// # Errors
    /// [`EngineError::LibraryUnreadable`] or [`EngineError::LibraryCorrupt`], also when it is another library.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, EngineError> {
        check_library(path)?;
        let corrupt = |reason: String| EngineError::LibraryCorrupt { path: path.to_owned(), reason };
        // SAFETY: the initializers of a whole libchdb have no preconditions; a truncated file was refused above. That
        // the file is libchdb and nothing hostile is the operator's statement: it is the one they configured.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| corrupt(error.to_string()))?;
        let symbols = Symbols::load(&library).map_err(corrupt)?;
        // SAFETY: takes an int, sets a flag; no connection is open yet.
        unsafe { (symbols.set_signal_handlers)(0) };
        Ok(Arc::new(Self { symbols, _never_unloaded: ManuallyDrop::new(library) }))
    }
}

/// Ends the process at once, without the library's exit handlers, which take a second to join threads that do nothing.
/// For use after [`crate::serve()`] has returned: the engine is closed then and everything is on disk.
pub fn exit_process(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { nix::libc::_exit(c_int::from(code)) }
}

/// Counters of one result, as the engine reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) result_rows: u64,
    pub(crate) result_bytes: u64,
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) bytes_written: u64,
}

impl Counters {
    /// Adds another part of the same result.
    pub(crate) fn add(&mut self, part: Self) {
        self.result_rows += part.result_rows;
        self.result_bytes += part.result_bytes;
        self.rows_read += part.rows_read;
        self.bytes_read += part.bytes_read;
        self.rows_written += part.rows_written;
        self.bytes_written += part.bytes_written;
    }
}

/// A result or one part of it, in the engine's own memory: bytes in the format that was asked for.
pub(crate) struct ResultBlock {
    library: Arc<Library>,
    handle: NonNull<c_void>,
}

// SAFETY: a result is plain memory that no connection refers to once it was returned; reading it needs no thread state.
unsafe impl Send for ResultBlock {}
// SAFETY: all methods read; nothing in the library writes to a finished result.
unsafe impl Sync for ResultBlock {}

impl ResultBlock {
    fn new(library: &Arc<Library>, handle: ResultHandle) -> Result<Self, Exception> {
        let handle = NonNull::new(handle).ok_or_else(|| Exception::internal("the engine returned no result"))?;
        let block = Self { library: Arc::clone(library), handle };
        // SAFETY: the handle is live until `block` is dropped.
        match unsafe { text_at((library.symbols.result_error)(handle.as_ptr())) } {
            Some(message) => Err(Exception::parse(&message)),
            None => Ok(block),
        }
    }

    /// What the engine counted for this part.
    pub(crate) fn counters(&self) -> Counters {
        let symbols = &self.library.symbols;
        let handle = self.handle.as_ptr();
        // SAFETY: the handle is live; each function reads one field.
        unsafe {
            Counters {
                result_rows: (symbols.result_rows)(handle),
                result_bytes: (symbols.result_bytes)(handle),
                rows_read: (symbols.storage_rows_read)(handle),
                bytes_read: (symbols.storage_bytes_read)(handle),
                rows_written: (symbols.rows_written)(handle),
                bytes_written: (symbols.bytes_written)(handle),
            }
        }
    }
}

impl AsRef<[u8]> for ResultBlock {
    fn as_ref(&self) -> &[u8] {
        let symbols = &self.library.symbols;
        // SAFETY: the buffer holds `length` initialized bytes, owned by the handle, which lives as long as `self`.
        unsafe {
            let length = (symbols.result_length)(self.handle.as_ptr());
            let start = (symbols.result_buffer)(self.handle.as_ptr());
            if start.is_null() || length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(start, length)
        }
    }
}

impl Drop for ResultBlock {
    fn drop(&mut self) {
        // SAFETY: the handle was never destroyed before; nothing refers to it any more.
        unsafe { (self.library.symbols.destroy_result)(self.handle.as_ptr()) };
    }
}

/// A statement with its default format and its `{name:Type}` parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) format: &'a str,
    pub(crate) parameters: &'a [(String, String)],
}

/// One connection: a session with its own settings and current database. Not for use by two threads at once.
pub(crate) struct Connection {
    library: Arc<Library>,
    slot: NonNull<ConnectionHandle>,
}

// SAFETY: the library guards a connection with a mutex of its own and has no thread affinity between statements; all
// statements take `&mut self`, so one thread at a time is the compiler's promise.
unsafe impl Send for Connection {}

impl Connection {
    /// Opens a connection; the first of a process boots the engine with these arguments (`--key=value`), later ones join it
    /// and must name the same `--path`. `None` when the engine refuses: its reason is on standard error.
    pub(crate) fn open(library: &Arc<Library>, arguments: &[String]) -> Option<Self> {
        let program = std::iter::once("clickhouse");
        let texts: Vec<CString> = program
            .chain(arguments.iter().map(String::as_str))
            .map(|argument| CString::new(argument).ok())
            .collect::<Option<_>>()?;
        let mut pointers: Vec<*mut c_char> = texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` valid strings, which the engine copies during the call and does not write to.
        let slot = unsafe { (library.symbols.connect)(count, pointers.as_mut_ptr()) };
        Some(Self { library: Arc::clone(library), slot: NonNull::new(slot)? })
    }

    fn handle(&self) -> ConnectionHandle {
        // SAFETY: the slot stays valid until the connection is closed, which only `drop` does.
        unsafe { *self.slot.as_ptr() }
    }

    /// Runs a statement and returns its whole result at once.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn query(&mut self, statement: Statement<'_>) -> Result<ResultBlock, Exception> {
        let handle = self.call(self.library.symbols.query, statement);
        ResultBlock::new(&self.library, handle)
    }

    /// Starts a statement whose result is fetched part by part.
    ///
    /// # Errors
    /// The engine's exception, also for a statement that has no result to stream.
    pub(crate) fn stream(&mut self, statement: Statement<'_>) -> Result<ResultStream<'_>, Exception> {
        let handle = self.call(self.library.symbols.stream_query, statement);
        let head = ResultBlock::new(&self.library, handle)?;
        Ok(ResultStream {
            library: Arc::clone(&self.library),
            connection: self.handle(),
            head,
            ended: false,
            _connection: PhantomData,
        })
    }

    /// Starts an INSERT whose data follows by [`InsertStream::append`]; the statement has no FORMAT clause, the format is
    /// `statement.format`.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn insert(&mut self, statement: Statement<'_>) -> Result<InsertStream<'_>, Exception> {
        let handle = self.call(self.library.symbols.insert, statement);
        let handle = NonNull::new(handle).ok_or_else(|| Exception::internal("the engine returned no insert"))?;
        let stream = InsertStream { library: Arc::clone(&self.library), handle, _connection: PhantomData };
        match stream.error() {
            Some(exception) => Err(exception),
            None => Ok(stream),
        }
    }

    fn call<Handle>(&self, function: StatementWithParameters<Handle>, statement: Statement<'_>) -> Handle {
        let parameters = statement.parameters;
        let names: Vec<*const c_char> = parameters.iter().map(|p| p.0.as_ptr().cast()).collect();
        let name_lengths: Vec<usize> = parameters.iter().map(|p| p.0.len()).collect();
        let values: Vec<*const c_char> = parameters.iter().map(|p| p.1.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = parameters.iter().map(|p| p.1.len()).collect();
        // SAFETY: the connection is open; all pointers are valid for their lengths during the call, and the engine copies
        // what it keeps.
        unsafe {
            function(
                self.handle(),
                statement.text.as_ptr().cast(),
                statement.text.len(),
                statement.format.as_ptr().cast(),
                statement.format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: streams borrow the connection, so none is left. The slot itself stays allocated by the library's design.
        unsafe { (self.library.symbols.close)(self.slot.as_ptr()) };
    }
}

/// A result that is fetched part by part; dropped before its end, it is cancelled.
pub(crate) struct ResultStream<'connection> {
    library: Arc<Library>,
    connection: ConnectionHandle,
    head: ResultBlock,
    ended: bool,
    _connection: PhantomData<&'connection mut Connection>,
}

impl ResultStream<'_> {
    /// The next part, `None` at the end.
    ///
    /// # Errors
    /// The engine's exception; the stream has ended then.
    pub(crate) fn next(&mut self) -> Result<Option<ResultBlock>, Exception> {
        if self.ended {
            return Ok(None);
        }
        // SAFETY: both handles are live; `&mut self` makes fetches sequential.
        let part = unsafe { (self.library.symbols.stream_fetch)(self.connection, self.head.handle.as_ptr()) };
        let block = ResultBlock::new(&self.library, part).inspect_err(|_| self.ended = true)?;
        if block.as_ref().is_empty() {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(block))
    }
}

impl Drop for ResultStream<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // SAFETY: both handles are live; the head is destroyed after this, by its own drop.
        unsafe { (self.library.symbols.stream_cancel)(self.connection, self.head.handle.as_ptr()) };
    }
}

/// An INSERT under way; dropped before [`InsertStream::finish`], it is cancelled.
pub(crate) struct InsertStream<'connection> {
    library: Arc<Library>,
    handle: NonNull<c_void>,
    _connection: PhantomData<&'connection mut Connection>,
}

impl InsertStream<'_> {
    /// Gives the engine the next bytes of the data; blocks while it is behind. `false`: the insert has failed already,
    /// and [`InsertStream::finish`] says why.
    pub(crate) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: the handle is live; the data is copied before the call returns.
        let state =
            unsafe { (self.library.symbols.insert_append)(self.handle.as_ptr(), data.as_ptr().cast(), data.len()) };
        state == SUCCESS
    }

    /// Ends the data, waits until it is stored, and says how much was written.
    ///
    /// # Errors
    /// The engine's exception.
    pub(crate) fn finish(self) -> Result<Counters, Exception> {
        // SAFETY: the handle is live; it is destroyed when `self` is dropped at the end of this function.
        let result = unsafe { (self.library.symbols.insert_done)(self.handle.as_ptr()) };
        ResultBlock::new(&self.library, result).map(|block| block.counters())
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the handle is live; the text is copied.
        unsafe { text_at((self.library.symbols.insert_error)(self.handle.as_ptr())) }
            .map(|message| Exception::parse(&message))
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; the engine cancels an insert that was not finished.
        unsafe { (self.library.symbols.insert_destroy)(self.handle.as_ptr()) };
    }
}

/// Copies a C string; `None` for null.
///
/// # Safety
/// `text` is null or points to a string that ends in a zero byte and lives during the call.
unsafe fn text_at(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and a valid string by this function's own condition.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

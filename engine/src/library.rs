//! Where the engine's shared library is, and whether the file is whole.
//!
//! Loading a truncated library kills the process with SIGBUS instead of returning an error, because the loader maps
//! segments past the end of the file. So the file's own table of segments is checked against its length first; that reads
//! a few kilobytes, where a checksum over 566 MB would cost a second at every start (`deploy/engine/fetch` verifies it once).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::EngineError;

/// Names the library to use; beats every other place.
pub const LIBRARY_VARIABLE: &str = "TOLLGATE_ENGINE_LIB";
const FILE_NAME: &str = "libchdb.so";
const CACHE: &str = ".cache/engine/libchdb.so";

/// Finds libchdb.so: `TOLLGATE_ENGINE_LIB`; beside the executable; `../../.cache/engine/` from there (an executable in
/// `target/release`); `./.cache/engine/`; in debug builds also under the workspace the crate was compiled in.
///
/// # Errors
/// [`EngineError::LibraryUnreadable`] when the variable names no file (nothing else is tried then: a name given on
/// purpose must not be replaced silently), [`EngineError::LibraryNotFound`] with every place tried otherwise.
pub fn find_library() -> Result<PathBuf, EngineError> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        return match std::fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(source) => Err(EngineError::LibraryUnreadable { path, source }),
        };
    }
    let tried = candidates();
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(EngineError::LibraryNotFound { tried }),
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(directory) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(directory.join(FILE_NAME));
        places.push(directory.join("../..").join(CACHE));
    }
    places.push(PathBuf::from(CACHE));
    #[cfg(debug_assertions)]
    places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(CACHE));
    places
}

/// Says whether `path` is a 64-bit shared object whose every segment lies inside the file.
///
/// # Errors
/// [`EngineError::LibraryUnreadable`] or [`EngineError::LibraryCorrupt`].
pub fn check_library(path: &Path) -> Result<(), EngineError> {
    let unreadable = |source| EngineError::LibraryUnreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    check_segments(&file, length).map_err(|reason| EngineError::LibraryCorrupt { path: path.to_owned(), reason })
}

/// Layout of the ELF-64 header and program header (System V ABI): offsets in bytes.
mod elf {
    pub(super) const HEADER_LENGTH: usize = 64;
    pub(super) const MAGIC_64_LITTLE: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    pub(super) const PROGRAM_TABLE_OFFSET: usize = 32;
    pub(super) const PROGRAM_ENTRY_SIZE: usize = 54;
    pub(super) const PROGRAM_ENTRY_COUNT: usize = 56;
    pub(super) const ENTRY_LENGTH: usize = 56;
    pub(super) const ENTRY_FILE_OFFSET: usize = 8;
    pub(super) const ENTRY_FILE_SIZE: usize = 32;
}

fn check_segments(file: &File, length: u64) -> Result<(), String> {
    let mut header = [0_u8; elf::HEADER_LENGTH];
    file.read_exact_at(&mut header, 0).map_err(|_| format!("it has only {length} bytes"))?;
    if header[..6] != elf::MAGIC_64_LITTLE {
        return Err("it is not a 64-bit shared object".to_owned());
    }
    let table = read_u64(&header, elf::PROGRAM_TABLE_OFFSET);
    let entry_size = read_u16(&header, elf::PROGRAM_ENTRY_SIZE);
    let entries = read_u16(&header, elf::PROGRAM_ENTRY_COUNT);
    if usize::from(entry_size) < elf::ENTRY_LENGTH || entries == 0 {
        return Err("it has no segments".to_owned());
    }
    for index in 0..u64::from(entries) {
        let mut entry = [0_u8; elf::ENTRY_LENGTH];
        let position = table.saturating_add(index * u64::from(entry_size));
        file.read_exact_at(&mut entry, position).map_err(|_| "its table of segments is cut off".to_owned())?;
        let end = read_u64(&entry, elf::ENTRY_FILE_OFFSET).saturating_add(read_u64(&entry, elf::ENTRY_FILE_SIZE));
        if end > length {
            return Err(format!("it is cut off: a segment ends at byte {end}, the file at {length}"));
        }
    }
    Ok(())
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0_u8; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_text_file_is_not_a_library() {
        let file = file_of(&[b'x'; 500]);
        let error = check_library(file.path()).unwrap_err().to_string();
        assert!(error.contains("not a 64-bit shared object"), "{error}");
        assert!(error.contains("deploy/engine/fetch"), "{error}");
    }

    #[test]
    fn an_empty_file_is_reported_with_its_length() {
        let file = file_of(b"");
        let error = check_library(file.path()).unwrap_err().to_string();
        assert!(error.contains("only 0 bytes"), "{error}");
    }

    #[test]
    fn the_running_test_is_whole_and_its_first_half_is_cut_off() {
        let executable = std::env::current_exe().unwrap();
        check_library(&executable).unwrap();
        let bytes = std::fs::read(executable).unwrap();
        let half = file_of(&bytes[..bytes.len() / 2]);
        let error = check_library(half.path()).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = check_library(Path::new("/nonexistent/libchdb.so")).unwrap_err();
        assert!(matches!(error, EngineError::LibraryUnreadable { .. }));
        assert!(error.to_string().contains("/nonexistent/libchdb.so"));
    }
}

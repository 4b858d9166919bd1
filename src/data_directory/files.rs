//! Small private files, replaced whole.

use super::DataDirectoryError;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `content` to `path`, readable by this user only: beside it first, synced, then renamed over it.
///
/// # Errors
/// When any step fails; the old file is then still there.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), DataDirectoryError> {
    replace(path, content).map_err(DataDirectoryError::unusable(path))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The rename itself is durable only once its directory is.
    File::open(directory_of(path))?.sync_all()
}

/// The directory that holds `path`; a name alone lies in the current one.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a JSON file; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read or understood.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DataDirectoryError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(DataDirectoryError::unusable(path)(fault)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|fault| DataDirectoryError::Damaged {
        path: path.to_path_buf(),
        reason: format!("is not what tollgate wrote ({fault}); remove it and start again"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_lies_in_the_current_directory() {
        assert_eq!(directory_of(Path::new("usage.csv.import-position.json")), Path::new("."));
        assert_eq!(directory_of(Path::new("data/demo.json")), Path::new("data"));
    }
}

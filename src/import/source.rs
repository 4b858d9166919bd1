//! Opens a file, plain, gzip or zstd, and counts what is read of it.

use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// First bytes of a gzip stream (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes of the file read so far, as it lies on disk; shared with the progress bar.
pub(super) type ReadBytes = Arc<AtomicU64>;

struct Counted<R> {
    inner: R,
    bytes: ReadBytes,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Whether the path means standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens `path` (`-`: standard input). The content tells the compression, not the name: a wrong suffix must not turn into
/// thousands of refused rows.
pub(super) fn open(path: &Path, bytes: ReadBytes) -> io::Result<Box<dyn BufRead + Send>> {
    let raw: Box<dyn Read + Send> = if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    // 128 KiB: a few system calls per chunk of events; the decoders read ahead by as much.
    let mut buffered = BufReader::with_capacity(128 << 10, Counted { inner: raw, bytes });
    let start = buffered.fill_buf()?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(buffered))));
    }
    if start.starts_with(&ZSTD) {
        return Ok(Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(buffered)?)));
    }
    Ok(Box::new(buffered))
}

/// The file's name without directories and without a compression suffix: the same rows have the same ids, packed or not.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    plain.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(content: &[u8]) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut text = String::new();
        open(file.path(), ReadBytes::default()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn plain_gzip_and_zstd_are_told_apart_by_content_also_in_several_members() {
        let mut packed = Vec::new();
        for part in ["one\n", "two\n"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::default());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        assert_eq!(read(&packed), "one\ntwo\n");
        let frames =
            [zstd::encode_all(&b"one\n"[..], 1).unwrap(), zstd::encode_all(&b"two\n"[..], 1).unwrap()].concat();
        assert_eq!(read(&frames), "one\ntwo\n");
        assert_eq!(read(b"one\ntwo\n"), "one\ntwo\n");
        assert_eq!(read(b""), "");
    }

    #[test]
    fn a_packed_file_has_the_same_stem_as_the_plain_one() {
        assert_eq!(stem(Path::new("/a/usage.csv.gz")), "usage.csv");
        assert_eq!(stem(Path::new("usage.csv")), "usage.csv");
    }
}

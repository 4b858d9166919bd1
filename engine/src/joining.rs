//! One body out of the parts of a streamed result.
//!
//! The engine writes each part of a streamed result as if it were a result of its own: with the header that the format begins
//! with, and the footer it ends with. Parts of formats without either are sent as they come; of the binary formats that clients
//! stream, the header is sent once; all other formats (JSON with its brackets, Parquet, CSV with names) run as a whole.

use crate::exception::Exception;

/// How the parts of one format become one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Joining {
    /// One after the other.
    AsTheyAre,
    /// Without the header from the second part on: so many texts for each column.
    HeaderOnce {
        /// 1 for names, 2 for names and types.
        texts_per_column: u64,
        /// What the first part began with.
        header: Option<Vec<u8>>,
    },
}

/// Formats that are nothing but rows (or, Native, blocks).
const ROWS_ONLY: [&str; 13] = [
    "TabSeparated",
    "TSV",
    "TabSeparatedRaw",
    "TSVRaw",
    "CSV",
    "RowBinary",
    "Native",
    "JSONEachRow",
    "JSONLines",
    "NDJSON",
    "JSONCompactEachRow",
    "LineAsString",
    "Null",
];

impl Joining {
    /// How `format` is joined; `None` when it must run as a whole.
    pub(crate) fn of(format: &str) -> Option<Self> {
        match format {
            "RowBinaryWithNames" => Some(Self::HeaderOnce { texts_per_column: 1, header: None }),
            "RowBinaryWithNamesAndTypes" => Some(Self::HeaderOnce { texts_per_column: 2, header: None }),
            _ => ROWS_ONLY.contains(&format).then_some(Self::AsTheyAre),
        }
    }

    /// Bytes at the front of the next part that the body has already.
    pub(crate) fn repeated(&mut self, part: &[u8]) -> Result<usize, Exception> {
        let Self::HeaderOnce { texts_per_column, header } = self else {
            return Ok(0);
        };
        match header {
            _ if part.is_empty() => Ok(0),
            None => {
                let length = header_length(part, *texts_per_column);
                let length =
                    length.ok_or_else(|| Exception::internal("a streamed result begins with half a header"))?;
                *header = Some(part[..length].to_vec());
                Ok(0)
            }
            Some(header) if part.starts_with(header) => Ok(header.len()),
            Some(_) => Err(Exception::internal("a part of a streamed result has a header of its own")),
        }
    }
}

fn header_length(part: &[u8], texts_per_column: u64) -> Option<usize> {
    let mut at = 0;
    let columns = varint(part, &mut at)?;
    for _ in 0..columns.checked_mul(texts_per_column)? {
        let length = usize::try_from(varint(part, &mut at)?).ok()?;
        at = at.checked_add(length).filter(|end| *end <= part.len())?;
    }
    Some(at)
}

/// LEB128.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_later_parts_is_left_out() {
        let mut joining = Joining::of("RowBinaryWithNamesAndTypes").unwrap();
        let part = b"\x01\x01x\x05UInt8\x07";
        assert_eq!(joining.repeated(part).unwrap(), 0);
        assert_eq!(joining.repeated(part).unwrap(), 9);
        assert!(joining.repeated(b"\x01\x01y\x05UInt8\x07").is_err());
        assert!(Joining::of("RowBinaryWithNames").unwrap().repeated(b"\x02\x01x").is_err());
    }

    #[test]
    fn formats_with_a_frame_run_as_a_whole() {
        assert_eq!(Joining::of("JSON"), None);
        assert_eq!(Joining::of("CSVWithNames"), None);
        assert_eq!(Joining::of("TSV"), Some(Joining::AsTheyAre));
    }
}

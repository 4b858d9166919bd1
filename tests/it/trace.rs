//! The trace as these tests read it: by its own parser, from the file that ships with the project.

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Microseconds since 1970, UTC.
    pub at: i64,
    /// Prompt.
    pub context: u64,
    /// Answer.
    pub generated: u64,
}

/// All 19,366 requests in order.
pub fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/AzureLLMInferenceTrace_conv.csv.zst");
    let csv = String::from_utf8(zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap()).unwrap();
    csv.lines().skip(1).map(row).collect()
}

fn row(line: &str) -> Row {
    let mut cells = line.split(',');
    let at = chrono::NaiveDateTime::parse_from_str(cells.next().unwrap(), "%Y-%m-%d %H:%M:%S%.f").unwrap();
    let mut number = || cells.next().unwrap().parse().unwrap();
    Row { at: at.and_utc().timestamp_micros(), context: number(), generated: number() }
}

/// RFC 3339 with microseconds.
pub fn rfc3339(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

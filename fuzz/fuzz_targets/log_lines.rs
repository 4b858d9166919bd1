//! Any bytes as a line of the log: read, or refused with a reason, and never a panic: one line must not stop a partition.

#![no_main]

use domain::log_line::{organization_of, read_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Err(reason) = read_line(line) {
        assert!(!reason.to_string().is_empty());
    }
    // Asked of lines that cannot be read: who must be told of them.
    let _ = organization_of(line);
});

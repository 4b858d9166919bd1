//! Progress bars and tables: one look for all commands. Bars go to standard error and hide themselves when it is no terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

fn styled(bar: ProgressBar, template: &str, name: &str) -> ProgressBar {
    // The templates are constants below; one that does not parse leaves the library's own look.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(name.to_string())
}

/// A bar over the bytes of a file.
#[must_use]
pub fn byte_bar(name: &str, size: u64) -> ProgressBar {
    styled(ProgressBar::new(size), "{prefix} {wide_bar} {bytes}/{total_bytes} {msg} {eta}", name)
}

/// A counter of bytes whose end is not known.
#[must_use]
pub fn byte_counter(name: &str) -> ProgressBar {
    styled(ProgressBar::no_length(), "{prefix} {spinner} {bytes} {msg} {elapsed}", name)
}

/// A bar over counted things.
#[must_use]
pub fn count_bar(name: &str, count: u64) -> ProgressBar {
    styled(ProgressBar::new(count), "{prefix} {wide_bar} {human_pos}/{human_len} {msg} {eta}", name)
}

/// A table with these headings; columns listed in `numbers` are aligned to the right.
#[must_use]
pub fn table(headings: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().copied());
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

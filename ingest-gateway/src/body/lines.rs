//! Chunks cut into lines. A line that lies in one chunk is not copied; one past its limit is skipped, not held.

/// A line of the stream, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its text.
    Text(&'a [u8]),
    /// It is longer than a line may be.
    TooLong,
}

/// Cuts chunks into lines.
pub(crate) struct LineCutter {
    max_line_bytes: usize,
    /// The beginning of a line whose end has not come yet; or, until the next call, a line handed out.
    held: Vec<u8>,
    handed_out: bool,
    /// Bytes passed of a line that is too long, while its end has not come.
    skipped: Option<usize>,
}

impl LineCutter {
    pub(crate) fn new(max_line_bytes: usize) -> Self {
        Self { max_line_bytes, held: Vec::new(), handed_out: false, skipped: None }
    }

    /// Bytes of the line that is being skipped, so far.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped.unwrap_or(0)
    }

    /// Takes the next line from `chunk`, moving it on; `None` when it holds no more line end, and is used up.
    pub(crate) fn next<'s, 'c: 's>(&'s mut self, chunk: &mut &'c [u8]) -> Option<Line<'s>> {
        self.forget_handed_out();
        let Some(end) = memchr::memchr(b'\n', chunk) else {
            self.hold(chunk);
            *chunk = &[];
            return None;
        };
        let part = &chunk[..end];
        *chunk = &chunk[end + 1..];
        if self.skipped.take().is_some() || self.held.len() + part.len() > self.max_line_bytes {
            self.held.clear();
            return Some(Line::TooLong);
        }
        if self.held.is_empty() {
            return Some(Line::Text(part));
        }
        self.held.extend_from_slice(part);
        self.handed_out = true;
        Some(Line::Text(&self.held))
    }

    /// What stands behind the last line feed, if anything does.
    pub(crate) fn last(&mut self) -> Option<Line<'_>> {
        self.forget_handed_out();
        if self.skipped.take().is_some() {
            return Some(Line::TooLong);
        }
        self.handed_out = true;
        (!self.held.is_empty()).then_some(Line::Text(&self.held))
    }

    fn forget_handed_out(&mut self) {
        if self.handed_out {
            self.held.clear();
            self.handed_out = false;
        }
    }

    fn hold(&mut self, part: &[u8]) {
        if let Some(skipped) = &mut self.skipped {
            *skipped += part.len();
        } else if self.held.len() + part.len() > self.max_line_bytes {
            self.skipped = Some(self.held.len() + part.len());
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(chunks: &[&[u8]], max_line_bytes: usize) -> Vec<Option<Vec<u8>>> {
        let owned = |line: Line<'_>| match line {
            Line::Text(text) => Some(text.to_vec()),
            Line::TooLong => None,
        };
        let mut cutter = LineCutter::new(max_line_bytes);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(line) = cutter.next(&mut rest) {
                lines.push(owned(line));
            }
            assert!(cutter.held.len() <= max_line_bytes, "a line past the limit is not held");
        }
        lines.extend(cutter.last().map(owned));
        assert_eq!(cutter.last(), None);
        lines
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_whole_text_however_it_is_chunked(
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec(0..60_usize, 0..8),
            max_line_bytes in 1..12_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let limited = |line: &&str| (line.len() <= max_line_bytes).then(|| line.as_bytes().to_vec());
            prop_assert_eq!(cut(&chunks, max_line_bytes), expected.iter().map(limited).collect::<Vec<_>>());
        }
    }
}

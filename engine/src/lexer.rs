//! The tokens of ClickHouse's SQL, as far as finding clauses needs them: what is quoted, what is a comment, what is a word.
//!
//! It never judges SQL; the engine's own parser does. Unterminated quotes and comments end with the text.

/// One token. Comments and white space are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word: keyword or identifier, also numbers.
    Word,
    /// A quoted identifier: backticks or double quotes.
    QuotedName,
    /// A string literal, single quotes or `$tag$ … $tag$`.
    Text,
    /// One byte of punctuation.
    Symbol(u8),
}

/// A token and where it lies in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How many parentheses, brackets and braces are open before it.
    pub(crate) depth: usize,
}

impl Token {
    /// Whether this is the bare word `keyword`, in any case.
    pub(crate) fn is(&self, text: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word && text[self.start..self.end].eq_ignore_ascii_case(keyword.as_bytes())
    }
}

/// Iterates over the tokens of a text.
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    /// Starts at byte `position`.
    pub(crate) fn from(text: &'a [u8], position: usize) -> Self {
        Self { text, position, depth: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.position..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            match rest {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0 => self.position += 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.skip_past(b"\n"),
                [b'/', b'*', ..] => self.skip_block_comment(),
                // A byte order mark or a non-breaking space before the first word is white space to ClickHouse.
                [0xEF, 0xBB, 0xBF, ..] => self.position += 3,
                _ => return,
            }
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let found = find(self.rest(), end);
        self.position = found.map_or(self.text.len(), |at| self.position + at + end.len());
    }

    /// Block comments nest, as in ClickHouse.
    fn skip_block_comment(&mut self) {
        let mut open = 0_usize;
        while let [first, rest @ ..] = self.rest() {
            match (first, rest.first()) {
                (b'/', Some(b'*')) => {
                    open += 1;
                    self.position += 2;
                }
                (b'*', Some(b'/')) => {
                    open -= 1;
                    self.position += 2;
                    if open == 0 {
                        return;
                    }
                }
                _ => self.position += 1,
            }
        }
    }

    /// Moves past a quoted piece that starts here; a backslash or a doubled quote escapes.
    fn skip_quoted(&mut self, quote: u8) {
        self.position += 1;
        while let [byte, rest @ ..] = self.rest() {
            let doubled = *byte == quote && rest.first() == Some(&quote);
            if *byte == b'\\' || doubled {
                self.position = (self.position + 2).min(self.text.len());
                continue;
            }
            self.position += 1;
            if *byte == quote {
                return;
            }
        }
    }

    /// The length of `$tag$` at the current position, if that is what stands there.
    fn heredoc_tag(&self) -> Option<usize> {
        let rest = self.rest();
        let end = rest.iter().skip(1).position(|byte| *byte == b'$')? + 1;
        rest[1..end].iter().all(|byte| is_word(*byte)).then_some(end + 1)
    }

    fn scan(&mut self, first: u8) -> Kind {
        match first {
            b'\'' => {
                self.skip_quoted(first);
                Kind::Text
            }
            b'"' | b'`' => {
                self.skip_quoted(first);
                Kind::QuotedName
            }
            b'$' if self.heredoc_tag().is_some() => {
                let length = self.heredoc_tag().unwrap_or(0);
                let tag = &self.rest()[..length];
                self.position += length;
                self.skip_past(tag);
                Kind::Text
            }
            _ if is_word(first) => {
                let word = self.rest().iter().take_while(|byte| is_word(**byte));
                self.position += word.count();
                Kind::Word
            }
            _ => {
                self.position += 1;
                Kind::Symbol(first)
            }
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let first = *self.rest().first()?;
        let start = self.position;
        let closing = matches!(first, b')' | b']' | b'}');
        if closing {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        let kind = self.scan(first);
        if matches!(kind, Kind::Symbol(b'(' | b'[' | b'{')) {
            self.depth += 1;
        }
        Some(Token { kind, start, end: self.position, depth })
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        Tokens::from(text.as_bytes(), 0).map(|token| &text[token.start..token.end]).collect()
    }

    #[test]
    fn comments_and_white_space_are_skipped_and_quotes_kept_whole() {
        assert_eq!(
            words("a -- x ' y\n /* ( /* nested */ */ b # c\n'it''s \\' ;' \"q\"`r`$$ ; $$ $t$ $$ $t$ 1.5"),
            ["a", "b", "'it''s \\' ;'", "\"q\"", "`r`", "$$ ; $$", "$t$ $$ $t$", "1", ".", "5"]
        );
    }

    #[test]
    fn unterminated_pieces_end_with_the_text() {
        assert_eq!(words("a 'b"), ["a", "'b"]);
        assert_eq!(words("a /* b"), ["a"]);
        assert_eq!(words("a '\\"), ["a", "'\\"]);
        assert_eq!(words("$a$ x"), ["$a$ x"]);
        assert_eq!(words("$ x"), ["$", "x"]);
    }

    #[test]
    fn depth_counts_open_brackets() {
        let text = b"f(a, [b]) c";
        let depth_of = |word: &[u8]| {
            Tokens::from(text, 0).find(|token| &text[token.start..token.end] == word).map(|token| token.depth)
        };
        assert_eq!(depth_of(b"a"), Some(1));
        assert_eq!(depth_of(b"b"), Some(2));
        assert_eq!(depth_of(b"c"), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_give_tokens_in_order_that_lie_inside_the_text(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut last = 0;
            for token in Tokens::from(&text, 0) {
                prop_assert!(token.start >= last && token.end > token.start && token.end <= text.len());
                last = token.end;
            }
        }
    }
}

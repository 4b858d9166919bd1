//! A strict one-pass scanner of RFC 8259: it finds where values begin and end and checks them, and builds nothing.
//!
//! What it hands out are spans of the text, so numbers keep their digits and properties stay as received. Beyond RFC 8259 it
//! refuses what means different things to different readers, hence different bills: repeated names in one object (compared
//! after decoding escapes), lone surrogates, nesting past a limit. Its answers equal those of a slow reference built on
//! serde_json (`reference.rs`, `tests.rs`).
//!
//! Failure: the first flaw ends the scan with its byte offset. It never panics: every access is bounds-checked, and spans are
//! cut at ASCII bytes only, which are character boundaries of the UTF-8 text.

use super::keys::{Key, Keys};
use super::string::{RawText, find_special, read_escape};
use std::borrow::Cow;

/// What is wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A byte sequence that no character has.
    #[error("the body is not valid UTF-8")]
    NotUtf8,
    /// U+FEFF at the start.
    #[error("the body begins with a byte order mark, which JSON does not allow")]
    ByteOrderMark,
    /// The text ends inside a value.
    #[error("the body ends inside a value")]
    Ends,
    /// A byte that cannot stand there.
    #[error("{0} was expected here")]
    Expected(&'static str),
    /// More text after the value.
    #[error("there is more text after the value")]
    Trailing,
    /// U+0000–U+001F inside a string.
    #[error("a control character inside a string must be written as an escape")]
    ControlCharacter,
    /// `\x`, `\u12`.
    #[error("this is not an escape sequence of JSON")]
    BadEscape,
    /// Half of a surrogate pair.
    #[error("half of a surrogate pair is not a character")]
    LoneSurrogate,
    /// `01`, `1.`, `+1`, `NaN`.
    #[error("this is not a number of JSON; NaN and Infinity are not either")]
    BadNumber,
    /// Containers within containers past the limit.
    #[error("values are nested too deeply")]
    TooDeep,
    /// The same name twice in one object.
    #[error("the name \"{0}\" stands twice in one object")]
    DuplicateKey(String),
}

/// A flaw of the text and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Offset in bytes.
    pub at: usize,
    /// What.
    pub what: Malformed,
}

pub(super) type Scan<T> = Result<T, Box<Syntax>>;

/// The JSON type that begins with a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Number,
    Object,
    Array,
    Null,
    /// True, false, or nothing JSON knows: the scan of the value tells.
    Other,
}

/// A position in a text of JSON.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    max_depth: u32,
    keys: Keys<'a>,
}

impl<'a> Scanner<'a> {
    /// Begins at the start of `body`. `max_depth` bounds the nesting below each value that is skipped.
    pub(super) fn new(body: &'a [u8], max_depth: u32) -> Scan<Self> {
        let text = std::str::from_utf8(body).map_err(|error| flaw(error.valid_up_to(), Malformed::NotUtf8))?;
        if text.starts_with('\u{feff}') {
            return Err(flaw(0, Malformed::ByteOrderMark));
        }
        Ok(Self { text, at: 0, max_depth, keys: Keys::default() })
    }

    pub(super) fn max_depth(&self) -> u32 {
        self.max_depth
    }

    /// Whether the whole text was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    pub(super) fn kind(&self) -> Kind {
        match self.peek() {
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'n') => Kind::Null,
            _ => Kind::Other,
        }
    }

    #[inline]
    pub(super) fn skip_white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` if it stands here.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Enters the container that opens here: true at its first element, false behind `close` when it is empty.
    #[inline]
    pub(super) fn enter(&mut self, close: u8) -> bool {
        self.at += 1;
        self.skip_white();
        !self.take(close)
    }

    /// After an element: true behind a comma, false behind `close`.
    #[inline]
    pub(super) fn more(&mut self, close: u8, expected: &'static str) -> Scan<bool> {
        self.skip_white();
        if self.take(b',') {
            self.skip_white();
            return Ok(true);
        }
        if self.take(close) { Ok(false) } else { Err(self.unexpected(expected)) }
    }

    /// A name and its colon; stands at the value afterwards.
    #[inline]
    pub(super) fn name(&mut self) -> Scan<RawText<'a>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        let name = self.string()?;
        self.skip_white();
        if !self.take(b':') {
            return Err(self.unexpected("a colon"));
        }
        self.skip_white();
        Ok(name)
    }

    /// The string whose opening quote stands here.
    #[inline]
    pub(super) fn string(&mut self) -> Scan<RawText<'a>> {
        let start = self.at + 1;
        let end = find_special(self.bytes(), start);
        if self.bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(RawText::Plain(&self.text[start..end]));
        }
        self.string_with_escapes(start, end)
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize, first: usize) -> Scan<RawText<'a>> {
        let mut end = first;
        loop {
            match self.bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => end = read_escape(self.bytes(), end)?.1,
                Some(_) => return Err(flaw(end, Malformed::ControlCharacter)),
                None => return Err(flaw(end, Malformed::Ends)),
            }
            end = find_special(self.bytes(), end);
        }
        self.at = end + 1;
        Ok(RawText::Escaped(&self.text[start..end]))
    }

    /// The number that begins here, in its own digits.
    pub(super) fn number(&mut self) -> Scan<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        // `01` and `1x` would otherwise be reported as a missing comma.
        if let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-') = self.peek() {
            return Err(flaw(self.at, Malformed::BadNumber));
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Scan<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false if self.peek().is_none() => Err(flaw(self.at, Malformed::Ends)),
            false => Err(flaw(self.at, Malformed::BadNumber)),
        }
    }

    /// Checks the value that begins here and returns its text.
    #[inline]
    pub(super) fn value(&mut self) -> Scan<&'a str> {
        let start = self.at;
        self.skip_value(self.max_depth)?;
        Ok(self.since(start))
    }

    fn skip_value(&mut self, depth_left: u32) -> Scan<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'{') => self.skip_object(depth_left),
            Some(b'[') => self.skip_array(depth_left),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'N' | b'I' | b'+' | b'.') => Err(flaw(self.at, Malformed::BadNumber)),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn literal(&mut self, word: &'static str) -> Scan<()> {
        let rest = &self.bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        let ends = word.as_bytes().starts_with(rest);
        Err(if ends { flaw(self.text.len(), Malformed::Ends) } else { flaw(self.at, Malformed::Expected("a value")) })
    }

    fn skip_object(&mut self, depth_left: u32) -> Scan<()> {
        let inner = self.deeper(depth_left)?;
        let opened = self.open_object();
        let mut more = self.enter(b'}');
        while more {
            let name = self.name()?;
            self.note_name(name.decode()?);
            self.skip_value(inner)?;
            more = self.more(b'}', "a comma or a closing brace")?;
        }
        self.close_object(opened)
    }

    fn skip_array(&mut self, depth_left: u32) -> Scan<()> {
        let inner = self.deeper(depth_left)?;
        let mut more = self.enter(b']');
        while more {
            self.skip_value(inner)?;
            more = self.more(b']', "a comma or a closing bracket")?;
        }
        Ok(())
    }

    fn deeper(&self, depth_left: u32) -> Scan<u32> {
        depth_left.checked_sub(1).ok_or_else(|| flaw(self.at, Malformed::TooDeep))
    }

    /// Begins to collect the names of one object; hand the result to [`Self::close_object`].
    pub(super) fn open_object(&self) -> usize {
        self.keys.len()
    }

    /// Remembers a name of the object opened last.
    #[inline]
    pub(super) fn note_name(&mut self, name: Cow<'a, str>) {
        self.keys.push(Key::new(name));
    }

    /// Ends the collection: refuses an object in which a name stands twice.
    #[inline]
    pub(super) fn close_object(&mut self, opened: usize) -> Scan<()> {
        match self.keys.repeated_since(opened) {
            Some(name) => Err(duplicate(self.at, &name)),
            None => Ok(()),
        }
    }

    /// Refuses anything but white space from here on.
    pub(super) fn end(&mut self) -> Scan<()> {
        self.skip_white();
        if self.at == self.text.len() { Ok(()) } else { Err(flaw(self.at, Malformed::Trailing)) }
    }

    #[cold]
    pub(super) fn unexpected(&self, expected: &'static str) -> Box<Syntax> {
        let what = if self.at == self.text.len() { Malformed::Ends } else { Malformed::Expected(expected) };
        flaw(self.at, what)
    }
}

#[cold]
pub(super) fn flaw(at: usize, what: Malformed) -> Box<Syntax> {
    Box::new(Syntax { at, what })
}

/// The flaw of a name that stands twice; a long name is shortened.
#[cold]
pub(super) fn duplicate(at: usize, name: &str) -> Box<Syntax> {
    // 64 characters tell which name it is; an answer must not carry a megabyte of it.
    flaw(at, Malformed::DuplicateKey(name.chars().take(64).collect()))
}

//! Inside a string: where it ends, and what its escapes mean.

use super::scan::{Malformed, Scan, flaw};
use std::borrow::Cow;

/// A string of the text, between its quotes, checked.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawText<'a> {
    /// It says what it shows.
    Plain(&'a str),
    /// It holds escapes.
    Escaped(&'a str),
}

impl<'a> RawText<'a> {
    /// What the string says: borrowed unless it holds escapes.
    #[inline]
    pub(super) fn decode(self) -> Scan<Cow<'a, str>> {
        match self {
            Self::Plain(text) => Ok(Cow::Borrowed(text)),
            Self::Escaped(raw) => decode_escapes(raw).map(Cow::Owned),
        }
    }
}

#[cold]
fn decode_escapes(raw: &str) -> Scan<String> {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(position) = rest.find('\\') {
        decoded.push_str(&rest[..position]);
        let (character, end) = read_escape(rest.as_bytes(), position)?;
        decoded.push(character);
        rest = &rest[end..];
    }
    decoded.push_str(rest);
    Ok(decoded)
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Where, from `start` on, the next quote, backslash or control character stands; else the end of `text`.
///
/// Eight bytes a step in one integer: `(x - n) & !x` sets the high bit of each byte below `n`. A borrow can set it wrongly in
/// bytes above a right one, never below: the lowest set bit is always right.
#[inline]
pub(super) fn find_special(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(chunk) = text.get(at..at + 8).and_then(|slice| <[u8; 8]>::try_from(slice).ok()) {
        let word = u64::from_le_bytes(chunk);
        let below = |bytes: u64, limit: u64| bytes.wrapping_sub(LOW_BITS * limit) & !bytes & HIGH_BITS;
        let quote = below(word ^ (LOW_BITS * 0x22), 1);
        let backslash = below(word ^ (LOW_BITS * 0x5c), 1);
        let special = quote | backslash | below(word, 0x20);
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = text.get(at..).unwrap_or_default();
    at + tail.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(tail.len())
}

/// The character of the escape sequence whose backslash stands at `at`, and where the sequence ends.
pub(super) fn read_escape(bytes: &[u8], at: usize) -> Scan<(char, usize)> {
    let character = match bytes.get(at + 1) {
        Some(b'u') => return read_unicode_escape(bytes, at),
        Some(&same @ (b'"' | b'\\' | b'/')) => char::from(same),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(_) => return Err(flaw(at, Malformed::BadEscape)),
        None => return Err(flaw(bytes.len(), Malformed::Ends)),
    };
    Ok((character, at + 2))
}

/// `\uXXXX`, or a pair of them for a character beyond U+FFFF.
fn read_unicode_escape(bytes: &[u8], at: usize) -> Scan<(char, usize)> {
    let first = read_hex(bytes, at)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, at + 6));
    }
    // A `u32` of four hex digits that is no character is a surrogate; only high ones may begin a pair.
    let follows = first < 0xdc00 && bytes.get(at + 6..at + 8) == Some(br"\u");
    let second = if follows { read_hex(bytes, at + 6)? } else { 0 };
    let pair = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    match char::from_u32(pair) {
        Some(character) if (0xdc00..0xe000).contains(&second) => Ok((character, at + 12)),
        _ => Err(flaw(at, Malformed::LoneSurrogate)),
    }
}

fn read_hex(bytes: &[u8], at: usize) -> Scan<u32> {
    let digits = bytes.get(at + 2..at + 6).ok_or_else(|| flaw(bytes.len(), Malformed::Ends))?;
    let mut code = 0;
    for &digit in digits {
        let value = char::from(digit).to_digit(16).ok_or_else(|| flaw(at, Malformed::BadEscape))?;
        code = code * 16 + value;
    }
    Ok(code)
}

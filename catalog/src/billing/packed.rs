//! Many rows in one value: how 300,000 subscriptions cross the border of the database in a second.
//!
//! A row of the database-neutral pool costs 8 µs with fourteen columns, most of it allocation and a channel between two
//! threads. So the database joins the columns of a row into one text and about a 256th of all rows (those whose ids begin with
//! the same two hexadecimal digits) into one value: 256 values in all, whatever their number. Portable: `concat`,
//! `length`, `substr`, `string_agg`.
//!
//! Form: fixed fields, each ended by `,`; free text as `length:text`, its length in characters, so that no character of it can
//! be mistaken for an end.

use crate::columns::from_name;
use crate::database::DatabaseError;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;

/// SQL that joins one row: one `concat` of all its parts, because a chain of `||` would copy the row once a part. Null is
/// empty in it.
pub(crate) struct Packing {
    parts: Vec<String>,
}

impl Packing {
    /// Fields that hold no comma: ids, names, numbers. Null ones are empty.
    pub(crate) fn fixed(columns: &[&'static str]) -> Self {
        Self { parts: columns.iter().map(|column| format!("{column}, ','")).collect() }
    }

    /// Any text that is never null.
    pub(crate) fn free(mut self, column: &'static str) -> Self {
        self.parts.push(format!("length({column}), ':', {column}"));
        self
    }

    /// The query of all rows of `table` that meet `condition`.
    pub(crate) fn query(&self, table: &'static str, condition: &'static str) -> String {
        let row = self.parts.join(", ");
        format!("SELECT string_agg(concat({row}), '') FROM {table} WHERE {condition} GROUP BY substr(id, 1, 2)")
    }
}

/// Reads joined rows, field by field.
pub(crate) struct Packed<'a> {
    rest: &'a str,
}

impl<'a> Packed<'a> {
    pub(crate) fn new(joined: &'a str) -> Self {
        Self { rest: joined }
    }

    /// Whether another row follows.
    pub(crate) fn has_row(&self) -> bool {
        !self.rest.is_empty()
    }

    fn until(&mut self, end: char) -> Result<&'a str, DatabaseError> {
        let (field, rest) = self.rest.split_once(end).ok_or_else(broken)?;
        self.rest = rest;
        Ok(field)
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, DatabaseError> {
        self.until(',')?.parse().map_err(|fault| DatabaseError::unreadable("joined field", fault))
    }

    pub(crate) fn named<T: DeserializeOwned>(&mut self) -> Result<T, DatabaseError> {
        from_name(self.until(',')?).map_err(|fault| DatabaseError::unreadable("joined name", fault))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.until(',')? != "0")
    }

    pub(crate) fn optional_instant(&mut self) -> Result<Option<Timestamp>, DatabaseError> {
        match self.until(',')? {
            "" => Ok(None),
            micros => micros.parse().map(|micros| Some(Timestamp(micros))).map_err(|_| broken()),
        }
    }

    pub(crate) fn free(&mut self) -> Result<&'a str, DatabaseError> {
        let characters: usize = self.until(':')?.parse().map_err(|_| broken())?;
        // The byte after so many characters; the common case of ASCII needs no walk.
        let ascii = self.rest.as_bytes().get(..characters).is_some_and(<[u8]>::is_ascii);
        let end = if ascii {
            characters
        } else {
            let mut ends = self.rest.char_indices().map(|(at, _)| at).chain([self.rest.len()]);
            ends.nth(characters).ok_or_else(broken)?
        };
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(text)
    }
}

fn broken() -> DatabaseError {
    DatabaseError::unreadable("joined row", "it does not have the fields it should")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_texts_come_back_whole(rows in proptest::collection::vec(("\\PC{0,9}|[,:0-9]{0,9}", any::<Option<i64>>(), "\\PC{0,9}"), 0..5)) {
            let joined: String = rows
                .iter()
                .map(|(first, number, second)| {
                    let number = number.map(|number| number.to_string()).unwrap_or_default();
                    format!("{}:{first}{number},{}:{second}", first.chars().count(), second.chars().count())
                })
                .collect();
            let mut packed = Packed::new(&joined);
            for (first, number, second) in &rows {
                prop_assert!(packed.has_row());
                prop_assert_eq!(packed.free().unwrap(), first);
                prop_assert_eq!(packed.optional_instant().unwrap(), number.map(Timestamp));
                prop_assert_eq!(packed.free().unwrap(), second);
            }
            prop_assert!(!packed.has_row());
        }

        #[test]
        fn a_row_that_is_cut_off_is_an_error_not_a_panic(text in "\\PC{0,12}") {
            let mut packed = Packed::new(&text);
            let _ = packed.free();
            let _ = packed.optional_instant();
        }
    }
}

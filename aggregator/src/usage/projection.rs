//! From the dimension values that were stored to those that are asked for.
//!
//! A metric's stored key list is the union of the filters and groups of all its charges at write time; one charge asks for a few of
//! them. Where the stored list has all keys asked for, the values are picked out of the stored array; where it has not (the
//! charge is younger than the event), the event's raw properties must be read.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::dimension_keys_hash;
use crate::usage::{Measure, UsageQuery};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;

/// How a stored array becomes the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Projection {
    /// As it is.
    Same,
    /// These places of it, in this order.
    Places(Vec<usize>),
    /// Not from what is stored.
    Raw,
}

/// The projections of one query, made when first needed.
pub(super) struct Projections {
    /// Stored key lists by their hash.
    stored: HashMap<u64, Vec<String>>,
    /// Asked key lists by scope; empty when the query is not grouped.
    asked: Vec<Vec<String>>,
    /// Whether groups may be merged after the engine has counted them.
    mergeable: bool,
    made: HashMap<(u32, u64), Projection>,
}

#[derive(Row, Deserialize)]
struct StoredKeys {
    hash: u64,
    keys: Vec<String>,
}

impl Projections {
    /// Reads the stored key lists when the query is grouped.
    pub(super) async fn load(connection: &Connection, query: &UsageQuery) -> Result<Self, StoreError> {
        let mergeable = query.measure != Measure::UniqueCount;
        if !query.by_dimensions {
            return Ok(Self { stored: HashMap::new(), asked: Vec::new(), mergeable, made: HashMap::new() });
        }
        let rows: Vec<StoredKeys> = connection.fetch_all("SELECT DISTINCT hash, keys FROM dimension_keys").await?;
        // A list that does not fit its hash would assign values to the wrong keys.
        let stored = rows.into_iter().filter(|row| dimension_keys_hash(&row.keys) == row.hash);
        Ok(Self {
            stored: stored.map(|row| (row.hash, row.keys)).collect(),
            asked: query.scopes.iter().map(|scope| scope.dimensions.clone()).collect(),
            mergeable,
            made: HashMap::new(),
        })
    }

    /// The array asked for; `None` when it takes the raw properties.
    pub(super) fn project(&mut self, scope: u32, stored_of: u64, values: &str) -> Option<String> {
        let Some(asked) = self.asked.get(scope as usize) else {
            return Some(String::new());
        };
        let (stored, mergeable) = (&self.stored, self.mergeable);
        let projection = self
            .made
            .entry((scope, stored_of))
            .or_insert_with(|| made(asked, stored_of, stored.get(&stored_of), mergeable));
        match projection {
            Projection::Same => Some(values.to_owned()),
            Projection::Places(places) => picked(values, places),
            Projection::Raw => None,
        }
    }
}

fn made(asked: &[String], stored_of: u64, stored: Option<&Vec<String>>, mergeable: bool) -> Projection {
    if dimension_keys_hash(asked) == stored_of {
        return Projection::Same;
    }
    let Some(stored) = stored.filter(|_| mergeable) else {
        return Projection::Raw;
    };
    let places: Option<Vec<usize>> = asked.iter().map(|key| stored.iter().position(|known| known == key)).collect();
    places.map_or(Projection::Raw, Projection::Places)
}

/// Elements of a JSON array by place, as a JSON array; the empty text for none.
fn picked(values: &str, places: &[usize]) -> Option<String> {
    if places.is_empty() {
        return Some(String::new());
    }
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(values).ok()?;
    let chosen: Option<Vec<&str>> =
        places.iter().map(|place| elements.get(*place).map(|element| element.get())).collect();
    Some(format!("[{}]", chosen?.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn projections(stored: &[&str], asked: &[&str], mergeable: bool) -> (Projections, u64) {
        let stored = keys(stored);
        let hash = dimension_keys_hash(&stored);
        let projections =
            Projections { stored: [(hash, stored)].into(), asked: vec![keys(asked)], mergeable, made: HashMap::new() };
        (projections, hash)
    }

    #[test]
    fn keys_are_picked_by_name_in_the_order_asked_for() {
        let (mut some, hash) = projections(&["model", "region", "tier"], &["tier", "model"], true);
        assert_eq!(some.project(0, hash, r#"["a\"b,",null,"5"]"#).as_deref(), Some(r#"["5","a\"b,"]"#));
        let (mut none, of_model) = projections(&["model"], &[], true);
        assert_eq!(none.project(0, of_model, r#"["a"]"#).as_deref(), Some(""));
    }

    #[test]
    fn a_key_that_was_not_stored_takes_the_raw_properties() {
        let (mut lacking, hash) = projections(&["model"], &["model", "region"], true);
        assert_eq!(lacking.project(0, hash, r#"["a"]"#), None);
        assert_eq!(lacking.project(0, 0, ""), None);
        assert_eq!(lacking.project(0, 12345, r#"["a"]"#), None);
    }

    #[test]
    fn a_distinct_count_is_never_put_together_from_parts() {
        let (mut part, hash) = projections(&["model", "region"], &["model"], false);
        assert_eq!(part.project(0, hash, r#"["a","b"]"#), None);
        let (mut same, of_model) = projections(&["model"], &["model"], false);
        assert_eq!(same.project(0, of_model, r#"["a"]"#).as_deref(), Some(r#"["a"]"#));
    }
}

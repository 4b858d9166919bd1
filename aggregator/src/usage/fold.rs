//! Usage of some slots row by row, in Rust, from raw properties: for values that were extracted for another rule or are out of
//! scale, and for series with doubtful ids. The same rules of extraction as when events are written ([`crate::extract`]).

use super::aggregate::scope_of_slot;
use super::members;
use super::touched::Doubtful;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::{Number, dimensions_text, field, number_of, text_of};
use crate::usage::{EventOfFee, Measure, UsageQuery, UsageRow, UsageWindow};
use bigdecimal::BigDecimal;
use domain::identity::EventId;
use domain::time::Timestamp;
use num_traits::Zero;
use std::collections::{HashMap, HashSet};

/// What one slot (and combination of dimension values) has come to.
struct Running {
    events_count: u64,
    fingerprint: u128,
    invalid_count: u64,
    valued_count: u64,
    sum: BigDecimal,
    moment: BigDecimal,
    least: Option<BigDecimal>,
    greatest: Option<BigDecimal>,
    newest: Option<((Timestamp, EventId), BigDecimal)>,
    texts: HashSet<String>,
}

impl Running {
    fn new() -> Self {
        Self {
            events_count: 0,
            fingerprint: 0,
            invalid_count: 0,
            valued_count: 0,
            sum: BigDecimal::zero(),
            moment: BigDecimal::zero(),
            least: None,
            greatest: None,
            newest: None,
            texts: HashSet::new(),
        }
    }

    fn add(&mut self, measure: Measure, field_name: Option<&str>, member: &EventOfFee) {
        self.events_count += 1;
        self.fingerprint = self.fingerprint.wrapping_add(member.stored_fingerprint);
        let value = field_name.and_then(|name| field(&member.event.properties, name));
        match measure {
            Measure::Count => self.valued_count += 1,
            Measure::Sum | Measure::Max | Measure::Min | Measure::Latest | Measure::WeightedSum => {
                match number_of(value) {
                    None => {}
                    Some(Number::Unusable) => self.invalid_count += 1,
                    Some(number) => self.add_number(number.to_big().unwrap_or_default(), member),
                }
            }
            Measure::UniqueCount => match text_of(value) {
                Ok(None) => {}
                Err(()) => self.invalid_count += 1,
                Ok(Some(text)) => {
                    self.valued_count += 1;
                    self.texts.insert(text.into_owned());
                }
            },
        }
    }

    fn add_number(&mut self, number: BigDecimal, member: &EventOfFee) {
        let at = (member.event.timestamp, member.event.id);
        self.valued_count += 1;
        self.sum += &number;
        self.moment += &number * BigDecimal::from(at.0.0);
        if self.least.as_ref().is_none_or(|least| number < *least) {
            self.least = Some(number.clone());
        }
        if self.newest.as_ref().is_none_or(|(newest, _)| at > *newest) {
            self.newest = Some((at, number.clone()));
        }
        if self.greatest.as_ref().is_none_or(|greatest| number > *greatest) {
            self.greatest = Some(number);
        }
    }

    fn into_row(self, measure: Measure, slot: u32, dimensions: String) -> UsageRow {
        let (newest, newest_value) = self.newest.unzip();
        let quantity = match measure {
            Measure::Count => BigDecimal::from(self.events_count),
            Measure::Sum | Measure::WeightedSum => self.sum,
            Measure::Max => self.greatest.unwrap_or_default(),
            Measure::Min => self.least.unwrap_or_default(),
            Measure::Latest => newest_value.unwrap_or_default(),
            Measure::UniqueCount => BigDecimal::from(self.texts.len() as u64),
        };
        UsageRow {
            slot,
            dimensions,
            events_count: self.events_count,
            fingerprint: self.fingerprint,
            quantity: quantity.normalized(),
            moment: if measure == Measure::WeightedSum { self.moment.normalized() } else { BigDecimal::zero() },
            newest: newest.filter(|_| measure == Measure::Latest),
            invalid_count: self.invalid_count,
            valued_count: self.valued_count,
        }
    }
}

/// Aggregates `windows` row by row.
pub(super) async fn fold(
    connection: &Connection,
    query: &UsageQuery,
    windows: &[UsageWindow],
    doubtful: &Doubtful,
    on_row: &mut (impl FnMut(UsageRow) + Send),
) -> Result<(), StoreError> {
    let scope_of = scope_of_slot(windows);
    let mut running: HashMap<(u32, String), Running> = HashMap::new();
    members::each(connection, query, windows, doubtful, |member| {
        // The engine answers only slots that the windows name, and `Source` has checked their scopes.
        let Some(scope) = scope_of.get(&member.slot).and_then(|scope| query.scopes.get(*scope as usize)) else {
            return;
        };
        let keys = if query.by_dimensions { scope.dimensions.as_slice() } else { &[] };
        let dimensions = dimensions_text(&member.event.properties, keys);
        let place = running.entry((member.slot, dimensions)).or_insert_with(Running::new);
        place.add(query.measure, scope.field_name.as_deref(), &member);
    })
    .await?;
    for ((slot, dimensions), sums) in running {
        on_row(sums.into_row(query.measure, slot, dimensions));
    }
    Ok(())
}

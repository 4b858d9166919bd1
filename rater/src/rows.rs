//! From the store's rows to the usage of one charge's fees: filters and groups folded, each aggregation by its own rule.
//!
//! Everything here adds up over rows, so it does not matter how the store split a slot by the values of properties. Distinct
//! counts do not: they are taken only where every row is a fee of its own ([`crate::rate`] sees to that).
//!
//! What a recurring metric carries over from before the stretch counts in the quantity, not in the events: those were counted,
//! and proved, in their own period.

use crate::aggregate::{Span, average};
use crate::lines::ChargeLines;
use crate::usage::{Dimensions, LineUsage, UsageByLine, row_dimensions, with_empty_lines};
use aggregator::usage::UsageRow;
use domain::catalog::{Aggregation, Metric};
use domain::identity::EventId;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::BTreeMap;

/// The answers for one metric in one stretch.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Of the stretch itself.
    pub own: &'a [UsageRow],
    /// Of what came before it, for a recurring metric.
    pub carried: &'a [UsageRow],
}

/// Whether a value came from the stretch or from before it: of two newest values that of the stretch wins.
type When = (bool, Option<(Timestamp, EventId)>);

/// What rows of one fee have come to.
#[derive(Default)]
struct Running {
    own: LineUsage,
    own_sum: Quantity,
    own_moment: Quantity,
    carried_sum: Quantity,
    valued: u64,
    extreme: Option<Quantity>,
    newest: Option<(When, Quantity)>,
}

impl Running {
    fn add(&mut self, aggregation: Aggregation, row: &UsageRow, is_own: bool) {
        let quantity = Quantity::from(row.quantity.clone());
        if is_own {
            self.own.events_count += row.events_count;
            self.own.invalid_count += row.invalid_count;
            self.own.valued_count += row.valued_count;
            self.own.fingerprint = self.own.fingerprint.wrapping_add(row.fingerprint);
            self.own_sum += &quantity;
            self.own_moment += &Quantity::from(row.moment.clone());
        } else {
            self.carried_sum += &quantity;
        }
        self.valued += row.valued_count;
        if row.valued_count == 0 {
            return;
        }
        let beats = |known: &Quantity| match aggregation {
            Aggregation::Min => quantity < *known,
            _ => quantity > *known,
        };
        if self.extreme.as_ref().is_none_or(beats) {
            self.extreme = Some(quantity.clone());
        }
        let when = (is_own, row.newest);
        if self.newest.as_ref().is_none_or(|(known, _)| when > *known) {
            self.newest = Some((when, quantity));
        }
    }

    fn finish(self, aggregation: Aggregation, span: Span) -> LineUsage {
        let quantity = match aggregation {
            Aggregation::Max | Aggregation::Min => self.extreme.unwrap_or_default(),
            Aggregation::Latest => self.newest.map(|(_, value)| value.or_zero()).unwrap_or_default(),
            // As many as fit 64 bits also fit memory's size on every target of ours.
            Aggregation::Average => average(&self.own_sum, usize::try_from(self.valued).unwrap_or(usize::MAX)),
            Aggregation::WeightedSum => {
                let until_end = |sum: &Quantity| sum * &Quantity::from(span.to.0);
                let own = &until_end(&self.own_sum) - &self.own_moment;
                let carried = &self.carried_sum * &Quantity::from(span.to.0 - span.from.0);
                span.level(&(&own + &carried))
            }
            Aggregation::Count | Aggregation::Sum | Aggregation::UniqueCount | Aggregation::Custom => {
                &self.own_sum + &self.carried_sum
            }
        };
        LineUsage { quantity, ..self.own }
    }
}

/// Usage of a charge from the rows of its metric's slots; `keys` are the properties the rows are split by.
#[must_use]
pub fn from_rows(lines: &ChargeLines, metric: &Metric, keys: &[String], span: Span, rows: Rows<'_>) -> UsageByLine {
    let mut running = BTreeMap::new();
    let marked = rows.own.iter().map(|row| (row, true)).chain(rows.carried.iter().map(|row| (row, false)));
    for (row, is_own) in marked {
        let values = row_dimensions(row);
        let dimensions = Dimensions { keys, values: &values };
        let line = lines.line_of(|key| dimensions.get(key));
        let group = lines.group_of(line, |key| dimensions.get(key));
        let fee: &mut Running = running.entry((line, group)).or_default();
        fee.add(metric.aggregation, row, is_own);
    }
    let usage = running.into_iter().map(|(fee, running)| (fee, running.finish(metric.aggregation, span)));
    with_empty_lines(lines, usage.collect())
}

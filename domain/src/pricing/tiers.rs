//! Ranges of units with prices, as graduated, volume and graduated percentage charges have them.
//!
//! A range ends at `to_value` (`up_to` in the short form), inclusive for whole units; what it holds is that minus where the
//! range before it ends. `from_value` says where it starts for people: it must be the end of the range before it (0–10, 10–20)
//! or the whole number after that (0–10, 11–20), so that no unit is priced twice or not at all; where it is left out the range
//! follows the one before. The last range, and only the last, has no end.

use super::properties::Properties;
use crate::quantity::Quantity;
use serde_json::{Value, json};

/// How a model spells its ranges.
pub(super) struct TierKeys {
    pub(super) list: &'static str,
    pub(super) lower: &'static str,
    pub(super) upper: &'static str,
    pub(super) price: &'static str,
}

/// One range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    /// Where it starts as given, for people.
    shown_from: Quantity,
    /// Where the range before it ends.
    pub(super) lower: Quantity,
    /// Where it ends; absent for the last.
    pub(super) upper: Option<Quantity>,
    /// Amount of one unit.
    pub(super) price: Quantity,
    /// Amount once, when the range is entered.
    pub(super) flat: Quantity,
    /// Amount of all ranges before it, filled.
    pub(super) before: Quantity,
}

/// Ranges that cover every number of units once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tiers(Vec<Tier>);

/// A range as read, before it is placed behind the others.
struct Given {
    index: usize,
    from: Option<Quantity>,
    upper: Option<Quantity>,
    price: Quantity,
    flat: Quantity,
}

impl Tiers {
    /// Reads the first of `forms` whose list is there and not empty. `unit` scales the price of a unit (0.01 for percent).
    pub(super) fn read(read: &mut Properties<'_>, forms: &[TierKeys], unit: &Quantity) -> Option<Self> {
        let filled = |keys: &&TierKeys| {
            read.get(keys.list).is_some_and(|list| list.as_array().is_none_or(|list| !list.is_empty()))
        };
        let Some(keys) = forms.iter().find(filled) else {
            let names: Vec<_> = forms.iter().map(|keys| format!("'{}'", keys.list)).collect();
            read.reject(forms.first()?.list, format!("is required, with at least one range ({})", names.join(" or ")));
            return None;
        };
        let mut index = 0;
        let mut given = read.each_object(keys.list, |range| {
            let one = Given::read(range, keys, index);
            index += 1;
            one
        })?;
        given.sort_by(|a, b| match (&a.upper, &b.upper) {
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        Self::placed(read, keys, given, unit)
    }

    fn placed(read: &mut Properties<'_>, keys: &TierKeys, given: Vec<Given>, unit: &Quantity) -> Option<Self> {
        let count = given.len();
        let mut tiers: Vec<Tier> = Vec::with_capacity(count);
        for (position, range) in given.into_iter().enumerate() {
            let lower = tiers.last().map_or(Quantity::ZERO, |tier| tier.upper.clone().unwrap_or_default());
            if let Some((field, reason)) = range.misplaced(keys, &lower, position + 1 == count) {
                read.reject(&format!("{}[{}].{field}", keys.list, range.index), reason);
                return None;
            }
            let before = tiers.last().map_or(Quantity::ZERO, |tier| tier.amount_at(&lower));
            let shown_from = range.from.unwrap_or_else(|| lower.clone());
            let price = &range.price * unit;
            tiers.push(Tier { shown_from, lower, upper: range.upper, price, flat: range.flat, before });
        }
        Some(Self(tiers))
    }

    /// The range that `units` reach; a range's end belongs to it. Nothing and less than nothing reach the first.
    pub(super) fn reached_by(&self, units: &Quantity) -> &Tier {
        let index = self.0.partition_point(|tier| tier.upper.as_ref().is_some_and(|upper| units > upper));
        // The last range has no end, so the index is inside.
        &self.0[index]
    }

    /// The amount of `units`, each range at its own price, flat amounts of the ranges entered with it.
    pub(super) fn amount_of(&self, units: &Quantity) -> Quantity {
        self.reached_by(units).amount_at(units)
    }

    /// The amount of `units` without flat amounts.
    pub(super) fn without_flats(&self, units: &Quantity) -> Quantity {
        self.portions(units)
            .map(|(tier, portion)| &portion * &tier.price)
            .fold(Quantity::ZERO, |sum, part| &sum + &part)
    }

    /// The flat amounts of all ranges that `units` enter.
    pub(super) fn flats(&self, units: &Quantity) -> Quantity {
        self.portions(units).map(|(tier, _)| &tier.flat).sum()
    }

    /// Each range that `units` enter with how many of them lie in it.
    pub(super) fn portions<'a>(&'a self, units: &'a Quantity) -> impl Iterator<Item = (&'a Tier, Quantity)> + 'a {
        let entered = |tier: &Tier| tier.lower.is_zero() || *units > tier.lower;
        self.0.iter().take_while(move |tier| entered(tier)).map(move |tier| {
            let end = tier.upper.as_ref().map_or(units, |upper| units.min(upper));
            (tier, end - &tier.lower)
        })
    }

    /// The ranges entered, for people; `price` names and gives the price per range as it was written.
    pub(super) fn details(&self, units: &Quantity, price: impl Fn(&Tier) -> (&'static str, Quantity)) -> Value {
        let ranges = self.portions(units).map(|(tier, portion)| {
            let (name, shown) = price(tier);
            let amount = &portion * &tier.price;
            json!({
                "from_value": tier.shown_from,
                "to_value": tier.upper,
                name: shown,
                "units": portion,
                "flat_unit_amount": tier.flat,
                "per_unit_total_amount": amount,
                "total_with_flat_amount": &amount + &tier.flat,
            })
        });
        Value::Array(ranges.collect())
    }
}

impl Tier {
    /// The amount of all units up to `units`, which lie in this range.
    fn amount_at(&self, units: &Quantity) -> Quantity {
        let inside = &(units - &self.lower) * &self.price;
        &(&self.before + &self.flat) + &inside
    }
}

impl Given {
    fn read(range: &mut Properties<'_>, keys: &TierKeys, index: usize) -> Option<Self> {
        let from = range.amount(keys.lower);
        let upper = range.amount(keys.upper);
        let price = range.amount(keys.price);
        let flat = range.amount("flat_amount");
        if range.get(keys.price).is_none() && range.get("flat_amount").is_none() {
            range.reject(keys.price, "is required (or 'flat_amount')");
            return None;
        }
        Some(Self { index, from, upper, price: price.unwrap_or_default(), flat: flat.unwrap_or_default() })
    }

    /// What is wrong with where it lies behind a range that ends at `lower`: field and reason.
    fn misplaced(&self, keys: &TierKeys, lower: &Quantity, last: bool) -> Option<(&'static str, String)> {
        match &self.upper {
            None if !last => {
                return Some((
                    keys.upper,
                    "is missing, but only the last range may be unbounded: the ranges overlap".into(),
                ));
            }
            Some(upper) if upper <= lower => {
                return Some((keys.upper, format!("must be greater than {lower}, where the range before it ends")));
            }
            _ => {}
        }
        if let Some(from) = &self.from {
            let next_whole = lower + &Quantity::ONE;
            let whole_step = lower.is_integer() && *from == next_whole;
            if from < lower {
                return Some((keys.lower, format!("overlaps: the range before it ends at {lower}")));
            }
            if from != lower && !whole_step {
                return Some((keys.lower, format!("leaves a gap: the range before it ends at {lower}")));
            }
        }
        (last && self.upper.is_some()).then(|| {
            (keys.upper, "must be null or left out in the last range: units beyond it would have no price".into())
        })
    }
}

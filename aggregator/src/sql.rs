//! Values as SQL text. Names of tenants stand in queries, so each text goes through [`text`] (I8).

use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use std::fmt::Write as _;

/// A string literal.
#[must_use]
pub fn text(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('\'');
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('\'');
    literal
}

/// A quoted identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A `UUID` literal.
#[must_use]
pub fn organization(value: OrganizationId) -> String {
    format!("toUUID('{}')", value.0)
}

/// A `UInt128` literal; a bare number of that size would be read as a float.
#[must_use]
pub fn u128(value: u128) -> String {
    format!("toUInt128('{value}')")
}

/// A `DateTime64(6, 'UTC')` literal.
#[must_use]
pub fn time(value: Timestamp) -> String {
    format!("fromUnixTimestamp64Micro({}, 'UTC')", value.0)
}

/// `(a, b, c)` of already encoded values; a list that holds nothing when there is none.
#[must_use]
pub fn list(values: impl IntoIterator<Item = String>) -> String {
    let joined = values.into_iter().collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "(NULL)".to_owned() } else { format!("({joined})") }
}

/// From this many partitions on, a cut is looked up in an array: a chain of conditions would be evaluated for each row.
const CHAINED_PARTITIONS: usize = 4;

/// The condition "this row's position is inside the cut" over columns `epoch, partition, offset` (prefixed, `e.`).
#[must_use]
pub fn in_cut(cut: &Cut, prefix: &str) -> String {
    let entries: Vec<_> = cut.iter().collect();
    if entries.is_empty() {
        return "0".to_owned();
    }
    if entries.len() < CHAINED_PARTITIONS {
        let conditions = entries.iter().map(|(epoch, partition, offset)| {
            format!("({prefix}epoch = {epoch} AND {prefix}partition = {partition} AND {prefix}offset <= {offset})")
        });
        return format!("({})", conditions.collect::<Vec<_>>().join(" OR "));
    }
    let mut epochs: Vec<u16> = entries.iter().map(|(epoch, _, _)| *epoch).collect();
    epochs.dedup();
    let conditions = epochs.iter().map(|epoch| in_epoch(*epoch, &entries, prefix));
    format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
}

/// One epoch: the array holds the number of offsets that are in, per partition; 0 for a partition that is not named.
fn in_epoch(epoch: u16, entries: &[(u16, u16, u64)], prefix: &str) -> String {
    let of_epoch = || entries.iter().filter(|entry| entry.0 == epoch);
    let partitions = of_epoch().map(|entry| usize::from(entry.1) + 1).max().unwrap_or(0);
    let mut counts = vec![0_u64; partitions];
    for (_, partition, offset) in of_epoch() {
        counts[usize::from(*partition)] = offset.saturating_add(1);
    }
    let mut array = String::new();
    for count in counts {
        let _ = write!(array, "{}toUInt64({count})", if array.is_empty() { "" } else { ", " });
    }
    // An index past the array's end reads 0: nothing of that partition is in.
    format!("({prefix}epoch = {epoch} AND {prefix}offset < [{array}][{prefix}partition + 1])")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_quotes() {
        assert_eq!(text("a'b\\' OR 1=1 --"), "'a\\'b\\\\\\' OR 1=1 --'");
    }

    #[test]
    fn an_empty_cut_holds_nothing() {
        assert_eq!(in_cut(&Cut::default(), ""), "0");
    }

    #[test]
    fn a_cut_of_many_partitions_names_a_count_for_each() {
        let mut cut = Cut::default();
        for partition in [0, 1, 3, 4] {
            cut.set(0, partition, u64::from(partition) * 10);
        }
        let array = "[toUInt64(1), toUInt64(11), toUInt64(0), toUInt64(31), toUInt64(41)]";
        assert_eq!(in_cut(&cut, "e."), format!("((e.epoch = 0 AND e.offset < {array}[e.partition + 1]))"));
    }
}

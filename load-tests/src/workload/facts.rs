//! What the n-th event of a run says: a pure function of (seed, n), so that nothing needs to be remembered.
//!
//! Purpose: the generator renders an event from its facts, the oracle sums the same facts. A run of 100 million events is
//! audited from one bit per event ("was it acknowledged"), and a later audit needs the seed alone.
//!
//! It refuses floats and any dependence on time: timestamps are given by [`super::stream::Stamps`].

use rust_decimal::Decimal;

/// Number of regions events fall into; the group of the unique_count metric.
pub const REGIONS: usize = 4;
/// Distinct users per customer and region: as many as a `u64` has bits, so that the oracle keeps a set in one word.
pub const USERS: u64 = u64::BITS as u64;

/// Which metric an event belongs to. The discriminant indexes per-metric arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Counted.
    Requests = 0,
    /// Summed.
    Tokens = 1,
    /// Greatest value.
    Peak = 2,
    /// Distinct users, grouped by region.
    Users = 3,
}

impl Kind {
    /// All kinds, in order of their index.
    pub const ALL: [Kind; 4] = [Kind::Requests, Kind::Tokens, Kind::Peak, Kind::Users];

    /// The metric's code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Kind::Requests => "lt_requests",
            Kind::Tokens => "lt_tokens",
            Kind::Peak => "lt_peak",
            Kind::Users => "lt_users",
        }
    }
}

/// A number as an event spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Digits without the point.
    pub mantissa: i64,
    /// Digits after the point: 0, 2 or 6.
    pub scale: u32,
    /// Sent as a JSON string instead of a JSON number.
    pub quoted: bool,
}

impl Value {
    /// The exact number.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        Decimal::new(self.mantissa, self.scale)
    }
}

/// Everything the n-th event says besides its id and timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Index of the customer, below the population's size.
    pub customer: u32,
    /// Metric.
    pub kind: Kind,
    /// The number under the property `amount`.
    pub value: Value,
    /// Index of the region.
    pub region: u8,
    /// Index of the user, below [`USERS`].
    pub user: u8,
}

/// How events spread over customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// Customers in all.
    pub customers: u32,
    /// Of a thousand events, how many belong to customer 0 beyond its fair share.
    pub hot_permille: u32,
}

/// The facts of event `seq` of the run with this seed.
#[must_use]
pub fn facts(seed: u64, spread: Spread, seq: u64) -> Facts {
    let first = mix(seed ^ mix(seq));
    let second = mix(first);
    let hot = (first >> 32) % 1000 < u64::from(spread.hot_permille);
    let customer = if hot { 0 } else { below(first, spread.customers) };
    let kind = kind_of(second & 0xff);
    Facts {
        customer,
        kind,
        value: value_of(second >> 8, kind),
        region: low_byte(second >> 56) % 4,
        user: low_byte(second >> 48) % 64,
    }
}

/// SplitMix64's finalizer: a bijection of 64 bits whose outputs pass statistical tests; 1 ns.
#[must_use]
pub fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Of 256: 96 requests, 96 tokens, 32 peak, 32 users.
fn kind_of(draw: u64) -> Kind {
    match draw {
        0..96 => Kind::Requests,
        96..192 => Kind::Tokens,
        192..224 => Kind::Peak,
        _ => Kind::Users,
    }
}

/// 30 bits of magnitude; integers, cents and millionths, as numbers and as strings; every 64th sum is a correction below 0.
fn value_of(draw: u64, kind: Kind) -> Value {
    let magnitude = i64::from(low_30_bits(draw)) + 1;
    let scale = match (draw >> 30) & 0b11 {
        0 => 0,
        1 => 2,
        _ => 6,
    };
    let negative = kind == Kind::Tokens && (draw >> 32) & 0b11_1111 == 0;
    Value { mantissa: if negative { -magnitude } else { magnitude }, scale, quoted: (draw >> 38) & 1 == 1 }
}

/// `draw` scaled to `0..bound` by multiplication: no division, bias below bound / 2³².
fn below(draw: u64, bound: u32) -> u32 {
    let scaled = ((draw & 0xffff_ffff) * u64::from(bound)) >> 32;
    u32::try_from(scaled).unwrap_or(0)
}

fn low_byte(word: u64) -> u8 {
    word.to_le_bytes()[0]
}

fn low_30_bits(word: u64) -> u32 {
    u32::try_from(word & 0x3fff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: Spread = Spread { customers: 100, hot_permille: 0 };

    #[test]
    fn the_same_seed_and_number_say_the_same() {
        assert_eq!(facts(7, EVEN, 123), facts(7, EVEN, 123));
        assert_ne!(facts(7, EVEN, 123), facts(8, EVEN, 123));
        assert_ne!(facts(7, EVEN, 123), facts(7, EVEN, 124));
    }

    #[test]
    fn every_metric_region_user_and_form_of_number_occurs_for_every_customer_in_bounds() {
        let (mut kinds, mut regions, mut users, mut customers) = ([0; 4], [0; 4], [0; 64], [0; 100]);
        let (mut scales, mut quoted, mut negative) = ([0; 7], 0, 0);
        for seq in 0..100_000 {
            let fact = facts(1, EVEN, seq);
            kinds[fact.kind as usize] += 1;
            regions[fact.region as usize] += 1;
            users[fact.user as usize] += 1;
            customers[fact.customer as usize] += 1;
            scales[fact.value.scale as usize] += 1;
            quoted += u32::from(fact.value.quoted);
            negative += u32::from(fact.value.mantissa < 0);
        }
        assert!(kinds.iter().all(|count| (10_000..45_000).contains(count)), "{kinds:?}");
        assert!(regions.iter().all(|count| (24_000..26_000).contains(count)), "{regions:?}");
        assert!(users.iter().all(|count| *count > 1_300), "{users:?}");
        assert!(customers.iter().all(|count| *count > 800), "{customers:?}");
        assert!(scales[0] > 0 && scales[2] > 0 && scales[6] > 0);
        assert!((45_000..55_000).contains(&quoted), "{quoted}");
        assert!((300..900).contains(&negative), "{negative}");
    }

    #[test]
    fn a_hot_customer_gets_its_share() {
        let spread = Spread { customers: 100, hot_permille: 500 };
        let hot = (0..10_000).filter(|seq| facts(1, spread, *seq).customer == 0).count();
        assert!((4_850..5_250).contains(&hot), "{hot}");
    }
}

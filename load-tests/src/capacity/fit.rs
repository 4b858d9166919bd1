//! A straight line through measured points, with how far off it is.
#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a model of measurements; no money, no quantities"
)]

use serde::Serialize;

/// Twice the standard error: nineteen of twenty slopes lie within, if errors are what chance makes.
const SURE: f64 = 2.0;
/// A range is never narrower than this share to either side: another machine, another day.
const LEAST_DOUBT: f64 = 0.1;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// The system was beyond its limits from the beginning.
    #[error(
        "only {held} of the steps were held, {needed} are needed: begin lower (--rate) or take more steps (--steps)"
    )]
    TooFew {
        /// Steps held.
        held: usize,
        /// Steps needed.
        needed: usize,
    },
    /// All at one rate.
    #[error("all points lie at one rate")]
    OneRate,
}

/// `cores = idle + per_event × rate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Cores at rest.
    pub idle_cores: f64,
    /// CPU seconds an event.
    pub per_event: f64,
    /// Least that it may be.
    pub per_event_low: f64,
    /// Most that it may be.
    pub per_event_high: f64,
    /// Greatest distance of a point from the line, as a share of the line.
    pub worst_error: f64,
}

impl Line {
    /// Least squares through (rate, cores); neither idling nor an event costs less than nothing.
    ///
    /// # Errors
    /// [`Unfit`] when the points say nothing about a slope.
    pub fn through(points: &[(f64, f64)]) -> Result<Self, Unfit> {
        let count = points.len() as f64;
        if points.len() < 2 {
            return Err(Unfit::TooFew { held: points.len(), needed: 2 });
        }
        let mean_rate = points.iter().map(|(rate, _)| rate).sum::<f64>() / count;
        let mean_cores = points.iter().map(|(_, cores)| cores).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(rate, _)| (rate - mean_rate).powi(2)).sum();
        if spread <= f64::EPSILON {
            return Err(Unfit::OneRate);
        }
        let together: f64 = points.iter().map(|(rate, cores)| (rate - mean_rate) * (cores - mean_cores)).sum();
        let free = (together / spread).max(0.0);
        let (idle_cores, per_event) = match mean_cores - free * mean_rate {
            idle if idle >= 0.0 => (idle, free),
            // Through the origin.
            _ => {
                let squares: f64 = points.iter().map(|(rate, _)| rate * rate).sum();
                (0.0, (points.iter().map(|(rate, cores)| rate * cores).sum::<f64>() / squares).max(0.0))
            }
        };
        let at = |rate: f64| idle_cores + per_event * rate;
        let squared: f64 = points.iter().map(|(rate, cores)| (cores - at(*rate)).powi(2)).sum();
        let doubt = match points.len() {
            2 => 0.0,
            _ => SURE * (squared / (count - 2.0) / spread).sqrt(),
        };
        let doubt = doubt.max(per_event * LEAST_DOUBT);
        let off = |(rate, cores): &(f64, f64)| if at(*rate) > 0.0 { (cores / at(*rate) - 1.0).abs() } else { 0.0 };
        Ok(Self {
            idle_cores,
            per_event,
            per_event_low: (per_event - doubt).max(0.0),
            per_event_high: per_event + doubt,
            worst_error: points.iter().map(off).fold(0.0, f64::max),
        })
    }

    /// Cores at a rate.
    #[must_use]
    pub fn cores_at(&self, rate: f64) -> f64 {
        self.idle_cores + self.per_event * rate
    }

    /// CPU microseconds an event.
    #[must_use]
    pub fn micros(&self) -> f64 {
        self.per_event * 1e6
    }
}

/// The rate at which all stages take this share of the machine; `None` when none of them costs anything.
#[must_use]
pub fn reached_at<'a>(lines: impl Iterator<Item = &'a Line>, share: &f64, cores: usize) -> Option<f64> {
    let (idle, per_event) =
        lines.fold((0.0, 0.0), |(idle, cost), line| (idle + line.idle_cores, cost + line.per_event));
    (per_event > 0.0).then(|| ((share * cores as f64 - idle) / per_event).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_found_again_through_noise_and_lies_in_its_own_range(
            idle in 0.0_f64..0.5,
            micros in 0.5_f64..20.0,
            noise in proptest::collection::vec(-0.02_f64..0.02, 6),
        ) {
            let cost = micros / 1e6;
            let at = |step: usize| {
                let rate = 20_000.0 * (step + 1) as f64;
                (rate, idle + cost * rate * (1.0 + noise[step]))
            };
            let line = Line::through(&(0..6).map(at).collect::<Vec<_>>()).unwrap();
            // The worst that 2 % can do: Σ |x − mean| · x · 0.02 / Σ (x − mean)² over x = 1…6 is 31.5 · 0.02 / 17.5 = 3.6 %;
            // through the origin twice that.
            prop_assert!((line.per_event / cost - 1.0).abs() < 0.08, "{line:?}");
            prop_assert!(line.per_event_low <= cost && cost <= line.per_event_high, "{line:?}");
            prop_assert!(line.idle_cores >= 0.0);
        }

        #[test]
        fn without_noise_it_is_exact(idle in 0.0_f64..0.5, micros in 0.5_f64..20.0) {
            let at = |step: u32| (f64::from(step) * 1e4, idle + micros / 1e6 * f64::from(step) * 1e4);
            let line = Line::through(&(1..=5).map(at).collect::<Vec<_>>()).unwrap();
            prop_assert!((line.micros() - micros).abs() < 1e-6 && (line.idle_cores - idle).abs() < 1e-6);
            prop_assert!(line.worst_error < 1e-6);
        }
    }

    #[test]
    fn nothing_costs_less_than_nothing() {
        let line = Line::through(&[(1e4, 0.0), (2e4, 0.3), (3e4, 0.7)]).unwrap();
        assert_eq!(line.idle_cores, 0.0);
        assert!(line.per_event > 0.0);
        assert_eq!(Line::through(&[(1e4, 0.3), (2e4, 0.2), (3e4, 0.1)]).unwrap().per_event, 0.0);
    }

    #[test]
    fn points_that_say_nothing_are_refused() {
        assert_eq!(Line::through(&[(1e4, 0.3), (1e4, 0.4)]), Err(Unfit::OneRate));
        assert_eq!(Line::through(&[(1e4, 0.3)]), Err(Unfit::TooFew { held: 1, needed: 2 }));
    }

    #[test]
    fn the_knee_is_where_the_share_of_the_machine_is_reached() {
        let line = |idle_cores, per_event| Line {
            idle_cores,
            per_event,
            per_event_low: per_event,
            per_event_high: per_event,
            worst_error: 0.0,
        };
        let lines = [line(0.1, 2e-6), line(0.1, 6e-6)];
        let knee = reached_at(lines.iter(), &0.75, 2).unwrap();
        assert!((knee - 1.3 / 8e-6).abs() < 1e-3);
        assert_eq!(reached_at(std::iter::empty(), &0.75, 2), None);
    }
}

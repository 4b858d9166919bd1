//! The universal scalability law: throughput X of N requests at a time is λN / (1 + σ(N−1) + κN(N−1)).
//!
//! σ is what waits its turn (one at a time), κ what has to agree with every other. From them: the number of requests beyond which more make
//! it slower, and the throughput there. Fitted as N/X, which is a polynomial of N, by least squares; neither σ nor κ below 0.
#![expect(clippy::float_arithmetic, reason = "a model of measurements; no money, no quantities")]

use super::point::Point;
use serde::Serialize;

/// A fitted law, of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Scalability {
    /// Requests a second of one at a time.
    pub(super) lambda: f64,
    /// Contention.
    pub(super) sigma: f64,
    /// Coherence.
    pub(super) kappa: f64,
    /// Requests at a time at the greatest throughput; absent: it rises, ever more slowly, to its limit.
    pub(super) best_in_flight: Option<f64>,
    /// Requests a second then, or in the limit; absent when the points show no limit at all.
    pub(super) most_per_second: Option<f64>,
    /// Greatest distance of a point's throughput from the law, as a share.
    pub(super) worst_error: f64,
}

impl Scalability {
    /// `None` where the points say nothing about it.
    pub(super) fn of(points: &[&Point]) -> Option<Self> {
        let measured: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (point.in_flight, point.requests_per_second))
            .filter(|(n, x)| *n > 0.0 && *x > 0.0)
            .collect();
        Self::through(&measured)
    }

    /// Through (requests at a time, requests a second).
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 3 {
            return None;
        }
        // N/X = a + b(N−1) + c·N(N−1), with a = 1/λ, b = σ/λ, c = κ/λ.
        let terms = |n: f64| [1.0, n - 1.0, n * (n - 1.0)];
        let wanted: Vec<([f64; 3], f64)> = points.iter().map(|(n, x)| (terms(*n), n / x)).collect();
        let candidates = [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
        let solved = candidates.iter().filter_map(|used| Some((least_squares(&wanted, *used)?, *used)));
        let allowed = solved.filter(|(found, _)| found[0] > 0.0 && found[1] >= 0.0 && found[2] >= 0.0);
        let off = |found: &[f64; 3]| -> f64 { wanted.iter().map(|(terms, y)| (dot(terms, found) - y).powi(2)).sum() };
        let ([a, b, c], _) = allowed.min_by(|(one, _), (other, _)| off(one).total_cmp(&off(other)))?;
        let (lambda, sigma, kappa) = (1.0 / a, b / a, c / a);
        let at = |n: f64| lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
        let best_in_flight = (kappa > 0.0 && sigma < 1.0).then(|| ((1.0 - sigma) / kappa).sqrt());
        let limit = (sigma > 0.0).then(|| lambda / sigma);
        let error = points.iter().map(|(n, x)| (at(*n) / x - 1.0).abs()).fold(0.0, f64::max);
        Some(Self {
            lambda,
            sigma,
            kappa,
            best_in_flight,
            most_per_second: best_in_flight.map(at).or(limit),
            worst_error: error,
        })
    }
}

fn dot(one: &[f64; 3], other: &[f64; 3]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// The coefficients of the terms that are used, 0 for the others; `None` where the points do not determine them.
fn least_squares(points: &[([f64; 3], f64)], used: [bool; 3]) -> Option<[f64; 3]> {
    // Normal equations, with an equation "coefficient = 0" for each term that is left out.
    let mut rows = [[0.0; 4]; 3];
    for (row, equation) in rows.iter_mut().enumerate() {
        if !used[row] {
            equation[row] = 1.0;
            continue;
        }
        for (terms, y) in points {
            for column in (0..3).filter(|column| used[*column]) {
                equation[column] += terms[row] * terms[column];
            }
            equation[3] += terms[row] * y;
        }
    }
    solve(rows)
}

/// Gauss with pivots.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot = (column..3).max_by(|one, other| rows[*one][column].abs().total_cmp(&rows[*other][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-18 {
            return None;
        }
        let leading = rows[column];
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != column) {
            let factor = row[column] / leading[column];
            row.iter_mut().zip(leading).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some([0, 1, 2].map(|index| rows[index][3] / rows[index][index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn law(lambda: f64, sigma: f64, kappa: f64, n: f64) -> f64 {
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }

    proptest! {
        #[test]
        fn a_law_is_found_again(lambda in 10.0_f64..1000.0, sigma in 0.01_f64..0.3, kappa in 0.0005_f64..0.01) {
            let points: Vec<(f64, f64)> = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0].map(|n| (n, law(lambda, sigma, kappa, n))).into();
            let found = Scalability::through(&points).unwrap();
            prop_assert!((found.lambda / lambda - 1.0).abs() < 1e-3, "{found:?}");
            prop_assert!((found.sigma - sigma).abs() < 1e-3 && (found.kappa - kappa).abs() < 1e-4, "{found:?}");
            prop_assert!(found.worst_error < 1e-3);
            let best = found.best_in_flight.unwrap();
            prop_assert!(law(lambda, sigma, kappa, best) >= law(lambda, sigma, kappa, best * 1.2));
            prop_assert!(law(lambda, sigma, kappa, best) >= law(lambda, sigma, kappa, best * 0.8));
        }
    }

    #[test]
    fn what_scales_without_limit_has_none() {
        let found = Scalability::through(&[(1.0, 100.0), (2.0, 200.0), (4.0, 400.0)]).unwrap();
        assert!(found.sigma < 1e-9 && found.kappa < 1e-9, "{found:?}");
        assert!(found.most_per_second.is_none_or(|most| most > 1e6));
    }

    #[test]
    fn two_points_tell_nothing() {
        assert_eq!(Scalability::through(&[(1.0, 100.0), (2.0, 200.0)]), None);
    }
}

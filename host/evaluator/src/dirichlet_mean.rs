//! The mean of scores whose weights are drawn: n scores x and n + 1 weights D, uniform over all that add up to 1 (the
//! distribution of Dirichlet with every parameter 1), the last of them for one more score e.
//!
//! ```text
//! P(Σ D x + D' e ≤ t)  =  P(Σ a E ≤ 0)                              a = x − t, e − t;  E independent exponentials
//!                      =  ½ − 1/π ∫₀^∞ sin(Σ atan(a u)) / (u Π √(1 + a² u²)) du              (Gil-Pelaez, 1951)
//! ```
//!
//! With u = sinh v the integrand falls off exponentially and is analytic around the whole line, so the sum over midpoints is
//! as exact as a double allows. Nothing is drawn.

use std::f64::consts::PI;

/// The distance of two midpoints.
const STEP: f64 = 0.05;
/// Terms below this no longer count.
const SMALLEST_TERM: f64 = 1e-17;
/// So many standard deviations from the mean the probability is 0 or 1: sums of exponentials have tails of at most e^−12
/// there. The oscillation that the steps would have to follow grows with this distance.
const FAR: f64 = 12.0;

/// Different scores, each with how often it stands.
pub(crate) struct Scores {
    groups: Vec<(f64, f64)>,
}

impl Scores {
    pub(crate) fn of(scores: &[f64]) -> Self {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut groups: Vec<(f64, f64)> = Vec::new();
        for score in sorted {
            match groups.last_mut() {
                Some((value, count)) if *value == score => *count += 1.0,
                _ => groups.push((score, 1.0)),
            }
        }
        Self { groups }
    }

    /// The mean of the probabilities that the weighted mean is at most t with one more score that is the least there is, and
    /// with one that is the most.
    pub(crate) fn probability(&self, t: f64, least: f64, most: f64) -> f64 {
        f64::midpoint(self.probability_with(least, t), self.probability_with(most, t))
    }

    fn probability_with(&self, extra: f64, t: f64) -> f64 {
        let distances = || self.groups.iter().copied().chain([(extra, 1.0)]).map(|(value, count)| (value - t, count));
        let mean: f64 = distances().map(|(a, count)| count * a).sum();
        let deviation = distances().map(|(a, count)| count * a * a).sum::<f64>().sqrt();
        if mean.abs() >= FAR * deviation {
            return if mean > 0.0 { 0.0 } else { 1.0 };
        }
        let mut sum = 0.0;
        for midpoint in 0_u32.. {
            let v = (f64::from(midpoint) + 0.5) * STEP;
            let u = v.sinh() / deviation;
            let (mut angle, mut log_size) = (0.0, 0.0);
            for (a, count) in distances() {
                angle += count * (a * u).atan();
                log_size += 0.5 * count * (a * u * a * u).ln_1p();
            }
            let size = (-log_size).exp() / v.tanh();
            sum += angle.sin() * size;
            if size < SMALLEST_TERM {
                break;
            }
        }
        (0.5 - sum * STEP / PI).clamp(0.0, 1.0)
    }

    /// Where that probability is `probability`.
    pub(crate) fn quantile(&self, probability: f64, least: f64, most: f64) -> f64 {
        let excess = |t: f64| self.probability(t, least, most) - probability;
        let (mut low, mut high) = (least, most);
        let (mut at_low, mut at_high) = (-probability, 1.0 - probability);
        // The secant's, but that an end which stays counts half the next time (the Illinois method); first by halves, because
        // the probability is flat far out.
        for step in 0..200 {
            let middle =
                if step < 8 { f64::midpoint(low, high) } else { (low * at_high - high * at_low) / (at_high - at_low) };
            if high - low <= 1e-13 * (most - least) || middle <= low || middle >= high {
                break;
            }
            let found = excess(middle);
            if found >= 0.0 {
                (high, at_high) = (middle, found);
                at_low = if step < 8 { at_low } else { at_low / 2.0 };
            } else {
                (low, at_low) = (middle, found);
                at_high = if step < 8 { at_high } else { at_high / 2.0 };
            }
        }
        if at_high <= -at_low { high } else { low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributions::beta_probability;

    #[test]
    fn single_answers_have_the_beta_distribution() {
        for (right, of) in [(0_u32, 5_u32), (1, 5), (3, 20), (25, 50), (3, 300), (299, 300), (1, 1)] {
            let scores: Vec<f64> = (0..of).map(|index| f64::from(u8::from(index < right))).collect();
            let scores = Scores::of(&scores);
            let (x, n) = (f64::from(right), f64::from(of));
            for t in [0.001, 0.02, 0.2, 0.5, 0.9, 0.99] {
                let expected = [beta_probability(x, n - x + 1.0, t), beta_probability(x + 1.0, n - x, t)];
                for (extra, expected) in [0.0, 1.0].into_iter().zip(expected) {
                    let got = scores.probability_with(extra, t);
                    assert!((got - expected).abs() < 1e-5, "{right} of {of}, {extra} at {t}: {got}, not {expected}");
                    let is_near = (0.001..0.999).contains(&expected);
                    assert!(!is_near || (got - expected).abs() < 1e-11, "{right} of {of}, {extra} at {t}: {got}");
                }
            }
        }
    }

    #[test]
    fn a_quantile_has_its_probability() {
        for scores in [vec![0.5; 5], vec![0.2, 0.0, 1.0, 0.4], vec![0.1; 1], vec![0.0, 0.0, 0.0, 0.1]] {
            let of = Scores::of(&scores);
            for probability in [0.025, 0.5, 0.975] {
                let t = of.quantile(probability, 0.0, 1.0);
                assert!((of.probability(t, 0.0, 1.0) - probability).abs() < 1e-9, "{scores:?} {probability}: {t}");
            }
        }
    }
}

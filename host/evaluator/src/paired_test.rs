//! A paired test: how likely differences at least as great as the measured one are if neither model is better. Without a
//! better model the sign of each problem's difference is a coin's side, so with whole differences d_i
//!
//! ```text
//! p = P(|Σ ± d_i| > |Σ d_i|) + ½ P(|Σ ± d_i| = |Σ d_i|)
//! ```
//!
//! over all signs, computed exactly and not by draws. With one answer a problem this is McNemar's exact test with the
//! mid-p value (Fagerland, Lydersen and Laake 2013). Problems that are equal decide nothing; if
//! all are, p is 1.
//!
//! Holm's adjustment (1979) of several p values keeps the probability that any of them is below 5 % by chance alone at
//! 5 %, however they depend on each other.

/// The two-sided mid-p value of the sign-flip test of these whole differences.
pub(crate) fn sign_flip_p_value(differences: impl Iterator<Item = i64>) -> f64 {
    let differences: Vec<i64> = differences.filter(|difference| *difference != 0).collect();
    if differences.is_empty() {
        return 1.0;
    }
    let observed = differences.iter().sum::<i64>().unsigned_abs();
    let span: usize = differences.iter().map(|difference| difference.unsigned_abs() as usize).sum();
    // The probability of each sum, from −span to span, after some of the differences.
    let mut probability = vec![0.0; 2 * span + 1];
    probability[span] = 1.0;
    let mut reached = 0;
    for difference in &differences {
        let size = difference.unsigned_abs() as usize;
        let mut next = vec![0.0; probability.len()];
        for place in span - reached..=span + reached {
            let half = 0.5 * probability[place];
            if half > 0.0 {
                next[place - size] += half;
                next[place + size] += half;
            }
        }
        reached += size;
        probability = next;
    }
    let sums = probability.iter().enumerate().map(|(place, p)| (place.abs_diff(span) as u64, p));
    sums.map(|(sum, p)| {
        if sum > observed {
            *p
        } else if sum == observed {
            0.5 * p
        } else {
            0.0
        }
    })
    .sum()
}

/// The p values as Holm adjusts them, in their order.
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut greatest = 0.0_f64;
    for (place, index) in order.into_iter().enumerate() {
        greatest = greatest.max(((p_values.len() - place) as f64 * p_values[index]).min(1.0));
        adjusted[index] = greatest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Rows {
        sign_flips: Vec<SignFlips>,
        holm: Vec<Holm>,
    }

    #[derive(serde::Deserialize)]
    struct SignFlips {
        differences: Vec<i64>,
        p_value: f64,
    }

    #[derive(serde::Deserialize)]
    struct Holm {
        p_values: Vec<f64>,
        adjusted: Vec<f64>,
    }

    /// `tests/oracle/intervals.py` made the rows: all signs one by one, statsmodels' exact McNemar test less half of the
    /// probability of what was measured, and statsmodels' Holm.
    #[test]
    fn equals_the_enumeration_of_all_signs_and_statsmodels() {
        let rows: Rows = serde_json::from_str(include_str!("../../../tests/data/intervals.json")).expect("rows");
        assert!(rows.sign_flips.len() > 15 && !rows.holm.is_empty());
        for SignFlips { differences, p_value } in rows.sign_flips {
            let got = sign_flip_p_value(differences.iter().copied());
            assert!((got - p_value).abs() < 1e-12, "{differences:?}: expected {p_value}, got {got}");
        }
        for Holm { p_values, adjusted } in rows.holm {
            let got = holm(&p_values);
            assert!(got.iter().zip(&adjusted).all(|(got, expected)| (got - expected).abs() < 1e-15), "{got:?}");
        }
        assert_eq!((sign_flip_p_value([0, 0].into_iter()), holm(&[])), (1.0, Vec::new()));
    }

    #[test]
    fn many_differences_are_no_burden() {
        let p_value = sign_flip_p_value((0..3_000).map(|index| if index % 2 == 0 { 1 } else { -1 }));
        assert!(p_value > 0.98 && p_value < 1.0, "{p_value}");
    }
}

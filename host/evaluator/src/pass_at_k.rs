//! pass@k: the probability that at least one of k answers, drawn without replacement from n of which c are right, is
//! right. The unbiased estimator of Chen et al. 2021:
//!
//! ```text
//! pass@k = 1 − C(n − c, k) / C(n, k) = 1 − ∏_{i = n−c+1}^{n} (1 − k / i)
//! ```
//!
//! pass^k, the probability that all of the k are right, is estimated in the same way:
//!
//! ```text
//! pass^k = C(c, k) / C(n, k) = ∏_{i = 0}^{k−1} (c − i) / (n − i)
//! ```
//!
//! n, c and k are counts; the result is in [0, 1]. The product never forms a binomial, so nothing overflows. This
//! module refuses to guess where k > n: more answers than were drawn have no unbiased estimate.

/// pass@k from `correct` right answers among `samples`; `None` where `k` is 0, `k > samples` or `correct > samples`.
pub fn pass_at_k(samples: u64, correct: u64, k: u64) -> Option<f64> {
    if k == 0 || k > samples || correct > samples {
        return None;
    }
    if k == 1 {
        // One division rounds once: a threshold such as 0.35 compares exactly with 35 right answers of 100.
        return Some(correct as f64 / samples as f64);
    }
    if samples - correct < k {
        return Some(1.0);
    }
    let all_wrong: f64 = (samples - correct + 1..=samples).map(|i| 1.0 - k as f64 / i as f64).product();
    Some(1.0 - all_wrong)
}

/// pass^k from `correct` right answers among `samples`; `None` where `k` is 0, `k > samples` or `correct > samples`.
pub fn pass_all_k(samples: u64, correct: u64, k: u64) -> Option<f64> {
    if k == 0 || k > samples || correct > samples {
        return None;
    }
    if correct < k {
        return Some(0.0);
    }
    Some((0..k).map(|i| (correct - i) as f64 / (samples - i) as f64).product())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Row {
        n: u64,
        c: u64,
        k: u64,
        value: f64,
    }

    /// `tests/oracle/pass_at_k.py` made the rows with exact fractions.
    #[test]
    fn equals_exact_fractions() {
        let rows: Vec<Row> =
            serde_json::from_str(include_str!("../../../tests/data/pass_at_k.json")).expect("the rows parse");
        assert!(rows.len() > 200);
        for Row { n, c, k, value } in rows {
            let got = pass_at_k(n, c, k).expect("every row is defined");
            assert!((got - value).abs() <= 1e-14, "pass@{k} of {c}/{n}: expected {value}, got {got}");
        }
    }

    /// All of k are right if none of k is wrong, so the same rows hold pass^k.
    #[test]
    fn all_right_is_one_wrong_reversed() {
        let rows: Vec<Row> =
            serde_json::from_str(include_str!("../../../tests/data/pass_at_k.json")).expect("the rows parse");
        for Row { n, c, k, value } in rows {
            let got = pass_all_k(n, n - c, k).expect("every row is defined");
            assert!(
                (got - (1.0 - value)).abs() <= 1e-14,
                "pass^{k} of {}/{n}: expected {}, got {got}",
                n - c,
                1.0 - value
            );
        }
        assert_eq!((pass_all_k(4, 1, 5), pass_all_k(4, 1, 0), pass_all_k(4, 5, 1)), (None, None, None));
    }

    #[test]
    fn refuses_what_is_not_defined() {
        assert_eq!(pass_at_k(4, 1, 5), None);
        assert_eq!(pass_at_k(4, 1, 0), None);
        assert_eq!(pass_at_k(4, 5, 1), None);
        assert_eq!(pass_at_k(0, 0, 1), None);
    }
}

//! Intervals against independent computations, and what they cover.

use super::*;
use crate::distributions::binomial_probability;
use crate::seeded_stream::SeededStream;

const ROWS: &str = include_str!("../../../../tests/data/intervals.json");

#[derive(serde::Deserialize)]
struct Rows {
    singles: Vec<Single>,
    clusters: Vec<Cluster>,
    pairs: Vec<Pair>,
}

#[derive(Debug, serde::Deserialize)]
struct Single {
    right: u64,
    of: u64,
    low: f64,
    high: f64,
}

#[derive(Debug, serde::Deserialize)]
struct Cluster {
    scores: Vec<f64>,
    least: f64,
    low: f64,
    high: f64,
}

#[derive(Debug, serde::Deserialize)]
struct Pair {
    gained: f64,
    lost: f64,
    of: f64,
    low: f64,
    high: f64,
}

/// `tests/oracle/intervals.py` made the rows.
#[test]
fn equals_what_scipy_computes() {
    let rows: Rows = serde_json::from_str(ROWS).expect("the rows parse");
    assert!(rows.singles.len() > 25 && rows.clusters.len() > 12 && rows.pairs.len() > 20);
    for row in rows.singles {
        let got = Estimate::of_count(row.right, row.of);
        // The oracle's grid has a step of 5e-5.
        assert!((got.low - row.low).abs() < 1e-4 && (got.high - row.high).abs() < 1e-4, "{row:?}: {got:?}");
    }
    for row in rows.clusters {
        let mean = row.scores.iter().sum::<f64>() / row.scores.len() as f64;
        let got = if row.least < 0.0 {
            Estimate::of_paired_differences(mean, &row.scores)
        } else {
            Estimate::of_scores(mean, &row.scores)
        };
        assert!((got.low - row.low).abs() < 1e-9 && (got.high - row.high).abs() < 1e-9, "{row:?}: {got:?}");
        assert!(got.low < mean && mean < got.high, "{row:?}: {got:?}");
    }
    for row in rows.pairs {
        let (low, high) = tango(row.gained, row.lost, row.of);
        assert!((low - row.low).abs() < 1e-5 && (high - row.high).abs() < 1e-5, "{row:?}: {low} {high}");
    }
}

#[test]
fn no_interval_is_a_point() {
    for scores in [vec![0.5; 5], vec![0.0; 3], vec![1.0; 1], vec![1.0; 5]] {
        let got = Estimate::of_scores(scores[0], &scores);
        assert!(got.high - got.low > 0.2, "{scores:?}: {got:?}");
    }
    for differences in [[0.0; 5], [0.5; 5], [-0.25; 5], [1.0; 5]] {
        let got = Estimate::of_paired_differences(differences[0], &differences);
        assert!(got.high - got.low > 0.2 && got.low <= got.value && got.value <= got.high, "{differences:?}: {got:?}");
    }
    assert_eq!(Estimate::of_count(0, 0), Estimate { value: 0.0, low: 0.0, high: 1.0 });
}

/// The true rates of the simulations.
const RATES: [f64; 9] = [0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98];

/// What an interval covered.
#[derive(Clone, Copy)]
struct Coverage {
    least: f64,
    mean: f64,
    most: f64,
}

impl Coverage {
    fn of(covered: &[f64]) -> Self {
        Self {
            least: covered.iter().copied().fold(1.0, f64::min),
            mean: covered.iter().sum::<f64>() / covered.len() as f64,
            most: covered.iter().copied().fold(0.0, f64::max),
        }
    }

    fn text(self) -> String {
        format!("{:.1} / {:.1} / {:.1}", 100.0 * self.least, 100.0 * self.mean, 100.0 * self.most)
    }
}

fn covers(interval: Estimate, truth: f64) -> bool {
    interval.low - 1e-12 <= truth && truth <= interval.high + 1e-12
}

/// A rate of single answers: every outcome by its probability, no draw.
fn single_rates(n: u64) -> Coverage {
    let intervals: Vec<Estimate> = (0..=n).map(|right| Estimate::of_count(right, n)).collect();
    let rates = (4..=196).map(|step| f64::from(step) / 200.0);
    let covered: Vec<f64> = rates
        .map(|rate| {
            let outcomes = intervals.iter().zip(0..).filter(|(interval, _)| covers(**interval, rate));
            outcomes.map(|(_, right)| binomial_probability(n, rate, right)).sum()
        })
        .collect();
    Coverage::of(&covered)
}

/// The pairs of true rates and the correlations of the two models' answers that the paired simulations go through, as
/// the probabilities of a gain and of a loss.
fn paired_truths() -> Vec<(f64, f64)> {
    let mut truths = Vec::new();
    for base in RATES {
        for adapter in RATES {
            for correlation in [0.0, 0.3, 0.6, 0.9] {
                let both = base * adapter + correlation * (base * (1.0 - base) * adapter * (1.0 - adapter)).sqrt();
                let (gain, loss) = (adapter - both, base - both);
                if gain >= 0.0 && loss >= 0.0 {
                    truths.push((gain, loss));
                }
            }
        }
    }
    truths
}

/// A paired difference of single answers: every outcome by its probability, no draw.
fn single_pairs(n: u64) -> Coverage {
    let intervals: Vec<Vec<(f64, f64)>> = (0..=n)
        .map(|gained| (0..=n - gained).map(|lost| difference_interval(gained as f64, lost as f64, n as f64)).collect())
        .collect();
    let covered: Vec<f64> = paired_truths()
        .into_iter()
        .map(|(gain, loss)| {
            let mut covered = 0.0;
            for gained in 0..=n {
                let of_gained = binomial_probability(n, gain, gained);
                if of_gained < 1e-12 {
                    continue;
                }
                let share = if gain < 1.0 { (loss / (1.0 - gain)).min(1.0) } else { 0.0 };
                for lost in 0..=n - gained {
                    let (low, high) = intervals[gained as usize][lost as usize];
                    if low - 1e-12 <= gain - loss && gain - loss <= high + 1e-12 {
                        covered += of_gained * binomial_probability(n - gained, share, lost);
                    }
                }
            }
            covered
        })
        .collect();
    Coverage::of(&covered)
}

/// How answers to one problem resemble each other: the share of problems that a model always or never solves; it solves
/// the others at the same rate.
const RESEMBLANCES: [f64; 4] = [0.0, 0.3, 0.7, 1.0];

/// Draws of the simulations of several answers a problem.
struct Draws(SeededStream);

impl Draws {
    fn happens(&mut self, probability: f64) -> bool {
        ((self.0.next() >> 11) as f64) / (1_u64 << 53) as f64 <= probability && probability > 0.0
    }

    fn score(&mut self, rate: f64, answers: u32) -> f64 {
        f64::from((0..answers).filter(|_| self.happens(rate)).count() as u32) / f64::from(answers)
    }
}

/// Whether the interval of these scores covers the truth. Gaffke's does if the probability at the truth is between its
/// ends', which spares looking for them.
fn covers_mean(scores: &[f64], (least, most): (f64, f64), truth: f64) -> bool {
    if scores.iter().all(|score| score.fract() == 0.0) {
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let of = if least < 0.0 { Estimate::of_paired_differences } else { Estimate::of_scores };
        return covers(of(mean, scores), truth);
    }
    let probability = Scores::of(scores).probability(truth, least, most);
    (ALPHA / 2.0..=1.0 - ALPHA / 2.0).contains(&probability)
}

#[test]
fn a_mean_is_covered_if_its_interval_has_it() {
    for scores in [vec![0.0, 0.2, 0.2, 1.0, 0.6], vec![0.4; 5], vec![0.0, 0.0, 0.2]] {
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let interval = Estimate::of_scores(mean, &scores);
        for step in 0..=200 {
            let truth = f64::from(step) / 200.0;
            assert_eq!(covers(interval, truth), covers_mean(&scores, (0.0, 1.0), truth), "{scores:?} {truth}");
        }
    }
}

/// A rate of several answers a problem.
fn clustered_rates(n: usize, answers: u32, repetitions: u32) -> Coverage {
    let mut draws = Draws(SeededStream::new(11));
    let mut covered = Vec::new();
    for rate in RATES {
        for resemblance in RESEMBLANCES {
            let hits = (0..repetitions).filter(|_| {
                let scores: Vec<f64> = (0..n)
                    .map(|_| {
                        if draws.happens(resemblance) {
                            f64::from(u8::from(draws.happens(rate)))
                        } else {
                            draws.score(rate, answers)
                        }
                    })
                    .collect();
                covers_mean(&scores, (0.0, 1.0), rate)
            });
            covered.push(hits.count() as f64 / f64::from(repetitions));
        }
    }
    Coverage::of(&covered)
}

/// A paired difference of several answers a problem. Problems that are always or never solved are so by both models with
/// the correlation of `paired_truths`.
fn clustered_pairs(n: usize, answers: u32, repetitions: u32) -> Coverage {
    let mut draws = Draws(SeededStream::new(12));
    let mut covered = Vec::new();
    for base in [0.02, 0.1, 0.25, 0.5, 0.75, 0.98] {
        for adapter in [0.02, 0.1, 0.5, 0.9, 0.98] {
            for resemblance in RESEMBLANCES {
                for correlation in [0.0, 0.7] {
                    let both: f64 =
                        base * adapter + correlation * (base * (1.0_f64 - base) * adapter * (1.0 - adapter)).sqrt();
                    if both > base.min(adapter) {
                        continue;
                    }
                    let hits = (0..repetitions).filter(|_| {
                        let differences: Vec<f64> = (0..n)
                            .map(|_| {
                                if draws.happens(resemblance) {
                                    let of_base = draws.happens(base);
                                    let given = if of_base { both / base } else { (adapter - both) / (1.0 - base) };
                                    f64::from(u8::from(draws.happens(given))) - f64::from(u8::from(of_base))
                                } else {
                                    draws.score(adapter, answers) - draws.score(base, answers)
                                }
                            })
                            .collect();
                        covers_mean(&differences, (-1.0, 1.0), adapter - base)
                    });
                    covered.push(hits.count() as f64 / f64::from(repetitions));
                }
            }
        }
    }
    Coverage::of(&covered)
}

/// Single answers are enumerated, so that their coverage is exact; of several answers a problem a few hundred draws leave a
/// point and a half of noise, which the bound leaves room for.
#[test]
fn intervals_cover_what_they_say() {
    for n in [5, 10, 20, 50, 300] {
        let rates = single_rates(n);
        assert!(rates.least >= 0.95 - 1e-9, "{n} problems: {}", rates.text());
    }
    for n in [5, 10, 20] {
        let pairs = single_pairs(n);
        assert!(pairs.least >= 0.93, "{n} problems: {}", pairs.text());
    }
    for n in [5, 20] {
        let (rates, pairs) = (clustered_rates(n, 5, 300), clustered_pairs(n, 5, 100));
        assert!(
            rates.least >= 0.92 && pairs.least >= 0.89 && pairs.mean >= 0.95,
            "{n}: {}; {}",
            rates.text(),
            pairs.text()
        );
    }
}

/// The documentation's table of coverage.
#[test]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
#[ignore = "takes minutes; prints the table of docs/evaluation.md"]
fn coverage_table() {
    for n in [5_u64, 10, 20, 50, 300] {
        let several = n as usize;
        println!(
            "| {n} | {} | {} | {} | {} |",
            single_rates(n).text(),
            clustered_rates(several, 5, 2_000).text(),
            single_pairs(n).text(),
            clustered_pairs(several, 5, 2_000).text()
        );
    }
}

//! Verdicts as bars: which share of all answers each got, base beside adapter. Answers that crashed are told by the type of
//! their exception, those that did not run by what kept them from it, such as a module that the sandbox lacks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use maud::Markup;

use crate::comparison::Comparison;
use crate::evaluation::{Evaluation, SampleOutcome, verdict_word};
use hilora_judge::Verdict;
use hilora_pages::chart::{Bar, BarPair, bar_pairs};

/// Rows beyond this become one.
const ROWS_MAX: usize = 14;

/// The chart.
pub(super) fn verdict_bars(comparison: &Comparison) -> Markup {
    let rows = rows(comparison);
    bar_pairs("the share of answers that got each verdict, base and adapter", ["base", "adapter"], &rows)
}

fn rows(comparison: &Comparison) -> Vec<BarPair> {
    let counts = [&comparison.base, &comparison.adapter].map(counts);
    let names: BTreeSet<&String> = counts.iter().flat_map(BTreeMap::keys).collect();
    let of = |name: &String| counts.each_ref().map(|counts| counts.get(name).copied().unwrap_or(0));
    let mut named: Vec<(String, [u64; 2])> = names.into_iter().map(|name| (name.clone(), of(name))).collect();
    // What is right stands above all, then what is most frequent.
    let accepted = verdict_word(Some(Verdict::Accepted));
    named.sort_by_key(|(name, [base, adapter])| (*name != accepted, Reverse(base + adapter)));
    if named.len() > ROWS_MAX {
        let rest = named.split_off(ROWS_MAX - 1);
        let count = rest.len();
        let sums = rest.iter().fold([0, 0], |sums, (_, counts)| [sums[0] + counts[0], sums[1] + counts[1]]);
        named.push((format!("{count} others"), sums));
    }
    let answers = counts.each_ref().map(|counts| counts.values().sum::<u64>().max(1) as f64);
    let bar = |count: u64, answers: f64| {
        let value = count as f64 / answers;
        Bar { value, low: value, high: value }
    };
    let pair = |(name, [base, adapter]): (String, [u64; 2])| BarPair {
        name,
        first: bar(base, answers[0]),
        second: bar(adapter, answers[1]),
    };
    named.into_iter().map(pair).collect()
}

fn counts(evaluation: &Evaluation) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for sample in evaluation.outcomes.iter().flat_map(|outcome| &outcome.samples) {
        *counts.entry(name_of(sample)).or_default() += 1;
    }
    counts
}

/// What an answer is counted as.
fn name_of(sample: &SampleOutcome) -> String {
    let word = verdict_word(sample.verdict);
    match (sample.verdict, &sample.error) {
        (Some(Verdict::RuntimeError | Verdict::Unsupported) | None, Some(cause)) => cause.clone(),
        (Some(Verdict::InternalError), _) => "not judged".to_owned(),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EvaluatorError;
    use crate::fakes::outcome;

    #[test]
    fn every_answer_is_in_one_row_and_causes_are_told_apart() -> Result<(), EvaluatorError> {
        let mut base = vec![outcome("a", 0, 20)];
        for (index, sample) in base[0].samples.iter_mut().enumerate() {
            let (verdict, error) = match index {
                0..4 => (Some(Verdict::RuntimeError), Some("KeyError".to_owned())),
                4 => (Some(Verdict::Unsupported), Some("no module `numpy`".to_owned())),
                5 => (None, Some("no-code".to_owned())),
                6 => (Some(Verdict::TimeLimit), None),
                _ => (Some(Verdict::RuntimeError), Some(format!("Error{index}"))),
            };
            (sample.verdict, sample.error) = (verdict, error);
        }
        let of = |outcomes| Evaluation::of_outcomes(outcomes, &[1]);
        let rows = rows(&Comparison::of(of(base)?, of(vec![outcome("a", 15, 20)])?)?);
        assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].second.value), (ROWS_MAX, "accepted", 0.75));
        let key = rows.iter().find(|row| row.name == "KeyError").map(|row| (row.first.value, row.second.value));
        assert_eq!(key, Some((0.2, 0.0)));
        let sum: f64 = rows.iter().map(|row| row.first.value).sum();
        assert!((sum - 1.0).abs() < 1e-12 && rows[ROWS_MAX - 1].name.ends_with(" others"), "{rows:?}");
        Ok(())
    }
}

//! The section of a benchmark in `evaluation.json`: a comparison on its problems, with what was asked, how, and what is
//! known of these problems in the data that the adapter learned from. The gate does not read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::breakdown::Breakdown;
use super::comparison::Comparison;
use super::config::EvaluationConfig;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome};
use super::interval::Estimate;
use hilora_contract::artifact::ContentHash;

/// A benchmark's measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkRecord {
    /// The benchmark.
    pub name: String,
    /// What made it, by name: its files' hashes, the days of contests that count.
    pub made_from: BTreeMap<String, String>,
    /// What was asked.
    pub prompt: PromptRecord,
    /// How answers were drawn.
    pub config: EvaluationConfig,
    /// Rows of its files that were not asked, by reason.
    pub skipped_problems: BTreeMap<String, u64>,
    /// What is known of its problems in the training data.
    pub contamination: Contamination,
    /// The base and the adapter.
    pub comparison: Comparison,
    /// The same without the problems that the training data shares too much with; none if there are no such problems, or
    /// no others.
    pub without_contaminated: Option<CleanScore>,
    /// The comparison by groups.
    pub breakdowns: Vec<Breakdown>,
}

/// The prompts of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptRecord {
    /// Whose words they are: the benchmark's, customary ones, or the run's formatter's.
    pub kind: String,
    /// Their name and where they come from.
    pub name: String,
    /// How the program or the answer is found in what the model wrote.
    pub extraction: String,
    /// The hash of all prompts, as messages and laid out.
    pub hash: ContentHash,
}

/// What is known of measured problems in the data that a model learned from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contamination {
    /// Whether the training data was looked at, in words.
    pub check: String,
    /// The rows that were; none if it was not.
    pub rows: Option<u64>,
    /// The problems that rows share too much with, by the rule by which `prepare` leaves rows out, each with the first such
    /// row and what it shares.
    pub problems: BTreeMap<String, String>,
    /// Other rows that share 10 words in a row with a problem.
    pub rows_with_10_words: u64,
    /// Other rows that share 8 words in a row with a problem.
    pub rows_with_8_words: u64,
}

impl Contamination {
    /// Nothing is known, for this reason.
    pub fn unchecked(why: &str) -> Self {
        Self { check: format!("not checked: {why}"), ..Self::default() }
    }

    /// What was found, in words.
    pub fn words(&self) -> String {
        let Some(rows) = self.rows else { return self.check.clone() };
        let first = self.problems.first_key_value().map(|(id, why)| format!("; the first is `{id}`: {why}"));
        format!(
            "{} of its problems share too much with the {rows} training rows{}; of the other rows {} share 10 words in a \
             row and {} share 8",
            self.problems.len(),
            first.unwrap_or_default(),
            self.rows_with_10_words,
            self.rows_with_8_words
        )
    }
}

/// The figures over some of the problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanScore {
    /// How many problems.
    pub problems: u64,
    /// The base's pass@k, by k.
    pub base: BTreeMap<u32, Estimate>,
    /// The adapter's.
    pub adapter: BTreeMap<u32, Estimate>,
    /// The paired difference of pass@1, in points.
    pub improvement_points: Estimate,
    /// How likely a difference at least as great would be if neither were better.
    pub p_value: f64,
}

impl CleanScore {
    /// The figures of a comparison without the problems that are contaminated.
    pub fn of(
        comparison: &Comparison,
        contamination: &Contamination,
        every_k: &[u32],
    ) -> Result<Option<Self>, EvaluatorError> {
        let is_clean = |outcome: &&ProblemOutcome| !contamination.problems.contains_key(&outcome.id);
        let clean = |evaluation: &Evaluation| -> Vec<ProblemOutcome> {
            evaluation.outcomes.iter().filter(is_clean).cloned().collect()
        };
        let (base, adapter) = (clean(&comparison.base), clean(&comparison.adapter));
        if base.is_empty() || base.len() as u64 == comparison.base.problems {
            return Ok(None);
        }
        let evaluation = |outcomes| Evaluation::of_outcomes(outcomes, every_k);
        let Comparison { base, adapter, improvement_points, p_value, .. } =
            Comparison::of(evaluation(base)?, evaluation(adapter)?)?;
        let problems = base.problems;
        Ok(Some(Self { problems, base: base.pass_at, adapter: adapter.pass_at, improvement_points, p_value }))
    }
}

impl BenchmarkRecord {
    /// The same section with all its figures computed again from its samples.
    pub(crate) fn recomputed(&self) -> Result<Self, EvaluatorError> {
        let k = self.config.every_k();
        let again = |evaluation: &Evaluation| Evaluation::of_outcomes(evaluation.outcomes.clone(), &k);
        let comparison = Comparison::of(again(&self.comparison.base)?, again(&self.comparison.adapter)?)?;
        Ok(Self {
            without_contaminated: CleanScore::of(&comparison, &self.contamination, &k)?,
            breakdowns: Breakdown::computed_again(&self.breakdowns, &comparison),
            comparison,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::outcome;

    fn comparison() -> Result<Comparison, EvaluatorError> {
        let evaluation = |right: [usize; 3]| {
            let outcomes = ["a", "b", "c"].iter().zip(right).map(|(id, c)| outcome(id, c, 2));
            Evaluation::of_outcomes(outcomes.collect(), &[1, 2])
        };
        Comparison::of(evaluation([0, 1, 0])?, evaluation([2, 1, 0])?)
    }

    fn shared(ids: &[&str]) -> Contamination {
        let problems = ids.iter().map(|id| ((*id).to_owned(), "row 3 has it".to_owned())).collect();
        Contamination { rows: Some(9), problems, ..Contamination::default() }
    }

    #[test]
    fn contaminated_problems_are_left_out_of_the_clean_score() -> Result<(), EvaluatorError> {
        let comparison = comparison()?;
        let clean = CleanScore::of(&comparison, &shared(&["a"]), &[1, 2])?.expect("two are left");
        assert_eq!((clean.problems, clean.base[&1].value, clean.adapter[&1].value), (2, 0.25, 0.25));
        assert_eq!((clean.improvement_points.value, clean.adapter[&2].value), (0.0, 0.5));
        assert_eq!(CleanScore::of(&comparison, &shared(&[]), &[1, 2])?, None);
        assert_eq!(CleanScore::of(&comparison, &shared(&["a", "b", "c"]), &[1, 2])?, None);
        Ok(())
    }

    #[test]
    fn what_was_found_is_told_in_words() {
        let words = shared(&["b", "a"]).words();
        assert!(
            words.starts_with("2 of its problems share too much with the 9 training rows; the first is `a`: row 3")
        );
        assert_eq!(Contamination::unchecked("it is an endpoint's").words(), "not checked: it is an endpoint's");
    }
}

//! `evaluation.json`: a comparison with its controls, its breakdowns and what made it. It holds no timing, so the same
//! inputs give the same bytes, and its hash names it in the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::benchmark_record::BenchmarkRecord;
use super::breakdown::Breakdown;
use super::comparison::Comparison;
use super::config::EvaluationConfig;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, SampleOutcome};
use super::json_file::{EVALUATION, JsonFile, write_json};
use super::lost_answer::LostAnswer;
use super::nearest_copy::NearestCopy;
use hilora_judge::Verdict;

/// By which statistics figures follow from samples: 2 since intervals cover what they say at any number of problems, 3 since
/// those of several answers a problem are no wider than that asks for. A record that names none has Wilson's intervals and a
/// bootstrap's.
pub const STATISTICS: u32 = 3;

/// The record of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRecord {
    /// `STATISTICS` of the program that computed the figures.
    #[serde(default)]
    pub statistics: u32,
    /// The adapter's name.
    pub adapter_name: String,
    /// What made the measurement, by name: hashes of models and data, plugins and their versions, the code's version.
    pub made_from: BTreeMap<String, String>,
    /// The seed of every draw.
    pub seed: u64,
    /// How answers were drawn.
    pub config: EvaluationConfig,
    /// The base and the adapter.
    pub comparison: Comparison,
    /// The comparison by groups.
    pub breakdowns: Vec<Breakdown>,
    /// What the result is held against.
    pub controls: Controls,
    /// The same on published benchmarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub benchmarks: Vec<BenchmarkRecord>,
}

/// Controls: what a sceptic would ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// An adapter trained, with the same recipe, on answers shuffled between the problems.
    pub shuffled_answers: Option<Evaluation>,
    /// Copying the answer of the most similar training problem.
    pub nearest_copy: Option<NearestCopy>,
}

impl JsonFile for EvaluationRecord {
    const EXPECTED: &'static str = EVALUATION;
    const HINT: &'static str = "`hilora-host evaluate` writes it as `evaluation.json` into the run's folder";
}

impl EvaluationRecord {
    /// Writes `evaluation.json` atomically.
    pub fn write(&self, path: &Path) -> Result<(), EvaluatorError> {
        write_json(path, self)
    }

    /// Answers of which nothing is known, because the machine or a checker kept them from being judged.
    pub fn undecided(&self) -> u64 {
        self.undecided_answers().count() as u64
    }

    /// The different programs among them: the problem, and the completion that has it.
    pub fn undecided_programs(&self) -> BTreeSet<(&str, &str)> {
        let unanswered: BTreeSet<&str> = self.unanswered().into_iter().collect();
        self.undecided_answers().filter(|(id, text)| !(text.is_empty() && unanswered.contains(id))).collect()
    }

    /// The problems of answers that were lost, one for each.
    pub fn unanswered(&self) -> Vec<&str> {
        let outcomes = self.evaluations().flat_map(|evaluation| &evaluation.outcomes);
        let lost =
            |sample: &&SampleOutcome| sample.error.as_deref().is_some_and(|error| LostAnswer::CAUSES.contains(&error));
        outcomes.flat_map(|outcome| outcome.samples.iter().filter(lost).map(|_| outcome.id.as_str())).collect()
    }

    fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        let of_benchmarks = self.benchmarks.iter().flat_map(|benchmark| benchmark.comparison.sides());
        self.comparison.sides().into_iter().chain(&self.controls.shuffled_answers).chain(of_benchmarks)
    }

    fn undecided_answers(&self) -> impl Iterator<Item = (&str, &str)> {
        let copied = self.controls.nearest_copy.iter().flat_map(|copy| &copy.neighbours);
        let copied = copied.filter(|copy| copy.verdict == Verdict::InternalError);
        // A copied program stands in the training data, not here.
        self.evaluations().flat_map(Evaluation::undecided).chain(copied.map(|copy| (copy.id.as_str(), "")))
    }

    /// The figures without the answers, for a registry's row.
    pub fn summary(&self) -> serde_json::Value {
        let figures = |evaluation: &Evaluation| {
            serde_json::json!({
                "pass_at": evaluation.pass_at,
                "error_rate": evaluation.error_rate,
                "verdicts": evaluation.verdicts,
                "pass_all": evaluation.pass_all,
                "majority": evaluation.majority,
                "not_judged": evaluation.not_judged,
                "unsupported": evaluation.unsupported,
            })
        };
        let benchmark = |benchmark: &BenchmarkRecord| {
            let BenchmarkRecord { name, comparison, without_contaminated, .. } = benchmark;
            serde_json::json!({
                "name": name,
                "problems": comparison.base.problems,
                "samples_per_problem": comparison.base.samples_per_problem,
                "base": figures(&comparison.base),
                "adapter": figures(&comparison.adapter),
                "improvement_points": comparison.improvement_points,
                "p_value": comparison.p_value,
                "without_contaminated": without_contaminated,
            })
        };
        let benchmarks: Vec<serde_json::Value> = self.benchmarks.iter().map(benchmark).collect();
        serde_json::json!({
            "problems": self.comparison.base.problems,
            "samples_per_problem": self.comparison.base.samples_per_problem,
            "seed": self.seed,
            "base": figures(&self.comparison.base),
            "adapter": figures(&self.comparison.adapter),
            "improvement_points": self.comparison.improvement_points,
            "p_value": self.comparison.p_value,
            "benchmarks": benchmarks,
            "shuffled_answers_pass_at_1": self.controls.shuffled_answers.as_ref().map(Evaluation::pass_at_1),
            "nearest_copy": self.controls.nearest_copy.as_ref().map(|copy| copy.score),
        })
    }
}

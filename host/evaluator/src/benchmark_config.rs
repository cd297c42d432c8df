//! A benchmark as a run names it: published problems that base and adapter are measured on beside the held-out ones.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::EvaluationConfig;

/// Whose prompt a benchmark's problems are asked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BenchmarkPrompt {
    /// The benchmark's own words for chat models, or where it has none, the run's formatter's.
    #[default]
    Official,
    /// The run's formatter's, as it asks held-out problems.
    Formatter,
}

/// A published benchmark. What is not said here is as `evaluation` says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkConfig {
    /// Its name, such as `humaneval`.
    pub name: String,
    /// Its files: paths, folders, patterns or `hf://datasets/…`. Without any, those that the hub has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// The first day of the contests that count, as `2024-08-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day of the contests that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only so many problems, the first ones of those that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whose prompt asks them.
    #[serde(default, skip_serializing_if = "is_official")]
    pub prompt: BenchmarkPrompt,
    /// In the place of `evaluation.samples_per_problem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_per_problem: Option<u32>,
    /// In the place of `evaluation.temperature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// In the place of `evaluation.top_p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// In the place of `evaluation.max_new_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
    /// In the place of `evaluation.k`; without it those of its k that there are enough answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<Vec<u32>>,
}

fn is_official(prompt: &BenchmarkPrompt) -> bool {
    *prompt == BenchmarkPrompt::Official
}

impl BenchmarkConfig {
    /// How its answers are drawn, in a run whose others are drawn like this.
    pub fn evaluation(&self, run: &EvaluationConfig) -> EvaluationConfig {
        let samples_per_problem = self.samples_per_problem.unwrap_or(run.samples_per_problem);
        let fitting = || run.k.iter().copied().filter(|k| *k <= samples_per_problem).collect();
        EvaluationConfig {
            samples_per_problem,
            temperature: self.temperature.unwrap_or(run.temperature),
            top_p: self.top_p.unwrap_or(run.top_p),
            max_new_tokens: self.max_new_tokens.unwrap_or(run.max_new_tokens),
            k: self.k.clone().unwrap_or_else(fitting),
            generator: None,
            benchmarks: Vec::new(),
            hide_expected: run.hide_expected,
        }
    }

    /// Every value that cannot be used, each named below this key.
    pub(crate) fn validate(&self, key: &str, run: &EvaluationConfig) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, day) in [("from", &self.from), ("to", &self.to)] {
            if let Some(got) = day.as_ref().filter(|day| !is_day(day)) {
                problems.push(format!("{key}.{name}: expected a day such as 2024-08-01, got `{got}`"));
            }
        }
        if self.limit == Some(0) {
            problems.push(format!("{key}.limit: expected at least 1, got 0"));
        }
        // What it takes over from the run is said there.
        let of_run = run.own_problems();
        let own = self.evaluation(run).own_problems().into_iter().filter(|problem| !of_run.contains(problem));
        problems.extend(own.map(|problem| problem.replacen("evaluation", key, 1)));
        problems
    }
}

/// Whether this is a day as ISO 8601 writes it: `2024-08-01`.
pub fn is_day(text: &str) -> bool {
    let is_fit = |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_does_not_say_is_the_runs() {
        let run = EvaluationConfig { samples_per_problem: 10, k: vec![1, 5, 10], ..EvaluationConfig::default() };
        let plain = BenchmarkConfig { name: "gsm8k".to_owned(), ..BenchmarkConfig::default() };
        assert_eq!(plain.evaluation(&run), run);
        let own = BenchmarkConfig { samples_per_problem: Some(5), temperature: Some(0.8), ..plain.clone() };
        let resolved = own.evaluation(&run);
        assert_eq!((resolved.samples_per_problem, resolved.temperature, resolved.k), (5, 0.8, vec![1, 5]));
        assert!(own.validate("evaluation.benchmarks.gsm8k", &run).is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_named_where_it_stands() {
        let wrong = BenchmarkConfig {
            name: "livecodebench".to_owned(),
            from: Some("2024".to_owned()),
            limit: Some(0),
            samples_per_problem: Some(2),
            k: Some(vec![3]),
            ..BenchmarkConfig::default()
        };
        let run = EvaluationConfig { temperature: 99.0, ..EvaluationConfig::default() };
        let found = wrong.validate("evaluation.benchmarks.livecodebench", &run);
        assert_eq!(
            found,
            [
                "evaluation.benchmarks.livecodebench.from: expected a day such as 2024-08-01, got `2024`",
                "evaluation.benchmarks.livecodebench.limit: expected at least 1, got 0",
                "evaluation.benchmarks.livecodebench.k: expected 1 to samples_per_problem (2), got 3",
            ]
        );
        assert!(is_day("2024-08-01") && !is_day("2024-8-1") && !is_day("2024/08/01"));
    }
}

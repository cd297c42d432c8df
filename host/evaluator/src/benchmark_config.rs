//! A benchmark as a run names it: published problems that base and adapter are measured on beside the held-out ones.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What is wrong with which problems it names, each below this key.
    pub(crate) fn wrong_choice(&self, key: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, day) in [("from", &self.from), ("to", &self.to)] {
            if let Some(got) = day.as_ref().filter(|day| !is_day(day)) {
                problems.push(format!("{key}.{name}: expected a day such as 2024-08-01, got `{got}`"));
            }
        }
        if self.limit == Some(0) {
            problems.push(format!("{key}.limit: expected at least 1, got 0"));
        }
        problems
    }
}

/// Whether this is a day as ISO 8601 writes it: `2024-08-01`.
pub fn is_day(text: &str) -> bool {
    let is_fit = |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(is_fit)
}

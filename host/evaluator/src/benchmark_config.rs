//! A benchmark as a run names it: published problems that base and adapter are measured on beside the held-out ones.

use std::ops::Range;
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
            if let Some((day, Err(wrong))) = day.as_ref().map(|day| (day, check_day(day))) {
                problems.push(format!("{key}.{name}: {wrong}, got `{day}`"));
            }
        }
        if self.limit == Some(0) {
            problems.push(format!("{key}.limit: expected at least 1, got 0"));
        }
        problems
    }
}

/// What is wrong with a day of the calendar as ISO 8601 writes it: `2024-08-01`.
pub fn check_day(text: &str) -> Result<(), String> {
    let number = |range: Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let has_dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let found = has_dashes.then(|| Some((number(0..4)?, number(5..7)?, number(8..10)?))).flatten();
    let Some((year, month, day)) = found else { return Err("expected a day such as 2024-08-01".to_owned()) };
    if !(1..=12).contains(&month) {
        return Err(format!("expected a month from 01 to 12, not {month:02}"));
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
    if !(1..=days).contains(&day) {
        return Err(format!("expected a day from 01 to {days} of {year:04}-{month:02}, not {day:02}"));
    }
    Ok(())
}

//! How a model is measured: the `evaluation` section of a run's config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::benchmark_config::BenchmarkConfig;
use super::endpoint_config::EndpointGeneratorConfig;

/// How many answers are drawn, how, and which pass@k is estimated from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Answers drawn for each problem.
    pub samples_per_problem: u32,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// The smallest set of likeliest tokens with at least this probability is drawn from.
    pub top_p: f64,
    /// The most tokens an answer may have.
    pub max_new_tokens: usize,
    /// The k of each pass@k that is reported beside pass@1.
    pub k: Vec<u32>,
    /// An OpenAI-compatible endpoint that answers for base and adapter; without it the run's own models do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<EndpointGeneratorConfig>,
    /// Published benchmarks that base and adapter are measured on, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub benchmarks: Vec<BenchmarkConfig>,
    /// Keeps of a wrong answer neither what was expected nor what came.
    pub hide_expected: bool,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            samples_per_problem: 4,
            temperature: 0.2,
            top_p: 0.95,
            max_new_tokens: 512,
            k: vec![1, 4],
            generator: None,
            benchmarks: Vec::new(),
            hide_expected: false,
        }
    }
}

impl EvaluationConfig {
    /// Every value that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.own_problems();
        for (index, benchmark) in self.benchmarks.iter().enumerate() {
            let key = format!("evaluation.benchmarks.{}", benchmark.name);
            if self.benchmarks[..index].iter().any(|other| other.name == benchmark.name) {
                problems.push(format!("{key}: expected each benchmark once"));
            }
            problems.extend(benchmark.validate(&key, self));
        }
        problems
    }

    /// The same without what benchmarks say of themselves.
    pub(crate) fn own_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let samples = self.samples_per_problem;
        if samples == 0 {
            problems.push("evaluation.samples_per_problem: expected at least 1, got 0".to_owned());
        }
        if !(0.0..=10.0).contains(&self.temperature) {
            problems.push(format!("evaluation.temperature: expected 0 to 10, got {}", self.temperature));
        }
        if self.temperature == 0.0 && samples > 1 {
            problems.push(format!(
                "evaluation.samples_per_problem: expected 1, got {samples}: at temperature 0 every answer is the same"
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            problems.push(format!("evaluation.top_p: expected above 0 and at most 1, got {}", self.top_p));
        }
        if self.max_new_tokens == 0 {
            problems.push("evaluation.max_new_tokens: expected at least 1, got 0".to_owned());
        }
        problems.extend(self.generator.iter().flat_map(EndpointGeneratorConfig::validate));
        for &k in &self.k {
            if k == 0 || k > samples {
                problems.push(format!("evaluation.k: expected 1 to samples_per_problem ({samples}), got {k}"));
            }
        }
        problems
    }

    /// The k of every pass@k that is estimated, rising, 1 among them.
    pub(crate) fn every_k(&self) -> Vec<u32> {
        let mut every: Vec<u32> = self.k.iter().copied().chain([1]).collect();
        every.sort_unstable();
        every.dedup();
        every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_every_problem_at_once() {
        let config = EvaluationConfig {
            samples_per_problem: 3,
            temperature: 0.0,
            top_p: 0.0,
            max_new_tokens: 0,
            k: vec![1, 4],
            ..EvaluationConfig::default()
        };
        assert_eq!(config.validate().len(), 4);
        assert!(EvaluationConfig::default().validate().is_empty());
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<EvaluationConfig>(r#"{"top_k": 5}"#).is_err());
    }
}

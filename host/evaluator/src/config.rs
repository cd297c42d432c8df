//! How a model is measured: the `evaluation` section of a run's config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint_config::{EndpointGeneratorConfig, EndpointProtocol};

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
    /// So many likeliest tokens are drawn from; 0 is all.
    pub top_k: u32,
    /// Tokens with less than this part of the likeliest token's probability are not drawn; 0 is all.
    pub min_p: f64,
    /// Divides the positive logits of tokens that prompt or answer have already, and multiplies the negative; 1 is none.
    pub repetition_penalty: f64,
    /// Texts at which an answer ends, besides the ends of the layout and the model; the text before them is kept.
    pub stop: Vec<String>,
    /// The most tokens an answer may have.
    pub max_new_tokens: usize,
    /// The k of each pass@k that is reported beside pass@1.
    pub k: Vec<u32>,
    /// An OpenAI-compatible endpoint that answers for base and adapter; without it the run's own models do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<EndpointGeneratorConfig>,
    /// Keeps the log-probability of each token with the samples, and their sum with the answer.
    pub log_probabilities: bool,
    /// Keeps of a wrong answer neither what was expected nor what came.
    pub hide_expected: bool,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            samples_per_problem: 4,
            temperature: 0.2,
            top_p: 0.95,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            max_new_tokens: 512,
            k: vec![1, 4],
            generator: None,
            log_probabilities: false,
            hide_expected: false,
        }
    }
}

impl EvaluationConfig {
    /// Every value that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
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
        if !(0.0..=1.0).contains(&self.min_p) {
            problems.push(format!("evaluation.min_p: expected 0 to 1, got {}", self.min_p));
        }
        if !(1e-3..=1e3).contains(&self.repetition_penalty) {
            let got = self.repetition_penalty;
            problems.push(format!("evaluation.repetition_penalty: expected 0.001 to 1000, got {got}"));
        }
        if self.stop.iter().any(String::is_empty) {
            problems.push("evaluation.stop: expected texts of at least one character, got an empty one".to_owned());
        }
        if self.max_new_tokens == 0 {
            problems.push("evaluation.max_new_tokens: expected at least 1, got 0".to_owned());
        }
        if let Some(generator) = &self.generator {
            problems.extend(generator.validate());
            if generator.protocol == EndpointProtocol::Openai {
                problems.extend(self.filters().into_iter().map(|(name, value)| {
                    format!(
                        "evaluation.{name}: got {value}, and OpenAI's protocol has no such key; expected \
                         `evaluation.generator.protocol: vllm`, or a server that draws without it"
                    )
                }));
            }
        }
        for &k in &self.k {
            if k == 0 || k > samples {
                problems.push(format!("evaluation.k: expected 1 to samples_per_problem ({samples}), got {k}"));
            }
        }
        problems
    }

    /// What narrows the draw beside temperature and top-p, if anything: names and values.
    pub(crate) fn filters(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("top_k", f64::from(self.top_k), 0.0),
            ("min_p", self.min_p, 0.0),
            ("repetition_penalty", self.repetition_penalty, 1.0),
        ];
        all.into_iter().filter(|(_, value, none)| value != none).map(|(name, value, _)| (name, value)).collect()
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
            min_p: -0.1,
            repetition_penalty: 0.0,
            stop: vec![String::new()],
            max_new_tokens: 0,
            k: vec![1, 4],
            ..EvaluationConfig::default()
        };
        assert_eq!(config.validate().len(), 7, "{:?}", config.validate());
        assert!(EvaluationConfig::default().validate().is_empty());
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<EvaluationConfig>(r#"{"top_j": 5}"#).is_err());
    }

    #[test]
    fn what_an_endpoints_protocol_lacks_is_refused_by_name() -> Result<(), serde_json::Error> {
        let config = |protocol: &str, more: &str| {
            serde_json::from_str::<EvaluationConfig>(&format!(
                r#"{{"generator": {{"base_url": "http://127.0.0.1:1/v1", "base_model": "b", "adapter_model": "a",
                    "protocol": "{protocol}"}}{more}}}"#
            ))
        };
        assert_eq!(config("openai", r#", "stop": ["x"], "log_probabilities": true"#)?.validate(), Vec::<String>::new());
        let filters = r#", "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1"#;
        assert_eq!(config("vllm", filters)?.validate(), Vec::<String>::new());
        let problems = config("openai", filters)?.validate();
        let names = ["top_k: got 20,", "min_p: got 0.05,", "repetition_penalty: got 1.1,"];
        assert_eq!(problems.len(), names.len());
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(&format!("evaluation.{name} and OpenAI's protocol")), "{problem}");
        }
        Ok(())
    }
}

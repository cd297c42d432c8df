//! How a model is measured: the `evaluation` section of a run's config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::benchmark_config::BenchmarkConfig;
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
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            max_new_tokens: 512,
            k: vec![1, 4],
            generator: None,
            log_probabilities: false,
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
            problems.extend(benchmark.wrong_choice(&key));
            // What it takes over from the section is said there.
            let of_section = self.own_problems();
            let own = self.of_benchmark(benchmark).own_problems().into_iter();
            let own = own.filter(|problem| !of_section.contains(problem));
            problems.extend(own.map(|problem| problem.replacen("evaluation", &key, 1)));
        }
        problems
    }

    /// The same without what benchmarks say of themselves.
    fn own_problems(&self) -> Vec<String> {
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

    /// How the answers to a benchmark are drawn: as it says, and else as the others are.
    pub fn of_benchmark(&self, benchmark: &BenchmarkConfig) -> Self {
        let samples_per_problem = benchmark.samples_per_problem.unwrap_or(self.samples_per_problem);
        let fitting = || self.k.iter().copied().filter(|k| *k <= samples_per_problem).collect();
        Self {
            samples_per_problem,
            temperature: benchmark.temperature.unwrap_or(self.temperature),
            top_p: benchmark.top_p.unwrap_or(self.top_p),
            max_new_tokens: benchmark.max_new_tokens.unwrap_or(self.max_new_tokens),
            k: benchmark.k.clone().unwrap_or_else(fitting),
            generator: None,
            benchmarks: Vec::new(),
            ..self.clone()
        }
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
    fn what_a_benchmark_does_not_say_is_the_sections() {
        let section = EvaluationConfig { samples_per_problem: 10, k: vec![1, 5, 10], ..EvaluationConfig::default() };
        let plain = BenchmarkConfig { name: "gsm8k".to_owned(), ..BenchmarkConfig::default() };
        assert_eq!(section.of_benchmark(&plain), section);
        let own = BenchmarkConfig { samples_per_problem: Some(5), temperature: Some(0.8), ..plain };
        let resolved = section.of_benchmark(&own);
        assert_eq!((resolved.samples_per_problem, resolved.temperature, resolved.k), (5, 0.8, vec![1, 5]));
    }

    #[test]
    fn what_is_wrong_with_a_benchmark_is_named_where_it_stands() {
        let wrong = BenchmarkConfig {
            name: "livecodebench".to_owned(),
            from: Some("2024/08/01".to_owned()),
            limit: Some(0),
            samples_per_problem: Some(2),
            k: Some(vec![3]),
            ..BenchmarkConfig::default()
        };
        let benchmarks = vec![wrong.clone(), wrong];
        let config = EvaluationConfig { temperature: 99.0, benchmarks, ..EvaluationConfig::default() };
        let each = [
            "evaluation.benchmarks.livecodebench.from: expected a day such as 2024-08-01, got `2024/08/01`",
            "evaluation.benchmarks.livecodebench.limit: expected at least 1, got 0",
            "evaluation.benchmarks.livecodebench.k: expected 1 to samples_per_problem (2), got 3",
        ];
        let twice = "evaluation.benchmarks.livecodebench: expected each benchmark once";
        let found = config.validate();
        assert_eq!(found[1..], [&each[..], &[twice], &each[..]].concat()[..]);
        assert!(found[0].starts_with("evaluation.temperature: "), "{found:?}");
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

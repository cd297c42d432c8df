//! The `enrich` section of a config: which endpoint writes the reasoning traces, and how it is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hilora_contract::artifact::ContentHash;
use hilora_endpoint::{Api, EndpointConfig, EndpointError, EndpointKeys};

/// The `enrich` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrichConfig {
    /// Where the endpoint's API begins, for example `http://127.0.0.1:8000/v1`; `/chat/completions` is appended.
    pub base_url: String,
    /// The model's name, as the endpoint calls it.
    pub model: String,
    /// The environment variable that holds the API key. If it is unset, a server on this machine is asked without a
    /// key, and any other server is an error.
    #[serde(default = "default_api_key_env")]
    pub api_key_env: String,
    /// The sampling temperature.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// The most tokens of an answer. An answer that reaches it is cut off, and is rejected.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: u32,
    /// How many calls are open at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// How often a call that failed in passing (429, 5xx, no connection, no answer in time) is made again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// How long one call may take, in seconds.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// What a million input tokens cost, in any currency; without it no cost is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_input_tokens: Option<f64>,
    /// What a million output tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_output_tokens: Option<f64>,
}

fn default_api_key_env() -> String {
    "OPENAI_API_KEY".to_owned()
}

fn default_temperature() -> f64 {
    0.3
}

fn default_max_tokens() -> u32 {
    1024
}

fn default_concurrency() -> usize {
    8
}

fn default_retries() -> u32 {
    5
}

fn default_timeout_seconds() -> u64 {
    120
}

impl EnrichConfig {
    /// Everything that is wrong with the values, each as one sentence that names its key.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.endpoint_keys().validate();
        if self.model.trim().is_empty() {
            problems.push("enrich.model is empty, expected a name".to_owned());
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            problems.push(format!("enrich.temperature is {}, expected 0 to 2", self.temperature));
        }
        if self.max_tokens == 0 {
            problems.push("enrich.max_tokens is 0, expected at least 1".to_owned());
        }
        for (key, price) in
            [("input", self.price_per_million_input_tokens), ("output", self.price_per_million_output_tokens)]
        {
            if let Some(price) = price.filter(|price| !(price.is_finite() && *price >= 0.0)) {
                problems.push(format!("enrich.price_per_million_{key}_tokens is {price}, expected at least 0"));
            }
        }
        problems
    }

    /// What of this section decides the answers: not the prices, nor how the calls are paced.
    pub fn hash(&self) -> ContentHash {
        let (temperature, max_tokens) = (self.temperature.to_le_bytes(), self.max_tokens.to_le_bytes());
        ContentHash::of_parts([self.model.as_bytes(), &temperature, &max_tokens])
    }

    /// What this many tokens cost; `None` if no price is known.
    pub fn cost(&self, prompt_tokens: u64, completion_tokens: u64) -> Option<f64> {
        let part = |tokens: u64, price: Option<f64>| price.map(|price| tokens as f64 * price / 1e6);
        let input = part(prompt_tokens, self.price_per_million_input_tokens);
        let output = part(completion_tokens, self.price_per_million_output_tokens);
        (input.is_some() || output.is_some()).then(|| input.unwrap_or(0.0) + output.unwrap_or(0.0))
    }

    /// How the endpoint is asked.
    pub(super) fn endpoint(&self) -> Result<EndpointConfig, EndpointError> {
        self.endpoint_keys().config(Api::Chat)
    }

    fn endpoint_keys(&self) -> EndpointKeys<'_> {
        EndpointKeys {
            section: "enrich",
            base_url: &self.base_url,
            api_key_env: &self.api_key_env,
            concurrency: self.concurrency,
            retries: self.retries,
            timeout_seconds: self.timeout_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EnrichConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn defaults_are_the_documented_ones() -> Result<(), serde_json::Error> {
        let config = parse(r#"{"base_url": "http://127.0.0.1:8000/v1/", "model": "m"}"#)?;
        assert_eq!((config.temperature, config.max_tokens), (0.3, 1024));
        assert_eq!((config.concurrency, config.retries, config.timeout_seconds), (8, 5, 120));
        assert_eq!(config.validate(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn every_problem_is_listed_and_a_password_is_not_shown() -> Result<(), serde_json::Error> {
        let config = parse(
            r#"{"base_url": "https://me:secret@host/v1?key=secret", "model": "", "temperature": 3, "max_tokens": 0,
                "api_key_env": "sk-secret",
                "concurrency": 0, "retries": 21, "timeout_seconds": 0, "price_per_million_input_tokens": -1}"#,
        )?;
        let problems = config.validate();
        for key in [
            "base_url",
            "model",
            "api_key_env",
            "temperature",
            "max_tokens",
            "concurrency",
            "retries",
            "timeout",
            "price_per_million",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(&format!("enrich.{key}"))),
                "{key}: {problems:?}"
            );
        }
        assert!(!problems.concat().contains("secret"), "{problems:?}");
        Ok(())
    }

    #[test]
    fn the_cost_counts_what_has_a_price() -> Result<(), serde_json::Error> {
        let mut config = parse(r#"{"base_url": "http://127.0.0.1/v1", "model": "m"}"#)?;
        assert_eq!(config.cost(1, 1), None);
        config.price_per_million_input_tokens = Some(2.0);
        config.price_per_million_output_tokens = Some(8.0);
        assert_eq!(config.cost(500_000, 250_000), Some(3.0));
        Ok(())
    }
}

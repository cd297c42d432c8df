//! The `evaluation.generator` section of a config: an endpoint that writes the answers in the place of the run's own models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hilora_endpoint::{Api, EndpointConfig, EndpointError, EndpointKeys};

/// The most answers that one request may ask for.
const SAMPLES_PER_REQUEST_MAX: u32 = 128;

/// Which endpoint answers for the base and for the adapter, and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointGeneratorConfig {
    /// Where the endpoint's API begins, for example `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// `chat` sends messages, which the server lays out by its model's template; `completions` sends the text that the
    /// formatter lays out.
    #[serde(default)]
    pub api: Api,
    /// Which keys beside OpenAI's own the endpoint takes.
    #[serde(default)]
    pub protocol: EndpointProtocol,
    /// The base's name, as the endpoint calls it.
    pub base_model: String,
    /// The adapter's name.
    pub adapter_model: String,
    /// Where the API of the adapter's endpoint begins, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_base_url: Option<String>,
    /// The environment variable that holds the API key. If it is unset, a server on this machine is asked without a
    /// key, and any other server is an error.
    #[serde(default = "default_api_key_env")]
    pub api_key_env: String,
    /// The same for the adapter's endpoint, if its key is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_api_key_env: Option<String>,
    /// How many answers to one prompt a request asks for (`n`). A server that does not take it is asked one by one.
    #[serde(default = "default_samples_per_request")]
    pub samples_per_request: u32,
    /// How many calls are open at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// How often a call that failed in passing (429, 5xx, no connection, no answer in time, no content) is made again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// How long one call may take, in seconds.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
}

fn default_api_key_env() -> String {
    "OPENAI_API_KEY".to_owned()
}

fn default_samples_per_request() -> u32 {
    1
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

/// Which keys an endpoint takes in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointProtocol {
    /// OpenAI's own, which any server takes.
    #[default]
    Openai,
    /// Also `top_k`, `min_p` and `repetition_penalty`, as vLLM and SGLang take them. They are always sent: vLLM takes what a
    /// request leaves out from the model's `generation_config.json`.
    Vllm,
}

/// Which of the two models that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The base.
    Base,
    /// The adapter.
    Adapter,
}

impl EndpointGeneratorConfig {
    /// Everything that is wrong with the values, each as one sentence that names its key.
    pub fn validate(&self) -> Vec<String> {
        const SECTION: &str = "evaluation.generator";
        let mut problems = self.keys(Side::Base).validate();
        // What both sides share is told once.
        let of_adapter = self.keys(Side::Adapter).validate().into_iter().filter(|problem| !problems.contains(problem));
        let of_adapter: Vec<String> = of_adapter
            .map(|problem| match problem.strip_prefix("evaluation.generator.") {
                Some(rest) => format!("{SECTION}.adapter_{rest}"),
                None => problem,
            })
            .collect();
        problems.extend(of_adapter);
        for (key, name) in [("base_model", &self.base_model), ("adapter_model", &self.adapter_model)] {
            if name.trim().is_empty() {
                problems.push(format!("{SECTION}.{key} is empty, expected a name"));
            }
        }
        if !(1..=SAMPLES_PER_REQUEST_MAX).contains(&self.samples_per_request) {
            let got = self.samples_per_request;
            problems.push(format!("{SECTION}.samples_per_request is {got}, expected 1 to {SAMPLES_PER_REQUEST_MAX}"));
        }
        problems
    }

    /// The model's name on this side.
    pub(crate) fn model(&self, side: Side) -> &str {
        match side {
            Side::Base => &self.base_model,
            Side::Adapter => &self.adapter_model,
        }
    }

    /// How the endpoint of this side is asked.
    pub(crate) fn endpoint(&self, side: Side) -> Result<EndpointConfig, EndpointError> {
        self.keys(side).config(self.api)
    }

    fn keys(&self, side: Side) -> EndpointKeys<'_> {
        let of_side = |adapters: &'_ Option<String>| adapters.is_some() && side == Side::Adapter;
        let base_url = if of_side(&self.adapter_base_url) { self.adapter_base_url.as_deref() } else { None };
        let api_key_env = if of_side(&self.adapter_api_key_env) { self.adapter_api_key_env.as_deref() } else { None };
        EndpointKeys {
            section: "evaluation.generator",
            base_url: base_url.unwrap_or(&self.base_url),
            api_key_env: api_key_env.unwrap_or(&self.api_key_env),
            concurrency: self.concurrency,
            retries: self.retries,
            timeout_seconds: self.timeout_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EndpointGeneratorConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn the_adapter_is_asked_where_the_base_is_unless_told_otherwise() -> Result<(), Box<dyn std::error::Error>> {
        let mut config = parse(r#"{"base_url": "http://127.0.0.1:1/v1", "base_model": "b", "adapter_model": "a"}"#)?;
        assert_eq!(config.validate(), Vec::<String>::new());
        assert_eq!(config.endpoint(Side::Adapter)?.url, config.endpoint(Side::Base)?.url);
        config.adapter_base_url = Some("http://127.0.0.1:2/v1".to_owned());
        config.adapter_api_key_env = Some("OTHER_KEY".to_owned());
        let (base, adapter) = (config.endpoint(Side::Base)?, config.endpoint(Side::Adapter)?);
        assert_eq!((base.url.port(), adapter.url.port()), (Some(1), Some(2)));
        assert_eq!((base.api_key_env.as_str(), adapter.api_key_env.as_str()), ("OPENAI_API_KEY", "OTHER_KEY"));
        Ok(())
    }

    #[test]
    fn every_problem_is_listed_once() -> Result<(), serde_json::Error> {
        let config = parse(
            r#"{"base_url": "ftp://here", "base_model": "", "adapter_model": "a", "adapter_base_url": "there",
                "samples_per_request": 0, "concurrency": 0}"#,
        )?;
        let problems = config.validate();
        for key in ["base_url", "adapter_base_url", "base_model", "samples_per_request", "concurrency"] {
            let named = |problem: &&String| problem.starts_with(&format!("evaluation.generator.{key} "));
            assert_eq!(problems.iter().filter(named).count(), 1, "{key}: {problems:?}");
        }
        Ok(())
    }
}

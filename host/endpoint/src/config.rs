//! How an endpoint is asked: its address, where its key is, and how long it is waited for.

use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::EndpointError;

/// An endpoint's settings as plain values.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// What requests and answers look like.
    pub api: Api,
    /// Where requests are posted.
    pub url: Url,
    /// The environment variable that holds the key.
    pub api_key_env: String,
    /// How often a call that failed in passing is made again.
    pub retries: u32,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Which of an endpoint's two ways to be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// Messages, which the server lays out by its model's own chat template (`/chat/completions`).
    #[default]
    Chat,
    /// A text, which the model goes on with (`/completions`).
    Completions,
}

impl Api {
    /// What is appended to the base address.
    fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
        }
    }

    /// The address that is asked, or what was expected of `base_url`.
    pub fn url(self, base_url: &str) -> Result<Url, &'static str> {
        let url = Url::parse(base_url).map_err(|_| "an address such as `https://api.openai.com/v1`")?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("an http or https address");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address without a user or a password; the key stands in the environment");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address without `?` and `#`");
        }
        let whole = format!("{}{}", url.as_str().trim_end_matches('/'), self.path());
        Url::parse(&whole).map_err(|_| "an address to which `/chat/completions` can be appended")
    }
}

/// Whether an address is of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an environment variable can have this name.
fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The address for a message: what stands before an `@` may be a password, what follows a `?` a key.
fn shown_url(text: &str) -> &str {
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.split_once('?').map_or(text, |(address, _)| address)
}

/// The keys that every section about an endpoint has, as they stand in a config.
#[derive(Debug, Clone, Copy)]
pub struct EndpointKeys<'a> {
    /// The section's path, which messages begin with: `enrich`.
    pub section: &'a str,
    /// Where the endpoint's API begins.
    pub base_url: &'a str,
    /// The environment variable that holds the key.
    pub api_key_env: &'a str,
    /// How many calls are open at once.
    pub concurrency: usize,
    /// How often a call that failed in passing is made again.
    pub retries: u32,
    /// How long one call may take.
    pub timeout_seconds: u64,
}

/// The most calls that may be open at once: each holds a connection.
const CONCURRENCY_MAX: usize = 1024;

impl EndpointKeys<'_> {
    /// Everything that is wrong with the values, each as one sentence that names its key.
    pub fn validate(&self) -> Vec<String> {
        let Self { section, base_url, api_key_env, concurrency, retries, timeout_seconds } = *self;
        let mut problems = Vec::new();
        if let Err(why) = Api::Chat.url(base_url) {
            problems.push(format!("{section}.base_url is `{}`, expected {why}", shown_url(base_url)));
        }
        if !is_variable_name(api_key_env) {
            // The value is not shown: it may be the key itself.
            let expected = "expected the name of an environment variable (letters, digits and `_`), not a key";
            problems.push(format!("{section}.api_key_env is not valid, {expected}"));
        }
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            problems.push(format!("{section}.concurrency is {concurrency}, expected 1 to {CONCURRENCY_MAX}"));
        }
        if retries > 20 {
            problems.push(format!("{section}.retries is {retries}, expected at most 20"));
        }
        if !(1..=86_400).contains(&timeout_seconds) {
            problems.push(format!("{section}.timeout_seconds is {timeout_seconds}, expected 1 to 86400"));
        }
        problems
    }

    /// How the endpoint is asked.
    pub fn config(&self, api: Api) -> Result<EndpointConfig, EndpointError> {
        Ok(EndpointConfig {
            api,
            url: api.url(self.base_url).map_err(EndpointError::BadAddress)?,
            api_key_env: self.api_key_env.to_owned(),
            retries: self.retries,
            timeout: Duration::from_secs(self.timeout_seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (address, here) in
            [("http://localhost:1/v1", true), ("http://[::1]:1", true), ("https://api.openai.com/v1", false)]
        {
            assert_eq!(is_loopback(&Url::parse(address).expect("an address")), here, "{address}");
        }
    }

    #[test]
    fn the_path_is_appended_once() {
        let url = Api::Completions.url("http://127.0.0.1:8000/v1").expect("it is an address");
        assert_eq!(url.as_str(), "http://127.0.0.1:8000/v1/completions");
        let url = Api::Chat.url("http://127.0.0.1:8000/v1/").expect("it is an address");
        assert_eq!(url.as_str(), "http://127.0.0.1:8000/v1/chat/completions");
        assert!(is_loopback(&url));
    }
}

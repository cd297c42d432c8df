//! How an endpoint is asked: its address, where its key is, and how long it is waited for.

use std::time::Duration;

use reqwest::Url;

/// An endpoint's settings as plain values.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Where requests are posted.
    pub url: Url,
    /// The environment variable that holds the key.
    pub api_key_env: String,
    /// How often a call that failed in passing is made again.
    pub retries: u32,
    /// How long one call may take.
    pub timeout: Duration,
}

/// The address that is asked, or what was expected of `base_url`.
pub fn completions_url(base_url: &str) -> Result<Url, &'static str> {
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
    let whole = format!("{}/chat/completions", url.as_str().trim_end_matches('/'));
    Url::parse(&whole).map_err(|_| "an address to which `/chat/completions` can be appended")
}

/// Whether an address is of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an environment variable can have this name.
pub fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The address for a message: what stands before an `@` may be a password, what follows a `?` a key.
pub fn shown_url(text: &str) -> &str {
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.split_once('?').map_or(text, |(address, _)| address)
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
        let url = completions_url("http://127.0.0.1:8000/v1/").expect("it is an address");
        assert_eq!(url.as_str(), "http://127.0.0.1:8000/v1/chat/completions");
        assert!(is_loopback(&url));
    }
}

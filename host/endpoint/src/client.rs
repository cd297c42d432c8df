//! The client of an endpoint: posts a request, makes a call that failed in passing again, and reads the answer.
//!
//! The API key is read from the environment once, sent as a header that no log shows, and struck out of whatever a
//! server says. Redirects are not followed: a request with a key goes where the config says and nowhere else.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::answer::{Answer, Demand};
use super::config::{Api, EndpointConfig, is_loopback};
use super::error::EndpointError;
use super::retry::{RETRY_AFTER_MAX, backoff, retry_after};
use hilora_contract::artifact::ContentHash;

/// The most bytes of an answer; far more than any `max_tokens` gives.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The most characters of a server's words in a message.
const WORDS_MAX: usize = 400;
/// How often a waiting call looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// An endpoint, ready to be asked.
pub struct Endpoint {
    client: Client,
    api: Api,
    url: Url,
    key: Option<String>,
    retries: u32,
}

/// How a call ended.
pub enum CallEnd {
    /// With an answer.
    Answered(Answer),
    /// With a refusal that may be about this request alone (its length, its content), as an answer that says so and as
    /// the error that it is if every request is refused.
    Refused {
        /// The refusal as an answer.
        answer: Answer,
        /// The refusal as an error.
        error: EndpointError,
    },
    /// Before another attempt, because the run is stopping.
    Stopped,
    /// With an error that stops the run.
    Failed(EndpointError),
}

/// How one attempt ended.
enum Attempt {
    Answered(Answer),
    /// It may go better the next time, which the server may have set.
    Passing {
        message: String,
        wait: Option<Duration>,
    },
    Refused {
        status: StatusCode,
        message: String,
    },
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorWords,
}

/// Servers send `{"error": {"message": …}}` or `{"error": …}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorWords {
    Message { message: String },
    Plain(String),
}

impl Endpoint {
    /// The endpoint of a config, with the key from the environment.
    pub fn new(config: EndpointConfig) -> Result<Self, EndpointError> {
        let EndpointConfig { api, url, api_key_env: variable, retries, timeout } = config;
        let local = is_loopback(&url);

        let key = std::env::var(&variable).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if key.is_none() && !local {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(EndpointError::NoKey { variable, host });
        }
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(key) = &key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| EndpointError::BadKey { variable })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        install_crypto();
        let mut builder =
            Client::builder().default_headers(headers).timeout(timeout).redirect(reqwest::redirect::Policy::none());
        if local {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| EndpointError::Client(chain(&error)))?;
        Ok(Self { client, api, url, key, retries })
    }

    /// Where requests go, for a message.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Posts a body until there is an answer that meets the demand, the call may not be made again, or `stopping` is set.
    /// `key` is the request's own name.
    pub(crate) async fn ask(&self, key: &ContentHash, body: &str, demand: Demand, stopping: &AtomicBool) -> CallEnd {
        let mut failed = 0;
        loop {
            let (message, wait) = match self.attempt(body, demand).await {
                Attempt::Answered(answer) => return CallEnd::Answered(answer),
                Attempt::Refused { status, message } => {
                    let of_request = matches!(
                        status,
                        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
                    );
                    let answer = Answer::refused(message.clone());
                    let (url, status) = (self.url.to_string(), status.as_u16());
                    let error = EndpointError::Refused { url, status, message };
                    return if of_request { CallEnd::Refused { answer, error } } else { CallEnd::Failed(error) };
                }
                Attempt::Passing { message, wait } => (message, wait),
            };
            failed += 1;
            let too_long = wait.is_some_and(|wait| wait > RETRY_AFTER_MAX);
            let message = match wait {
                Some(wait) if too_long => format!("{message}; it asks for a pause of {} s", wait.as_secs()),
                _ => message,
            };
            if failed > self.retries || too_long {
                return CallEnd::Failed(EndpointError::NoAnswer {
                    url: self.url.to_string(),
                    attempts: failed,
                    message,
                });
            }
            tracing::debug!(key = %key.short(), failed, message, "a call failed and is made again");
            let until = tokio::time::Instant::now() + wait.unwrap_or_else(|| backoff(key, failed));
            loop {
                if stopping.load(Ordering::SeqCst) {
                    return CallEnd::Stopped;
                }
                let left = until.saturating_duration_since(tokio::time::Instant::now());
                if left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(STOP_POLL)).await;
            }
        }
    }

    async fn attempt(&self, body: &str, demand: Demand) -> Attempt {
        let passing = |message: String| Attempt::Passing { message, wait: None };
        let response = match self.client.post(self.url.clone()).body(body.to_owned()).send().await {
            Ok(response) => response,
            Err(error) => return passing(self.words(&chain(&error.without_url()))),
        };
        let status = response.status();
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after(value, SystemTime::now()));
        let body = match read_body(response).await {
            Ok(body) => body,
            Err(message) => return passing(self.words(&message)),
        };
        if status.is_success() {
            let answer = Answer::read(self.api, &body).and_then(|answer| demand.check(answer));
            return match answer {
                Ok(answer) => Attempt::Answered(answer),
                Err(why) => passing(self.words(&format!("status {status} with an answer that cannot be read: {why}"))),
            };
        }
        let words = match serde_json::from_slice(&body) {
            Ok(ErrorBody { error: ErrorWords::Message { message } | ErrorWords::Plain(message) }) => message,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        let message = self.words(&words);
        let again =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if again {
            Attempt::Passing { message: format!("status {status}: {message}"), wait }
        } else {
            Attempt::Refused { status, message }
        }
    }

    /// A server's words for a message: one line, cut, without the key.
    fn words(&self, text: &str) -> String {
        let text = match &self.key {
            Some(key) => text.replace(key.as_str(), "[API key]"),
            None => text.to_owned(),
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut: String = line.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        if cut.is_empty() { "no words".to_owned() } else { cut }
    }
}

/// Reads a body that may not be trusted to end.
async fn read_body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// An error with its causes; the outermost alone says only that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// reqwest is built without a cryptography of its own; rustls takes the process's.
fn install_crypto() {
    static ONCE: Once = Once::new();
    // An error means that somebody installed one before, which serves as well.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Result<Endpoint, EndpointError> {
        let url = Api::Chat.url(base_url).map_err(EndpointError::BadAddress)?;
        let api_key_env = "HILORA_TEST_NO_SUCH_KEY".to_owned();
        Endpoint::new(EndpointConfig { api: Api::Chat, url, api_key_env, retries: 0, timeout: Duration::from_secs(1) })
    }

    #[test]
    fn only_a_server_on_this_machine_is_asked_without_a_key() {
        assert!(endpoint("http://localhost:1/v1").is_ok());
        let refused = endpoint("https://api.example.com/v1").err().expect("a key is missing").to_string();
        let expected = "the environment variable HILORA_TEST_NO_SUCH_KEY is not set, expected the API key for \
                        api.example.com";
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_key_is_struck_out_of_a_servers_words() -> Result<(), EndpointError> {
        let endpoint = Endpoint { key: Some("sk-secret".to_owned()), ..endpoint("http://127.0.0.1:1")? };
        assert_eq!(endpoint.words("Incorrect API key: sk-secret.\n\u{7}See"), "Incorrect API key: [API key]. See");
        assert_eq!(endpoint.words(" \n"), "no words");
        assert_eq!(endpoint.words(&"x".repeat(9000)).len(), WORDS_MAX);
        Ok(())
    }
}

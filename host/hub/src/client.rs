//! The client: requests to a hub, and to where it sends on to. It holds what a server may do to a bound: the redirects,
//! where they lead, how long it may take and how much it may say. The token is for the hub alone.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderValue, Response, header};
use ureq::{Agent, Body, BodyReader, Timeout};
use url::Url;

use super::error::shown;
use super::retry::Passing;
use super::settings::Settings;

/// Redirects that are followed for one request.
const REDIRECTS_MAX: usize = 5;
/// How long a connection may take, with the names that are looked up and the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer's headers, of which there may be 128.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes a second, below which a body counts as stalled.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;
/// How long a small answer may take as a whole.
const SMALL_BODY_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a request gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The answer says that it is none.
    #[error("HTTP {status}")]
    Status {
        /// The code.
        status: u16,
        /// Whether the hub itself said so, and not somebody that it sent us to.
        by_hub: bool,
    },
    /// The server may not say this.
    #[error("{0}")]
    Answer(String),
    /// The connection failed, or broke on the way.
    #[error("{0}")]
    Broken(String),
}

impl Passing for RequestError {
    fn is_passing(&self) -> bool {
        match self {
            // The server waited too long for us, or is asked too often, or failed.
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Broken(_) => true,
            Self::Answer(_) => false,
        }
    }
}

/// A client of one hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Url,
    authorization: Option<HeaderValue>,
    stall_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Head,
    Get,
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, one by one.
            .max_redirects(0)
            .max_response_header_size(HEADER_BYTES_MAX)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_request(Some(settings.answer_timeout))
            .timeout_recv_response(Some(settings.answer_timeout))
            .timeout_per_read(Some(settings.stall_timeout))
            .user_agent(concat!("hilora-host/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            endpoint: settings.endpoint.clone(),
            authorization: settings.authorization.clone(),
            stall_timeout: settings.stall_timeout,
        }
    }

    /// The hub, as messages name it.
    pub(crate) fn endpoint(&self) -> String {
        shown(self.endpoint.as_str().trim_end_matches('/'))
    }

    pub(crate) fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// A URL of the hub, from parts that are escaped here.
    pub(crate) fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        // An http URL can always be a base.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// The whole body of a small answer; more than `bytes_max` is an error.
    pub(crate) fn small(&self, url: Url, bytes_max: u64) -> Result<Vec<u8>, RequestError> {
        let mut answer = self.follow(Method::Get, url, 0, |_| false)?.content(self.stall_timeout)?;
        let too_long = || RequestError::Answer(format!("expected at most {bytes_max} bytes, got more"));
        if answer.length().is_some_and(|length| length > bytes_max) {
            return Err(too_long());
        }
        let (began, mut body, mut buffer) = (Instant::now(), Vec::new(), vec![0; 64 << 10]);
        loop {
            match answer.read(&mut buffer)? {
                0 => return Ok(body),
                read if (body.len() + read) as u64 > bytes_max => return Err(too_long()),
                _ if began.elapsed() > SMALL_BODY_TIMEOUT => {
                    return Err(RequestError::Broken(format!("not whole after {} s", SMALL_BODY_TIMEOUT.as_secs())));
                }
                read => body.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// The headers of a file: of the first answer on the way to it that satisfies `is_enough`, or of the last.
    pub(crate) fn headers(&self, url: Url, is_enough: impl Fn(&HeaderMap) -> bool) -> Result<HeaderMap, RequestError> {
        let answer = self.follow(Method::Head, url, 0, is_enough)?;
        Ok(answer.response.into_parts().0.headers)
    }

    /// A file from its byte `from` on.
    pub(crate) fn file(&self, url: Url, from: u64) -> Result<Content, RequestError> {
        self.follow(Method::Get, url, from, |_| false)?.content(self.stall_timeout)
    }

    /// Asks, and goes where the answers say, until one of them is no redirect or is enough.
    fn follow(
        &self,
        method: Method,
        mut url: Url,
        from: u64,
        is_enough: impl Fn(&HeaderMap) -> bool,
    ) -> Result<Answer, RequestError> {
        let mut by_hub = true;
        for _ in 0..=REDIRECTS_MAX {
            // Whoever we were sent to may send us back, but not with the token.
            by_hub &= url.origin() == self.endpoint.origin();
            let response = self.ask(method, &url, from, by_hub)?;
            let status = response.status().as_u16();
            let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
            if is_redirect && !is_enough(response.headers()) {
                url = target(&url, response.headers()).map_err(RequestError::Answer)?;
                continue;
            }
            return match status {
                200 => Ok(Answer { response, from: 0 }),
                206 if from > 0 => Ok(Answer { response, from }),
                _ if is_redirect => Ok(Answer { response, from: 0 }),
                _ => Err(RequestError::Status { status, by_hub }),
            };
        }
        Err(RequestError::Answer(format!("expected at most {REDIRECTS_MAX} redirects, got more")))
    }

    fn ask(&self, method: Method, url: &Url, from: u64, by_hub: bool) -> Result<Response<Body>, RequestError> {
        let mut request = match method {
            Method::Head => self.agent.head(url.as_str()),
            Method::Get => self.agent.get(url.as_str()),
        };
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Some(authorization) = self.authorization.as_ref().filter(|_| by_hub) {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(told)
    }
}

/// An answer that is no error.
struct Answer {
    response: Response<Body>,
    /// The byte from which it was asked for, and by its status is.
    from: u64,
}

impl Answer {
    fn content(self, stall_timeout: Duration) -> Result<Content, RequestError> {
        let (parts, body) = self.response.into_parts();
        if let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let got = shown(&String::from_utf8_lossy(encoding.as_bytes()));
            return Err(RequestError::Answer(format!("expected the bytes as they are, got them encoded as `{got}`")));
        }
        let pace = Pace { window: stall_timeout, began: Instant::now(), bytes: 0 };
        Ok(Content { headers: parts.headers, from: self.from, reader: body.into_reader(), pace })
    }
}

/// A body on its way.
pub(crate) struct Content {
    headers: HeaderMap,
    /// The byte of the file that it begins with, by the answer's status.
    pub(crate) from: u64,
    reader: BodyReader<'static>,
    pace: Pace,
}

impl Content {
    /// The bytes of this body, if that is said.
    pub(crate) fn length(&self) -> Option<u64> {
        number(&self.headers, header::CONTENT_LENGTH.as_str())
    }

    /// The first byte and all bytes of the file, as a part of it says them.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let text = self.headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, all) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        let all = if all == "*" { None } else { Some(all.parse().ok()?) };
        Some((first.parse().ok()?, all))
    }

    /// The next bytes; none at the end. A body that stands still is an error.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, RequestError> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(told(error.into())),
                Ok(read) => {
                    self.pace.count(read).map_err(RequestError::Broken)?;
                    return Ok(read);
                }
            }
        }
    }
}

/// How fast a body comes, in windows of time.
struct Pace {
    window: Duration,
    began: Instant,
    bytes: u64,
}

impl Pace {
    fn count(&mut self, read: usize) -> Result<(), String> {
        self.bytes += read as u64;
        if self.began.elapsed() < self.window {
            return Ok(());
        }
        if self.bytes < BYTES_PER_SECOND_MIN * self.window.as_secs() {
            return Err(format!("stalled: {} bytes in {} s", self.bytes, self.window.as_secs()));
        }
        (self.began, self.bytes) = (Instant::now(), 0);
        Ok(())
    }
}

/// Where a redirect leads.
fn target(url: &Url, headers: &HeaderMap) -> Result<Url, String> {
    let location = headers.get(header::LOCATION).ok_or("expected a redirect to say where to, got no Location")?;
    let location = String::from_utf8_lossy(location.as_bytes());
    let wrong = |expected: &str| format!("expected a redirect {expected}, got one to `{}`", shown(&location));
    let target = url.join(&location).map_err(|_| wrong("to a URL"))?;
    if !matches!(target.scheme(), "http" | "https") || !target.has_host() {
        return Err(wrong("to http or https"));
    }
    if url.scheme() == "https" && target.scheme() == "http" {
        return Err(wrong("from https to stay there"));
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err("expected a redirect without a name and a password, got one with them".to_owned());
    }
    Ok(target)
}

/// A header that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What ureq says, sorted by what may be done about it.
fn told(error: ureq::Error) -> RequestError {
    use ureq::Error as E;
    match error {
        E::Timeout(Timeout::PerRead | Timeout::RecvBody) => RequestError::Broken("stalled: no byte came".to_owned()),
        E::Timeout(reason) => RequestError::Broken(format!("it took too long ({reason})")),
        E::LargeResponseHeader(..) => {
            RequestError::Answer(format!("expected at most {HEADER_BYTES_MAX} bytes of headers, got more"))
        }
        E::Protocol(_) | E::BadUri(_) | E::Http(_) => RequestError::Answer(shown(&error.to_string())),
        E::Io(error) => RequestError::Broken(shown(&error.to_string())),
        error => RequestError::Broken(shown(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(from: &str, location: &'static str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(location));
        let from = from.parse().map_err(|_| "not a URL")?;
        target(&from, &headers).map(|url| url.to_string())
    }

    #[test]
    fn a_redirect_leads_to_the_web_and_stays_encrypted() {
        let from = "https://hub.example/a/b";
        assert_eq!(sent_to(from, "/c?d").as_deref(), Ok("https://hub.example/c?d"));
        assert_eq!(sent_to(from, "c").as_deref(), Ok("https://hub.example/a/c"));
        assert_eq!(sent_to(from, "//other.example/c").as_deref(), Ok("https://other.example/c"));
        assert_eq!(sent_to("http://hub.example", "https://hub.example").as_deref(), Ok("https://hub.example/"));
        for location in ["file:///etc/passwd", "ftp://a", "http://hub.example/a", "https://", "https://a@b/", "data:,x"]
        {
            assert!(sent_to(from, location).is_err(), "{location}");
        }
        assert!(target(&Url::parse(from).expect("a URL"), &HeaderMap::new()).is_err());
    }
}

//! The settings: what Hugging Face's environment variables say, read as their own tools read them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hilora_contract::artifact::FileError;
use ureq::http::HeaderValue;
use url::Url;

use super::HubError;
use super::error::shown;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// How long a server may say nothing; longer than Hugging Face's own ten seconds, because a run may wait for this alone.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
/// The longest of both that can be asked for, in seconds.
const PATIENCE_SECONDS_MAX: u64 = 24 * 3600;
/// Bytes of a file that holds a token.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// Every variable that is read.
const VARIABLES: [&str; 14] = [
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HOME",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
];

/// The variables as they are, of which nothing has been believed yet.
pub(crate) struct Environment(BTreeMap<&'static str, OsString>);

/// How the hub is asked.
pub(crate) struct Settings {
    /// The hub; an http or https URL without a name, a password, a query and a fragment.
    pub(crate) endpoint: Url,
    /// The value of the header that carries the token.
    pub(crate) authorization: Option<HeaderValue>,
    /// How long the headers of an answer may take.
    pub(crate) answer_timeout: Duration,
    /// How long a body may stand still.
    pub(crate) stall_timeout: Duration,
}

impl Environment {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        Self(VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect())
    }

    /// The folder of the cache.
    pub(crate) fn cache(&self) -> Result<PathBuf, HubError> {
        match self.path("HF_HUB_CACHE").or_else(|| self.path("HUGGINGFACE_HUB_CACHE")) {
            Some(cache) => Ok(cache),
            None => Ok(self.home()?.join("hub")),
        }
    }

    /// Whether nobody may be asked.
    pub(crate) fn is_offline(&self) -> bool {
        self.is_yes("HF_HUB_OFFLINE") || self.is_yes("TRANSFORMERS_OFFLINE")
    }

    /// How the hub is asked, which is of no matter where nobody may be; the first that means nothing is the error.
    pub(crate) fn settings(&self) -> Result<Settings, HubError> {
        Ok(Settings {
            endpoint: self.endpoint()?,
            authorization: self.authorization()?,
            answer_timeout: self.seconds("HF_HUB_ETAG_TIMEOUT")?,
            stall_timeout: self.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
        })
    }

    /// The trimmed text of a variable that is set to something.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.to_string_lossy();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.0.get(name).filter(|path| !path.is_empty())?);
        match (path.strip_prefix("~"), self.0.get("HOME")) {
            (Ok(below), Some(home)) => Some(Path::new(home).join(below)),
            _ => Some(path),
        }
    }

    fn home(&self) -> Result<PathBuf, HubError> {
        let cache = || self.path("XDG_CACHE_HOME").or_else(|| Some(self.path("HOME")?.join(".cache")));
        self.path("HF_HOME").or_else(|| Some(cache()?.join("huggingface"))).ok_or_else(|| HubError::Setting {
            name: "HF_HOME".to_owned(),
            expected: "a folder, or HOME to be set",
            got: "neither".to_owned(),
        })
    }

    fn endpoint(&self) -> Result<Url, HubError> {
        let text = self.text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let wrong = |got: String| HubError::Setting {
            name: "HF_ENDPOINT".to_owned(),
            expected: "the URL of a hub, like https://huggingface.co",
            got,
        };
        let url: Url = text.trim_end_matches('/').parse().map_err(|_| wrong(format!("`{}`", shown(&text))))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("one with a name and a password".to_owned()));
        }
        let is_plain = url.query().is_none() && url.fragment().is_none();
        match matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain {
            true => Ok(url),
            false => Err(wrong(format!("`{}`", shown(&text)))),
        }
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, HubError> {
        // A token that no argument names is an implicit one, and here there is no such argument.
        if self.is_yes("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        let stored = || {
            let path = match self.path("HF_TOKEN_PATH") {
                Some(path) => path,
                None => self.home()?.join("token"),
            };
            Ok::<_, HubError>(stored_token(&path)?.map(|token| (path.display().to_string(), token)))
        };
        let named = |name: &str| Some((name.to_owned(), self.text(name)?));
        let token = match named("HF_TOKEN").or_else(|| named("HUGGING_FACE_HUB_TOKEN")) {
            Some(token) => Some(token),
            None => stored()?,
        };
        let Some((name, token)) = token else { return Ok(None) };
        let token: String = token.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let got = "other characters".to_owned();
            return Err(HubError::Setting { name, expected: "a token of letters, digits and signs", got });
        }
        // Only visible characters are left, so that this cannot fail.
        let header = HeaderValue::try_from(format!("Bearer {token}")).ok();
        Ok(header.map(|mut header| {
            header.set_sensitive(true);
            header
        }))
    }

    fn is_yes(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()))
    }

    fn seconds(&self, name: &str) -> Result<Duration, HubError> {
        let Some(text) = self.text(name) else { return Ok(DEFAULT_PATIENCE) };
        match text.parse() {
            Ok(seconds @ 1..=PATIENCE_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
            _ => Err(HubError::Setting {
                name: name.to_owned(),
                expected: "whole seconds, at least 1 and at most a day",
                got: format!("`{}`", shown(&text)),
            }),
        }
    }
}

/// The token that Hugging Face's own tools stored; nothing where there is none.
fn stored_token(path: &Path) -> Result<Option<String>, FileError> {
    let read = || -> io::Result<String> {
        let mut token = String::new();
        File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut token)?;
        Ok(token.trim().to_owned())
    };
    match read() {
        Ok(token) => Ok(Some(token).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::reading(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&'static str, &str)]) -> Environment {
        let home = ("HOME", OsString::from("/nowhere"));
        let variables = variables.iter().map(|(name, value)| (*name, OsString::from(value)));
        Environment(std::iter::once(home).chain(variables).collect())
    }

    fn settings(variables: &[(&'static str, &str)]) -> Result<Settings, HubError> {
        environment(variables).settings()
    }

    #[test]
    fn folders_are_found_as_hugging_faces_own_tools_find_them() -> Result<(), HubError> {
        let cache = |variables: &[(&'static str, &str)]| environment(variables).cache();
        assert_eq!(cache(&[])?, Path::new("/nowhere/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")])?, Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")])?, Path::new("/nowhere/h/hub"));
        let both = [("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")];
        assert_eq!(cache(&both)?, Path::new("/old"));
        assert_eq!(cache(&[both[0], both[1], ("HF_HUB_CACHE", "/new")])?, Path::new("/new"));
        Ok(())
    }

    #[test]
    fn the_token_of_the_environment_goes_before_a_stored_one() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("other").display().to_string();
        std::fs::write(&path, "stored\n")?;
        let token = |variables: &[(&'static str, &str)]| -> Result<Option<String>, HubError> {
            let header = settings(variables)?.authorization;
            Ok(header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned()))
        };
        assert_eq!(token(&[])?, None);
        let stored = ("HF_TOKEN_PATH", path.as_str());
        assert_eq!(token(&[stored])?.as_deref(), Some("Bearer stored"));
        assert_eq!(token(&[stored, ("HF_TOKEN", " set ")])?.as_deref(), Some("Bearer set"));
        let implicit = |value| ("HF_HUB_DISABLE_IMPLICIT_TOKEN", value);
        assert_eq!(token(&[stored, ("HF_TOKEN", "set"), implicit("1")])?, None);
        assert_eq!(token(&[stored, implicit("0")])?.as_deref(), Some("Bearer stored"));
        let error = token(&[("HF_TOKEN", "sec ret")]).expect_err("a space");
        assert!(!error.to_string().contains("sec"), "{error}");
        Ok(())
    }

    #[test]
    fn an_endpoint_is_a_url_of_the_web_without_secrets() {
        for (text, url) in [("http://127.0.0.1:9/", "http://127.0.0.1:9/"), ("https://a.b/c/d", "https://a.b/c/d")] {
            assert_eq!(
                settings(&[("HF_ENDPOINT", text)]).ok().map(|found| found.endpoint.to_string()).as_deref(),
                Some(url)
            );
        }
        for text in ["file:///etc", "huggingface.co", "ftp://a.b", "https://me:secret@a.b", "https://a.b/?c", "http://"]
        {
            let error = settings(&[("HF_ENDPOINT", text)]).err().expect(text).to_string();
            assert!(
                error.starts_with("HF_ENDPOINT: expected the URL of a hub") && !error.contains("secret"),
                "{error}"
            );
        }
        for seconds in ["0", "-1", "x", "1.5", "100000"] {
            assert!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", seconds)]).is_err(), "{seconds}");
        }
    }
}

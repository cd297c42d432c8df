//! A language that programs are written in: an open vocabulary, each name a solution runner's own word for what it runs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most characters of a name.
const NAME_CHARACTERS_MAX: usize = 32;

/// A language's name, for example `python3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(Cow<'static, str>);

/// A text that names no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a language's name of at most {NAME_CHARACTERS_MAX} lower-case letters, digits and `+`, `#`, `-`, `_`, \
     `.`, got `{0}`"
)]
pub struct LanguageError(String);

impl Language {
    /// Python 3.
    pub const PYTHON3: Self = Self(Cow::Borrowed("python3"));
    /// JavaScript.
    pub const JAVASCRIPT: Self = Self(Cow::Borrowed("javascript"));

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Language {
    type Error = LanguageError;

    fn try_from(name: String) -> Result<Self, LanguageError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+#-_.".contains(&byte);
        match !name.is_empty() && name.len() <= NAME_CHARACTERS_MAX && name.bytes().all(plain) {
            true => Ok(Self(Cow::Owned(name))),
            false => Err(LanguageError(name)),
        }
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(name: &str) -> Result<Self, LanguageError> {
        name.to_owned().try_into()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0.into_owned()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_plain_name_is_a_language() {
        for name in ["python3", "javascript", "c++", "c#", "ocaml-5.2", "f_star", &"a".repeat(32)] {
            assert_eq!(name.parse::<Language>().map(|language| language.to_string()), Ok(name.to_owned()));
        }
        assert_eq!("python3".parse(), Ok(Language::PYTHON3));
        for name in ["", "Python", "a b", "a/b", "é", "a\n", &"a".repeat(33)] {
            assert_eq!(name.parse::<Language>(), Err(LanguageError(name.to_owned())));
        }
    }

    #[test]
    fn in_json_it_is_its_name() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::to_string(&Language::JAVASCRIPT)?, "\"javascript\"");
        assert_eq!(serde_json::from_str::<Language>("\"cobol\"")?.as_str(), "cobol");
        let error = serde_json::from_str::<Language>("\"COBOL\"").map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("got `COBOL`")));
        Ok(())
    }
}

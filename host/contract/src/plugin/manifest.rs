//! A plugin's manifest: `plugin.toml` in its source, a custom section named `hilora:manifest` in its component.

use serde::{Deserialize, Serialize};

use super::Capability;
use crate::fault::{Blame, Fault};
use crate::terminal::visible_line;

/// The most characters of a name and of a version, which every message about the plugin repeats.
const NAME_CHARACTERS_MAX: usize = 64;

/// The most characters of what a parser says of a manifest.
const SYNTAX_CHARACTERS_MAX: usize = 400;

/// Who the plugin is and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name: lower-case letters, digits and dashes, beginning with a letter.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// What it asks for beyond nothing.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
}

/// Why a manifest is not one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not the TOML it must be.
    #[error("line {line} of the plugin's manifest: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// The name would be ambiguous in messages and file names.
    #[error("the plugin's name `{0}` must be lower-case letters, digits and dashes, beginning with a letter")]
    Name(String),
    /// The version is empty, or more than a word.
    #[error("the plugin `{0}` states no version of 1 to 64 letters, digits and `.`, `-`, `+`, `_`")]
    Version(String),
}

impl Fault for ManifestError {
    fn blame(&self) -> Blame {
        match self {
            Self::Syntax { .. } | Self::Name(_) | Self::Version(_) => Blame::Plugin,
        }
    }
}

impl Manifest {
    /// Reads and checks a manifest's text.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            // The parser repeats words of the manifest, which may be of any length.
            let message = visible_line(&message, SYNTAX_CHARACTERS_MAX);
            ManifestError::Syntax { line: before.matches('\n').count() + 1, message }
        })?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !manifest.name.starts_with(|c: char| c.is_ascii_lowercase()) || !manifest.name.chars().all(plain) {
            return Err(ManifestError::Name(visible_line(&manifest.name, NAME_CHARACTERS_MAX)));
        }
        if manifest.name.len() > NAME_CHARACTERS_MAX {
            return Err(ManifestError::Name(visible_line(&manifest.name, NAME_CHARACTERS_MAX)));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
        if !(1..=NAME_CHARACTERS_MAX).contains(&manifest.version.len()) || !manifest.version.chars().all(word) {
            return Err(ManifestError::Version(manifest.name));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_manifest() {
        let manifest =
            Manifest::parse("name = \"codecontests\"\nversion = \"0.1.0\"\ncapabilities = [\"read-source\"]");
        assert_eq!(manifest.expect("it is well-formed").capabilities, [Capability::ReadSource]);
    }

    #[test]
    fn refuses_unknown_keys_capabilities_and_names() {
        for wrong in [
            "name = \"a\"\nversion = \"1\"\nnetwork = true",
            "name = \"a\"\nversion = \"1\"\ncapabilities = [\"network\"]",
            "name = \"../a\"\nversion = \"1\"",
            "name = \"\"\nversion = \"1\"",
            "name = \"a\"\nversion = \"\"",
            "name = \"a\"\nversion = \"1\\u001b[2J\"",
            &format!("name = \"{}\"\nversion = \"1\"", "a".repeat(65)),
        ] {
            assert!(Manifest::parse(wrong).is_err(), "accepted {wrong:?}");
        }
    }

    #[test]
    fn no_words_of_a_manifest_are_repeated_raw_or_without_end() {
        let long = "x".repeat(1 << 20);
        for wrong in [
            format!("name = \"\\u001b[2J{long}\"\nversion = \"1\""),
            format!("name = \"a\"\nversion = \"\\u001b[2J{long}\""),
            format!("name = \"a\"\nversion = \"1\"\n\"\\u001b[2J{long}\" = 1"),
            format!("name = \"a\"\nversion = \"1\"\ncapabilities = [\"\\u001b[2J{long}\"]"),
        ] {
            let said = Manifest::parse(&wrong).expect_err("it is no manifest").to_string();
            assert!(said.chars().count() < 600 && !said.contains('\u{1b}'), "{said}");
        }
    }
}

//! Checkers: when what a program wrote is a right answer. They run on the host's side; of a plugin's checker, in an
//! instance that the program never meets.

use std::fmt;
use std::sync::Arc;

use super::json_value::json_values_match;
use super::lines::lines_match;
use super::tokens::{tokens_match, tokens_nearly_match};
use hilora_contract::dataset::TestCase;
use hilora_contract::plugin::{Decision, OutputChecker, PluginError};

/// How an output is held against the expected one.
#[derive(Clone, Default)]
pub enum Checker {
    /// Line by line; white space at the end of a line and empty lines at the end do not count.
    #[default]
    Lines,
    /// Token by token; no white space counts.
    Tokens,
    /// Token by token; two decimal numbers match within 1e-6, absolute or relative.
    Float,
    /// As JSON values: what a called function returned.
    JsonValue,
    /// As a plugin says, for problems that have several right answers.
    Plugin(Arc<dyn OutputChecker>),
}

impl Checker {
    /// The checker of this name; `None` where it is no built-in one.
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "lines" => Some(Self::Lines),
            "tokens" => Some(Self::Tokens),
            "float" => Some(Self::Float),
            _ => None,
        }
    }

    /// Decides on what a program wrote for this test.
    pub fn decide(&self, test: &TestCase, actual: &[u8]) -> Result<Decision, PluginError> {
        let expected = test.output.as_bytes();
        let matches = match self {
            Self::Lines => lines_match(expected, actual),
            Self::Tokens => tokens_match(expected, actual),
            Self::Float => tokens_nearly_match(expected, actual),
            Self::JsonValue => json_values_match(expected, actual),
            Self::Plugin(checker) => return checker.check(test, actual),
        };
        Ok(if matches { Decision::Accepted } else { Decision::Rejected(String::new()) })
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("lines"),
            Self::Tokens => f.write_str("tokens"),
            Self::Float => f.write_str("float"),
            Self::JsonValue => f.write_str("JSON value"),
            Self::Plugin(checker) => write!(f, "{}", checker.identity()),
        }
    }
}

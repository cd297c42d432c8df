//! The checker that a problem names: when an output is a right answer. It is a value; the judge knows how to compare, and
//! a plugin is found by its name.
//!
//! In JSON it is a name, or an object with a name and options:
//!
//! ```json
//! "tokens"
//! "decimals"
//! "answer"
//! {"name": "lines", "ignore_case": true}
//! {"name": "float", "absolute_tolerance": 1e-9, "relative_tolerance": 1e-9}
//! {"name": "any-order-checker", "options": {"separator": ","}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The tolerance of decimal numbers where none is named, absolute and relative, as testlib's `rcmp6` has it.
const TOLERANCE_DEFAULT: f64 = 1e-6;

/// When an output is a right answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub enum ProblemChecker {
    /// Line by line; white space at the end of a line and empty lines at the end do not count.
    Lines {
        /// Whether ASCII letters that differ in case alone are the same.
        ignore_case: bool,
    },
    /// Token by token; no white space counts.
    Tokens {
        /// Whether ASCII letters that differ in case alone are the same.
        ignore_case: bool,
    },
    /// Token by token; decimal numbers match within a tolerance.
    Float {
        /// Two numbers match if they differ by at most this much.
        absolute_tolerance: f64,
        /// They match as well if they differ by at most so many times the expected number.
        relative_tolerance: f64,
        /// Whether ASCII letters that differ in case alone are the same in all other tokens.
        ignore_case: bool,
    },
    /// Line by line, without the white space around them; lines of decimal numbers match by value, as LiveCodeBench grades.
    Decimals,
    /// As mathematical answers: the final answer of a text must say what is expected.
    Answer,
    /// As an output checker decides.
    Plugin {
        /// The name in the plugin's manifest.
        name: String,
        /// What it is told with every answer.
        options: Map<String, Value>,
    },
}

/// What cannot name a checker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemCheckerError {
    /// The name would be ambiguous in messages and file names.
    #[error("expected a checker's name of lower-case letters, digits and dashes, beginning with a letter, got `{0}`")]
    Name(String),
    /// An option of another checker.
    #[error("the checker `{name}` has no option `{option}`")]
    Option {
        /// The checker.
        name: String,
        /// The option that it does not have.
        option: &'static str,
    },
    /// A tolerance that is none.
    #[error("the checker `float` has the {option} {got}, expected a finite number that is not negative")]
    Tolerance {
        /// Which tolerance.
        option: &'static str,
        /// What it was.
        got: String,
    },
}

impl Default for ProblemChecker {
    fn default() -> Self {
        Self::Lines { ignore_case: false }
    }
}

impl ProblemChecker {
    /// The checker without any options; a name that is no built-in one's is a plugin's.
    pub fn named(name: &str) -> Result<Self, ProblemCheckerError> {
        Form::Name(name.to_owned()).try_into()
    }

    /// Whether it is the one of a problem that names none.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses tolerances that are none and names that are no plugin's.
    pub fn check(&self) -> Result<(), ProblemCheckerError> {
        match self {
            Self::Lines { .. } | Self::Tokens { .. } | Self::Decimals | Self::Answer => Ok(()),
            Self::Float { absolute_tolerance, relative_tolerance, .. } => {
                let options = [("absolute_tolerance", absolute_tolerance), ("relative_tolerance", relative_tolerance)];
                match options.into_iter().find(|(_, value)| !(value.is_finite() && **value >= 0.0)) {
                    Some((option, got)) => Err(ProblemCheckerError::Tolerance { option, got: got.to_string() }),
                    None => Ok(()),
                }
            }
            Self::Plugin { name, .. } => {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                match name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain) {
                    true => Ok(()),
                    false => Err(ProblemCheckerError::Name(name.clone())),
                }
            }
        }
    }
}

/// How it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a checker's name, or an object with its name and options")]
enum Form {
    Name(String),
    Options(Options),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absolute_tolerance: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relative_tolerance: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_case: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Map<String, Value>>,
}

impl TryFrom<Form> for ProblemChecker {
    type Error = ProblemCheckerError;

    fn try_from(form: Form) -> Result<Self, ProblemCheckerError> {
        let Options { name, absolute_tolerance, relative_tolerance, ignore_case, options } = match form {
            Form::Name(name) => Options { name, ..Options::default() },
            Form::Options(options) => options,
        };
        let (is_float, is_text) = (name == "float", ["lines", "tokens", "float"].contains(&name.as_str()));
        let foreign = [
            ("absolute_tolerance", absolute_tolerance.is_some() && !is_float),
            ("relative_tolerance", relative_tolerance.is_some() && !is_float),
            ("ignore_case", ignore_case.is_some() && !is_text),
            ("options", options.is_some() && (is_text || ["decimals", "answer"].contains(&name.as_str()))),
        ];
        if let Some((option, _)) = foreign.into_iter().find(|(_, given)| *given) {
            return Err(ProblemCheckerError::Option { name, option });
        }
        let ignore_case = ignore_case.unwrap_or(false);
        let checker = match name.as_str() {
            "lines" => Self::Lines { ignore_case },
            "tokens" => Self::Tokens { ignore_case },
            "decimals" => Self::Decimals,
            "answer" => Self::Answer,
            "float" => Self::Float {
                absolute_tolerance: absolute_tolerance.unwrap_or(TOLERANCE_DEFAULT),
                relative_tolerance: relative_tolerance.unwrap_or(TOLERANCE_DEFAULT),
                ignore_case,
            },
            _ => Self::Plugin { name, options: options.unwrap_or_default() },
        };
        checker.check()?;
        Ok(checker)
    }
}

impl From<ProblemChecker> for Form {
    /// As short as it can be said.
    fn from(checker: ProblemChecker) -> Self {
        let some = |ignore_case: bool| ignore_case.then_some(true);
        let tolerance = |value: f64| (value != TOLERANCE_DEFAULT).then_some(value);
        let options = match checker {
            ProblemChecker::Lines { ignore_case } => {
                Options { name: "lines".to_owned(), ignore_case: some(ignore_case), ..Options::default() }
            }
            ProblemChecker::Tokens { ignore_case } => {
                Options { name: "tokens".to_owned(), ignore_case: some(ignore_case), ..Options::default() }
            }
            ProblemChecker::Float { absolute_tolerance, relative_tolerance, ignore_case } => Options {
                name: "float".to_owned(),
                absolute_tolerance: tolerance(absolute_tolerance),
                relative_tolerance: tolerance(relative_tolerance),
                ignore_case: some(ignore_case),
                options: None,
            },
            ProblemChecker::Decimals => Options { name: "decimals".to_owned(), ..Options::default() },
            ProblemChecker::Answer => Options { name: "answer".to_owned(), ..Options::default() },
            ProblemChecker::Plugin { name, options } => {
                let options = Some(options).filter(|options| !options.is_empty());
                Options { name, options, ..Options::default() }
            }
        };
        let Options { name, absolute_tolerance, relative_tolerance, ignore_case, options: told } = &options;
        match (absolute_tolerance, relative_tolerance, ignore_case, told) {
            (None, None, None, None) => Self::Name(name.clone()),
            _ => Self::Options(options),
        }
    }
}

impl std::fmt::Display for ProblemChecker {
    /// Its JSON without the quotes of a mere name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Form::from(self.clone()) {
            Form::Name(name) => f.write_str(&name),
            Form::Options(options) => f.write_str(&serde_json::to_string(&options).map_err(|_| std::fmt::Error)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_json_is_as_short_as_it_can_be() -> Result<(), serde_json::Error> {
        for text in [
            r#""lines""#,
            r#""tokens""#,
            r#""float""#,
            r#""decimals""#,
            r#""answer""#,
            r#""any-order-checker""#,
            r#"{"name":"lines","ignore_case":true}"#,
            r#"{"name":"float","absolute_tolerance":1e-9,"relative_tolerance":0.0,"ignore_case":true}"#,
            r#"{"name":"any-order-checker","options":{"separator":","}}"#,
        ] {
            let checker: ProblemChecker = serde_json::from_str(text)?;
            assert_eq!(serde_json::to_string(&checker)?, text);
        }
        let long: ProblemChecker = serde_json::from_str(r#"{"name":"lines","ignore_case":false}"#)?;
        assert!(long.is_default());
        let tolerances: ProblemChecker = serde_json::from_str(r#"{"name":"float","relative_tolerance":1e-9}"#)?;
        let expected = ProblemChecker::Float { absolute_tolerance: 1e-6, relative_tolerance: 1e-9, ignore_case: false };
        assert_eq!(tolerances, expected);
        Ok(())
    }

    #[test]
    fn what_names_no_checker_is_refused() {
        for (text, expected) in [
            (r#""../x""#, "got `../x`"),
            (r#""""#, "got ``"),
            (r#"{"name":"lines","absolute_tolerance":1}"#, "`lines` has no option `absolute_tolerance`"),
            (r#"{"name":"answer","ignore_case":true}"#, "`answer` has no option `ignore_case`"),
            (r#"{"name":"decimals","ignore_case":true}"#, "`decimals` has no option `ignore_case`"),
            (r#"{"name":"answer","options":{}}"#, "`answer` has no option `options`"),
            (r#"{"name":"tokens","options":{}}"#, "`tokens` has no option `options`"),
            (r#"{"name":"a-plugin","ignore_case":true}"#, "`a-plugin` has no option `ignore_case`"),
            (r#"{"name":"float","absolute_tolerance":-1}"#, "the absolute_tolerance -1, expected"),
            ("7", "a checker's name, or an object"),
            (r#"{"name":"lines","ignore":true}"#, "a checker's name, or an object"),
        ] {
            let error = serde_json::from_str::<ProblemChecker>(text).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains(expected)), "{text}: {error:?}");
        }
    }
}

//! Checkers: when what a program wrote is a right answer. They run on the host's side; of a plugin's checker, in an
//! instance that the program never meets.

use std::fmt;
use std::sync::Arc;

use super::answer::{answers_match, final_answer};
use super::decimals::decimals_difference;
use super::json_value::json_values_match;
use super::lines::lines_difference;
use super::mismatch::Mismatch;
use super::pieces::bytes_difference;
use super::tokens::{Tolerance, tokens_difference};
use hilora_contract::dataset::{ProblemChecker, TestCase};
use hilora_contract::plugin::{CheckerOptions, Decision, OutputChecker, OutputCheckers, PluginError};

/// How an output is held against the expected one.
#[derive(Clone)]
pub enum Checker {
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
        /// How far apart two numbers may be.
        tolerance: Tolerance,
        /// Whether ASCII letters that differ in case alone are the same in all other tokens.
        ignore_case: bool,
    },
    /// Line by line, without the white space around them; lines of decimal numbers match by value, as LiveCodeBench grades.
    Decimals,
    /// As JSON values: what a called function returned.
    JsonValue,
    /// As mathematical answers: the text's final one.
    Answer,
    /// As a plugin says, for problems that have several right answers.
    Plugin {
        /// The plugin.
        checker: Arc<dyn OutputChecker>,
        /// What it is told beside each answer.
        options: CheckerOptions,
    },
}

impl Default for Checker {
    fn default() -> Self {
        Self::Lines { ignore_case: false }
    }
}

impl Checker {
    /// The checker that a problem names; `None` if it names a plugin that is not found.
    pub fn of(checker: &ProblemChecker, plugins: &dyn OutputCheckers) -> Result<Option<Self>, PluginError> {
        Ok(Some(match *checker {
            ProblemChecker::Lines { ignore_case } => Self::Lines { ignore_case },
            ProblemChecker::Tokens { ignore_case } => Self::Tokens { ignore_case },
            ProblemChecker::Float { absolute_tolerance, relative_tolerance, ignore_case } => {
                let tolerance = Tolerance { absolute: absolute_tolerance, relative: relative_tolerance };
                Self::Float { tolerance, ignore_case }
            }
            ProblemChecker::Decimals => Self::Decimals,
            ProblemChecker::Answer => Self::Answer,
            ProblemChecker::Plugin { ref name, ref options } => {
                return Ok(plugins.find(name)?.map(|checker| Self::Plugin { checker, options: options.clone() }));
            }
        }))
    }

    /// Decides on what a program wrote for this test.
    pub fn decide(&self, test: &TestCase, actual: &[u8]) -> Result<Decision, PluginError> {
        let expected = test.output.as_bytes();
        let matches = match self {
            Self::JsonValue => json_values_match(expected, actual),
            Self::Answer => return Ok(decide_answer(&test.output, actual)),
            Self::Plugin { checker, options } => return checker.check(test, actual, options),
            Self::Lines { .. } | Self::Tokens { .. } | Self::Float { .. } | Self::Decimals => {
                self.difference(expected, actual).is_none()
            }
        };
        Ok(if matches { Decision::Accepted } else { Decision::Rejected(String::new()) })
    }

    /// What was expected and what came, of an output that it has rejected.
    pub fn mismatch(&self, expected: &[u8], actual: &[u8]) -> Mismatch {
        let ends = (expected.len(), actual.len());
        let (of_expected, of_actual) = self.difference(expected, actual).unwrap_or(ends);
        Mismatch::at((expected, of_expected), (actual, of_actual))
    }

    /// Where two outputs first differ, as places in both. A plugin's checker tells no place: what it may accept has any
    /// number of forms, and so has a JSON value. There it is the first byte that differs beside white space.
    fn difference(&self, expected: &[u8], actual: &[u8]) -> Option<(usize, usize)> {
        match self {
            Self::Lines { ignore_case } => lines_difference(expected, actual, *ignore_case),
            Self::Tokens { ignore_case } => tokens_difference(expected, actual, None, *ignore_case),
            Self::Float { tolerance, ignore_case } => {
                tokens_difference(expected, actual, Some(*tolerance), *ignore_case)
            }
            Self::Decimals => decimals_difference(expected, actual),
            // Its final answer is what counts, and stands at the end.
            Self::Answer => None,
            Self::JsonValue | Self::Plugin { .. } => bytes_difference(expected, actual),
        }
    }

    /// Everything that decides of it, in words: its name with its options, or its plugin's hash with its options.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Plugin { checker, options } if options.is_empty() => checker.identity().content.to_string(),
            Self::Plugin { checker, options } => {
                format!("{} {}", checker.identity().content, serde_json::Value::Object(options.clone()))
            }
            built_in => format!("{built_in:?}"),
        }
    }
}

/// Why a text is rejected that gives no answer.
pub const NO_ANSWER: &str = "no final answer";

/// Holds the final answer of a text against what is expected, which may be a whole solution, too.
fn decide_answer(expected: &str, actual: &[u8]) -> Decision {
    let actual = String::from_utf8_lossy(actual);
    let Some(answer) = final_answer(&actual) else { return Decision::Rejected(NO_ANSWER.to_owned()) };
    let is_right = answers_match(expected, answer)
        || final_answer(expected).is_some_and(|expected| answers_match(expected, answer));
    match is_right {
        true => Decision::Accepted,
        false => Decision::Rejected(format!("the final answer is `{}`", shortened(answer))),
    }
}

/// At most so many characters of an answer stand in a message.
const SHOWN_MAX: usize = 80;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = match *self {
            Self::Lines { ignore_case } => ProblemChecker::Lines { ignore_case },
            Self::Tokens { ignore_case } => ProblemChecker::Tokens { ignore_case },
            Self::Float { tolerance: Tolerance { absolute, relative }, ignore_case } => {
                ProblemChecker::Float { absolute_tolerance: absolute, relative_tolerance: relative, ignore_case }
            }
            Self::Decimals => ProblemChecker::Decimals,
            Self::Answer => ProblemChecker::Answer,
            Self::JsonValue => return f.write_str("JSON value"),
            Self::Plugin { ref checker, .. } => return write!(f, "{}", checker.identity()),
        };
        write!(f, "{named}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decides(json: &str, expected: &str, actual: &str) -> Result<bool, Box<dyn std::error::Error>> {
        let none = |_: &str| Ok(None);
        let checker = Checker::of(&serde_json::from_str(json)?, &none)?.ok_or("no such plugin")?;
        let test = TestCase { input: String::new(), output: expected.to_owned() };
        Ok(checker.decide(&test, actual.as_bytes())? == Decision::Accepted)
    }

    #[test]
    fn a_problem_says_how_its_outputs_are_compared() -> Result<(), Box<dyn std::error::Error>> {
        for (json, expected, actual, is_right) in [
            (r#""lines""#, "YES", "Yes", false),
            (r#"{"name":"lines","ignore_case":true}"#, "YES 1\n", "Yes 1", true),
            (r#"{"name":"lines","ignore_case":true}"#, "YES 1", "Yes  1", false),
            (r#"{"name":"tokens","ignore_case":true}"#, "YES 1", "yes\n1", true),
            (r#"{"name":"tokens","ignore_case":true}"#, "YES", "YEA", false),
            (r#""float""#, "0.5 yes", "0.5000009 yes", true),
            (r#"{"name":"float","absolute_tolerance":1e-9}"#, "0.5", "0.5000004", true),
            (r#"{"name":"float","absolute_tolerance":1e-9,"relative_tolerance":0}"#, "0.5", "0.5000009", false),
            (r#"{"name":"float","absolute_tolerance":0.5,"relative_tolerance":0}"#, "100", "100.5", true),
            (r#"{"name":"float","absolute_tolerance":0,"relative_tolerance":0.01}"#, "-100", "-101", true),
            (r#"{"name":"float","absolute_tolerance":0,"relative_tolerance":0.01}"#, "100", "101.1", false),
            (r#"{"name":"float","ignore_case":true}"#, "0.5 YES", "0.5 yes", true),
            (r#""float""#, "0.5 YES", "0.5 yes", false),
            (r#""decimals""#, "0.5 1\nYES", " 0.50 1e0 \nYES", true),
            (r#""decimals""#, "0.5 YES", "0.50 YES", false),
            (r#""answer""#, "12", "3 times 4 is 12, so\n#### 12", true),
            (r#""answer""#, "3 times 4 is 12, so\n#### 12", "The answer is 12.0.", true),
            (r#""answer""#, "12", "3 times 4 is 12", false),
            (r#""answer""#, "\\frac12", "so it is $\\boxed{0.5}$", true),
        ] {
            assert_eq!(decides(json, expected, actual)?, is_right, "{json} {expected:?} {actual:?}");
        }
        Ok(())
    }

    #[test]
    fn its_options_are_part_of_what_a_receipt_says() -> Result<(), Box<dyn std::error::Error>> {
        let none = |_: &str| Ok(None);
        let ignoring = r#"{"name":"tokens","ignore_case":true}"#;
        for json in ["lines", "tokens", "float", "decimals", ignoring] {
            let named = if json == ignoring { serde_json::from_str(json)? } else { ProblemChecker::named(json)? };
            let checker = Checker::of(&named, &none)?.ok_or("no such plugin")?;
            assert_eq!(checker.fingerprint(), json);
        }
        assert!(Checker::of(&ProblemChecker::named("absent")?, &none)?.is_none());
        Ok(())
    }
}

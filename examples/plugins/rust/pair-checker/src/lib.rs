//! A checker: two positive whole numbers are right if their sum is the input, whichever they are.

use hilora_plugin_sdk::checker::{CheckError, Decision, OutputChecker};
use serde::Deserialize;

/// What a problem may tell the checker: `"checker": {"name": "pair-checker", "options": {"distinct": true}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whether the two must differ.
    #[serde(default)]
    distinct: bool,
}

/// The plugin.
pub struct PairChecker;

impl OutputChecker for PairChecker {
    // Fill in here: whether what a program wrote is right for this input. What a program writes is `Rejected` if it is wrong,
    // whatever it is; an error says that the test itself cannot be used.
    fn check(input: String, _expected: String, actual: Vec<u8>, options: String) -> Result<Decision, CheckError> {
        let options: Options = hilora_plugin_sdk::options(&options).map_err(CheckError::Options)?;
        let sum: u64 = input.trim().parse().map_err(|_| CheckError::BadTest("expected a whole number".to_owned()))?;
        let Some((first, second)) = pair(&actual) else {
            return Ok(Decision::Rejected("expected two positive whole numbers".to_owned()));
        };
        Ok(match first.checked_add(second) {
            Some(got) if got != sum => Decision::Rejected(format!("expected the sum {sum}, got {got}")),
            None => Decision::Rejected(format!("expected the sum {sum}, got a larger one")),
            Some(_) if options.distinct && first == second => Decision::Rejected("the two are the same".to_owned()),
            Some(_) => Decision::Accepted,
        })
    }
}

hilora_plugin_sdk::export_checker!(PairChecker);
hilora_plugin_sdk::manifest!("plugin.toml");

/// The two numbers of an output, if that is what it is.
fn pair(actual: &[u8]) -> Option<(u64, u64)> {
    let mut numbers = std::str::from_utf8(actual).ok()?.split_ascii_whitespace().map(|word| word.parse().ok());
    match (numbers.next()??, numbers.next()??, numbers.next()) {
        (0, _, _) | (_, 0, _) | (_, _, Some(_)) => None,
        (first, second, None) => Some((first, second)),
    }
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::harness;

    use super::*;

    #[test]
    fn answers_the_golden_cases() {
        harness::golden::checker::<PairChecker>("golden.jsonl");
    }
}

//! `--checker`: when an output is a right answer, in the words of a program's own `checker`.

use hilora_contract::dataset::ProblemChecker;
use hilora_judge::{Checker, Judge, JudgeError};

use super::failure::{Failure, Result};

/// What the argument's help says.
pub(super) const HELP: &str = "When an output is a right answer, where nothing else says it: lines, tokens, float, decimals, answer or a \
                               plugin's name, or a JSON object of its name and options ({\"name\": \"float\", \
                               \"absolute_tolerance\": 1e-4})";

/// Reads a name or an object.
pub(super) fn named(text: &str) -> std::result::Result<ProblemChecker, String> {
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string()),
        false => ProblemChecker::named(text).map_err(|error| error.to_string()),
    }
}

/// The checker of that name, which must exist.
pub(super) fn open(named: &ProblemChecker, judge: &Judge) -> Result<Checker> {
    judge.checker("--checker", named).map_err(|error| match error {
        JudgeError::UnknownChecker { checker, .. } => Failure::bad_input(
            format!("--checker names `{checker}`, which does not exist"),
            "expected `lines`, `tokens`, `float`, `decimals`, `answer`, or the name of an output checker under plugins/",
        ),
        error => error.into(),
    })
}

//! A failed program as the end of a batch tells it: the first test that it did not pass, with the cause or with what was
//! expected and what came.

use std::fmt;

use serde::Serialize;

use super::judged_program::JudgedProgram;
use super::mismatch::Mismatch;
use super::verdict::Verdict;

/// A program that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedProgram {
    /// The program's.
    pub id: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// The first test that it did not pass, from 1.
    pub test: u64,
    /// The exception with its message, the missing module, the limit or the checker's reason.
    pub detail: String,
    /// What was expected and what came, if it answered wrongly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

impl FailedProgram {
    /// The failure of a program, if it is one.
    pub fn of(program: &JudgedProgram) -> Option<Self> {
        let (index, test) = program.tests.iter().enumerate().find(|(_, test)| test.verdict != Verdict::Accepted)?;
        let (id, test_number) = (program.id.clone(), index as u64 + 1);
        let (detail, mismatch) = (test.detail.clone(), test.mismatch.clone());
        Some(Self { id, verdict: test.verdict, test: test_number, detail, mismatch })
    }
}

impl fmt::Display for FailedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, verdict, test, detail, mismatch } = self;
        write!(f, "`{id}`, test {test}: {verdict}")?;
        if !detail.is_empty() {
            write!(f, ": {detail}")?;
        }
        match mismatch {
            Some(mismatch) => write!(f, "\n{mismatch}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_place() {
        let mismatch = Some(Mismatch::at((b"1\n42\n", 3), (b"1\n41\n", 3)));
        let failed = FailedProgram {
            id: "p".to_owned(),
            verdict: Verdict::WrongAnswer,
            test: 2,
            detail: "not sorted".to_owned(),
            mismatch,
        };
        let expected = "`p`, test 2: wrong-answer: not sorted\n    expected: 42 (line 2, column 2)\n    \
                        came:     41 (line 2, column 2)";
        assert_eq!(failed.to_string(), expected);
    }
}

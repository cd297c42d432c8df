//! A judged answer: its verdict and, if it is an error, the cause that is counted.

use serde::{Deserialize, Serialize};

use super::failed_test::FailedTest;
use hilora_judge::{Judgement, Verdict};

/// What was found of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgedAnswer {
    pub(crate) verdict: Verdict,
    /// The cause, if the answer is an error.
    pub(crate) error: Option<String>,
    /// The test that it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed_test: Option<FailedTest>,
}

impl JudgedAnswer {
    /// Reads a judgement. An answer of which nothing is known counts as an error by that name.
    pub(crate) fn of(judgement: &Judgement) -> Self {
        let verdict = judgement.verdict;
        // The test that failed is the last that ran.
        let failed = judgement.tests.last();
        let detail = || failed.map(|test| test.detail.clone()).unwrap_or_default();
        let error = match verdict {
            Verdict::InternalError => Some("not-judged".to_owned()),
            // A message varies with the program; what can be counted is the exception's type.
            Verdict::RuntimeError => Some(match failed.map(|test| (test.exception.as_deref(), test.exit_code)) {
                Some((Some(exception), _)) if !exception.is_empty() => exception.to_owned(),
                Some((None, Some(code))) => format!("exit code {code}"),
                Some((None, None)) => "trap".to_owned(),
                Some((Some(_), _)) | None => verdict.to_string(),
            }),
            Verdict::Unsupported => Some(detail()).filter(|module| !module.is_empty()).or(Some(verdict.to_string())),
            Verdict::Accepted
            | Verdict::WrongAnswer
            | Verdict::TimeLimit
            | Verdict::MemoryLimit
            | Verdict::OutputLimit => None,
        };
        Self { verdict, error, failed_test: FailedTest::of(judgement) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::fault::Blame;
    use hilora_judge::TestReport;

    fn judgement(verdict: Verdict, detail: &str, exit_code: Option<u8>, exception: Option<&str>) -> Judgement {
        let test = TestReport {
            verdict,
            failed: (verdict == Verdict::InternalError).then_some(Blame::Machine),
            detail: detail.to_owned(),
            exit_code,
            exception: exception.map(str::to_owned),
            fuel: 1,
            memory_bytes: 1,
            cpu_time_us: 1,
            wall_time_us: 1,
            stdout_bytes: 0,
            mismatch: None,
        };
        Judgement { id: "p".to_owned(), verdict, tests: vec![test] }
    }

    #[test]
    fn a_cause_is_the_exceptions_type_and_never_a_part_of_a_message() {
        let raised = Verdict::RuntimeError;
        for (judgement, cause) in [
            (judgement(raised, "std::bad: alloc: no", Some(1), Some("std::bad")), Some("std::bad")),
            (judgement(raised, "exit code 3", Some(3), None), Some("exit code 3")),
            (judgement(raised, "trap: wasm `unreachable`", None, None), Some("trap")),
            (judgement(raised, "", Some(1), Some("")), Some("runtime-error")),
            (judgement(Verdict::Unsupported, "no module `node:fs`", Some(1), None), Some("no module `node:fs`")),
            (judgement(Verdict::WrongAnswer, "expected: 3", Some(0), None), None),
            (judgement(Verdict::InternalError, "the process died", None, None), Some("not-judged")),
        ] {
            assert_eq!(JudgedAnswer::of(&judgement).error.as_deref(), cause, "{judgement:?}");
        }
    }
}

//! A judged program: one line of a file of judgements. Only its times are measurements; everything else is the same
//! whenever and wherever the same program is judged.

use serde::{Deserialize, Serialize};

use super::judge::{Judgement, TestReport};
use super::mismatch::Mismatch;
use super::receipt::Receipt;
use super::verdict::Verdict;

/// What is said of one program of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedProgram {
    /// The program's.
    pub id: String,
    /// Absent if the program was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The tests that were run, in order.
    pub tests: Vec<JudgedTest>,
    /// What it was made of.
    pub receipt: Receipt,
    /// Why the program was not judged: its reference solution does not pass the tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What happened on one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedTest {
    /// The verdict on this test.
    pub verdict: Verdict,
    /// The program's exit code, if it came to its end.
    pub exit_code: Option<u8>,
    /// The type of the exception that nobody caught.
    pub exception: Option<String>,
    /// Fuel used.
    pub fuel: u64,
    /// Thread CPU time, in milliseconds.
    pub cpu_ms: f64,
    /// Wall-clock time, in milliseconds.
    pub wall_ms: f64,
    /// The most linear memory there was.
    pub memory_bytes: u64,
    /// What it wrote to standard output.
    pub stdout_bytes: u64,
    /// The exception with its message, the missing module, the limit or the checker's reason.
    pub detail: String,
    /// What was expected and what came, on the first few tests with a wrong answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

/// What was found of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The tests that were run, in order.
    pub tests: Vec<JudgedTest>,
}

impl Finding {
    /// What a judgement says.
    pub fn of(judgement: &Judgement) -> Self {
        Self { verdict: judgement.verdict, tests: judgement.tests.iter().map(JudgedTest::of).collect() }
    }
}

impl JudgedProgram {
    /// A program that was judged.
    pub fn of(judgement: Judgement, receipt: Receipt) -> Self {
        Self::found(judgement.id.clone(), Finding::of(&judgement), receipt)
    }

    /// A program of which this was found.
    pub fn found(id: String, finding: Finding, receipt: Receipt) -> Self {
        let Finding { verdict, tests } = finding;
        Self { id, verdict: Some(verdict), tests, receipt, refused: None }
    }

    /// A program that was not judged.
    pub fn refused(id: String, why: String, receipt: Receipt) -> Self {
        Self { id, verdict: None, tests: Vec::new(), receipt, refused: Some(why) }
    }

    /// Its line of the file, with the line's end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("plain structs with text keys always serialize");
        line.push(b'\n');
        line
    }
}

impl JudgedTest {
    /// The report of a test, in the units of the file.
    pub fn of(report: &TestReport) -> Self {
        Self {
            verdict: report.verdict,
            exit_code: report.exit_code,
            exception: report.exception.clone(),
            fuel: report.fuel,
            cpu_ms: report.cpu_time_us as f64 / 1e3,
            wall_ms: report.wall_time_us as f64 / 1e3,
            memory_bytes: report.memory_bytes,
            stdout_bytes: report.stdout_bytes,
            detail: report.detail.clone(),
            mismatch: report.mismatch.clone(),
        }
    }
}

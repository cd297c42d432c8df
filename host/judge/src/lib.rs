//! Judging: whether a program solves a problem, found out by running it on the problem's tests.
//!
//! The host compares bytes that it captured itself with expected outputs that never leave it; nothing that a program
//! or its runner says can turn into a pass. The limits that decide are counted in fuel, so that the same
//! submission gets the same verdict on any machine at any load.
//!
//! What runs programs stands behind the trait `SolutionRunner` of `hilora_contract`. In hilora-host that is a component in
//! a WebAssembly sandbox, in worker processes ([`workers`]); this crate knows neither, and any runner can be judged with:
//!
//! ```
//! use std::sync::Arc;
//!
//! use hilora_contract::artifact::ContentHash;
//! use hilora_contract::dataset::{Language, TestCase};
//! use hilora_contract::plugin::{
//!     LimitKind, PluginError, PluginIdentity, PluginKind, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
//! };
//! use hilora_judge::{Checker, Judge, StopAt, Submission, Verdict, run_limits};
//!
//! /// Runs programs of a language with three words: `input` puts the number on standard input on a stack, `double`
//! /// doubles the topmost number, and `print` takes it and writes it. Each word uses a unit of fuel. Such a program can
//! /// reach nothing, so this needs no sandbox.
//! struct StackMachine(PluginIdentity);
//!
//! impl SolutionRunner for StackMachine {
//!     fn identity(&self) -> &PluginIdentity {
//!         &self.0
//!     }
//!
//!     fn describe(&self) -> Result<RunnerInfo, PluginError> {
//!         Ok(RunnerInfo {
//!             language: "stack".parse::<Language>().expect("a plain name"),
//!             file_extension: "stack".to_owned(),
//!             interpreter: "stack machine 1".to_owned(),
//!             calls_functions: false,
//!         })
//!     }
//!
//!     fn run(
//!         &self,
//!         code: &str,
//!         _entry_point: Option<&str>,
//!         stdin: &[u8],
//!         limits: &RunLimits,
//!     ) -> Result<RunReport, PluginError> {
//!         let input: i64 = String::from_utf8_lossy(stdin).trim().parse().unwrap_or(0);
//!         let (mut stack, mut stdout, mut fuel) = (Vec::new(), Vec::new(), 0);
//!         let raised = |exception: &str, message: &str| Termination::Raised {
//!             exception: exception.to_owned(),
//!             message: message.to_owned(),
//!         };
//!         let mut termination = Termination::Exited(0);
//!         for word in code.split_whitespace() {
//!             fuel += 1;
//!             termination = match (word, stack.pop()) {
//!                 _ if fuel > limits.fuel => Termination::LimitExceeded(LimitKind::Fuel),
//!                 ("input", below) => {
//!                     stack.extend(below.into_iter().chain([input]));
//!                     continue;
//!                 }
//!                 ("double", Some(number)) => {
//!                     stack.push(2 * number);
//!                     continue;
//!                 }
//!                 ("print", Some(number)) => {
//!                     stdout.extend(format!("{number}\n").bytes());
//!                     continue;
//!                 }
//!                 ("double" | "print", None) => raised("StackError", "nothing is there"),
//!                 (other, _) => raised("NameError", other),
//!             };
//!             break;
//!         }
//!         let stderr = Vec::new();
//!         Ok(RunReport { termination, stdout, stderr, fuel, cpu_time_us: 0, wall_time_us: 0, memory_bytes: 0 })
//!     }
//! }
//!
//! let identity = PluginIdentity {
//!     name: "stack-machine".to_owned(),
//!     version: "1.0.0".to_owned(),
//!     kind: PluginKind::SolutionRunner,
//!     content: ContentHash::of(b"stack machine 1"),
//! };
//! let judge = Judge::new(Arc::new(StackMachine(identity)), 2);
//!
//! // "Write twice the number that you read." Every program shares these tests.
//! let test = |input: &str, output: &str| TestCase { input: input.to_owned(), output: output.to_owned() };
//! let tests: Arc<[TestCase]> = [test("1", "2"), test("21", "42"), test("0", "0")].into();
//! let submissions = ["input double print", "input print", "double", "print"].map(|code| Submission {
//!     id: code.to_owned(),
//!     code: code.to_owned(),
//!     tests: tests.clone(),
//!     first_test: 0,
//!     entry_point: None,
//!     checker: Checker::default(),
//!     limits: run_limits(Some(1_000), None),
//! });
//! let judgements = judge.judge_all(&submissions, StopAt::FirstFailure, &|_| ())?;
//! let verdicts: Vec<Verdict> = judgements.iter().map(|judgement| judgement.verdict).collect();
//! assert_eq!(
//!     verdicts,
//!     [Verdict::Accepted, Verdict::WrongAnswer, Verdict::RuntimeError, Verdict::RuntimeError]
//! );
//! assert_eq!(judgements[0].tests.iter().map(|test| test.fuel).collect::<Vec<_>>(), [3, 3, 3]);
//! assert_eq!(judgements[2].tests[0].detail, "StackError: nothing is there");
//!
//! // A limit in fuel decides in the same way everywhere.
//! let mut limited = submissions[0].clone();
//! limited.limits.fuel = 2;
//! assert_eq!(judge.judge(&limited, StopAt::FirstFailure)?.verdict, Verdict::TimeLimit);
//! # Ok::<(), hilora_judge::JudgeError>(())
//! ```
//!
//! [`Batch`] judges a whole file of programs and keeps what it has judged, whatever ends it.

mod verdict;

mod limits;

mod submission;

mod checker;
mod decimals;
mod lines;
mod pieces;
mod tokens;

mod mismatch;

mod json_value;

mod broken_test;

mod answer;

mod judge;

pub mod workers;

mod program;

mod receipt;

mod judged_program;

mod failed_program;

mod replay;

mod judgement_record;

mod recording_judge;

mod references;

mod batch;

mod error;

#[cfg(test)]
mod fakes;

pub use answer::{answers_match, final_answer};
pub use batch::{Batch, BatchEnd, BatchFiles, BatchObserver, BatchOptions, Refusal, Summary};
pub use broken_test::BrokenTest;
pub use checker::{Checker, NO_ANSWER};
pub use error::BatchError;
pub use failed_program::FailedProgram;
pub use judge::{Judge, JudgeError, Judgement, MISMATCHES_MAX, StopAt, TestReport, UNDECIDED_MAX};
pub use judged_program::{Finding, JudgedProgram, JudgedTest};
pub use judgement_record::{JudgementRecord, Question, RecordError};
pub use limits::{MEMORY_BYTES_BOUNDS, TIME_LIMIT_MS_BOUNDS, calibrated, reference_limits, run_limits};
pub use mismatch::{EXCERPT_BYTES_MAX, Excerpt, Mismatch};
pub use program::{Program, ProgramError};
pub use receipt::Receipt;
pub use replay::{Difference, difference};
pub use submission::{Submission, tested_code};
pub use tokens::Tolerance;
pub use verdict::Verdict;

//! Judging: whether a program solves a problem, found out by running it on the problem's tests.
//!
//! The host compares bytes that it captured itself with expected outputs that never leave it; nothing that a program
//! or its runner says can turn into a pass. The limits that decide are counted in fuel, so that the same
//! submission gets the same verdict on any machine at any load.

mod checker;
mod function_call;
mod json_value;
mod limits;
mod lines;
mod tokens;
mod verdict;

mod judge;

pub mod workers;

pub use checker::Checker;
pub use function_call::can_call;
pub use judge::{Judge, JudgeError, Judgement, StopAt, Submission, TestReport};
pub use limits::{MEMORY_BYTES_BOUNDS, TIME_LIMIT_MS_BOUNDS, calibrated, reference_limits, run_limits};
pub use verdict::Verdict;

//! The evaluator: how good is a model, how much better is its adapter, and is that enough.
//!
//! It draws answers through a `Generator`, has a judge run them against every test, and turns verdicts into rates with
//! intervals, a paired comparison, controls and the gate's decision. It trains nothing, registers nothing and runs no
//! program itself; an answer is right because the judge says so.

mod breakdown;
mod comparison;
mod config;
mod error;
mod evaluation;
#[cfg(test)]
mod fakes;
mod gate;
mod interval;
mod judging;
mod latency;
mod nearest_copy;
mod pass_at_k;
mod record;
mod report;
mod sampling;
mod seeded_stream;
mod shuffled;

pub use breakdown::{Breakdown, GroupScore, family_of_title};
pub use comparison::Comparison;
pub use config::EvaluationConfig;
pub use error::EvaluatorError;
pub use evaluation::{Evaluation, Evaluator, Observer, ProblemOutcome, SampleOutcome};
pub use gate::{GateConfig, GateDecision, GateMeasurements, GateRule, GateRuleName};
pub use interval::Estimate;
pub use latency::{Latency, ModelDecoder, TimedDecoder};
pub use nearest_copy::{NearestCopy, Neighbour};
pub use pass_at_k::pass_at_k;
pub use record::{Controls, EvaluationRecord};
pub use report::Report;
pub use sampling::{
    Completion, CompletionEnd, Generator, ModelGenerator, SampleRequest, prompt_tokens, prompts, stop_tokens,
};
pub use shuffled::ShuffledAnswers;

#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

//! The evaluator: how good is a model, how much better is its adapter, and is that enough.
//!
//! It draws answers through a `Generator`, has a judge run them against every test, and turns verdicts into rates with
//! intervals, a paired comparison, controls and the gate's decision. It trains nothing, registers nothing and runs no
//! program itself; an answer is right because the judge says so.

mod measurement;

mod benchmark_config;
mod config;
mod evaluator;
mod watch;

mod completion;
mod endpoint_config;
mod endpoint_generator;
mod generator;
mod sampling;

mod extraction;
mod failed_test;
mod failures;
mod identifier;
mod kept_outputs;
mod lost_answer;

mod completion_file;
mod completions_record;
mod given_answers;

mod judged_answer;
mod judging;
mod sample_record;

mod dirichlet_mean;
mod distributions;
mod evaluation;
mod interval;
mod paired_test;
mod pass_at_k;
mod seeded_stream;

mod comparison;
mod nearest_copy;
mod shuffled;

mod breakdown;
mod facet;

mod latency;

mod benchmark_record;
mod json_file;
mod record;
mod verification;

mod compared_record;
mod gate;
mod gate_record;
mod power;
mod report;
mod run_comparison;

mod export;

mod error;

#[cfg(test)]
mod fakes;

pub use benchmark_config::{BenchmarkConfig, BenchmarkPrompt, check_day};
pub use benchmark_record::{BenchmarkRecord, CleanScore, Contamination, PromptRecord};
pub use breakdown::{Breakdown, GroupScore};
pub use compared_record::{ComparedRecord, ComparedSide};
pub use comparison::Comparison;
pub use completion::{Completion, CompletionEnd};
pub use completion_file::{CompletionFile, CompletionLayout, GivenAnswer};
pub use completions_record::{CleanRates, CompletionsRecord};
pub use config::EvaluationConfig;
pub use endpoint_config::{EndpointGeneratorConfig, EndpointProtocol, Side};
pub use endpoint_generator::EndpointGenerator;
pub use error::EvaluatorError;
pub use evaluation::{Evaluation, ProblemOutcome, SampleOutcome};
pub use evaluator::{Candidate, Evaluator};
pub use export::{Export, ExportedModel};
pub use extraction::{Extraction, Extractor};
pub use failed_test::FailedTest;
pub use gate::{GateConfig, GateDecision, GateMeasurements, GateRule, GateRuleName, ImprovementEnd};
pub use gate_record::GateRecord;
pub use generator::{CompletionSink, Generator, SampleRequest, TimedDecoder, TimedGenerator};
pub use given_answers::{GivenAccount, GivenAnswers};
pub use identifier::Identifier;
pub use interval::Estimate;
pub use latency::{Latency, ModelDecoder};
pub use lost_answer::LostAnswer;
pub use measurement::{BenchmarkMeasurement, MeasuredModel, Measurement, MeasurementOutcome};
pub use nearest_copy::{NearestCopy, Neighbour};
pub use pass_at_k::{pass_all_k, pass_at_k};
pub use power::{LEVEL, MeasuredSpread, POWER, Power};
pub use record::{Controls, EvaluationRecord, STATISTICS};
pub use report::{Report, TrainingCurves};
pub use run_comparison::{ComparedRun, RunComparison, SettingDifference};
pub use sample_record::SampleRecord;
pub use sampling::{ModelGenerator, prompts, stop_tokens};
pub use shuffled::ShuffledAnswers;
pub use watch::{Observer, Subject, Watch, Work};

#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

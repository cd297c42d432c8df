//! A run: one configuration, one folder, and the stages that fill it.
//!
//! [`Run::open`] reads the configuration, places the plugins and takes the folder. [`main_job`] lists the stages of the
//! whole job, and each stage is a value of its own ([`PrepareStage`], [`TrainStage`], …); [`drive`] runs any list of them,
//! skips what has not changed, and asks for every precondition before the first. Nothing here prints: a [`RunObserver`] is
//! told what goes on and says when to stop.
//!
//! ```no_run
//! use hilora_judge::workers::WorkerCommand;
//! use hilora_run::{Run, RunOptions, Unwatched, drive, main_job};
//!
//! // Untrusted programs run in processes of this program.
//! let worker = WorkerCommand::new("target/release/hilora-host", ["judge", "worker"]);
//! let run = Run::open(&RunOptions::new("configs/quickstart.yaml", worker))?;
//! for result in drive(&run, &main_job(&run.config), &Unwatched)? {
//!     println!("{}: {:?}", result.name, result.state);
//! }
//! # Ok::<(), hilora_run::RunError>(())
//! ```

pub mod config;

mod error;
mod observer;

mod data_files;
mod environment;
mod program;
mod run_folder;

mod download_watch;
mod row_files;

mod hub_files;
mod source_files;
mod source_view;

mod base_model;
mod model_template;
mod run_plugins;

mod run;

mod registration;
mod stage;
mod stage_key;
mod stage_result;

mod formatter_promises;
mod rows;
mod tokenization;

mod prepare_stage;

mod enrich_stage;

mod held_out;
mod measurement_watch;
pub mod metrics;
mod train_stage;
mod training_watch;

mod benchmark;
mod benchmark_check;
mod benchmark_names;
mod benchmark_prompt;
mod math_files;
mod measured_benchmark;

mod data_check;
mod evaluate_stage;
mod measured_folder;

mod given_completions;

mod register_stage;

mod main_job;

pub use base_model::{BaseModel, load_base, model_folder};
pub use benchmark::{BENCHMARKS, Benchmark, BenchmarkProblems, DateWindow};
pub use data_files::{DataFile, DataFiles};
pub use enrich_stage::{EnrichStage, EnrichWork, training_rows};
pub use environment::{Environment, available_cores, memory_bytes};
pub use error::RunError;
pub use evaluate_stage::{EvaluateStage, EvaluateWork, Measured, has_problems, require_judged};
pub use given_completions::GivenCompletions;
pub use held_out::HeldOutWork;
pub use hub_files::local_files;
pub use main_job::main_job;
pub use measured_benchmark::MeasuredBenchmark;
pub use measured_folder::require_as_measured;
pub use observer::{RunObserver, Task, TaskProgress, Unwatched};
pub use prepare_stage::{PrepareStage, PrepareWork};
pub use program::program_hash;
pub use register_stage::{RegisterStage, RegisterWork};
pub use registration::{RegisteredVersion, Registration};
pub use rows::read_rows;
pub use run::{Run, RunOptions};
pub use run_folder::RunFolder;
pub use run_plugins::{RunPlugins, worker_pool};
pub use source_files::source_files;
pub use source_view::{PlannedFile, SourceView, ViewedRow, load_plan, view_source};
pub use stage::{AnyStage, Stage, StageEnd, drive};
pub use stage_key::{InputName, StageKey, StageName};
pub use stage_result::{StageReport, StageResult, StageState};
pub use tokenization::{formatter_lesson, sample_of, tokenize, try_out_formatter};
pub use train_stage::{Answers, TrainStage, TrainWork};
pub use training_watch::{WatchFiles, watched_training};

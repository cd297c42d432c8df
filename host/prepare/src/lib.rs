//! The data path: from the files of a dataset to what one specialist learns from and is measured on.
//!
//! load → verify → classify → deduplicate → route → split → decontaminate → weigh → write. Every row that the loader reads
//! ends with exactly one fate, accepted or skipped with a reason, and the manifest lists them all. The same files, plugins,
//! config and seed give the same bytes at any number of workers. Nothing here knows WebAssembly, tokens or tensors.

mod config;
mod error;
mod inputs;
mod progress;

mod load;

mod fate;
mod material;
mod phase_file;

mod candidate;
mod outcome;
mod verdict_record;
mod verified;
mod verify;

mod classified;
mod classify;

mod fingerprint;
mod near_index;
mod normal_form;
mod paraphrase;
mod run_index;
mod words_file;

mod boilerplate;
mod contamination;
mod entry;

mod deduplicate;

mod route;

mod split;

mod weight;

mod evaluation_set;
mod program_index;

mod decontaminate;
mod given_rows;

mod account;
mod manifest;
mod output;

mod prepare;

#[cfg(test)]
mod fakes;

pub use config::{DataConfig, DataFiles, EVALUATION_FILES, EvaluationSetConfig, SourceConfig};
pub use error::{NotJudged, PrepareError};
pub use fate::{Fate, RowFate, Side};
pub use given_rows::{ContaminatedRow, SharedProblems, contaminated_rows, shared_problems};
pub use inputs::{PrepareInputs, SetInputs, SourceFile, SourceInputs, input_files, named_input_files};
pub use manifest::{
    Counts, DecontaminatedSet, Decontamination, DomainCount, Duplicates, InputFile, OutputFile, PrepareManifest,
    SideCounts, SkippedReason, SourceCounts, TieCount, WeakTests,
};
pub use paraphrase::ParaphraseMeasure;
pub use prepare::{PrepareReport, Prepared, prepare};
pub use progress::{PreparePhase, PrepareProgress};

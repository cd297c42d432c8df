//! The data path: from the files of a dataset to what one specialist learns from and is measured on.
//!
//! load → verify → classify → deduplicate → route → split → decontaminate → write. Every row that the loader reads ends
//! with exactly one fate, accepted or skipped with a reason, and the manifest lists them all. The same files, plugins,
//! config and seed give the same bytes at any number of workers. Nothing here knows WebAssembly, tokens or tensors.

mod config;
mod error;
mod fate;

mod load;

mod material;
mod stage_file;

mod verdict_ledger;
mod verified;
mod verify;

mod classified;
mod classify;

mod entry;
mod fingerprint;
mod near_index;
mod run_index;
mod words_file;

mod deduplicate;

mod route;

mod split;

mod decontaminate;
mod given_rows;

mod manifest;
mod output;

mod prepare;

#[cfg(test)]
mod fakes;

pub use config::{DataConfig, DataFiles, EvaluationSetConfig};
pub use error::PrepareError;
pub use fate::{Fate, RowFate, Side};
pub use given_rows::{ContaminatedRow, contaminated_rows};
pub use manifest::{
    Counts, DecontaminatedSet, Decontamination, DomainCount, Duplicates, InputFile, OutputFile, PrepareManifest,
    SideCounts, SkippedReason, WeakTests,
};
pub use prepare::{PrepareInputs, PrepareProgress, PrepareReport, PrepareStage, SetInputs, input_files, prepare};

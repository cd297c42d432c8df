//! The data path: from the files of a dataset to what one specialist learns from and is measured on.
//!
//! load → verify → classify → deduplicate → route → split → write. Every row that the loader reads ends with exactly
//! one fate, accepted or skipped with a reason, and the manifest lists them all. The same files, plugins, config and
//! seed give the same bytes at any number of workers. Nothing here knows WebAssembly, tokens or tensors.

mod config;
mod error;
mod fate;

mod load;

mod verify;

mod classify;

mod deduplicate;

mod route;

mod split;

mod manifest;

mod prepare;

#[cfg(test)]
mod fakes;

pub use config::{DataConfig, DataFiles};
pub use error::PrepareError;
pub use fate::{Fate, RowFate, Side};
pub use manifest::{Counts, DomainCount, InputFile, OutputFile, PrepareManifest, SkippedReason};
pub use prepare::{PrepareInputs, PrepareProgress, PrepareReport, PrepareStage, prepare};

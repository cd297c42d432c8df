//! `hilora-host compare`: two runs, or the completions of any models, on the problems that both were measured on, paired. It
//! reads two records, computes their figures again from their samples and measures nothing.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hilora_evaluator::{ComparedRecord, ComparedSide, RunComparison};

use super::console::Console;
use super::failure::{ExitStatus, Result};

/// The record in a run's folder.
const RECORD: &str = "evaluation.json";

/// Which two runs.
#[derive(Debug, Args)]
pub(super) struct CompareCommand {
    /// A run's folder, its `evaluation.json`, or what `evaluate --completions` has written
    #[arg(value_name = "LEFT")]
    left: PathBuf,
    /// The other; differences are those of this one above the first
    #[arg(value_name = "RIGHT")]
    right: PathBuf,
    /// Which model of each run; completions stand in an adapter's place
    #[arg(long, value_enum, default_value_t = Side::Adapter)]
    side: Side,
}

/// Which model of a run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// The adapter
    Adapter,
    /// The base without it
    Base,
}

impl CompareCommand {
    /// Compares and prints the comparison.
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let (left, right) = (read(&self.left)?, read(&self.right)?);
        let side = match self.side {
            Side::Adapter => ComparedSide::Adapter,
            Side::Base => ComparedSide::Base,
        };
        let (left_name, right_name) = (self.left.display().to_string(), self.right.display().to_string());
        let compared = RunComparison::of((&left_name, &left), (&right_name, &right), side)?;
        console.result(&compared, &compared.to_string())?;
        Ok(ExitStatus::Done)
    }
}

/// The record at a path.
fn read(path: &Path) -> Result<ComparedRecord> {
    let file = if path.is_dir() { path.join(RECORD) } else { path.to_owned() };
    Ok(ComparedRecord::read(&file)?)
}

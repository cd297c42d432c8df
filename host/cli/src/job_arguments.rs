//! The arguments that every subcommand of a run has.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use hilora_evaluator::BenchmarkConfig;
use hilora_model::DeviceChoice;
use hilora_run::config::DEFAULT_CONFIG;
use hilora_run::{Run, RunOptions};

use super::failure::Result;
use super::judge_worker::worker_command;

/// Which run to work on.
#[derive(Debug, Clone, Args)]
pub(crate) struct JobArguments {
    /// A plugin component; replaces the config's plugin of the same kind (may be given several times)
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
    /// The run's configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The run folder [default: runs/<the config's file name>]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Replaces the config's seed
    #[arg(long)]
    seed: Option<u64>,
    /// Where models compute: auto, cpu or cuda; replaces the config's training.device
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Untrusted programs that run at once, each in a process of its own [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// The registry's database
    #[arg(long, value_name = "FILE", default_value = "runs/registry.sqlite")]
    registry: PathBuf,
    /// Measure an adapter whose rows were prepared elsewhere without checking them against the held-out problems; the
    /// evaluation says so
    #[arg(long)]
    unchecked: bool,
    /// Tell what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl JobArguments {
    fn options(&self) -> Result<RunOptions> {
        Ok(RunOptions {
            config: self.config.clone(),
            folder: self.run.clone(),
            plugins: self.plugin.clone(),
            seed: self.seed,
            device: self.device,
            workers: self.workers.map(usize::from),
            registry: self.registry.clone(),
            is_unchecked: self.unchecked,
            adapter: None,
            benchmark: None,
            is_other_formatter: false,
            is_dry: self.dry_run,
            worker: worker_command(),
        })
    }

    /// The config's file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The components that were given.
    pub(crate) fn plugins(&self) -> &[PathBuf] {
        &self.plugin
    }

    /// How many untrusted programs run at once, if that was given.
    pub(crate) fn workers(&self) -> Option<NonZeroUsize> {
        self.workers
    }

    /// Opens the run and takes its folder.
    pub(crate) fn open(&self) -> Result<Run> {
        Ok(Run::open(&self.options()?)?)
    }

    /// The same, to measure this adapter, if one is named, in the place of the run's own, and on this benchmark, too; the run's
    /// own also with another formatter than it was trained with, if that is wanted.
    pub(crate) fn open_to_measure(
        &self,
        adapter: Option<PathBuf>,
        benchmark: Option<BenchmarkConfig>,
        is_other_formatter: bool,
    ) -> Result<Run> {
        Ok(Run::open(&RunOptions { adapter, benchmark, is_other_formatter, ..self.options()? })?)
    }

    /// Opens the run to look at it, with this benchmark, too.
    pub(crate) fn open_to_plan(&self, benchmark: Option<BenchmarkConfig>) -> Result<Run> {
        Ok(Run::open_to_read(&RunOptions { benchmark, ..self.options()? })?)
    }

    /// Opens the run to look at it: nothing is written and nobody is kept out.
    pub(crate) fn open_to_read(&self) -> Result<Run> {
        Ok(Run::open_to_read(&self.options()?)?)
    }
}

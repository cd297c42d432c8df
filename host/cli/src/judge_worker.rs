//! `hilora-host judge worker`: a process that runs programs for another one. Nobody types it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::plugin::SolutionRunner;
use hilora_judge::workers::{WorkerCommand, WorkerPool, end_with_host, serve};
use hilora_run::RunError;
use hilora_wasm::{HostOptions, PluginHost};

use super::failure::{Result, StreamError};

/// Arguments of a worker process.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArguments {
    /// The solution runner
    #[arg(long)]
    runner: PathBuf,
}

impl WorkerArguments {
    /// Serves runs until nothing comes in any more.
    pub(super) fn execute(&self) -> Result<()> {
        let runner = PluginHost::new(&HostOptions::default())?.runner(&self.runner)?;
        end_with_host(io::stdin());
        serve(&*runner, io::stdin().lock(), io::stdout().lock()).map_err(StreamError::Worker)?;
        Ok(())
    }
}

/// The command that makes a worker process of this program.
pub(super) fn worker_command() -> Result<WorkerCommand> {
    let program = std::env::current_exe().map_err(RunError::Program)?;
    Ok(WorkerCommand::new(program, ["judge", "worker"]))
}

/// The solution runner of this file in worker processes, which are this program. One starts with the first run that
/// finds no other idle.
pub(super) fn worker_pool(host: &PluginHost, runner: &Path) -> Result<Arc<dyn SolutionRunner>> {
    Ok(Arc::new(WorkerPool::new(host.runner(runner)?, worker_command()?.serving(runner))))
}

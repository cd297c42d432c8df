//! `hilora-host judge worker`: a process that runs programs for another one. Nobody types it.

use std::io;
use std::os::fd::RawFd;

use hilora_judge::workers::{Confinement, WorkerCommand, confine, end_with_host, serve};
use hilora_wasm::inherited_runner;

use super::failure::{Result, StreamError};

/// Arguments of a worker process: numbers of open files.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArguments {
    /// The solution runner
    #[arg(long)]
    component: RawFd,
    /// What was compiled of it
    #[arg(long)]
    code: RawFd,
}

impl WorkerArguments {
    /// Serves runs until nothing comes in any more.
    pub(super) fn execute(&self) -> Result<()> {
        // First of all, because the host may be gone already.
        end_with_host(io::stdin());
        let runner = inherited_runner(self.component, self.code)?;
        // A first call opens what a run needs to have open.
        runner.describe()?;
        // Where the kernel knows no rules, there is still the engine's sandbox.
        let _confinement: Confinement = confine();
        serve(&*runner, io::stdin().lock(), io::stdout().lock()).map_err(StreamError::Worker)?;
        Ok(())
    }
}

/// The command that makes a worker process of this program.
pub(super) fn worker_command() -> WorkerCommand {
    WorkerCommand::this_program(["judge", "worker"])
}

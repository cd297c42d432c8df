//! `hilora-host judge worker`: a process that runs programs for another one. Nobody types it.

use std::io;
use std::os::fd::RawFd;

use hilora_judge::workers::{WorkerCommand, confine, end_with_host, serve};
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
        let runner = inherited_runner(self.component, self.code)?;
        // A first call opens what a run needs to have open.
        runner.describe()?;
        // Before any other thread is there: one that began earlier would keep its rights.
        let confinement = confine();
        // The host may be gone already, which is noticed at once.
        end_with_host(io::stdin());
        serve(&*runner, confinement, io::stdin().lock(), io::stdout().lock()).map_err(StreamError::Worker)?;
        Ok(())
    }
}

/// The command that makes a worker process of this program.
pub(super) fn worker_command() -> WorkerCommand {
    WorkerCommand::this_program(["judge", "worker"])
}

//! `hilora-host judge worker`: a process that runs programs for another one, and the pool of them that every subcommand
//! uses. Nobody types it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

use hilora_contract::plugin::SolutionRunner;
use hilora_judge::workers::{WorkerPool, serve};
use hilora_wasm::{HostOptions, PluginHost};

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
        Ok(serve(&*runner, io::stdin().lock(), io::stdout().lock())?)
    }
}

/// The solution runner of this file in worker processes, which are this program. One starts with the first run that
/// finds no other idle.
pub(super) fn worker_pool(host: &PluginHost, runner: &Path) -> Result<Arc<dyn SolutionRunner>> {
    let program = std::env::current_exe().context("cannot find this program to start worker processes")?;
    let arguments = ["judge", "worker", "--runner"].map(OsString::from).into_iter();
    let arguments = arguments.chain([runner.as_os_str().to_owned()]).collect();
    Ok(Arc::new(WorkerPool::new(host.runner(runner)?, program, arguments)))
}

//! A worker's command line: the program that serves a runner over its standard input and output, and its arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How a worker process is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl WorkerCommand {
    /// This program with these arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }

    /// The same command with `--runner FILE` at its end.
    pub fn serving(&self, runner: &Path) -> Self {
        let mut command = self.clone();
        command.arguments.extend([OsString::from("--runner"), runner.as_os_str().to_owned()]);
        command
    }
}

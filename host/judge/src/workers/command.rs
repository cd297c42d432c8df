//! A worker's command line: the program that serves a runner over its standard input and output, its arguments, and the
//! open files that it inherits.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// How a worker process is started. It gets no environment.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Open files that it inherits, each with the argument before its number.
    files: Vec<(&'static str, Arc<File>)>,
}

impl WorkerCommand {
    /// This program with these arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect(), files: Vec::new() }
    }

    /// The program that is running now, and no other that was put in its place since.
    pub fn this_program(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self::new("/proc/self/exe", arguments)
    }

    /// The same command with `argument` and the number of this open file at its end. A file that is handed over open is
    /// the one that was looked at, whatever happens to its name.
    pub fn with_file(&self, argument: &'static str, file: Arc<File>) -> Self {
        let mut command = self.clone();
        command.files.push((argument, file));
        command
    }

    /// The command, and the descriptors that must stay open until it is started.
    pub(super) fn build(&self) -> io::Result<(Command, Vec<OwnedFd>)> {
        let mut command = Command::new(&self.program);
        command.env_clear().args(&self.arguments);
        let mut inherited = Vec::with_capacity(self.files.len());
        for (argument, file) in &self.files {
            // Unlike the original, a duplicate stays open in the program that is started. One that is started by another
            // thread at this moment inherits it, too: all are workers, and get the same.
            let duplicate = rustix::io::dup(file)?;
            command.arg(argument).arg(duplicate.as_raw_fd().to_string());
            inherited.push(duplicate);
        }
        Ok((command, inherited))
    }
}

//! One program, measured from outside: wall-clock and processor time and the peak of its memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a program took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Wall-clock time in seconds.
    pub(super) seconds: f64,
    /// Processor time over all threads in seconds.
    pub(super) processor_seconds: f64,
    /// The peak of resident memory in bytes.
    pub(super) peak_memory_bytes: u64,
}

/// Measures programs through a launcher in Python, which knows wait4.
pub(super) struct Meter {
    python: PathBuf,
    launcher: PathBuf,
}

impl Meter {
    pub(super) fn new(python: &Path, launcher: PathBuf) -> Self {
        Self { python: python.to_owned(), launcher }
    }

    /// Runs the program; gives what it took, and the JSON object that it prints on standard output.
    pub(super) fn run(&self, program: &Path, arguments: &[&Path]) -> Result<(Cost, Value)> {
        let (cost, text) = self.run_text(program, arguments)?;
        let printed = serde_json::from_str(&text)
            .with_context(|| format!("expected {} to print a JSON object", program.display()))?;
        Ok((cost, printed))
    }

    /// Runs the program; gives what it took, and what it writes to standard output.
    pub(super) fn run_text(&self, program: &Path, arguments: &[&Path]) -> Result<(Cost, String)> {
        let mut command = Command::new(&self.python);
        command.arg(&self.launcher).arg(program).args(arguments).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("`{}` failed ({}):\n{}", program.display(), output.status, said.trim_end());
        }
        let line = said.trim_end().lines().last().unwrap_or_default();
        let cost = serde_json::from_str(line).with_context(|| format!("`{line}` is no measurement"))?;
        Ok((cost, String::from_utf8(output.stdout).context("standard output is not UTF-8")?))
    }
}

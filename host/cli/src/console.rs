//! The console: results on standard output, as a table for people or one JSON object for machines; everything that
//! is said on the way goes to standard error.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use hilora_run::metrics::{Progress, ProgressStyle};

/// How this invocation speaks.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    json: bool,
    quiet: bool,
}

impl Console {
    /// A console that prints JSON or text, with or without progress.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether results are printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is shown.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Progress bars on standard error, or plain lines where that is not a terminal.
    pub fn progress(&self) -> Progress {
        Progress::new(ProgressStyle::choose(self.quiet, self.json))
    }

    /// Says in one line on standard error what happened.
    pub fn note(&self, line: &str) {
        if self.shows_progress() {
            eprintln!("{line}");
        }
    }

    /// Prints the command's result: `text` for people, `value` for machines.
    pub fn result(&self, value: &impl Serialize, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        } else if !text.is_empty() {
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

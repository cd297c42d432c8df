//! The console: results on standard output, as a table for people or one JSON object for machines; everything that
//! is said on the way goes to standard error.

use std::sync::{Mutex, PoisonError};

use hilora_contract::artifact::write_standard_output;
use hilora_contract::terminal::{visible, visible_json};
use hilora_run::{RunObserver, StageResult, Task, TaskProgress};
use serde::Serialize;

use super::failure::{Result, StreamError};
use super::interrupt::InterruptGuard;
use super::progress::{Bar, LateBar, Progress, ProgressStyle};
use super::signal::Signal;
use super::stage_summary::summary;

/// How this invocation speaks.
#[derive(Clone)]
pub(crate) struct Console {
    is_json: bool,
    is_quiet: bool,
    progress: Progress,
}

impl Console {
    /// A console that prints JSON or text, with or without progress.
    pub(crate) fn new(is_json: bool, is_quiet: bool) -> Self {
        Self { is_json, is_quiet, progress: Progress::new(ProgressStyle::choose(is_quiet, is_json)) }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Progress bars on standard error, or plain lines if that is not a terminal.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Says in one line on standard error what happened.
    pub(crate) fn note(&self, line: &str) {
        if !self.is_quiet && !self.is_json {
            self.progress.say(line);
        }
    }

    /// Prints the command's result: `text` for people, `value` for machines.
    pub(crate) fn result(&self, value: &impl Serialize, text: &str) -> Result<()> {
        self.view(value, &visible(text))
    }

    /// The same with a text that may have colours, because foreign text in it was made visible before.
    pub(crate) fn view(&self, value: &impl Serialize, text: &str) -> Result<()> {
        if self.is_json {
            let json = serde_json::to_string_pretty(value).map_err(StreamError::Json)?;
            Ok(write_standard_output(format!("{}\n", visible_json(&json)).as_bytes())?)
        } else if text.is_empty() {
            Ok(())
        } else {
            Ok(write_standard_output(format!("{}\n", text.trim_end()).as_bytes())?)
        }
    }

    /// Watches work that can be interrupted. While the observer lives, a signal is a request that the work answers.
    pub(crate) fn observer(&self) -> Result<ConsoleObserver<'_>> {
        Ok(ConsoleObserver { console: self, interrupt: InterruptGuard::arm()?, tells_stages: false })
    }

    /// The same for a job of several stages, each of which is told of as it ends.
    pub(crate) fn observer_of_stages(&self) -> Result<ConsoleObserver<'_>> {
        Ok(ConsoleObserver { tells_stages: true, ..self.observer()? })
    }
}

/// Shows on a console what a run does, and passes signals on to it.
pub(crate) struct ConsoleObserver<'a> {
    console: &'a Console,
    interrupt: InterruptGuard,
    tells_stages: bool,
}

impl ConsoleObserver<'_> {
    /// The signal that asked the work to stop.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.interrupt.signal()
    }
}

impl RunObserver for ConsoleObserver<'_> {
    fn begin(&self, task: Task<'_>) -> Box<dyn TaskProgress> {
        let progress = &self.console.progress;
        if task.is_brief {
            return Box::new(LateTask(Mutex::new(Some(progress.late_bar(task.name, task.unit)))));
        }
        Box::new(progress.bar(task.name, task.total.unwrap_or(0), task.unit))
    }

    fn note(&self, text: &str) {
        self.console.progress.say(text);
    }

    fn stage_ended(&self, result: &StageResult) {
        if let Some(text) = self.tells_stages.then(|| summary(result)).flatten() {
            self.console.note(&text);
        }
    }

    fn stop_requested(&self) -> bool {
        self.interrupt.requested()
    }
}

impl TaskProgress for Bar {
    fn set_total(&self, units: u64) {
        Bar::set_total(self, units);
    }

    fn set_done(&self, units: u64) {
        self.set_position(units);
    }

    fn advance(&self, units: u64) {
        Bar::advance(self, units);
    }

    fn set_message(&self, message: &str) {
        Bar::set_message(self, message);
    }

    fn finish(self: Box<Self>) {
        Bar::finish(*self);
    }
}

/// A task that is shown only if it lasts.
struct LateTask(Mutex<Option<LateBar>>);

impl LateTask {
    fn with(&self, act: impl FnOnce(&mut LateBar)) {
        if let Some(bar) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            act(bar);
        }
    }
}

impl TaskProgress for LateTask {
    fn set_total(&self, units: u64) {
        self.with(|bar| bar.set_total(units));
    }

    fn set_done(&self, units: u64) {
        self.with(|bar| bar.set_position(units));
    }

    fn advance(&self, units: u64) {
        self.with(|bar| bar.advance(units));
    }

    fn set_message(&self, _message: &str) {}

    fn finish(self: Box<Self>) {
        if let Some(bar) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            bar.finish();
        }
    }
}

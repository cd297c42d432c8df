//! An observer: whoever watches a run. A run prints nothing and asks nobody; it tells an observer what begins, how far it
//! is and how a stage ended, and asks it whether to stop.

use super::stage_result::StageResult;

/// A counted piece of work that is about to begin.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What it is called: "train", "base: draw".
    pub name: &'a str,
    /// What is counted: "steps", "rows".
    pub unit: &'a str,
    /// How many there are in all; `None` while nobody knows.
    pub total: Option<u64>,
    /// Whether it usually takes less than a moment, so that it is worth showing only if it lasts.
    pub is_brief: bool,
}

impl<'a> Task<'a> {
    /// A task of `total` units.
    pub fn counted(name: &'a str, unit: &'a str, total: u64) -> Self {
        Self { name, unit, total: Some(total), is_brief: false }
    }

    /// A task whose total is learned on the way.
    pub fn open_ended(name: &'a str, unit: &'a str) -> Self {
        Self { name, unit, total: None, is_brief: false }
    }

    /// A task that is worth showing only if it lasts.
    pub fn brief(name: &'a str, unit: &'a str) -> Self {
        Self { name, unit, total: None, is_brief: true }
    }
}

/// How far a task is. What a task that is dropped without `finish` did is not told.
pub trait TaskProgress: Send + Sync {
    /// How many units there are in all, once that is known.
    fn set_total(&self, units: u64);
    /// How many units are done in all.
    fn set_done(&self, units: u64);
    /// How many more units are done.
    fn advance(&self, units: u64);
    /// A few words beside the figures, such as the loss.
    fn set_message(&self, message: &str);
    /// The task is over.
    fn finish(self: Box<Self>);
}

/// Whoever watches a run.
pub trait RunObserver: Sync {
    /// A task begins.
    fn begin(&self, task: Task<'_>) -> Box<dyn TaskProgress>;

    /// Something happened that a person may want to read now: an evaluation between two steps, a checkpoint that is
    /// damaged and passed over.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// A stage is over, or was found to have nothing to do.
    fn stage_ended(&self, result: &StageResult) {
        let _ = result;
    }

    /// Whether the run is to save what it has and stop. Asked often; once it says yes it stays with that.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Nobody watches, and nobody stops the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl RunObserver for Unwatched {
    fn begin(&self, _task: Task<'_>) -> Box<dyn TaskProgress> {
        Box::new(Self)
    }
}

impl TaskProgress for Unwatched {
    fn set_total(&self, _units: u64) {}
    fn set_done(&self, _units: u64) {}
    fn advance(&self, _units: u64) {}
    fn set_message(&self, _message: &str) {}
    fn finish(self: Box<Self>) {}
}

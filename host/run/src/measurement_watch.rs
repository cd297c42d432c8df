//! The progress of a measurement as a run's observer sees it: each piece of work is a task with a clock of its own.

use std::sync::{Mutex, PoisonError};

use hilora_evaluator::{Observer, Work};

use super::observer::{RunObserver, Task, TaskProgress};

/// Passes a measurement's progress on.
pub(crate) struct MeasurementWatch<'a> {
    observer: &'a dyn RunObserver,
    /// The piece of work that goes on.
    current: Mutex<Option<Box<dyn TaskProgress>>>,
}

impl<'a> MeasurementWatch<'a> {
    pub(crate) fn new(observer: &'a dyn RunObserver) -> Self {
        Self { observer, current: Mutex::new(None) }
    }
}

impl Observer for MeasurementWatch<'_> {
    fn begin(&self, work: Work, total: u64) {
        let unit = if work == Work::TimeDecoding { "tokens" } else { "answers" };
        let task = self.observer.begin(Task::counted(&work.to_string(), unit, total));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn advance(&self, more: u64) {
        if let Some(task) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            task.advance(more);
        }
    }

    fn end(&self) {
        if let Some(task) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.finish();
        }
    }
}

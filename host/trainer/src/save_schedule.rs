//! When a run saves a checkpoint: after a number of steps, or whenever enough time has passed that a kill must not cost it.

use std::time::Duration;

/// What a kill costs at most, if a run does not say how many steps: the time since the last checkpoint.
const SAVE_INTERVAL: Duration = Duration::from_mins(10);

/// A run's schedule of checkpoints.
pub(crate) struct SaveSchedule<'a> {
    /// Steps between two checkpoints, 0 for none; without a number the clock decides.
    save_steps: Option<usize>,
    /// How much time has passed.
    clock: &'a dyn Fn() -> Duration,
    /// When it was saved last, or began.
    last: Duration,
}

impl<'a> SaveSchedule<'a> {
    /// The schedule of a run that begins now.
    pub(crate) fn new(save_steps: Option<usize>, clock: &'a dyn Fn() -> Duration) -> Self {
        Self { save_steps, clock, last: clock() }
    }

    /// Whether a checkpoint is to be saved after this step.
    pub(crate) fn is_due(&self, step: usize) -> bool {
        match self.save_steps {
            Some(0) => false,
            Some(steps) => step.is_multiple_of(steps),
            None => (self.clock)().saturating_sub(self.last) >= SAVE_INTERVAL,
        }
    }

    /// A checkpoint was saved.
    pub(crate) fn saved(&mut self) {
        self.last = (self.clock)();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn time_is_counted_from_the_last_checkpoint_of_any_kind() {
        let now = Cell::new(Duration::from_secs(5));
        let clock = || now.get();
        let mut schedule = SaveSchedule::new(None, &clock);
        now.set(Duration::from_secs(604));
        assert!(!schedule.is_due(1));
        now.set(Duration::from_secs(605));
        assert!(schedule.is_due(1));
        schedule.saved();
        now.set(Duration::from_secs(1_204));
        assert!(!schedule.is_due(2));
        now.set(Duration::from_secs(1_205));
        assert!(schedule.is_due(2));
    }

    #[test]
    fn a_number_of_steps_asks_no_clock() {
        let due = |save_steps: usize| -> Vec<usize> {
            let clock = || Duration::from_hours(1);
            let schedule = SaveSchedule { save_steps: Some(save_steps), clock: &clock, last: Duration::ZERO };
            (1..=6).filter(|step| schedule.is_due(*step)).collect()
        };
        assert_eq!(due(2), [2, 4, 6]);
        assert_eq!(due(0), Vec::<usize>::new());
    }
}

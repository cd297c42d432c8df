//! Durations: how long the parts of a task and the tests of its suites took, for its closing lines.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How many tests the closing lines name.
const SLOWEST_TESTS: usize = 10;

/// What took how long.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    parts: Vec<(String, Duration)>,
    tests: Vec<(String, Duration)>,
}

impl Durations {
    /// Does one part of the task and keeps how long it took.
    pub(crate) fn part<T>(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (result, duration) = timed(work);
        self.add_part(name, duration);
        result
    }

    /// A part that was timed elsewhere.
    pub(crate) fn add_part(&mut self, name: impl Into<String>, duration: Duration) {
        self.parts.push((name.into(), duration));
    }

    /// The tests of a suite.
    pub(crate) fn add_tests(&mut self, suite: &str, tests: Vec<(String, Duration)>) {
        self.tests.extend(tests.into_iter().map(|(name, duration)| (format!("{suite}: {name}"), duration)));
    }
}

/// The result of some work, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

impl fmt::Display for Durations {
    /// The parts in their order; then the slowest tests, the slowest first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what took long, in seconds:")?;
        for (name, duration) in &self.parts {
            writeln!(f, "{:>9.1}  {name}", duration.as_secs_f64())?;
        }
        let mut slowest: Vec<_> = self.tests.iter().collect();
        slowest.sort_by_key(|(_, duration)| std::cmp::Reverse(*duration));
        if !slowest.is_empty() {
            writeln!(f, "the slowest tests, in seconds:")?;
        }
        for (name, duration) in slowest.into_iter().take(SLOWEST_TESTS) {
            writeln!(f, "{:>9.1}  {name}", duration.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_order_and_ten_tests_are_named() {
        let mut durations = Durations::default();
        durations.add_part("the guests", Duration::from_millis(1_250));
        durations.part("the tests", || Ok(())).expect("it does nothing");
        let tests = (0..12).map(|number| (format!("test_{number}"), Duration::from_secs(number))).collect();
        durations.add_tests("suite", tests);
        let text = durations.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["what took long, in seconds:", "      1.2  the guests", "      0.0  the tests"]);
        assert_eq!((lines.len(), lines[4]), (3 + 1 + 10, "     11.0  suite: test_11"));
    }
}

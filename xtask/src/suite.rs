//! A test suite: a harness that cargo compiled, and how long each of its tests took.
//!
//! Neither libtest (on stable Rust) nor libtest-mimic tells the time of a test. Both start their tests in the order of
//! `--list`, as many at a time as they have threads, and print a line when one ends: the next one starts then.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::program;

/// How tests ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

impl Counts {
    /// Adds the figures of a harness's closing line; other lines add nothing.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_, figures)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for figure in figures.split(';') {
            match figure.trim().split_once(' ').map(|(count, word)| (count.parse::<u64>(), word)) {
                Some((Ok(count), "passed")) => self.passed += count,
                Some((Ok(count), "failed")) => self.failed += count,
                Some((Ok(count), "ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// A harness that was compiled and not yet run.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The crate, and where it has several harnesses, which.
    pub(crate) name: String,
    executable: PathBuf,
    /// The package's folder, where cargo would run it.
    folder: PathBuf,
}

/// What cargo says about something that it built.
#[derive(Debug, Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    manifest_path: PathBuf,
    profile: Profile,
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Compiles the tests that the `cargo test` arguments select, without running any; integration tests come last.
pub(crate) fn compile(command: &mut Command) -> Result<Vec<Suite>> {
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let mut suites = Vec::new();
    let mut lines = Vec::new();
    let status = program::read_lines(command, |line| lines.push(line.to_owned()))?;
    if !status.success() {
        bail!("cargo could not compile the tests ({status})");
    }
    for line in lines.iter().filter(|line| line.contains(r#""reason":"compiler-artifact""#)) {
        let artifact: Artifact = serde_json::from_str(line).context("cargo describes an artifact in another way")?;
        let Some(executable) = artifact.executable.filter(|_| artifact.profile.test) else { continue };
        let folder = artifact.manifest_path.parent().context("a manifest stands in a folder")?.to_owned();
        let Target { name, kind } = artifact.target;
        let is_library = kind.iter().any(|kind| kind.ends_with("lib"));
        suites.push((!is_library, Suite { name: suite_name(&name, &kind), executable, folder }));
    }
    suites.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(suites.into_iter().map(|(_, suite)| suite).collect())
}

fn suite_name(name: &str, kind: &[String]) -> String {
    match kind.first().map(String::as_str) {
        Some("bin") => format!("{name} (program)"),
        Some("test") => format!("{name} tests"),
        _ => name.to_owned(),
    }
}

/// How a suite ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    /// The seconds of each test that ran, in the order in which they ended.
    pub(crate) tests: Vec<(String, Duration)>,
}

impl Suite {
    /// Runs every test, or those whose name contains `filter`, passing the harness's output on and adding to the counts.
    pub(crate) fn run(&self, filter: Option<&str>, counts: &mut Counts) -> Result<Outcome> {
        let listed = self.command(filter).arg("--list").output();
        let listed = listed.with_context(|| format!("cannot list {}", self.name))?;
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        let names = names.lines().filter_map(|line| line.strip_suffix(": test").map(str::to_owned));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut command = self.command(filter);
        command.args(["--test-threads", &threads.to_string()]);
        let mut clock = Clock::new(names.collect(), threads, Instant::now());
        let status = program::tee(&mut command, |line| {
            counts.add_line(line);
            clock.see(line, Instant::now());
        })?;
        Ok(Outcome { passed: status.success(), tests: clock.ended })
    }

    fn command(&self, filter: Option<&str>) -> Command {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).args(filter);
        command
    }
}

/// When each test of a harness started and ended.
struct Clock {
    waiting: VecDeque<String>,
    running: HashMap<String, Instant>,
    ended: Vec<(String, Duration)>,
}

impl Clock {
    /// The harness starts now, with the tests that come first.
    fn new(names: VecDeque<String>, threads: usize, now: Instant) -> Self {
        let mut clock = Self { waiting: names, running: HashMap::new(), ended: Vec::new() };
        (0..threads).for_each(|_| clock.start_next(now));
        clock
    }

    fn start_next(&mut self, now: Instant) {
        if let Some(name) = self.waiting.pop_front() {
            self.running.insert(name, now);
        }
    }

    /// A line of output; where it says that a test ended, the next one has started.
    fn see(&mut self, line: &str, now: Instant) {
        let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            return;
        };
        let name = name.trim_end().trim_end_matches(" - should panic");
        let Some(started) = self.running.remove(name) else { return };
        if !outcome.starts_with("ignored") {
            self.ended.push((name.to_owned(), now - started));
        }
        self.start_next(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_closing_lines_of_harnesses() {
        let mut counts = Counts::default();
        for line in [
            "test a ... ok",
            "test result: ok. 17 passed; 0 failed; 2 ignored; 0 measured; 8 filtered out; finished in 0.02s",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: that is a line of a test's own",
        ] {
            counts.add_line(line);
        }
        assert_eq!(counts, Counts { passed: 18, failed: 3, ignored: 2 });
        assert_eq!(counts.to_string(), "18 passed, 3 failed, 2 ignored");
    }

    #[test]
    fn a_test_starts_when_another_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let mut clock = Clock::new(names, 2, start);
        // As libtest and libtest-mimic write them; the second pads.
        for (line, seconds) in [
            ("running 5 tests", 0),
            ("test b - should panic ... ok", 1),
            ("test c      ... ignored", 1),
            ("test a      ... FAILED", 5),
            ("test nobody ... ok", 6),
            ("test d      ... ok", 7),
            ("test e      ... ok", 9),
        ] {
            clock.see(line, at(seconds));
        }
        let seconds: Vec<_> = clock.ended.iter().map(|(name, time)| (name.as_str(), time.as_secs())).collect();
        assert_eq!(seconds, [("b", 1), ("a", 5), ("d", 6), ("e", 4)]);
    }
}

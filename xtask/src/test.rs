//! `cargo xtask test`: every test of the project, natively and against real components.
//!
//! All suites and then all fuzz targets run even where one fails; the closing line counts what passed, failed and was
//! ignored.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{announce, build, fuzz, program, requirements};

/// What plugins share, and the plugin that is an example.
const SHARED_PACKAGES: [&str; 4] =
    ["hilora-plugin-sdk", "hilora-dataset-formats", "hilora-chatml", "custom-classifier"];

/// The packages of plugins and of what they share. They link only as components, so only their libraries are tested
/// natively.
pub(crate) fn plugin_packages() -> Vec<&'static str> {
    [&SHARED_PACKAGES[..], &build::RUST_PLUGINS].concat()
}

/// How tests ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
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
    fn add_line(&mut self, line: &str) {
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

/// Builds what the tests need and runs them; 0 where all passed.
pub(crate) fn run(repository: &Path) -> Result<u8> {
    // Only fuzzing needs it and comes last: what is missing is said before everything is built.
    requirements::check_cpp_compiler("fuzzing")?;
    announce("building the plugins and the guests of the tests");
    build::build(repository, true)?;
    let mut counts = Counts::default();
    let mut broken = Vec::new();
    let plugins = plugin_packages().into_iter().map(str::to_owned).collect();
    let suites: [(&str, &[&str], Vec<String>); 2] =
        [("the host", &[], build::host_packages(repository)?), ("the plugins' own logic", &["--lib"], plugins)];
    for (name, flags, packages) in suites {
        announce(&format!("testing {name}"));
        let mut command = Command::new("cargo");
        command.args(["test", "--release", "--no-fail-fast"]).args(flags);
        command.args(packages.iter().flat_map(|package| ["--package", package.as_str()]));
        if !program::tee(&mut command, |line| counts.add_line(line))?.success() {
            broken.push(name);
        }
    }
    let fuzzed = fuzz::run(repository, None, fuzz::SECONDS)?;
    counts.passed += fuzzed.passed;
    counts.failed += fuzzed.failed;
    if fuzzed.failed > 0 {
        broken.push("the loaders on damaged files");
    }
    if std::env::var_os("HILORA_REAL_DATA").is_none() {
        announce("ignored tests need real data: HILORA_REAL_DATA=<folder>");
    }
    announce(&format!("{counts}"));
    if !broken.is_empty() {
        announce(&format!("not all is well with {}", broken.join(" and ")));
    }
    Ok(u8::from(!broken.is_empty()))
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
}

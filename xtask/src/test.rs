//! `cargo xtask test`: every test of the project, natively and against real components.
//!
//! All suites run even where one fails. The closing lines say what took long and count what passed, failed and was
//! ignored.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Result, bail};

use crate::durations::{Durations, timed};
use crate::lint::LintingCompiler;
use crate::suite::{self, Counts};
use crate::{announce, attack, build, program};

/// The same attack with every change.
const ATTACK_SEED: u64 = 1;

/// Builds what the tests need and runs them, or those whose name contains `filter`; 0 where all passed. With lints,
/// everything is linted as it is built.
pub(crate) fn run(repository: &Path, filter: Option<&str>, with_lints: bool) -> Result<u8> {
    let lints = with_lints.then(|| LintingCompiler::place(repository)).transpose()?;
    let mut durations = Durations::default();
    announce("building the plugins and the guests of the tests, beside the host and the tests");
    // Each build has times at which it has work for one core alone.
    let (guests, suites) = thread::scope(|scope| {
        let guests = scope.spawn(|| timed(|| build::build_with_test_guests(repository, lints.as_ref())));
        let suites = timed(|| compile(repository, lints.as_ref(), filter.is_none()));
        (guests.join(), suites)
    });
    let Ok((guests, guests_duration)) = guests else { bail!("the thread that builds the plugins ended early") };
    guests?;
    durations.add_part("building the plugins and guests", guests_duration);
    durations.add_part("building the host and the tests, at the same time", suites.1);
    let (mut counts, mut broken) = (Counts::default(), Vec::new());
    for suite in suites.0? {
        announce(&format!("testing {}", suite.name));
        let outcome = durations.part(format!("testing {}", suite.name), || suite.run(filter, &mut counts))?;
        durations.add_tests(&suite.name, outcome.tests);
        if !outcome.passed {
            broken.push(suite.name);
        }
    }
    announce("testing the examples in the documentation");
    let mut examples = documentation_tests(repository)?;
    examples.args(filter);
    if let Some(lints) = &lints {
        lints.lint(&mut examples);
    }
    let status = durations.part("testing examples", || program::tee(&mut examples, |line| counts.add_line(line)))?;
    if !status.success() {
        broken.push("the examples in the documentation".to_owned());
    }
    if filter.is_none() {
        announce("attacking what was built, in short");
        if durations.part("attacking", || attack::short(repository, ATTACK_SEED))? != 0 {
            broken.push("the short attack".to_owned());
        }
    }
    if std::env::var_os("HILORA_REAL_DATA").is_none() {
        announce("ignored tests need real data: HILORA_REAL_DATA=<folder>");
    }
    announce(durations.to_string().trim_end());
    announce(&counts.to_string());
    if !broken.is_empty() {
        announce(&format!("not all is well with {}", broken.join(" and ")));
    }
    Ok(u8::from(!broken.is_empty()))
}

/// Compiles every test, and where it lints, the programs and examples that no test needs.
fn compile(repository: &Path, lints: Option<&LintingCompiler>, with_attack: bool) -> Result<Vec<suite::Suite>> {
    if let Some(lints) = lints {
        let mut command = build::cargo(repository, "build", &build::native_packages(repository)?);
        lints.lint(&mut command);
        program::run(command.args(["--bins", "--examples"]))?;
    }
    let mut command = build::cargo(repository, "test", &build::native_packages(repository)?);
    if let Some(lints) = lints {
        lints.lint(&mut command);
    }
    // Not the examples, which are programs: whoever runs them builds them.
    let suites = suite::compile(command.arg("--tests"))?;
    // With lints, examples were built above.
    if with_attack && lints.is_none() {
        attack::build(repository)?;
    }
    Ok(suites)
}

/// The examples in the documentation of the host's crates.
fn documentation_tests(repository: &Path) -> Result<Command> {
    // The binary's package is always among them, because it decides the features of the dependencies.
    let mut packages = vec!["hilora-host".to_owned()];
    for name in build::host_crates(repository)? {
        if name != "cli" && has_fenced_documentation(&repository.join("host").join(&name).join("src"))? {
            packages.push(build::host_package(&name));
        }
    }
    let mut command = build::cargo(repository, "test", &packages);
    command.args(["--doc", "--no-fail-fast"]);
    Ok(command)
}

/// Whether a file under the folder has a fenced block in its documentation.
fn has_fenced_documentation(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => has_fenced_documentation(&path)?,
            false => fs::read_to_string(&path).is_ok_and(|text| {
                text.lines().any(|line| {
                    let line = line.trim_start();
                    line.starts_with("/// ```") || line.starts_with("//! ```")
                })
            }),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

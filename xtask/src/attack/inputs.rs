//! Damaged inputs over everything that reads files, by programs that are built with the readers themselves.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use super::{Row, time_left};
use crate::{announce, build, program};

/// What reads: the program, and how many kinds of input it feeds.
const PROGRAMS: [(&str, u64); 2] = [("damaged_files", 5), ("damaged_inputs", 12)];

/// The address space that a program may have, in KiB: an input of 64 KiB has no use for more.
const ADDRESS_SPACE_KIB: u64 = 6 << 20;

/// A line that a program prints.
#[derive(Deserialize)]
struct Fed {
    target: String,
    tried: u64,
    failed: u64,
    slowest_ms: u64,
    findings: Vec<String>,
}

/// Builds the programs.
pub(super) fn build(repository: &Path) -> Result<()> {
    let mut command = build::cargo(repository, "build", &build::native_packages(repository)?);
    for (example, _) in PROGRAMS {
        command.args(["--example", example]);
    }
    program::run(&mut command)
}

/// Feeds so many inputs in all to programs that are built.
pub(super) fn damaged(repository: &Path, seed: u64, inputs: u64) -> Result<Vec<Row>> {
    let kinds: u64 = PROGRAMS.iter().map(|(_, kinds)| kinds).sum();
    let mut rows = Vec::new();
    for (example, expected) in PROGRAMS {
        let before = rows.len();
        let each = inputs / kinds;
        announce(&format!("damaged inputs: {example}, {each} of each of {expected} kinds"));
        let executable = program::target_folder(repository).join("release/examples").join(example);
        let mut command = Command::new("bash");
        command.current_dir(repository).args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB}; exec \"$@\""), "bash"]);
        command.arg(executable).args([seed.to_string(), each.to_string()]);
        let begun = std::time::Instant::now();
        let mut last = 0.0;
        let status = program::read_lines(&mut command, |line| {
            let Ok(Fed { target, tried, failed, slowest_ms, findings }) = serde_json::from_str(line) else { return };
            let seconds = begun.elapsed().as_secs_f64();
            let held = tried.saturating_sub(failed);
            let fed = (rows.len() - before) as u64 + 1;
            let left = time_left(begun.elapsed(), fed, expected);
            announce(&format!("damaged inputs: {target} ended, {fed} of {expected} kinds, {left}"));
            let attack = format!("damaged: {target} (slowest {slowest_ms} ms)");
            rows.push(Row { attack, tried, held, seconds: seconds - last, findings });
            last = seconds;
        })?;
        let fed = (rows.len() - before) as u64;
        if !status.success() || fed != expected {
            let findings = vec![format!("{example} ended with {status} after {fed} of {expected} kinds of input")];
            rows.push(Row { attack: format!("damaged: {example}"), tried: 1, held: 0, seconds: 0.0, findings });
        }
    }
    Ok(rows)
}

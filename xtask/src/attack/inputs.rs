//! Damaged inputs over everything that reads files, by programs that are built with the readers themselves.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Row;
use crate::{announce, build, program};

/// What reads: the package, the program, and how many kinds of input it feeds.
const PROGRAMS: [(&str, &str, u64); 2] = [("hilora-fuzz", "damaged_files", 5), ("hilora-host", "damaged_inputs", 11)];

/// The address space that a program may have, in KiB: an input of 64 KiB has no use for more.
const ADDRESS_SPACE_KIB: u64 = 6 << 20;

/// A line that a program prints.
#[derive(Deserialize)]
struct Fed {
    target: String,
    tried: u64,
    slowest_ms: u64,
    findings: Vec<String>,
}

/// Feeds so many inputs in all.
pub(super) fn damaged(repository: &Path, seed: u64, inputs: u64) -> Result<Vec<Row>> {
    let kinds: u64 = PROGRAMS.iter().map(|(_, _, kinds)| kinds).sum();
    let mut rows = Vec::new();
    for (package, example, _) in PROGRAMS {
        announce(&format!("damaged inputs: {example}"));
        let packages = build::native_packages(repository)?;
        program::run(build::cargo(repository, "build", &packages).args(["--example", example]))
            .with_context(|| format!("cannot build {example} of {package}"))?;
        let executable = program::target_folder(repository).join("release/examples").join(example);
        let mut command = Command::new("bash");
        command.current_dir(repository).args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB}; exec \"$@\""), "bash"]);
        command.arg(executable).args([seed.to_string(), (inputs / kinds).to_string()]);
        let begun = std::time::Instant::now();
        let mut last = 0.0;
        let status = program::read_lines(&mut command, |line| {
            let Ok(Fed { target, tried, slowest_ms, findings }) = serde_json::from_str(line) else { return };
            let seconds = begun.elapsed().as_secs_f64();
            let held = tried.saturating_sub(findings.len() as u64);
            let attack = format!("damaged: {target} (slowest {slowest_ms} ms)");
            rows.push(Row { attack, tried, held, seconds: seconds - last, findings });
            last = seconds;
        })?;
        if !status.success() {
            let findings = vec![format!("{example} ended with {status}")];
            rows.push(Row { attack: format!("damaged: {example}"), tried: 1, held: 0, seconds: 0.0, findings });
        }
    }
    Ok(rows)
}

//! Hostile programs: each gets a verdict of its own, the host lives, and the program after it is judged as if nothing had
//! been.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Row, Tally};
use crate::program;

/// What the programs that are right are called.
const RIGHT: &str = "right";

/// Judges every hostile program, and after each one that is right.
pub(super) fn hostile(repository: &Path) -> Result<Row> {
    let folder = repository.join("tests/data/programs-hostile");
    let mut files: Vec<_> = fs::read_dir(&folder).context("cannot list the hostile programs")?.flatten().collect();
    files.sort_by_key(|file| file.file_name());
    let mut programs = String::new();
    for file in files.iter().filter(|file| file.path().extension().is_some_and(|extension| extension == "py")) {
        let name = file.file_name().to_string_lossy().into_owned();
        let code = fs::read_to_string(file.path())?;
        let test = json!([{ "input": "", "output": "nothing that it writes" }]);
        programs += &format!("{}\n", json!({ "id": name, "code": code, "tests": test, "time_limit_ms": 1000 }));
        let right = json!([{ "input": "21", "output": "42" }]);
        programs += &format!("{}\n", json!({ "id": RIGHT, "code": "print(2 * int(input()))", "tests": right }));
    }
    let count = programs.lines().count() as u64;
    let mut tally = Tally::begin("hostile programs, each before one that is right", count);
    let target = program::target_folder(repository);
    let path = target.join(format!("attack-programs-{}.jsonl", std::process::id()));
    fs::write(&path, &programs).with_context(|| format!("cannot write {}", path.display()))?;
    let output = Command::new(target.join("release/hilora-host"))
        .current_dir(repository)
        .args(["judge", "--quiet", "--output", "-", "--programs"])
        .arg(&path)
        .output()?;
    drop(fs::remove_file(&path));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut judged = text.lines().map(serde_json::from_str::<Value>);
    // One judgement for each program, in their order.
    for program in programs.lines() {
        let asked: Value = serde_json::from_str(program)?;
        let judged = judged.next().transpose()?.unwrap_or_default();
        let verdict = judged["verdict"].as_str().unwrap_or("none");
        let is_right = judged["id"] == asked["id"]
            && match asked["id"].as_str() {
                Some(RIGHT) => verdict == "accepted",
                _ => !["accepted", "internal-error", "none"].contains(&verdict),
            };
        tally.enter(if is_right { Ok(()) } else { Err(format!("{}: {verdict}", asked["id"])) });
    }
    if !output.status.success() {
        tally.enter(Err(format!("the judge: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(tally.end())
}

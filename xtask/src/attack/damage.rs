//! Damage: a changed byte in each file that a later call trusts.

use std::fs;

use anyhow::{Context, Result};

use super::job::{Job, finish};
use super::{Random, Row, Tally};

/// Files of a run, and the command that reads each.
const FILES: [(&str, &[&str]); 9] = [
    ("stages/verified.jsonl", &["prepare"]),
    ("stages/verdicts.jsonl", &["prepare"]),
    ("stages.json", &["prepare"]),
    ("manifest.json", &["prepare"]),
    ("data/python_train.jsonl", &["prepare"]),
    ("adapter/adapter_model.safetensors", &["evaluate"]),
    ("adapter/adapter_config.json", &["evaluate"]),
    ("evaluation.json", &["gate"]),
    ("registry", &["registry", "list"]),
];

/// Changes a byte of a copy and runs the command: it does the work again, or refuses the file in one message.
pub(super) fn of_artefacts(job: &Job, of_each: u64, random: &mut Random) -> Result<Row> {
    let mut tally = Tally::begin("a changed byte in a file of a run");
    for (file, subcommand) in FILES {
        for attempt in 0..of_each {
            let run = format!("damaged-{}-{attempt}", tally.tried);
            job.copy(&run)?;
            let registry = job.path(&format!("{run}.sqlite"));
            fs::copy(job.path("calm.sqlite"), &registry).context("cannot copy the registry")?;
            let path = if file == "registry" { registry.clone() } else { job.path(&run).join(file) };
            let mut bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let at = (random.fraction() * bytes.len() as f64) as usize;
            let bit = (random.fraction() * 8.0) as u32;
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            if file.starts_with("stages/") {
                // Otherwise nothing has changed, and nobody reads it.
                fs::remove_file(job.path(&run).join("stages.json")).context("cannot remove the ledger")?;
            }
            let mut command = job.command(subcommand, &run);
            if file == "evaluation.json" || file == "registry" {
                command = std::process::Command::new(job.binary());
                command.args(subcommand);
                match file {
                    "registry" => command.arg("--registry").arg(&registry),
                    _ => command.arg("--evaluation").arg(&path),
                };
                command.stdin(std::process::Stdio::null());
                command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            }
            let outcome = finish(&mut command).and_then(|output| {
                // A file that is only read stays as it is, damaged; what is written again must be whole.
                let is_rewritten = *subcommand == ["prepare"];
                match job.ended_well(&output, &run) {
                    Err(error) if is_rewritten || error.starts_with("a panic") || error.contains("signal") => {
                        Err(error)
                    }
                    _ => Ok(()),
                }
            });
            tally.enter(outcome.map_err(|error| format!("{file}, byte {at}, bit {bit}: {error}")));
            drop(fs::remove_dir_all(job.path(&run)));
            drop(fs::remove_file(&registry));
        }
    }
    Ok(tally.end())
}

//! Damage: a changed byte in each file that a later call trusts.

use std::fs;

use anyhow::{Context, Result};

use super::job::{CALM, Job, finish};
use super::random::Random;
use super::{Row, Tally};

/// What the reader of a damaged file must do.
enum Expected {
    /// Do the work again and end in the undisturbed bytes, or say what is wrong.
    Redone,
    /// Say what is wrong: nobody can make the file again from what is there.
    Refused,
    /// Answer as before, because the byte decides nothing, or say what is wrong.
    SameAnswer,
}

/// Files of a run, the command that reads each, and what must come of it. The registry's lies beside the run.
const FILES: [(&str, &[&str], Expected); 9] = [
    ("stages/verified.jsonl", &["prepare"], Expected::Redone),
    ("stages/verdicts.jsonl", &["prepare"], Expected::Redone),
    ("stages.json", &["prepare"], Expected::Redone),
    ("manifest.json", &["prepare"], Expected::Redone),
    ("data/python_train.jsonl", &["prepare"], Expected::Redone),
    ("adapter/adapter_model.safetensors", &["evaluate"], Expected::Refused),
    ("adapter/adapter_config.json", &["evaluate"], Expected::Refused),
    ("evaluation.json", &[], Expected::Redone),
    (REGISTRY, &["registry", "list"], Expected::SameAnswer),
];
const REGISTRY: &str = "registry";

/// Changes a byte of a copy and runs the command that reads it.
pub(super) fn of_artefacts(job: &Job, of_each: u64, random: &mut Random) -> Result<Row> {
    let mut tally = Tally::begin("a changed byte in a file of a run", of_each * FILES.len() as u64);
    for (file, subcommand, expected) in &FILES {
        for attempt in 0..of_each {
            let run = format!("damaged-{}-{attempt}", tally.tried);
            job.copy(&run)?;
            let path = if *file == REGISTRY { job.registry(&run) } else { job.path(&run).join(file) };
            let mut bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let at = (random.fraction() * bytes.len() as f64) as usize;
            let bit = (random.fraction() * 8.0) as u32;
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            if file.starts_with("stages/") {
                // Otherwise nothing has changed, and nobody reads it.
                fs::remove_file(job.path(&run).join("stages.json")).context("cannot remove the ledger")?;
            }
            let command = || match *file {
                REGISTRY => job.registry_command(&subcommand[1..], &run),
                _ => job.command(subcommand, &run),
            };
            let outcome = finish(&mut command()).and_then(|output| {
                job.said_well(&output)?;
                match (expected, output.status.code()) {
                    (_, Some(1 | 2)) => Ok(()),
                    // What was written before and is not damaged still stands.
                    (Expected::Redone, Some(0)) => job.same(&run),
                    (Expected::SameAnswer, Some(0)) => {
                        let calm = finish(&mut job.registry_command(&subcommand[1..], CALM))?;
                        if calm.stdout == output.stdout { Ok(()) } else { Err("another answer".to_owned()) }
                    }
                    (_, code) => Err(format!("exit code {code:?}")),
                }
            });
            tally.enter(outcome.map_err(|error| format!("{file}, byte {at}, bit {bit}: {error}")));
            job.remove(&run);
        }
    }
    Ok(tally.end())
}

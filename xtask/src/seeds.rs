//! `cargo xtask seeds`: what the main job on the sample gives on three splits, as the documentation's table.
//!
//! The figures go into `tests/data/seeds.json`, the table into the document that has it. A test here holds the table
//! against the figures. The tests of the main job hold a small job's adapter and figures against those that were written
//! with them: code that computes something else asks for this command.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{announce, build, program};

/// The quickstart's seed first. No choice that was made for the sample ever saw these splits.
const SEEDS: [u64; 3] = [7, 11, 12];
const FIGURES: &str = "tests/data/seeds.json";
/// The config of the small job, which is tested with every change.
const SMALL_JOB: &str = "tests/data/small_job.yaml";
/// What the table begins with, wherever it stands.
const HEADER: &str = "| seed | base, pass@1 | adapter, pass@1 | difference, points | answers that do not run | shuffled | \
                      nearest copy |\n|---|---|---|---|---|---|---|\n";

/// What `tests/data/seeds.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    /// What the small job gave with the same code.
    small_job: SmallJob,
    seeds: Vec<SeedFigures>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SmallJob {
    /// The hash of its adapter.
    adapter: String,
    base_pass_at_1: f64,
    adapter_pass_at_1: f64,
}

/// A row of the table.
#[derive(Debug, Serialize, Deserialize)]
struct SeedFigures {
    seed: u64,
    problems: u64,
    base_pass_at_1: Estimate,
    adapter_pass_at_1: Estimate,
    improvement_points: Estimate,
    adapter_error_rate: f64,
    shuffled_answers_pass_at_1: f64,
    nearest_copy: f64,
}

/// A rate with its 95 % interval.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Estimate {
    value: f64,
    low: f64,
    high: f64,
}

/// Runs the jobs and writes the figures and the table; 0 where every job ended.
pub(crate) fn run(repository: &Path) -> Result<u8> {
    build::build_host(repository)?;
    announce("building the plugins");
    build::build(repository)?;
    let folder = program::target_folder(repository).join("seeds");
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let job = Job { host: program::target_folder(repository).join("release/hilora-host"), folder };
    announce("the small job");
    let small = job.run("small", &["--config", SMALL_JOB])?;
    let small_job = SmallJob {
        adapter: job.adapter_hash("small")?,
        base_pass_at_1: number(&small, "/evaluation/base/pass_at/1/value")?,
        adapter_pass_at_1: number(&small, "/evaluation/adapter/pass_at/1/value")?,
    };
    let mut seeds = Vec::new();
    for seed in SEEDS {
        announce(&format!("the main job with seed {seed}"));
        let result = job.run(&format!("seed-{seed}"), &["--seed", &seed.to_string()])?;
        seeds.push(SeedFigures::read(seed, &result)?);
    }
    let figures = Figures { small_job, seeds };
    let text = serde_json::to_string_pretty(&figures)? + "\n";
    program::write_if_changed(&repository.join(FIGURES), text.as_bytes())?;
    let table = table(&figures);
    io::stdout().lock().write_all(table.as_bytes())?;
    let document = document(repository)?;
    let text = fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
    program::write_if_changed(&document, with_table(&text, &table)?.as_bytes())?;
    announce(&format!("written: {FIGURES} and the table in {}", document.display()));
    Ok(0)
}

/// The main job in a folder of its own.
struct Job {
    host: PathBuf,
    folder: PathBuf,
}

impl Job {
    /// Runs it; what it prints for machines. That the gate says no is a result, too.
    fn run(&self, name: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.host);
        command.args(["--json", "--plugin", "plugins/codecontests.wasm"]).args(arguments);
        command.arg("--run").arg(self.folder.join(name)).arg("--registry").arg(self.folder.join("registry.sqlite"));
        command.stderr(std::process::Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot run {}", self.host.display()))?;
        if !matches!(output.status.code(), Some(0 | 3)) {
            bail!("the job {name} failed ({})", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("the job {name} printed no JSON"))
    }

    /// The hash of a run's adapter, as the run recorded it.
    fn adapter_hash(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name).join("evaluation.json");
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let evaluation: Value = serde_json::from_slice(&text)?;
        let hash = evaluation.pointer("/made_from/adapter").and_then(Value::as_str);
        Ok(hash.context("the evaluation does not name the adapter's hash")?.to_owned())
    }
}

impl SeedFigures {
    /// The figures in what the main job prints for machines.
    fn read(seed: u64, result: &Value) -> Result<Self> {
        let estimate = |path: &str| -> Result<Estimate> {
            Ok(Estimate {
                value: number(result, &format!("{path}/value"))?,
                low: number(result, &format!("{path}/low"))?,
                high: number(result, &format!("{path}/high"))?,
            })
        };
        Ok(Self {
            seed,
            problems: number(result, "/evaluation/problems")? as u64,
            base_pass_at_1: estimate("/evaluation/base/pass_at/1")?,
            adapter_pass_at_1: estimate("/evaluation/adapter/pass_at/1")?,
            improvement_points: estimate("/evaluation/improvement_points")?,
            adapter_error_rate: number(result, "/evaluation/adapter/error_rate/value")?,
            shuffled_answers_pass_at_1: number(result, "/evaluation/shuffled_answers_pass_at_1/value")?,
            nearest_copy: number(result, "/evaluation/nearest_copy/value")?,
        })
    }

    fn row(&self) -> String {
        let rate = |estimate: Estimate| format!("{:.3} [{:.2}, {:.2}]", estimate.value, estimate.low, estimate.high);
        let points = self.improvement_points;
        format!(
            "| {} | {} | {} | {:+.1} [{:.1}, {:.1}] | {:.1} % | {:.3} | {:.3} |",
            self.seed,
            rate(self.base_pass_at_1),
            rate(self.adapter_pass_at_1),
            points.value,
            points.low,
            points.high,
            self.adapter_error_rate * 100.0,
            self.shuffled_answers_pass_at_1,
            self.nearest_copy,
        )
    }
}

fn number(result: &Value, pointer: &str) -> Result<f64> {
    result.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("the job's result has no {pointer}"))
}

fn table(figures: &Figures) -> String {
    let rows: String = figures.seeds.iter().map(|seed| seed.row() + "\n").collect();
    HEADER.to_owned() + &rows
}

/// The document that has the table.
fn document(repository: &Path) -> Result<PathBuf> {
    let mut documents = vec![repository.join("README.md")];
    for entry in fs::read_dir(repository.join("docs")).into_iter().flatten() {
        documents.push(entry?.path());
    }
    documents.retain(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(HEADER)));
    match documents.as_slice() {
        [document] => Ok(document.clone()),
        _ => bail!("expected one document with the table of seeds, found {documents:?}"),
    }
}

/// The text with its table replaced.
fn with_table(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(HEADER).context("the document has no table of seeds")?;
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    Ok(format!("{before}{table}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_table_is_what_was_measured() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let figures = fs::read(repository.join(FIGURES)).expect("the figures are committed");
        let figures: Figures = serde_json::from_slice(&figures).expect("they are figures");
        assert_eq!(figures.seeds.iter().map(|row| row.seed).collect::<Vec<_>>(), SEEDS);
        let document = document(&repository).expect("one document has the table");
        let text = fs::read_to_string(document).expect("it can be read");
        assert_eq!(with_table(&text, &table(&figures)).expect("it has the table"), text);
        // A sentence beside the table tells how many problems were held out.
        assert!(figures.seeds.iter().all(|row| text.contains(&format!("{} held-out problems", row.problems))));
    }

    #[test]
    fn only_the_table_is_replaced() {
        let text = format!("Before.\n\n{HEADER}| 1 | old |\n| 2 | old |\n\nAfter. | x |\n");
        let replaced = with_table(&text, &format!("{HEADER}| 1 | new |\n")).expect("it has a table");
        assert_eq!(replaced, format!("Before.\n\n{HEADER}| 1 | new |\n\nAfter. | x |\n"));
        assert!(with_table("no table", "").is_err());
    }

    #[test]
    fn a_row_is_read_from_the_jobs_result() {
        let estimate = |value: f64| serde_json::json!({"value": value, "low": value - 0.1, "high": value + 0.1});
        let figures =
            |value: f64| serde_json::json!({"pass_at": {"1": estimate(value)}, "error_rate": estimate(0.0091)});
        let result = serde_json::json!({"evaluation": {
            "problems": 305, "base": figures(0.24), "adapter": figures(0.6819),
            "improvement_points": {"value": 44.19, "low": 38.75, "high": 49.7},
            "shuffled_answers_pass_at_1": estimate(0.0), "nearest_copy": estimate(0.25),
        }});
        let row = SeedFigures::read(7, &result).expect("it is whole").row();
        assert_eq!(row, "| 7 | 0.240 [0.14, 0.34] | 0.682 [0.58, 0.78] | +44.2 [38.8, 49.7] | 0.9 % | 0.000 | 0.250 |");
        let error = SeedFigures::read(7, &serde_json::json!({})).expect_err("it is empty");
        assert_eq!(error.to_string(), "the job's result has no /evaluation/problems");
    }
}

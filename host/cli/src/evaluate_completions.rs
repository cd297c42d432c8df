//! `hilora-host evaluate --completions FILE`: what another model answered, judged as this host's own answers are.

use std::path::PathBuf;

use clap::Args;
use hilora_contract::artifact::Output;
use hilora_run::{BENCHMARKS, Benchmark, DateWindow, GivenCompletions};

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::job_arguments::JobArguments;
use super::judge_worker::worker_command;
use super::stages::interrupted;

/// What stands beside `--completions`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Completions of any model")]
pub(super) struct CompletionsArguments {
    /// Measure these completions of any model, and no adapter: one JSON object a line with id and completion or code, or the
    /// layout of LiveCodeBench's custom evaluator, of EvalPlus or of lm-evaluation-harness' samples; several of one problem
    /// are several answers (`-` reads standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["adapter", "config", "run", "seed", "device", "registry", "unchecked", "dry_run", "plan"]
    )]
    completions: Option<PathBuf>,
    /// What the completions answer: rows of `data/<specialist>_tests.jsonl`, or with --benchmark its files (a path, a folder,
    /// a pattern, hf://datasets/…; may be given several times)
    #[arg(long, value_name = "FILE", requires = "completions")]
    problems: Vec<PathBuf>,
    /// A published benchmark; without --problems its files are those of the hub
    #[arg(long, value_name = "NAME", requires = "completions", value_parser = benchmark)]
    benchmark: Option<Benchmark>,
    /// The first day of the contests that count (livecodebench)
    #[arg(long, value_name = "YYYY-MM-DD", requires = "benchmark", value_parser = day)]
    from: Option<String>,
    /// The last day of the contests that count
    #[arg(long, value_name = "YYYY-MM-DD", requires = "benchmark", value_parser = day)]
    to: Option<String>,
    /// The k of each pass@k, with commas between them; at most the answers of each problem [default: 1, 10 and 100, as far
    /// as there are so many]
    #[arg(
        long,
        value_name = "K",
        requires = "completions",
        value_delimiter = ',',
        value_parser = wanted_k
    )]
    k: Vec<u32>,
    /// Rows that the model was trained on, to be held against the problems: the evaluation says what was found
    #[arg(long, value_name = "FILE", requires = "completions")]
    trained_on: Option<PathBuf>,
    /// Where the evaluation goes, as JSON. Until it is whole, verdicts are kept in FILE.judged, and a call that was
    /// interrupted goes on from them
    #[arg(long, value_name = "FILE", requires = "completions")]
    output: Option<PathBuf>,
}

/// Finds a benchmark.
fn benchmark(name: &str) -> std::result::Result<Benchmark, String> {
    let names = || BENCHMARKS.map(|benchmark| benchmark.name).join(", ");
    Benchmark::named(name).ok_or_else(|| format!("expected one of {}", names()))
}

/// The k of a pass@k.
fn wanted_k(text: &str) -> std::result::Result<u32, String> {
    let k = text.trim().parse().ok().filter(|k| *k > 0);
    k.ok_or_else(|| format!("expected a whole number from 1 to {}", u32::MAX))
}

/// A day of the calendar, as ISO 8601 writes it.
fn day(text: &str) -> std::result::Result<String, String> {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let has_dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let found = (has_dashes).then(|| Some((number(0..4)?, number(5..7)?, number(8..10)?))).flatten();
    let Some((year, month, day)) = found else { return Err("expected a day such as 2024-08-01".to_owned()) };
    if !(1..=12).contains(&month) {
        return Err(format!("expected a month from 01 to 12, got {month:02}"));
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
    if !(1..=days).contains(&day) {
        return Err(format!("expected a day from 01 to {days} of {year:04}-{month:02}, got {day:02}"));
    }
    Ok(text.to_owned())
}

impl CompletionsArguments {
    /// An option that says something about completions alone. clap does not ask for `--completions` beside it where another
    /// option forbids that.
    pub(super) fn stray(&self) -> Option<&'static str> {
        let stray = [
            ("--problems", !self.problems.is_empty()),
            ("--benchmark", self.benchmark.is_some()),
            ("--k", !self.k.is_empty()),
            ("--trained-on", self.trained_on.is_some()),
            ("--output", self.output.is_some()),
        ];
        stray.into_iter().find(|(_, is_given)| *is_given && self.completions.is_none()).map(|(name, _)| name)
    }

    /// Whether completions are measured.
    pub(super) fn are_given(&self) -> bool {
        self.completions.is_some()
    }

    pub(super) fn execute(&self, job: &JobArguments, console: &Console) -> Result<ExitStatus> {
        let Some(completions) = &self.completions else { return Ok(ExitStatus::Done) };
        if self.problems.is_empty() && self.benchmark.is_none() {
            let hint = "`--problems FILE` names rows of `data/<specialist>_tests.jsonl`, and `--benchmark NAME` a published set";
            return Err(Failure::bad_input("nothing says what the completions answer: expected problems", hint));
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to)
            && from > to
        {
            let message = format!("--from: expected a day up to that of `--to`, {to}, got {from}");
            return Err(Failure::bad_input(message, "both days count"));
        }
        if let Some(output) = &self.output {
            // What could not be written is told before anything runs; the record is written by its own name later.
            let inputs: Vec<_> = [completions].into_iter().chain(&self.problems).map(PathBuf::as_path).collect();
            if Output::create(output, &inputs)?.is_standard() {
                return Err(Failure::bad_input("--output: expected a file, got `-`", "`--json` prints the evaluation"));
            }
        }
        let given = GivenCompletions {
            completions: completions.clone(),
            benchmark: self.benchmark,
            problems: self.problems.clone(),
            window: DateWindow { from: self.from.clone(), to: self.to.clone() },
            trained_on: self.trained_on.clone(),
            k: self.k.clone(),
            plugins: job.plugins().to_owned(),
            workers: job.workers(),
            output: self.output.clone(),
            worker: worker_command(),
        };
        let observer = console.observer()?;
        let Some(record) = given.measure(&observer)? else {
            if let Some(output) = &self.output {
                console
                    .note(&format!("interrupted; verdicts are kept beside {}: call again to go on", output.display()));
            }
            return Ok(interrupted(observer.signal()));
        };
        console.result(&record, &record.to_string())?;
        Ok(ExitStatus::Done)
    }
}

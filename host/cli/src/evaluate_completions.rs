//! `hilora-host evaluate --completions FILE`: what another model answered, judged as this host's own answers are; and the
//! benchmark that either such answers or the run's own are of.

use std::path::PathBuf;

use clap::Args;
use hilora_contract::artifact::Output;
use hilora_evaluator::{BenchmarkConfig, check_day};
use hilora_run::{BENCHMARKS, Benchmark, DateWindow, GivenCompletions};

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::job_arguments::JobArguments;
use super::judge_worker::worker_command;
use super::stages::interrupted;

/// What stands beside `--completions`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Benchmarks, and completions of any model")]
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
    /// What is answered: with --benchmark its files (a path, a folder, a pattern, hf://datasets/…; may be given several
    /// times), or with --completions alone rows of `data/<specialist>_tests.jsonl`
    #[arg(long, value_name = "FILE")]
    problems: Vec<PathBuf>,
    /// A published benchmark, which the run's base and adapter are measured on, too, or that completions answer; without
    /// --problems its files are the config's or those of the hub
    #[arg(long, value_name = "NAME", value_parser = benchmark)]
    benchmark: Option<Benchmark>,
    /// The first day of the contests that count (livecodebench)
    #[arg(long, value_name = "YYYY-MM-DD", requires = "benchmark", value_parser = day)]
    from: Option<String>,
    /// The last day of the contests that count
    #[arg(long, value_name = "YYYY-MM-DD", requires = "benchmark", value_parser = day)]
    to: Option<String>,
    /// Only so many problems of the benchmark, the first ones
    #[arg(long, value_name = "N", conflicts_with = "completions", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// The k of each pass@k, with commas between them; at most the answers of each problem [default: the config's, or of
    /// completions 1, 10 and 100, as far as there are so many]
    #[arg(
        long,
        value_name = "K",
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
    check_day(text).map(|()| text.to_owned())
}

impl CompletionsArguments {
    /// An option that says something about what is not measured, and what it is to stand beside. clap does not ask for
    /// `--completions` beside one where another option forbids that.
    pub(super) fn stray(&self) -> Option<(&'static str, &'static str)> {
        let of_completions = [("--trained-on", self.trained_on.is_some()), ("--output", self.output.is_some())];
        let of_either =
            [("--problems", !self.problems.is_empty()), ("--k", !self.k.is_empty()), ("--limit", self.limit.is_some())];
        let is_given = |(_, is_given): &(&str, bool)| *is_given;
        let stray = of_completions.into_iter().find(is_given).filter(|_| self.completions.is_none());
        let stray = stray.map(|(name, _)| (name, "`--completions`"));
        let has_any = self.completions.is_some() || self.benchmark.is_some();
        stray.or_else(|| {
            let (name, _) = of_either.into_iter().find(is_given).filter(|_| !has_any)?;
            Some((name, if name == "--limit" { "`--benchmark`" } else { "`--completions` or `--benchmark`" }))
        })
    }

    /// The benchmark that the run's models are measured on.
    pub(super) fn of_run(&self) -> Option<BenchmarkConfig> {
        Some(BenchmarkConfig {
            name: self.benchmark?.name.to_owned(),
            files: self.problems.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            limit: self.limit.map(|limit| limit as usize),
            k: Some(self.k.clone()).filter(|k| !k.is_empty()),
            ..BenchmarkConfig::default()
        })
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

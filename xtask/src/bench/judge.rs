//! `cargo xtask bench judge`: the sandbox held against the python3 of this machine: a trivial program, programs that
//! compute, two threads against one, the memory of an instance.
//!
//! Native and sandboxed runs alternate, each in a process of its own; of each pair of three the least processor time
//! counts. What a program writes in the sandbox must be what python3 writes. A program's time has python3's start-up in
//! it, or a fresh instance's, which differ by far: what an empty program takes is measured in the same way, and the
//! ratio is printed with it and without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::measure::Meter;
use super::processor::{json_with_processor, processor};
use crate::program::{run, target_folder, write_if_changed};
use crate::{announce, build};

/// How the judge is measured.
#[derive(Debug, Args)]
pub(crate) struct JudgeArguments {
    /// Print the figures as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

const TRIVIAL_RUNS: usize = 400;
const SPAWNS: usize = 40;
const ROUNDS: usize = 3;
const SCALING_RUNS: usize = 400;
const INSTANCES: usize = 16;

/// One program that computes: its processor time, start-up included.
#[derive(Debug, Serialize)]
struct Program {
    name: String,
    #[serde(flatten)]
    costs: Costs,
}

/// Processor time of one program.
#[derive(Debug, Clone, Copy, Serialize)]
struct Costs {
    native_seconds: f64,
    sandbox_seconds: f64,
}

impl Costs {
    /// The sandbox's over python3's.
    fn ratio(self) -> f64 {
        self.sandbox_seconds / self.native_seconds
    }

    /// What is left without the start-up of either.
    fn without(self, start_up: Self) -> Self {
        Self {
            native_seconds: self.native_seconds - start_up.native_seconds,
            sandbox_seconds: self.sandbox_seconds - start_up.sandbox_seconds,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    python: String,
    /// Median processor time of a trivial program, in milliseconds.
    trivial_sandbox_ms: f64,
    trivial_spawn_ms: f64,
    /// What an empty program takes: python3's start-up, and a fresh instance.
    start_up: Costs,
    programs: Vec<Program>,
    /// The geometric mean of sandbox over native, start-up included.
    slowdown: f64,
    /// The same without the start-up of either.
    slowdown_without_start_up: f64,
    runs_per_second_one_thread: f64,
    runs_per_second_two_threads: f64,
    bytes_per_instance: f64,
}

pub(crate) fn run_task(repository: &Path, arguments: &JudgeArguments) -> Result<u8> {
    announce("building what is measured");
    build::build(repository)?;
    let mut command = Command::new("cargo");
    let example = ["build", "--release", "--package", "hilora-host", "--example", "judge_costs"];
    run(command.current_dir(repository).args(example))?;
    let python = PathBuf::from("python3");
    let sandbox = Sandbox {
        python: python.clone(),
        meter: Meter::new(&python, repository.join("tests/oracle/measure.py")),
        program: target_folder(repository).join("release/examples/judge_costs"),
        runner: repository.join("plugins/python-runner.wasm"),
    };
    let version = Command::new(&python).arg("--version").output().context("cannot run python3")?;

    announce("a trivial program");
    let trivial = sandbox.measure("trivial", Path::new(&TRIVIAL_RUNS.to_string()))?;
    let mut spawns = Vec::new();
    for _ in 0..SPAWNS {
        let (cost, _) = sandbox.meter.run_text(&python, &[Path::new("-c"), Path::new("print(41 + 1)")])?;
        spawns.push(cost.processor_seconds * 1e3);
    }
    spawns.sort_by(f64::total_cmp);

    let mut programs = Vec::new();
    for path in programs_of(&repository.join("tests/data/programs-bench"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        announce(&name);
        programs.push(Program { name, costs: sandbox.compare(&path)? });
    }
    announce("an empty program");
    let empty = target_folder(repository).join("empty.py");
    write_if_changed(&empty, b"")?;
    let start_up = sandbox.compare(&empty)?;

    announce("two threads against one, and the memory of an instance");
    let scaling = sandbox.measure("scaling", Path::new(&SCALING_RUNS.to_string()))?;
    let memory = sandbox.measure("memory", Path::new(&INSTANCES.to_string()))?;
    let report = Report {
        python: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
        trivial_sandbox_ms: number(&trivial, "cpu_ms")?,
        trivial_spawn_ms: spawns[SPAWNS / 2],
        start_up,
        slowdown: geometric_mean(programs.iter().map(|program| program.costs.ratio())),
        slowdown_without_start_up: geometric_mean(
            programs.iter().map(|program| program.costs.without(start_up).ratio()),
        ),
        programs,
        runs_per_second_one_thread: number(&scaling, "one_thread")?,
        runs_per_second_two_threads: number(&scaling, "two_threads")?,
        bytes_per_instance: number(&memory, "bytes_per_instance")?,
    };
    print(&report, arguments.json)?;
    Ok(0)
}

struct Sandbox {
    python: PathBuf,
    meter: Meter,
    program: PathBuf,
    runner: PathBuf,
}

impl Sandbox {
    fn measure(&self, what: &str, value: &Path) -> Result<Value> {
        Ok(self.meter.run(&self.program, &[&self.runner, Path::new(what), value])?.1)
    }

    /// One program with python3 and in the sandbox, in turns: the least that each took.
    fn compare(&self, program: &Path) -> Result<Costs> {
        let mut least = Costs { native_seconds: f64::INFINITY, sandbox_seconds: f64::INFINITY };
        for _ in 0..ROUNDS {
            let (cost, expected) = self.meter.run_text(&self.python, &[program])?;
            least.native_seconds = least.native_seconds.min(cost.processor_seconds);
            let measured = self.measure("program", program)?;
            if measured["stdout"].as_str() != Some(&expected) {
                bail!("{} writes something else in the sandbox than with python3", program.display());
            }
            least.sandbox_seconds = least.sandbox_seconds.min(number(&measured, "cpu_seconds")?);
        }
        Ok(least)
    }
}

fn geometric_mean(ratios: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = ratios.len() as f64;
    (ratios.map(f64::ln).sum::<f64>() / count).exp()
}

fn programs_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    paths.sort();
    Ok(paths)
}

fn number(measured: &Value, name: &str) -> Result<f64> {
    measured[name].as_f64().with_context(|| format!("no `{name}` in {measured}"))
}

#[expect(clippy::print_stdout, reason = "the figures are the task's result")]
fn print(report: &Report, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", json_with_processor(report)?);
        return Ok(());
    }
    println!("{}", processor());
    let Report { trivial_sandbox_ms, trivial_spawn_ms, start_up, .. } = report;
    let row = |name: &str, Costs { native_seconds, sandbox_seconds }: Costs, ratios: &str| {
        println!("{name:20} {native_seconds:>13.3} {sandbox_seconds:>12.3} {ratios}");
    };
    println!("{:20} {:>13} {:>12} {:>7} {:>16}", "CPU seconds", report.python, "sandbox", "ratio", "without start-up");
    for Program { name, costs } in &report.programs {
        row(name, *costs, &format!("{:>7.2} {:>16.2}", costs.ratio(), costs.without(*start_up).ratio()));
    }
    row("an empty program", *start_up, "(start-up: of python3, and of a fresh instance)");
    let (with, without) = (report.slowdown, report.slowdown_without_start_up);
    println!("geometric mean with start-up: {with:.2} times python3 (target: 2.1, aim 1.6)");
    println!("geometric mean without start-up: {without:.2} times python3");
    let cheaper = trivial_spawn_ms / trivial_sandbox_ms;
    println!("a trivial program: {trivial_sandbox_ms:.2} ms CPU in a fresh instance (target: 1.4, aim 1.0)");
    println!("spawning python3: {trivial_spawn_ms:.2} ms CPU, {cheaper:.1} times as much (target: 7)");
    let (one, two) = (report.runs_per_second_one_thread, report.runs_per_second_two_threads);
    println!("{one:.0} runs a second on one thread, {two:.0} on two: {:.2} times (target: 1.9)", two / one);
    println!("{:.2} MB of private memory for each live instance (target: 3)", report.bytes_per_instance / 1e6);
    Ok(())
}

//! `cargo xtask bench train`: optimizer steps of QLoRA held against PEFT and bitsandbytes on this machine.
//!
//! Both train the same adapter over the same random base in NF4 on the same tokens, in turns, each run in a process of its
//! own; of each the median step counts. PEFT's losses must be ours. Where lengths differ PEFT pads and we do not: tokens
//! that are padding are counted for nobody. bf16 is held against PEFT's bf16, and f32 against its f32: on a processor
//! that does not multiply bf16, torch is much slower in bf16 than in f32, and the figures say which it was. What
//! `train --plan` says of each step stands beside what it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::measure::Meter;
use super::processor::{json_with_processor, processor};
use crate::announce;
use crate::program::{run, target_folder};
use crate::python;

/// How the trainer is measured.
#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Print the figures as one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// The type of activations; by default both
    #[arg(long)]
    compute: Option<Compute>,
    /// Steps that are measured, beside a first that is not
    #[arg(long, default_value_t = 3)]
    steps: usize,
}

#[derive(Debug, Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Compute {
    F32,
    Bf16,
}

impl Compute {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// A batch of the script, with or without gradient checkpointing; the targets are ours over PEFT's tokens a second.
struct Case {
    name: &'static str,
    batch: &'static str,
    checkpointing: bool,
    target: Option<f64>,
}

const CASES: [Case; 4] = [
    Case { name: "2 x 512 tokens", batch: "equal", checkpointing: false, target: Some(1.4) },
    Case { name: "2 x 512, checkpointing", batch: "equal", checkpointing: true, target: Some(1.4) },
    Case { name: "64 tokens", batch: "small", checkpointing: false, target: Some(3.0) },
    Case { name: "8 unequal sequences", batch: "unequal", checkpointing: false, target: None },
];

/// Losses of the two may differ by so much: bf16 rounds differently in each.
const LOSS_TOLERANCE: [(Compute, f64); 2] = [(Compute::F32, 1e-3), (Compute::Bf16, 5e-2)];

/// What either program prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Steps {
    tokens: usize,
    step_seconds: f64,
    step_processor_seconds: f64,
    peak_memory_bytes: u64,
    losses: Vec<f64>,
}

impl Steps {
    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.step_seconds
    }

    fn tokens_per_processor_second(&self) -> f64 {
        self.tokens as f64 / self.step_processor_seconds
    }
}

/// What `train --plan` says of the same step.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    memory: PlannedMemory,
    time: PlannedTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlannedMemory {
    total: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlannedTime {
    step: f64,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    figures: &'a [Figures],
}

#[derive(Debug, Serialize)]
struct Figures {
    case: &'static str,
    compute: Compute,
    target: Option<f64>,
    peft: Steps,
    ours: Steps,
    plan: Plan,
}

impl Figures {
    fn speed(&self) -> f64 {
        self.ours.tokens_per_second() / self.peft.tokens_per_second()
    }

    fn memory(&self) -> f64 {
        self.ours.peak_memory_bytes as f64 / self.peft.peak_memory_bytes as f64
    }
}

pub(crate) fn run_task(repository: &Path, arguments: &TrainArguments) -> Result<u8> {
    let oracle = repository.join("tests/oracle");
    let environment = python::environment(repository, "oracle-venv", &oracle.join("requirements.txt"))?;
    let python = environment.join("bin/python");
    let script = oracle.join("bench_train.py");
    let folder = target_folder(repository).join("bench/train");
    if !folder.join("unequal.json").exists() {
        announce("making a random base");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        run(Command::new(&python).arg(&script).arg("make").arg(&folder))?;
    }
    let mut command = Command::new("cargo");
    let example = ["build", "--release", "--package", "hilora-host", "--example", "train_costs"];
    run(command.current_dir(repository).args(example))?;
    let bench = Bench {
        meter: Meter::new(&python, oracle.join("measure.py")),
        ours: target_folder(repository).join("release/examples/train_costs"),
        python,
        script,
        folder,
        steps: arguments.steps.to_string(),
    };
    let mut figures = Vec::new();
    for compute in arguments.compute.map_or_else(|| vec![Compute::F32, Compute::Bf16], |compute| vec![compute]) {
        for case in &CASES {
            announce(&format!("{}, {}", case.name, compute.name()));
            figures.push(bench.compare(case, compute)?);
        }
    }
    print(&figures, arguments.json)?;
    Ok(0)
}

struct Bench {
    meter: Meter,
    python: PathBuf,
    script: PathBuf,
    ours: PathBuf,
    folder: PathBuf,
    steps: String,
}

impl Bench {
    fn compare(&self, case: &Case, compute: Compute) -> Result<Figures> {
        let (batch, name, steps) = (Path::new(case.batch), Path::new(compute.name()), Path::new(&self.steps));
        let mut theirs = vec![&*self.script, Path::new("run"), &*self.folder, batch, name, Path::new("--steps"), steps];
        let mut ours = vec![&*self.folder, batch, name, steps];
        if case.checkpointing {
            theirs.push(Path::new("--checkpointing"));
            ours.push(Path::new("checkpointing"));
        }
        let plan: Vec<&Path> = ours.iter().copied().chain([Path::new("plan")]).collect();
        let plan: Plan = serde_json::from_value(self.meter.run(&self.ours, &plan)?.1)?;
        let peft: Steps = serde_json::from_value(self.meter.run(&self.python, &theirs)?.1)?;
        let ours: Steps = serde_json::from_value(self.meter.run(&self.ours, &ours)?.1)?;
        let tolerance = LOSS_TOLERANCE.iter().find(|(of, _)| of.name() == compute.name()).map_or(0.0, |(_, by)| *by);
        if let Some((ours, peft)) = ours.losses.iter().zip(&peft.losses).find(|(a, b)| (*a - *b).abs() > tolerance) {
            bail!("{}: a loss of {ours} where PEFT has {peft}: not the same work", case.name);
        }
        Ok(Figures { case: case.name, compute, target: case.target, peft, ours, plan })
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the task's result")]
fn print(figures: &[Figures], as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", json_with_processor(&Report { figures })?);
        return Ok(());
    }
    println!("{}", processor());
    println!(
        "{:24} {:5} {:>12} {:>12} {:>7} {:>8} {:>10} {:>10} {:>7}",
        "tokens a second", "", "PEFT", "ours", "ratio", "(target)", "PEFT MB", "ours MB", "ratio"
    );
    for of in figures {
        let target = of.target.map_or_else(String::new, |target| format!("({target})"));
        println!(
            "{:24} {:5} {:>12.1} {:>12.1} {:>7.2} {target:>8} {:>10.0} {:>10.0} {:>7.2}",
            of.case,
            of.compute.name(),
            of.peft.tokens_per_second(),
            of.ours.tokens_per_second(),
            of.speed(),
            of.peft.peak_memory_bytes as f64 / 1e6,
            of.ours.peak_memory_bytes as f64 / 1e6,
            of.memory(),
        );
        println!(
            "{:24} {:5} {:>12.1} {:>12.1}   a second of processor time",
            "",
            "",
            of.peft.tokens_per_processor_second(),
            of.ours.tokens_per_processor_second(),
        );
        println!(
            "{:24} {:5} {:>12.2} {:>12.2} {:>7.2} {:>8} {:>10.0} {:>10.0} {:>7.2}   planned and measured: s a step, MB",
            "",
            "",
            of.plan.time.step,
            of.ours.step_seconds,
            of.plan.time.step / of.ours.step_seconds,
            "",
            of.plan.memory.total as f64 / 1e6,
            of.ours.peak_memory_bytes as f64 / 1e6,
            of.plan.memory.total as f64 / of.ours.peak_memory_bytes as f64,
        );
    }
    println!("memory: the target is a third, the aim a quarter");
    Ok(())
}

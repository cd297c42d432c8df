//! `cargo xtask bench generate`: the engine held against transformers' `generate` and llama.cpp on this machine.
//!
//! All complete the same prompts over the same random weights, in turns, each run in a process of its own; of each the best
//! round counts, and of processor time the least. transformers computes in bf16, and in 4 bits by bitsandbytes. llama.cpp
//! reads the weights in Q4_0, and is there if `HILORA_LLAMA_PYTHON` names a Python with `llama-cpp-python` and `gguf`.
//! Beside the figures stands what memory allows: the weights that a token reads, by what all threads together read a second.
//! In the same run the engine's log-probabilities are held against those of the trainer's forward pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::measure::Meter;
use super::processor::{json_with_processor, processor};
use crate::announce;
use crate::program::{run, target_folder};
use crate::python;

/// How the engine is measured.
#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// Print the figures as one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Tokens of a prompt
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Tokens to draw of each
    #[arg(long, default_value_t = 64)]
    new: usize,
    /// Sequences side by side
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    batch: Vec<usize>,
    /// Rounds of each process, of which the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often the programs take turns
    #[arg(long, default_value_t = 2)]
    turns: usize,
}

/// Tokens a second over those of transformers, and of llama.cpp with one sequence.
const TARGET: f64 = 3.0;
const LLAMA_TARGET: f64 = 0.8;

/// A model, and the type that it is kept and computed in.
struct Case {
    name: &'static str,
    base: Base,
    weights: &'static str,
    compute: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The one that ships with the project.
    Tiny,
    /// A random one, hidden 896 × 8 layers.
    Random,
}

const CASES: [Case; 4] = [
    Case { name: "tiny base, bf16", base: Base::Tiny, weights: "bf16", compute: "bf16" },
    Case { name: "tiny base, NF4", base: Base::Tiny, weights: "nf4", compute: "f32" },
    Case { name: "896 x 8, bf16", base: Base::Random, weights: "bf16", compute: "bf16" },
    Case { name: "896 x 8, NF4", base: Base::Random, weights: "nf4", compute: "bf16" },
];

/// What a program prints.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Timing {
    prefill_seconds: f64,
    decode_seconds: f64,
    decode_processor_seconds: f64,
}

impl Timing {
    const NONE: Self =
        Self { prefill_seconds: f64::INFINITY, decode_seconds: f64::INFINITY, decode_processor_seconds: f64::INFINITY };

    fn least(self, other: Self) -> Self {
        Self {
            prefill_seconds: self.prefill_seconds.min(other.prefill_seconds),
            decode_seconds: self.decode_seconds.min(other.decode_seconds),
            decode_processor_seconds: self.decode_processor_seconds.min(other.decode_processor_seconds),
        }
    }
}

/// What only our program prints.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Engine {
    #[serde(flatten)]
    timing: Timing,
    weight_bytes: u64,
    compared_tokens: usize,
    greatest_difference: f64,
}

#[derive(Debug, Serialize)]
struct Figures {
    case: &'static str,
    batch: usize,
    new: usize,
    ours: Timing,
    transformers: Timing,
    /// Of NF4 alone.
    llama: Option<Timing>,
    weight_bytes: u64,
    /// Microseconds in which the weights can be read, for a token of each sequence.
    floor_us: f64,
    compared_tokens: usize,
    greatest_difference: f64,
}

impl Figures {
    /// The first token of each comes with the prompt.
    fn decoded(&self) -> f64 {
        ((self.new - 1) * self.batch) as f64
    }

    fn decode(&self, timing: Timing) -> f64 {
        self.decoded() / timing.decode_seconds
    }

    fn whole(&self, timing: Timing) -> f64 {
        (self.new * self.batch) as f64 / (timing.prefill_seconds + timing.decode_seconds)
    }

    fn of_processor(&self, timing: Timing) -> f64 {
        self.decoded() / timing.decode_processor_seconds
    }

    /// A pass of the engine in microseconds.
    fn pass_us(&self) -> f64 {
        self.ours.decode_seconds / (self.new - 1) as f64 * 1e6
    }
}

#[derive(Debug, Serialize)]
struct Report {
    bytes_per_second: f64,
    figures: Vec<Figures>,
}

pub(crate) fn run_task(repository: &Path, arguments: &GenerateArguments) -> Result<u8> {
    if arguments.new < 2 || arguments.prompt == 0 || arguments.turns == 0 || arguments.batch.contains(&0) {
        bail!("expected at least one token of a prompt, two to draw, one sequence and one turn");
    }
    let oracle = repository.join("tests/oracle");
    let environment = python::environment(repository, "oracle-venv", &oracle.join("requirements.txt"))?;
    let python = environment.join("bin/python");
    let script = oracle.join("bench_generate.py");
    let folder = target_folder(repository).join("bench/generate");
    let random = folder.join("model");
    if !random.join("model.safetensors").exists() {
        announce("making a random base");
        run(Command::new(&python).arg(&script).arg("make").arg(&random))?;
    }
    let mut command = Command::new("cargo");
    let packages = ["--package", "hilora-host", "--package", "hilora-engine"];
    run(command.current_dir(repository).args(["build", "--release", "--example", "generate_costs"]).args(packages))?;
    let bench = Bench {
        meter: Meter::new(&python, oracle.join("measure.py")),
        ours: target_folder(repository).join("release/examples/generate_costs"),
        python,
        llama: std::env::var_os("HILORA_LLAMA_PYTHON").map(PathBuf::from),
        script,
        tiny: repository.join("examples/tiny-base"),
        random,
        folder,
        arguments,
    };
    if bench.llama.is_none() {
        announce("HILORA_LLAMA_PYTHON names no Python with llama-cpp-python and gguf: llama.cpp is left out");
    }
    announce("reading memory");
    let read = bench.meter.run(&bench.ours, &[Path::new("bandwidth")])?.1;
    let bytes_per_second = read["bytes_per_second"].as_f64().context("no bandwidth")?;
    let mut report = Report { bytes_per_second, figures: Vec::new() };
    for case in &CASES {
        for batch in &arguments.batch {
            announce(&format!("{}, batch {batch}", case.name));
            report.figures.push(bench.compare(case, *batch, bytes_per_second)?);
        }
    }
    print(&report, arguments.json)?;
    Ok(0)
}

struct Bench<'a> {
    meter: Meter,
    python: PathBuf,
    llama: Option<PathBuf>,
    script: PathBuf,
    ours: PathBuf,
    tiny: PathBuf,
    random: PathBuf,
    folder: PathBuf,
    arguments: &'a GenerateArguments,
}

impl Bench<'_> {
    fn compare(&self, case: &Case, batch: usize, bytes_per_second: f64) -> Result<Figures> {
        let base = match case.base {
            Base::Tiny => &*self.tiny,
            Base::Random => &*self.random,
        };
        let numbers =
            [batch, self.arguments.prompt, self.arguments.new, self.arguments.rounds].map(|number| number.to_string());
        let numbers: Vec<&Path> = numbers.iter().map(Path::new).collect();
        let numbers = &numbers[..];
        let theirs = [&[&*self.script, Path::new("run"), base, Path::new(case.weights)], numbers].concat();
        let ours = [&[base, Path::new(case.weights), Path::new(case.compute)], numbers].concat();
        let llama = match &self.llama {
            Some(python) if case.weights == "nf4" => Some((python, self.quantized(python, case, base)?)),
            _ => None,
        };
        let mut figures = Figures {
            case: case.name,
            batch,
            new: self.arguments.new,
            ours: Timing::NONE,
            transformers: Timing::NONE,
            llama: None,
            weight_bytes: 0,
            floor_us: 0.0,
            compared_tokens: 0,
            greatest_difference: 0.0,
        };
        for _ in 0..self.arguments.turns {
            let timing: Timing = serde_json::from_value(self.meter.run(&self.python, &theirs)?.1)?;
            figures.transformers = figures.transformers.least(timing);
            let engine: Engine = serde_json::from_value(self.meter.run(&self.ours, &ours)?.1)?;
            figures.ours = figures.ours.least(engine.timing);
            (figures.weight_bytes, figures.compared_tokens) = (engine.weight_bytes, engine.compared_tokens);
            figures.greatest_difference = figures.greatest_difference.max(engine.greatest_difference);
            if let Some((python, file)) = &llama {
                let words = [&[&*self.script, Path::new("llama"), &**file], numbers].concat();
                let timing: Timing = serde_json::from_value(self.meter.run(python, &words)?.1)?;
                figures.llama = Some(figures.llama.unwrap_or(Timing::NONE).least(timing));
            }
        }
        figures.floor_us = figures.weight_bytes as f64 / bytes_per_second * 1e6;
        Ok(figures)
    }

    /// The base as a file of llama.cpp.
    fn quantized(&self, python: &Path, case: &Case, base: &Path) -> Result<PathBuf> {
        let file = self.folder.join(if case.base == Base::Tiny { "tiny.gguf" } else { "random.gguf" });
        if !file.exists() {
            announce("writing the base for llama.cpp");
            run(Command::new(python).arg(&self.script).arg("gguf").arg(base).arg(&file))?;
        }
        Ok(file)
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the task's result")]
fn print(report: &Report, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", json_with_processor(report)?);
        return Ok(());
    }
    println!("{}", processor());
    println!(
        "{:20} {:>5} {:24} {:>12} {:>12} {:>7} {:>12} {:>7}",
        "tokens a second", "batch", "", "ours", "transformers", "ratio", "llama.cpp", "ratio"
    );
    for of in &report.figures {
        let row = |case: &str, batch: &str, what: &str, speed: fn(&Figures, Timing) -> f64| {
            let (ours, transformers) = (speed(of, of.ours), speed(of, of.transformers));
            let llama = of.llama.map_or_else(String::new, |llama| {
                let llama = speed(of, llama);
                format!("{llama:>12.1} {:>7.2}", ours / llama)
            });
            let ratio = ours / transformers;
            println!("{case:20} {batch:>5} {what:24} {ours:>12.1} {transformers:>12.1} {ratio:>7.2} {llama}");
        };
        row(of.case, &of.batch.to_string(), "decoding", Figures::decode);
        row("", "", "with the prompt", Figures::whole);
        row("", "", "a second of processors", Figures::of_processor);
        let (pass, floor) = (of.pass_us(), of.floor_us);
        let (megabytes, share) = (of.weight_bytes as f64 / 1e6, floor / pass * 100.0);
        println!(
            "{:26} a pass takes {pass:.0} us; {megabytes:.1} MB of weights can be read in {floor:.0} us: {share:.0} %",
            ""
        );
    }
    println!("targets: {TARGET} times transformers (aim 5), {LLAMA_TARGET} of llama.cpp with one sequence (aim 1.0)");
    println!("memory: {:.1} GB a second", report.bytes_per_second / 1e9);
    let compared: usize = report.figures.iter().map(|of| of.compared_tokens).sum();
    let greatest = report.figures.iter().map(|of| of.greatest_difference).fold(0.0, f64::max);
    match greatest {
        0.0 => println!("log-probabilities of the engine and of the trainer: 0 bits differ of {compared} tokens"),
        _ => println!("log-probabilities of the engine and of the trainer: {greatest:e} apart, of {compared} tokens"),
    }
    Ok(())
}

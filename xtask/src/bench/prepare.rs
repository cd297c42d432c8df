//! `cargo xtask bench prepare`: `hilora-host prepare` without verification over synthetic CodeContests rows, held against
//! a Python script that does the same, and the loader component held against the same loader compiled natively.
//!
//! All four run one after the other in one task, each as a process of its own that has the machine to itself, in three
//! rounds of which the median counts. The script does the steps that are compared and no more: `prepare` also
//! decontaminates, hashes its inputs and keeps its stages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::measure::{Cost, Meter};
use super::processor::{json_with_processor, processor};
use crate::program::{run, target_folder, write_if_changed};
use crate::{announce, build, python};

/// Odd, so that there is a median.
const ROUNDS: usize = 3;
/// By how much the rows that two programs keep may differ: both find near duplicates by MinHash, with other hashes.
const KEPT_DIFFERENCE_MAX: f64 = 0.01;

/// How preparing is measured.
#[derive(Debug, Args)]
pub(crate) struct PrepareArguments {
    /// How many rows are made and read
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// Print the figures as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The figures of one program.
#[derive(Debug, Serialize)]
struct Figures {
    /// What ran.
    name: &'static str,
    /// What the process of the run of the median time took.
    process: Cost,
    /// The seconds that count: its own account where it gives one, without its start.
    seconds: f64,
    rows_per_second: f64,
    /// Millions of bytes of the files a second.
    megabytes_per_second: f64,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    rows: u64,
    /// The files' size in bytes, compressed as they are.
    bytes: u64,
    figures: Vec<Figures>,
    /// The rate of `hilora-host prepare` over that of the Python script; the target is 10.
    prepare_over_python: f64,
    /// The rate of the loader component over that of the native loader; the target is 0.5.
    component_over_native: f64,
}

/// Makes the rows where they are missing, builds what is measured and measures it.
pub(crate) fn run_task(repository: &Path, arguments: &PrepareArguments) -> Result<u8> {
    let oracle = repository.join("tests/oracle");
    let environment = python::environment(repository, "bench-venv", &oracle.join("bench_requirements.txt"))?;
    let interpreter = environment.join("bin/python");
    let folder = target_folder(repository).join("bench/prepare");
    let rows = make_rows(&interpreter, &oracle.join("bench_prepare_rows.py"), &folder, arguments.rows)?;
    build_programs(repository)?;

    let meter = Meter::new(&interpreter, oracle.join("measure.py"));
    let mut bytes = 0;
    for shard in &rows.shards {
        // Read once, so that the files are in memory for whoever comes first.
        bytes += fs::read(shard).with_context(|| format!("cannot read {}", shard.display()))?.len() as u64;
    }
    let shards: Vec<&Path> = rows.shards.iter().map(PathBuf::as_path).collect();
    let target = target_folder(repository);
    let host = Host { meter: &meter, program: target.join("release/hilora-host"), folder: &folder };
    let (script, output) = (oracle.join("bench_prepare.py"), folder.join("python"));
    let signals = repository.join("plugins/keyword-classifier/src/domains.rs");
    let component = repository.join("plugins/codecontests.wasm");
    let load_rows = target.join("release/examples/load_rows");
    let load_rows_natively = target.join(build::PROFILE).join("examples/load_rows_natively");

    announce("over a few rows first, so that the plugins are compiled");
    host.prepare("warm-up", &[&rows.warm_up])?;
    meter.run(&load_rows, &[&component, &rows.warm_up])?;
    let mut runs: [Vec<Run>; 4] = Default::default();
    for round in 1..=ROUNDS {
        announce(&format!("round {round} of {ROUNDS}"));
        let python = meter.run(&interpreter, &[&[&*script, &*signals, &*output], &shards[..]].concat())?;
        let prepare = host.prepare("run", &shards)?;
        let through_component = meter.run(&load_rows, &[&[&*component], &shards[..]].concat())?;
        let native = meter.run(&load_rows_natively, &shards)?;
        for (runs, measured) in runs.iter_mut().zip([python, prepare, through_component, native]) {
            runs.push(Run::of(measured)?);
        }
    }
    let [python, prepare, through_component, native] = runs;
    check_outcomes(arguments.rows, &[&python, &prepare, &through_component, &native])?;
    let figures = |name, runs: Vec<Run>| Figures::of(name, runs, arguments.rows, bytes);
    let python = figures("python", python);
    let prepare = figures("hilora-host prepare", prepare);
    let through_component = figures("loader, component", through_component);
    let native = figures("loader, native", native);
    let report = Report {
        rows: arguments.rows,
        bytes,
        prepare_over_python: prepare.rows_per_second / python.rows_per_second,
        component_over_native: through_component.rows_per_second / native.rows_per_second,
        figures: vec![python, prepare, through_component, native],
    };
    print(&report, arguments.json)?;
    Ok(0)
}

/// One run of one program.
struct Run {
    process: Cost,
    /// The seconds that count: its own account where it gives one, without its start.
    seconds: f64,
    rows: u64,
    /// The rows that it keeps; `None` where it only loads.
    kept: Option<u64>,
}

impl Run {
    fn of((process, printed): (Cost, Value)) -> Result<Self> {
        let counts = printed.pointer("/manifest/counts");
        let rows = counts.unwrap_or(&printed)["rows"].as_u64();
        let kept = counts.map_or(&printed["kept"], |counts| &counts["accepted"]).as_u64();
        let rows = rows.with_context(|| format!("no count of rows in {printed}"))?;
        let seconds = printed["seconds"].as_f64().unwrap_or(process.seconds);
        Ok(Self { process, seconds, rows, kept })
    }
}

/// Whoever reads fewer rows or keeps others has done another task.
fn check_outcomes(rows: u64, programs: &[&Vec<Run>]) -> Result<()> {
    let runs = || programs.iter().flat_map(|runs| runs.iter());
    if let Some(run) = runs().find(|run| run.rows != rows) {
        bail!("a program read {} rows of {rows}", run.rows);
    }
    let kept: Vec<u64> = runs().filter_map(|run| run.kept).collect();
    let (least, most) = (kept.iter().min().copied().unwrap_or(0), kept.iter().max().copied().unwrap_or(0));
    if least == 0 || (most - least) as f64 > most as f64 * KEPT_DIFFERENCE_MAX {
        bail!("the programs keep different rows: {least} to {most}");
    }
    Ok(())
}

impl Figures {
    /// The run of the median time.
    fn of(name: &'static str, mut runs: Vec<Run>, rows: u64, bytes: u64) -> Self {
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Run { process, seconds, .. } = runs.swap_remove(runs.len() / 2);
        Self {
            name,
            process,
            seconds,
            rows_per_second: rows as f64 / seconds,
            megabytes_per_second: bytes as f64 / 1e6 / seconds,
        }
    }
}

/// The files that are read.
struct RowFiles {
    shards: Vec<PathBuf>,
    /// A few rows, with which plugins are compiled before anything is measured.
    warm_up: PathBuf,
}

/// Runs the generator, unless its rows are there; the stamp holds the generator itself.
fn make_rows(interpreter: &Path, generator: &Path, folder: &Path, rows: u64) -> Result<RowFiles> {
    let folder = folder.join(format!("rows-{rows}"));
    let stamp = folder.join("generator.py");
    let wanted = fs::read(generator).with_context(|| format!("cannot read {}", generator.display()))?;
    if !fs::read(&stamp).is_ok_and(|old| old == wanted) {
        announce(&format!("making {rows} rows"));
        if folder.is_dir() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        run(Command::new(interpreter).arg(generator).arg(&folder).arg(rows.to_string()))?;
        write_if_changed(&stamp, &wanted)?;
    }
    let mut shards = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train-")) {
            shards.push(path);
        }
    }
    shards.sort();
    Ok(RowFiles { shards, warm_up: folder.join("warm_up.parquet") })
}

fn build_programs(repository: &Path) -> Result<()> {
    announce("building what is measured");
    build::build(repository)?;
    let built = |package: &str, arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(repository).args(["build", "--package", package]).args(arguments);
        run(&mut command)
    };
    built("hilora-host", &["--release", "--bins", "--example", "load_rows"])?;
    // As the component is compiled: whole-program optimisation, one unit.
    built("codecontests", &["--profile", build::PROFILE, "--example", "load_rows_natively"])
}

/// `hilora-host prepare` on a config of its own.
struct Host<'a> {
    meter: &'a Meter,
    program: PathBuf,
    folder: &'a Path,
}

impl Host<'_> {
    /// Prepares the files in a fresh run folder.
    fn prepare(&self, name: &str, files: &[&Path]) -> Result<(Cost, Value)> {
        let run_folder = self.folder.join(name);
        if run_folder.is_dir() {
            fs::remove_dir_all(&run_folder).with_context(|| format!("cannot remove {}", run_folder.display()))?;
        }
        let config = self.folder.join(format!("{name}.yaml"));
        // JSON strings are YAML strings.
        let files = files.iter().map(|file| Ok(serde_json::to_string(file)?)).collect::<Result<Vec<_>>>()?.join(", ");
        // Preparing reads the data section alone; the others are there because a config has them.
        let text = format!(
            "adapter_name: bench-lora\n\
             base_model: examples/tiny-base\n\
             seed: 7\n\
             lora: {{r: 8, lora_alpha: 16, target_modules: [q_proj]}}\n\
             training: {{mode: qlora, num_epochs: 1, batch_size: 1, learning_rate: 1e-3, max_seq_length: 64}}\n\
             data:\n  source: codecontests\n  files: [{files}]\n  \
             domains: [python, data_structures, math, algorithms]\n  eval_fraction: 0.1\n  \
             max_solutions_per_problem: 5\n  verify: false\n"
        );
        write_if_changed(&config, text.as_bytes())?;
        let registry = self.folder.join("registry.sqlite");
        let words = ["prepare", "--json", "--quiet", "--config"].map(Path::new);
        let rest = [&*config, Path::new("--run"), &*run_folder, Path::new("--registry"), &*registry];
        self.meter.run(&self.program, &[&words[..], &rest[..]].concat())
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the task's result")]
fn print(report: &Report, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", json_with_processor(report)?);
        return Ok(());
    }
    println!("{}", processor());
    println!("{} rows, {:.1} MB of Parquet", report.rows, report.bytes as f64 / 1e6);
    println!("{:22} {:>9} {:>9} {:>10} {:>8} {:>10}", "", "seconds", "CPU s", "rows/s", "MB/s", "peak MB");
    for figures in &report.figures {
        println!(
            "{:22} {:>9.2} {:>9.2} {:>10.0} {:>8.1} {:>10.0}",
            figures.name,
            figures.seconds,
            figures.process.processor_seconds,
            figures.rows_per_second,
            figures.megabytes_per_second,
            figures.process.peak_memory_bytes as f64 / 1e6,
        );
    }
    println!("prepare is {:.1} times as fast as Python (target: 10)", report.prepare_over_python);
    println!("the component has {:.2} of the native loader's rate (target: 0.5)", report.component_over_native);
    Ok(())
}

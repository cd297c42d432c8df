//! `cargo xtask bench prepare`: `hilora-host prepare` without verification over synthetic CodeContests rows, held against
//! a Python script that does the same, and the loader component held against the same loader compiled natively.
//!
//! All four run one after the other in one task, each as a process of its own that has the machine to itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::measure::{Cost, Meter};
use crate::program::{run, target_folder, write_if_changed};
use crate::{announce, build, python};

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
    /// What its process took.
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
    let bytes = rows.shards.iter().map(|shard| Ok(fs::metadata(shard)?.len())).sum::<Result<u64>>()?;
    let figures = |name, (process, printed): (Cost, Option<Value>)| {
        let own = printed.as_ref().and_then(|printed| printed.get("seconds")).and_then(Value::as_f64);
        if let Some(read) = printed.as_ref().and_then(|printed| printed.get("rows")).and_then(Value::as_u64)
            && read != arguments.rows
        {
            bail!("{name} read {read} rows of {}", arguments.rows);
        }
        let seconds = own.unwrap_or(process.seconds);
        let (rows, megabytes) = (arguments.rows as f64, bytes as f64 / 1e6);
        Ok(Figures {
            name,
            process,
            seconds,
            rows_per_second: rows / seconds,
            megabytes_per_second: megabytes / seconds,
        })
    };
    let shards: Vec<&Path> = rows.shards.iter().map(PathBuf::as_path).collect();
    let release = target_folder(repository).join("release");

    announce("python");
    let (script, output) = (oracle.join("bench_prepare.py"), folder.join("python"));
    let signals = repository.join("plugins/keyword-classifier/src/domains.rs");
    let python =
        figures("python", meter.run(&interpreter, &[&[&*script, &*signals, &*output], &shards[..]].concat())?)?;

    let host = Host { meter: &meter, program: release.join("hilora-host"), folder: &folder };
    announce("hilora-host prepare, once over a few rows so that its plugins are compiled");
    host.prepare("warm-up", &[&rows.warm_up])?;
    announce("hilora-host prepare");
    let prepare = figures("hilora-host prepare", host.prepare("run", &shards)?)?;

    let component = repository.join("plugins/codecontests.wasm");
    let load_rows = release.join("examples/load_rows");
    announce("the loader as a component");
    meter.run(&load_rows, &[&component, &rows.warm_up])?;
    let component = figures("loader, component", meter.run(&load_rows, &[&[&*component], &shards[..]].concat())?)?;
    announce("the loader compiled natively");
    let native = figures("loader, native", meter.run(&release.join("examples/load_rows_natively"), &shards)?)?;

    let report = Report {
        rows: arguments.rows,
        bytes,
        prepare_over_python: prepare.rows_per_second / python.rows_per_second,
        component_over_native: component.rows_per_second / native.rows_per_second,
        figures: vec![python, prepare, component, native],
    };
    print(&report, arguments.json)?;
    Ok(0)
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
    build::build(repository, false)?;
    let built = |package: &str, arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(repository).args(["build", "--release", "--package", package]).args(arguments);
        run(&mut command)
    };
    built("hilora-host", &["--bins", "--example", "load_rows"])?;
    built("codecontests", &["--example", "load_rows_natively"])
}

/// `hilora-host prepare` on a config of its own.
struct Host<'a> {
    meter: &'a Meter,
    program: PathBuf,
    folder: &'a Path,
}

impl Host<'_> {
    /// Prepares the files in a fresh run folder.
    fn prepare(&self, name: &str, files: &[&Path]) -> Result<(Cost, Option<Value>)> {
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
        let words = ["prepare", "--quiet", "--config"].map(Path::new);
        let rest = [&*config, Path::new("--run"), &*run_folder, Path::new("--registry"), &*registry];
        self.meter.run(&self.program, &[&words[..], &rest[..]].concat())
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the task's result")]
fn print(report: &Report, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
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

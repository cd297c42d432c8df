//! `cargo xtask`: the project's own tasks. Each says on standard error what it is doing, and checks by name what the
//! machine lacks before it builds anything.
//!
//! A task drives cargo, rustup and the built binary; it holds no logic of the product.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod attack;
mod bench;
mod build;
mod c_compiler;
mod cuda;
mod durations;
mod fuzz;
mod lint;
mod program;
mod python;
mod quickstart;
mod requirements;
mod seeds;
mod static_link;
mod suite;
mod test;
mod verdicts;

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the host and the plugins (plugins/*.wasm)
    Build {
        /// Build the guests of the tests too (target/guests/*.wasm)
        #[arg(long)]
        test_guests: bool,
    },
    /// Build the host for NVIDIA's devices; this machine needs none
    Cuda(cuda::CudaArguments),
    /// Measure how fast the product is
    #[command(subcommand)]
    Bench(Bench),
    /// Build everything and run the main job on the sample data
    Quickstart {
        /// Further arguments for hilora-host
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the main job on the splits of the documentation's table, and renew the table (half an hour)
    Seeds,
    /// Run clippy over the host and the guests, with warnings denied
    Lint,
    /// Build what the tests need and run every test
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
        /// Lint everything as it is built, which is faster than a lint of its own
        #[arg(long)]
        lint: bool,
    },
    /// Judge real programs and hold the verdicts against CPython's and against the committed table
    Verdicts(verdicts::VerdictsArguments),
    /// Attack the product: kills, faults, damaged files and hostile programs, with a table of what held
    Attack(attack::AttackArguments),
    /// Feed the dataset loaders damaged files
    Fuzz {
        /// Only this loader
        loader: Option<String>,
        /// How long each loader is fed
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u32,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Drawing answers, held against transformers and llama.cpp: tokens a second, and what memory allows
    Generate(bench::generate::GenerateArguments),
    /// The sandbox against python3: a trivial program, programs that compute, two threads, memory
    Judge(bench::judge::JudgeArguments),
    /// Preparing 20,000 rows, held against Python, and the loader component against the native loader
    Prepare(bench::prepare::PrepareArguments),
    /// Training steps of QLoRA against PEFT and bitsandbytes: tokens a second and memory
    Train(bench::train::TrainArguments),
}

fn main() -> ExitCode {
    let as_compiler = lint::run_as_compiler(&std::env::args_os().skip(1).collect::<Vec<_>>());
    match as_compiler.unwrap_or_else(|| run(&Arguments::parse().task)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the task; the result is the process's exit code.
fn run(task: &Task) -> Result<u8> {
    let repository = repository()?;
    requirements::check()?;
    match task {
        Task::Build { test_guests } => {
            build::build_host(&repository)?;
            match test_guests {
                true => build::build_with_test_guests(&repository, None)?,
                false => build::build(&repository)?,
            }
            Ok(0)
        }
        Task::Cuda(arguments) => cuda::run_task(&repository, arguments),
        Task::Bench(Bench::Generate(arguments)) => bench::generate::run_task(&repository, arguments),
        Task::Bench(Bench::Judge(arguments)) => bench::judge::run_task(&repository, arguments),
        Task::Bench(Bench::Prepare(arguments)) => bench::prepare::run_task(&repository, arguments),
        Task::Bench(Bench::Train(arguments)) => bench::train::run_task(&repository, arguments),
        Task::Quickstart { arguments } => quickstart::run(&repository, arguments),
        Task::Seeds => seeds::run(&repository),
        Task::Lint => lint::run(&repository),
        Task::Test { filter, lint } => test::run(&repository, filter.as_deref(), *lint),
        Task::Verdicts(arguments) => verdicts::run_task(&repository, arguments),
        Task::Attack(arguments) => attack::run(&repository, arguments),
        Task::Fuzz { loader, seconds } => fuzz::run(&repository, loader.as_deref(), *seconds),
    }
}

/// The repository's root, where every path of a task begins.
fn repository() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))?;
    Ok(root.to_owned())
}

/// Says what begins.
fn announce(what: &str) {
    eprintln!("==> {what}");
}

//! The command line: a file and a struct per subcommand, each with `execute`.
//!
//! Without a subcommand the main job runs: prepare → enrich (where the config asks for traces) → train → evaluate against
//! the base → gate → register, skipping what has not changed. This module joins the parts; none of them knows another.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use hilora_contract::fault::BadInput;
use hilora_wasm::PLUGIN_LOG_TARGET;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

mod console;
mod defect;
mod failure;
mod interrupt;
mod lost_page;
mod progress;
mod signal;

mod job_arguments;
mod stage_summary;
mod stages;

mod main_job;

mod compare;
mod config_command;
mod data;
mod enrich;
mod evaluate;
mod evaluate_completions;
mod evaluation_plan;
mod extract;
mod gate;
mod prepare;
mod registry;
mod report;
mod train;
mod training_plan;

mod judge;
mod judge_batch;
mod judge_worker;
mod model_inspect;
mod model_merge;
mod model_pretrain;
mod model_probe;
mod model_quantize;
mod plugin;
mod plugin_build;
mod plugin_language;
mod plugin_new;
mod plugin_template;
mod plugin_test;
mod plugin_try;
mod plugin_watch;

mod checker_argument;
mod compiling;
mod completions;

use compiling::compile_in_processes;
use console::Console;
pub use defect::catch_defects;
use failure::Result;
pub use failure::{ExitStatus, Failure};
use job_arguments::JobArguments;

/// Trains and proves LoRA domain specialists.
///
/// Without a subcommand: prepare the data (and enrich it where the config says so), train the adapter, measure it against
/// its base, hold it to the gate and register it. Stages whose inputs have not changed are skipped.
#[derive(Debug, Parser)]
#[command(name = "hilora-host", version, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    job: JobArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What stands for standard error in the place of a file.
const STANDARD_ERROR: &str = "-";

/// How results and progress are shown.
#[derive(Debug, Clone, Args)]
pub struct OutputArguments {
    /// Print the result as one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more: -v what is done and decided, -vv everything (warnings are always shown)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// What to say, by part and level, such as `info` or `hilora_prepare=debug,warn`; goes before -v
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    log: Option<String>,
    /// Write what plugins print to FILE, at its end; `-` is standard error
    #[arg(long, global = true, value_name = "FILE")]
    plugin_log: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load, verify, classify, deduplicate, split, decontaminate and weigh a dataset
    Prepare(prepare::PrepareCommand),
    /// Ask a model for the reasoning behind each training solution
    Enrich(enrich::EnrichCommand),
    /// Train the adapter on the prepared data
    Train(train::TrainCommand),
    /// Measure adapter and base on the held-out problems, or completions of any model
    Evaluate(Box<evaluate::EvaluateCommand>),
    /// Compare two runs on the problems that both were measured on
    Compare(compare::CompareCommand),
    /// Find the program in each completion of a file
    Extract(extract::ExtractCommand),
    /// Hold an evaluation to the gate (exit code 3 where it says no)
    Gate(gate::GateCommand),
    /// Show an evaluation again: as a page, as a table, or as other tools read it
    Report(report::ReportCommand),
    /// Look at the prepared data: rows as the model reads them, counts and lengths
    #[command(subcommand)]
    Data(data::DataCommand),
    /// List registered adapters, show one and verify all
    Registry(registry::RegistryCommand),
    /// Run untrusted programs in the sandbox: many against their tests, or one
    Judge(judge::JudgeCommand),
    /// Look into plugin components and make them
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Work on models: inspect, quantize, merge, probe, pretrain
    #[command(subcommand)]
    Model(ModelCommand),
    /// Print the JSON Schema of a run's configuration
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Print shell completions
    Completions(completions::CompletionsCommand),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Tell what a base (quantized or not) or an adapter is
    Inspect(model_inspect::InspectCommand),
    /// Store a base in 4 bits as bitsandbytes does, so that it is there in seconds
    Quantize(model_quantize::QuantizeCommand),
    /// Merge an adapter into a base
    Merge(model_merge::MergeCommand),
    /// Write logits, loss and LoRA gradients of one batch, in the layout of PEFT's names
    Probe(model_probe::ProbeCommand),
    /// Train a small base model from scratch on plain text
    Pretrain(model_pretrain::PretrainCommand),
}

impl OutputArguments {
    /// Which records of the log are shown.
    fn filter(&self) -> Result<EnvFilter> {
        let level = match self.verbose {
            0 => "warn",
            1 => "info",
            _ => "debug",
        };
        let filter = self.log.as_deref().unwrap_or(level);
        let parsed = EnvFilter::try_new(filter).map_err(|error| {
            let hint = "a level (error, warn, info, debug, trace), or `part=level` pairs with commas between them";
            BadInput::with_hint(format!("--log: `{filter}` is no filter: {error}"), hint)
        })?;
        Ok(match &self.plugin_log {
            Some(file) if file == STANDARD_ERROR => {
                let directive = format!("{PLUGIN_LOG_TARGET}=debug");
                parsed.add_directive(directive.parse().expect("a part and a level are a directive"))
            }
            _ => parsed,
        })
    }

    /// The file that gets what plugins print.
    fn plugin_log_file(&self) -> Result<Option<File>> {
        let Some(path) = self.plugin_log.as_ref().filter(|path| *path != STANDARD_ERROR) else { return Ok(None) };
        let file = File::options().append(true).create(true).open(path);
        let refused = |error| BadInput::new(format!("--plugin-log: cannot write {}: {error}", path.display()));
        Ok(Some(file.map_err(refused)?))
    }

    /// The console, and the log above its bars.
    fn console(&self) -> Result<Console> {
        let console = Console::new(self.json, self.quiet);
        let stderr = console.progress().stderr();
        // What cannot be written is lost: to say so on the same stream would panic.
        let log = tracing_subscriber::fmt::layer().log_internal_errors(false).without_time();
        let log = log.with_writer(move || stderr.clone()).with_target(self.verbose > 1 || self.log.is_some());
        let plugin_log = self.plugin_log_file()?.map(|file| {
            let records = tracing_subscriber::fmt::layer().log_internal_errors(false).without_time();
            let records = records.with_writer(Mutex::new(file)).with_target(false).with_level(false);
            records.with_filter(filter_fn(|record| record.target() == PLUGIN_LOG_TARGET))
        });
        tracing_subscriber::registry().with(log.with_filter(self.filter()?)).with(plugin_log).init();
        Ok(console)
    }
}

impl Cli {
    /// Runs the command.
    pub fn execute(&self) -> Result<ExitCode> {
        lost_page::watch_for_lost_pages()?;
        let console = &self.output.console()?;
        compile_in_processes(console);
        let status = match &self.command {
            None => main_job::execute(&self.job, console)?,
            Some(Command::Prepare(command)) => command.execute(console)?,
            Some(Command::Enrich(command)) => command.execute(console)?,
            Some(Command::Train(command)) => command.execute(console)?,
            Some(Command::Evaluate(command)) => command.execute(console)?,
            Some(Command::Compare(command)) => command.execute(console)?,
            Some(Command::Extract(command)) => command.execute(console)?,
            Some(Command::Gate(command)) => command.execute(console)?,
            Some(Command::Report(command)) => command.execute(console)?,
            Some(Command::Data(command)) => command.execute(console)?,
            Some(Command::Registry(command)) => command.execute(console)?,
            // A program that ran in the sandbox has an exit code of its own.
            Some(Command::Judge(command)) => return command.execute(console).map(ExitCode::from),
            // So has a process that compiles.
            Some(Command::Plugin(command)) => return command.execute(console).map(ExitCode::from),
            Some(Command::Model(ModelCommand::Inspect(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Quantize(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Merge(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Probe(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Pretrain(command))) => command.execute(console)?,
            Some(Command::Config(command)) => command.execute(console)?,
            Some(Command::Completions(command)) => command.execute(Self::command())?,
        };
        Ok(status.into())
    }
}

//! The command line: a file and a struct per subcommand, each with `execute`.
//!
//! Without a subcommand the main job runs: prepare → enrich (where the config asks for traces) → train → evaluate against
//! the base → gate → register, skipping what has not changed. This module joins the parts; none of them knows another.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

mod base_model;
mod completions;
mod console;
mod failure;
mod interrupt;
mod job;

mod main_job;

mod breakdowns;
mod config_command;
mod data;
mod enrich;
mod environment;
mod evaluate;
mod gate;
mod held_out;
mod prepare;
mod register;
mod registry;
mod tokenization;
mod train;
mod training_plan;
mod training_watch;

mod judge;
mod judge_batch;
mod judge_worker;
mod model_inspect;
mod model_merge;
mod model_pretrain;
mod model_probe;
mod model_quantize;
mod model_template;
mod plugin;

pub use console::Console;
pub use failure::{ExitStatus, Failure};
pub use job::{Job, JobArguments};

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

/// How results and progress are shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArguments {
    /// Print the result as one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load, verify, classify, deduplicate, split and decontaminate a dataset
    Prepare(prepare::PrepareCommand),
    /// Ask a model for the reasoning behind each training solution
    Enrich(enrich::EnrichCommand),
    /// Train the adapter on the prepared data
    Train(train::TrainCommand),
    /// Measure the adapter and its base on the held-out problems
    Evaluate(evaluate::EvaluateCommand),
    /// Hold an evaluation to the gate (exit code 3 where it says no)
    Gate(gate::GateArguments),
    /// Look at the prepared data: rows as the model reads them, counts and lengths
    #[command(subcommand)]
    Data(data::DataCommand),
    /// List registered adapters and show one
    Registry(registry::RegistryArguments),
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
    /// Merge an adapter into an unquantized base
    Merge(model_merge::MergeCommand),
    /// Write logits, loss and LoRA gradients of one batch, in the layout of PEFT's names
    Probe(model_probe::ProbeArguments),
    /// Train a small base model from scratch on plain text
    Pretrain(model_pretrain::PretrainCommand),
}

impl Cli {
    /// Runs the command.
    pub fn execute(&self) -> Result<ExitCode> {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
        let console = Console::new(self.output.json, self.output.quiet);
        let status = match &self.command {
            None => main_job::execute(&self.job, console)?,
            Some(Command::Prepare(command)) => command.execute(console)?,
            Some(Command::Enrich(command)) => command.execute(console)?,
            Some(Command::Train(command)) => command.execute(console)?,
            Some(Command::Evaluate(command)) => command.execute(console)?,
            Some(Command::Gate(command)) => command.execute(console)?,
            Some(Command::Data(command)) => command.execute(console)?,
            Some(Command::Registry(command)) => command.execute(console)?,
            // A program that ran in the sandbox has an exit code of its own.
            Some(Command::Judge(command)) => return command.execute(console).map(ExitCode::from),
            Some(Command::Plugin(command)) => command.execute(console.is_json()).map(|()| ExitStatus::Done)?,
            Some(Command::Model(ModelCommand::Inspect(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Quantize(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Merge(command))) => command.execute(console)?,
            Some(Command::Model(ModelCommand::Probe(command))) => {
                command.execute(console).map(|()| ExitStatus::Done)?
            }
            Some(Command::Model(ModelCommand::Pretrain(command))) => command.execute(console)?,
            Some(Command::Config(command)) => command.execute(console)?,
            Some(Command::Completions(command)) => command.execute(Self::command())?,
        };
        Ok(status.into())
    }
}

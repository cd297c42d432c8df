//! `hilora-host judge`: many programs against their tests, or `judge run`, one program as `python3 program.py` would run
//! it.

use std::borrow::Cow;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use clap::value_parser;
use serde_json::json;

use super::checker_argument;
use super::console::Console;
use super::failure::{ExitStatus, Failure, Result, StreamError};
use super::judge_batch::BatchArguments;
use super::judge_worker::WorkerArguments;
use hilora_contract::artifact::write_standard_output;
use hilora_contract::dataset::{ProblemChecker, TestCase};
use hilora_contract::plugin::{Decision, LimitKind, RunReport, SolutionRunner, Termination};
use hilora_contract::terminal::{visible, visible_json, visible_paragraph};
use hilora_judge::{Judge, MEMORY_BYTES_BOUNDS, Mismatch, TIME_LIMIT_MS_BOUNDS, run_limits};
use hilora_wasm::{CheckerFolder, HostOptions, PluginHost};

const MEMORY_LIMIT_MIB_BOUNDS: RangeInclusive<u64> =
    *MEMORY_BYTES_BOUNDS.start() >> 20..=*MEMORY_BYTES_BOUNDS.end() >> 20;

/// Run untrusted programs in the sandbox: many against their tests, or one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct JudgeCommand {
    #[command(flatten)]
    batch: Option<BatchArguments>,
    #[command(subcommand)]
    command: Option<JudgeSubcommand>,
}

#[derive(Debug, clap::Subcommand)]
enum JudgeSubcommand {
    /// Run one program on standard input: its output, its errors, its exit code
    Run(RunArguments),
    /// Serve runs over standard input and output
    #[command(hide = true)]
    Worker(WorkerArguments),
}

/// Arguments of `judge run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// The program's file
    pub program: PathBuf,
    /// The solution runner
    #[arg(long, default_value = "plugins/python-runner.wasm")]
    pub runner: PathBuf,
    /// The time limit in milliseconds, counted in fuel: from 500 to 20000
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(TIME_LIMIT_MS_BOUNDS))]
    pub time_limit_ms: u64,
    /// What the program is expected to write: whether it did is said on standard error (exit code 3 if not)
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    #[arg(
        long,
        value_name = "NAME|JSON",
        default_value = "lines",
        requires = "expected",
        value_parser = checker_argument::named,
        help = checker_argument::HELP
    )]
    pub checker: ProblemChecker,
    /// Say of a wrong answer that it is wrong, and neither what was expected nor what came
    #[arg(long, requires = "expected")]
    pub hide_expected: bool,
    /// The memory limit in MiB, beside what the interpreter takes: from 64 to 1024
    #[arg(long, default_value_t = 512, value_parser = value_parser!(u64).range(MEMORY_LIMIT_MIB_BOUNDS))]
    pub memory_limit_mib: u64,
}

impl JudgeCommand {
    /// Does what was asked and gives the process's exit code.
    pub(super) fn execute(&self, console: &Console) -> Result<u8> {
        match (&self.command, &self.batch) {
            (Some(JudgeSubcommand::Run(arguments)), _) => arguments.execute(console),
            (Some(JudgeSubcommand::Worker(arguments)), _) => arguments.execute().map(|()| ExitStatus::Done.code()),
            (None, Some(batch)) => batch.execute(console).map(ExitStatus::code),
            (None, None) => {
                let hint = "`judge --programs IN.jsonl --output OUT.jsonl`, or `judge run program.py`";
                Err(Failure::bad_input("nothing to judge: expected programs", hint))
            }
        }
    }
}

impl RunArguments {
    /// The program's own exit code, or what a shell reports of a program that was stopped: 124 for time, 137 for
    /// memory, 153 for output, 134 for a trap. With `json`, the report stands on standard output instead.
    fn execute(&self, console: &Console) -> Result<u8> {
        let json = console.is_json();
        let expected = self.expected.as_ref();
        let expected = expected.map(|file| fs::read_to_string(file).map_err(|error| Failure::reading(file, error)));
        let expected = expected.transpose()?;
        let code = fs::read_to_string(&self.program).map_err(|error| Failure::reading(&self.program, error))?;
        let host = PluginHost::new(&HostOptions::default())?;
        let runner: Arc<dyn SolutionRunner> = host.runner(&self.runner)?;
        let judge = Judge::new(runner.clone(), 1).with_checkers(Arc::new(CheckerFolder::new(host, "plugins".into())));
        let checker = checker_argument::open(&self.checker, &judge)?;
        let mut stdin = Vec::new();
        io::stdin().lock().read_to_end(&mut stdin).map_err(StreamError::Input)?;
        let limits = run_limits(Some(self.time_limit_ms), Some(self.memory_limit_mib << 20));
        let report = runner.run(&code, None, &stdin, &limits)?;
        let code = exit_code(&report.termination);
        // A checker may look at the input, too.
        let test = expected
            .filter(|_| code == 0)
            .map(|output| TestCase { input: String::from_utf8_lossy(&stdin).into_owned(), output });
        let decision = test.as_ref().map(|test| checker.decide(test, &report.stdout)).transpose()?;
        // What a checker says may repeat what was expected.
        let decision = match decision {
            Some(Decision::Rejected(_)) if self.hide_expected => Some(Decision::Rejected(String::new())),
            decision => decision,
        };
        let mismatch = match (&test, &decision) {
            (Some(test), Some(Decision::Rejected(_))) if !self.hide_expected => {
                Some(checker.mismatch(test.output.as_bytes(), &report.stdout))
            }
            _ => None,
        };
        if json {
            write_json(&report, decision.as_ref(), mismatch.as_ref())?;
        } else {
            write_standard_output(&shown(&report.stdout, io::stdout().is_terminal()))?;
            let mut said = shown(&report.stderr, io::stderr().is_terminal()).into_owned();
            if let Some(stopped) = stopped(&report.termination) {
                said.extend_from_slice(format!("stopped by the host: {}\n", visible_paragraph(&stopped)).as_bytes());
            }
            if let Some(decision) = &decision {
                let (verdict, why) = (verdict_of(decision), why(decision));
                said.extend_from_slice(format!("{checker:?}: {verdict}{}\n", visible_paragraph(&why)).as_bytes());
            }
            if let Some(mismatch) = &mismatch {
                said.extend_from_slice(format!("{mismatch}\n").as_bytes());
            }
            // If nobody reads standard error, the exit code still tells how the program ended.
            let _unread = io::stderr().lock().write_all(&said);
        }
        let is_wrong = matches!(decision, Some(Decision::Rejected(_)));
        Ok(if is_wrong { ExitStatus::Differs.code() } else { code })
    }
}

/// What a checker says, as judgements spell it.
fn verdict_of(decision: &Decision) -> &'static str {
    match decision {
        Decision::Accepted => "accepted",
        Decision::Rejected(_) => "wrong-answer",
    }
}

/// Why a checker says so, where it tells.
fn why(decision: &Decision) -> String {
    match decision {
        Decision::Rejected(why) if !why.is_empty() => format!(": {why}"),
        Decision::Accepted | Decision::Rejected(_) => String::new(),
    }
}

/// What the program wrote: all of it to a file or another program, nothing that a terminal would obey to a terminal.
fn shown(bytes: &[u8], is_terminal: bool) -> Cow<'_, [u8]> {
    if is_terminal { visible(&String::from_utf8_lossy(bytes)).into_owned().into_bytes().into() } else { bytes.into() }
}

fn exit_code(termination: &Termination) -> u8 {
    match termination {
        Termination::Exited(code) => *code,
        Termination::Raised { .. } | Termination::Unsupported { .. } => 1,
        Termination::LimitExceeded(LimitKind::Memory) => 137,
        Termination::LimitExceeded(_) | Termination::Unfinished { .. } => 124,
        Termination::OutputLimitExceeded => 153,
        Termination::Trapped { .. } => 134,
    }
}

fn stopped(termination: &Termination) -> Option<String> {
    match termination {
        Termination::Exited(_) | Termination::Raised { .. } | Termination::Unsupported { .. } => None,
        Termination::LimitExceeded(limit) => Some(format!("the {limit} limit was reached")),
        Termination::OutputLimitExceeded => Some("the output limit was reached".to_owned()),
        Termination::Trapped { message } => Some(format!("it trapped: {message}")),
        Termination::Unfinished { message } => Some(message.clone()),
    }
}

fn write_json(report: &RunReport, decision: Option<&Decision>, mismatch: Option<&Mismatch>) -> Result<()> {
    let termination = match &report.termination {
        Termination::Exited(code) => json!({ "kind": "exited", "code": code }),
        Termination::Raised { exception, message } => {
            json!({ "kind": "raised", "exception": exception, "message": message })
        }
        Termination::Unsupported { module } => json!({ "kind": "unsupported", "module": module }),
        Termination::LimitExceeded(limit) => json!({ "kind": "limit-exceeded", "limit": limit.to_string() }),
        Termination::OutputLimitExceeded => json!({ "kind": "limit-exceeded", "limit": "output" }),
        Termination::Trapped { message } => json!({ "kind": "trapped", "message": message }),
        Termination::Unfinished { message } => json!({ "kind": "unfinished", "message": message }),
    };
    let mut value = json!({
        "termination": termination,
        "stdout": String::from_utf8_lossy(&report.stdout),
        "stderr": String::from_utf8_lossy(&report.stderr),
        "fuel": report.fuel,
        "cpu_time_us": report.cpu_time_us,
        "wall_time_us": report.wall_time_us,
        "memory_bytes": report.memory_bytes,
    });
    if let Some(decision) = decision {
        value["verdict"] = verdict_of(decision).into();
        if let Decision::Rejected(why) = decision
            && !why.is_empty()
        {
            value["reason"] = why.as_str().into();
        }
    }
    if let Some(mismatch) = mismatch {
        value["mismatch"] = serde_json::to_value(mismatch).map_err(StreamError::Json)?;
    }
    let text = serde_json::to_string_pretty(&value).map_err(StreamError::Json)?;
    Ok(write_standard_output(format!("{}\n", visible_json(&text)).as_bytes())?)
}

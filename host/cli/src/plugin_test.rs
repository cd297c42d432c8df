//! `hilora-host plugin test`: the conformance kit over a component, and what a record costs it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use hilora_conformance::{Check, Costs, Meter, Plugin, Report, Usage, examine, read_cases};
use hilora_contract::plugin::{PluginKind, RunLimits};
use hilora_wasm::{CallUsage, HostOptions, PluginHost};

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};

/// What a call may take on any input of the kit, in milliseconds of processor time: far less than in a run, where a
/// batch may be large.
const CALL_CPU_TIME_MS: u64 = 20_000;

/// Arguments of `plugin test`.
#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// The plugin's file
    file: PathBuf,
    /// Golden cases: what it is asked and must answer, one JSON object a line
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
}

impl TestArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let report = test(&self.file, self.vectors.as_deref())?;
        console.result(&report, &table(&report))?;
        verdict(&report)?;
        Ok(ExitStatus::Done)
    }
}

/// Sums up what calls use until it is asked.
#[derive(Clone, Default)]
struct UsageMeter(Arc<Mutex<Usage>>);

impl UsageMeter {
    fn add(&self, call: CallUsage) {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usage.fuel = usage.fuel.saturating_add(call.fuel);
        usage.cpu_time_us = usage.cpu_time_us.saturating_add(call.cpu_time_us);
        usage.memory_bytes = usage.memory_bytes.max(call.memory_bytes);
    }
}

impl Meter for UsageMeter {
    fn take(&self) -> Usage {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The plugin in a file, whichever kind it is.
pub(super) fn open(host: &PluginHost, file: &Path) -> Result<Plugin> {
    Ok(match host.inspect(file)?.identity.kind {
        PluginKind::DatasetLoader => Plugin::Loader(host.loader(file)?),
        PluginKind::DomainClassifier => Plugin::Classifier(host.classifier(file)?),
        PluginKind::PromptFormatter => Plugin::Formatter(host.formatter(file)?),
        PluginKind::OutputChecker => Plugin::Checker(host.checker(file)?),
        PluginKind::SolutionRunner => Plugin::Runner(host.runner(file)?),
    })
}

/// Asks the plugin everything that its kind is asked, and the cases.
pub(super) fn test(file: &Path, vectors: Option<&Path>) -> Result<Report> {
    let cases = vectors.map(read_cases).transpose()?.unwrap_or_default();
    let meter = UsageMeter::default();
    let options = HostOptions::default();
    let call_limits = RunLimits { cpu_time_ms: CALL_CPU_TIME_MS, ..options.call_limits };
    let told = meter.clone();
    let host = PluginHost::new(&HostOptions { call_limits, ..options })?.observed(move |call| told.add(call));
    Ok(examine(&open(&host, file)?, &cases, &meter)?)
}

/// The report as a table.
pub(super) fn table(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut lines = vec![report.plugin.to_string(), String::new()];
    for check in &report.checks {
        let Check { name, inputs, failed, first_failure, skipped } = check;
        let outcome = match skipped {
            Some(why) => format!("not asked: {why}"),
            None if *failed == 0 => format!("ok, {inputs} inputs"),
            None => format!("FAILED, {failed} of {inputs} inputs"),
        };
        lines.push(format!("{name:width$}  {outcome}"));
        lines.extend(first_failure.iter().map(|why| format!("  {}", why.replace('\n', " "))));
    }
    if let Some(Costs { records, fuel, cpu_time_us, memory_bytes }) = &report.costs {
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
        let milliseconds = |us: u64| format!("{:.2} ms", us as f64 / 1e3);
        let million = |units: u64| format!("{:.0} million", units as f64 / 1e6);
        lines.extend([
            String::new(),
            format!("{:14}{:>14}{:>14}   (a record alone, of {records})", "costs", "median", "p99"),
            format!("{:14}{:>14}{:>14}", "time", milliseconds(cpu_time_us.median), milliseconds(cpu_time_us.p99)),
            format!("{:14}{:>14}{:>14}", "memory", mebibytes(memory_bytes.median), mebibytes(memory_bytes.p99)),
            format!("{:14}{:>14}{:>14}", "fuel", million(fuel.median), million(fuel.p99)),
        ]);
    }
    lines.join("\n")
}

/// An error that names what failed, if anything did.
pub(super) fn verdict(report: &Report) -> Result<()> {
    let failed: Vec<&str> = report.failures().map(|check| check.name).collect();
    match failed[..] {
        [] => Ok(()),
        _ => Err(Failure::bad_input(
            format!("{} does not hold: {}", report.plugin, failed.join("; ")),
            "the report tells the first input that each fails on",
        )),
    }
}

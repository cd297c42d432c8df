//! The main job: all stages of a config in one call, and the closing table.

use hilora_evaluator::{GateDecision, Latency};
use hilora_run::{
    Answers, Measured, RegisteredVersion, Registration, Run, StageName, StageReport, StageResult, StageState, drive,
    main_job,
};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::job_arguments::JobArguments;
use super::stages::{interrupted, is_interrupted};

/// What a machine reads at the end.
#[derive(Serialize)]
struct JobResult<'a> {
    /// The run's folder.
    run: String,
    /// Whether no stage had anything to do.
    unchanged: bool,
    /// The figures without the single answers.
    evaluation: serde_json::Value,
    /// Decode times.
    latency: Latency,
    /// The gate's decision.
    gate: &'a GateDecision,
    /// The registry's entry, if the gate said yes.
    registered: Option<&'a RegisteredVersion>,
}

/// Runs the main job.
pub(super) fn execute(arguments: &JobArguments, console: &Console) -> Result<ExitStatus> {
    let run = arguments.open()?;
    let observer = console.observer_of_stages()?;
    let results = drive(&run, &main_job(&run.config), &observer)?;
    if results.iter().any(is_interrupted) {
        return Ok(interrupted(observer.signal()));
    }
    if run.is_dry() {
        return tell_what_would_run(&results, console);
    }
    // The gate and the registry are asked each time; whether they had anything new to say is theirs to tell.
    let worked =
        |result: &StageResult| matches!(result.state, StageState::Ran(_)) && result.name != StageName::Register;
    let unchanged = !results.iter().any(worked);
    let registration = results.iter().find_map(|result| match &result.state {
        StageState::Ran(StageReport::Register(registration)) => Some(&**registration),
        _ => None,
    });
    match registration {
        Some(registration) => close(&run, registration, unchanged, console),
        None => close_unmeasured(&run, unchanged, console),
    }
}

fn close(run: &Run, registration: &Registration, unchanged: bool, console: &Console) -> Result<ExitStatus> {
    let Registration { decision, registered, report, table } = registration;
    let mut text = table.clone();
    match registered {
        Some(RegisteredVersion { name, version, already_there: true }) => {
            text.push_str(&format!("\nalready registered as {name} version {version}"));
        }
        Some(RegisteredVersion { name, version, already_there: false }) => {
            text.push_str(&format!("\nregistered as {name} version {version}"));
        }
        None => text.push_str("\nnot registered: the gate said no"),
    }
    if unchanged {
        text.push_str("\nnothing has changed since the last run, so no work was done");
    }
    let folder = run.folder.path().display();
    text.push_str(&format!("\neverything is in {folder}; open {}", report.display()));
    let Measured { record, latency, .. } = Measured::read(run)?;
    let result = JobResult {
        run: folder.to_string(),
        unchanged,
        evaluation: record.summary(),
        latency,
        gate: decision,
        registered: registered.as_ref(),
    };
    console.result(&result, &text)?;
    Ok(if decision.passed { ExitStatus::Done } else { ExitStatus::GateRefused })
}

/// Ends a run whose held-out rows have no tests (conversations, policy examples): what is not measured is not
/// registered, and the gate cannot say yes.
fn close_unmeasured(run: &Run, unchanged: bool, console: &Console) -> Result<ExitStatus> {
    let folder = run.folder.path().display().to_string();
    let mut text = format!(
        "the adapter is in {}; none of the held-out rows has a test, so pass@k says nothing of it: not measured and not \
         registered",
        run.folder.file(Answers::Own.adapter()).display()
    );
    if !run.config.evaluation.benchmarks.is_empty() {
        text.push_str("; neither are `evaluation.benchmarks`, which are measured beside held-out problems");
    }
    let result = serde_json::json!({ "run": folder, "unchanged": unchanged, "evaluation": null, "registered": null });
    console.result(&result, &text)?;
    Ok(ExitStatus::GateRefused)
}

/// Says which stages would run. The registry is asked only once there is a measurement.
fn tell_what_would_run(results: &[StageResult], console: &Console) -> Result<ExitStatus> {
    let would_run: Vec<StageName> = results
        .iter()
        .filter(|result| matches!(result.state, StageState::WouldRun(_)) && result.name != StageName::Register)
        .map(|result| result.name)
        .collect();
    let text = match would_run.as_slice() {
        [] => "dry run: nothing has changed, no stage would run".to_owned(),
        stages => {
            let names: Vec<&str> = stages.iter().map(|stage| stage.as_str()).collect();
            format!("dry run: would run {}", names.join(", "))
        }
    };
    console.result(&serde_json::json!({ "would_run": would_run }), &text)?;
    Ok(ExitStatus::Done)
}

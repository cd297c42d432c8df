//! The main job: prepare → enrich (where the config asks for traces) → train → evaluate against the base → gate →
//! register, each stage only where something it reads has changed, and a closing table.

use anyhow::Result;
use serde::Serialize;

use super::enrich::{EnrichStage, enrich_stage};
use super::evaluate::{Measured, evaluate_stage};
use super::job::Job;
use super::prepare::{PreparedStage, prepare_stage};
use super::register::{Registered, register_stage};
use super::train::{Answers, TrainStage, train_stage};
use super::{Console, ExitStatus, JobArguments};
use hilora_evaluator::{GateDecision, GateMeasurements, Report};

/// What a machine reads at the end.
#[derive(Serialize)]
struct JobResult {
    /// The run's folder.
    run: String,
    /// Whether no stage had anything to do.
    unchanged: bool,
    /// The figures without the single answers.
    evaluation: serde_json::Value,
    /// Decode times.
    latency: hilora_evaluator::Latency,
    /// The gate's decision.
    gate: GateDecision,
    /// The registry's entry, where the gate said yes.
    registered: Option<Registered>,
}

/// Runs the main job.
pub(super) fn execute(arguments: &JobArguments, console: Console) -> Result<ExitStatus> {
    let mut job = Job::open(arguments, console)?;
    let prepared = prepare_stage(&mut job)?;
    console.note(&prepared.summary(job.dry_run));
    if job.dry_run {
        return dry_run(&mut job, &prepared);
    }
    let mut unchanged = !matches!(prepared, PreparedStage::Ran { .. });
    if let Some(stage) = enrich_stage(&mut job)? {
        console.note(&stage.summary());
        if stage.exit_status() == ExitStatus::Interrupted {
            return Ok(ExitStatus::Interrupted);
        }
        unchanged &= matches!(stage, EnrichStage::Unchanged);
    }
    let mut trainings = vec![Answers::Own];
    if job.config.controls.shuffled_answers {
        trainings.push(Answers::Shuffled);
    }
    for answers in trainings {
        let stage = train_stage(&mut job, answers)?;
        console.note(&stage.summary(answers));
        if stage.exit_status() == ExitStatus::Interrupted {
            return Ok(ExitStatus::Interrupted);
        }
        unchanged &= matches!(stage, TrainStage::Unchanged);
    }
    if nothing_to_measure(&job) {
        return unmeasured(&job, unchanged);
    }
    let Some(measured) = evaluate_stage(&mut job)? else { anyhow::bail!("only a dry run leaves the evaluation out") };
    if measured.unchanged {
        console.note("evaluate: nothing has changed, no work done");
    }
    unchanged &= measured.unchanged;

    let decision = job.config.gate.decide(&GateMeasurements::of(&measured.record.comparison, &measured.latency));
    let registered = if decision.passed { Some(register_stage(&job, &measured, &decision)?) } else { None };
    let report = Report {
        record: &measured.record,
        latency: &measured.latency,
        decision: Some(&decision),
        problems: &measured.problems,
    };
    report.write_html(&job.path("report.html"))?;

    let mut text = report.to_string();
    match &registered {
        Some(registered) => text.push_str(&format!("\n{}", registered.sentence())),
        None => text.push_str("\nnot registered: the gate said no"),
    }
    if unchanged {
        text.push_str("\nnothing has changed since the last run, so no work was done");
    }
    text.push_str(&format!("\neverything is in {}; open {}", job.folder.display(), job.path("report.html").display()));
    let status = if decision.passed { ExitStatus::Done } else { ExitStatus::GateRefused };
    let result = JobResult {
        run: job.folder.display().to_string(),
        unchanged,
        evaluation: measured.record.summary(),
        latency: measured.latency,
        gate: decision,
        registered,
    };
    console.result(&result, &text)?;
    Ok(status)
}

/// Whether none of the held-out rows has a test.
fn nothing_to_measure(job: &Job) -> bool {
    std::fs::metadata(job.data_file("tests")).is_ok_and(|tests| tests.len() == 0)
}

/// Ends a run whose held-out rows have no tests (conversations, policy examples): what is not measured is not
/// registered, and the gate cannot say yes.
fn unmeasured(job: &Job, unchanged: bool) -> Result<ExitStatus> {
    let run = job.folder.display().to_string();
    let text = format!(
        "the adapter is in {}; none of the held-out rows has a test, so pass@k says nothing of it: not measured and not \
         registered",
        job.path(Answers::Own.adapter()).display()
    );
    let result = serde_json::json!({ "run": run, "unchanged": unchanged, "evaluation": null, "registered": null });
    job.console.result(&result, &text)?;
    Ok(ExitStatus::GateRefused)
}

/// Says which stages would run. What follows a stage that would run cannot be known, so it would run too.
fn dry_run(job: &mut Job, prepared: &PreparedStage) -> Result<ExitStatus> {
    let mut would_run = Vec::new();
    let enriches = job.config.enrich.is_some();
    let prepares = matches!(prepared, PreparedStage::Ran { .. });
    // What stands there says nothing of what preparing would write.
    let measures = prepares || !nothing_to_measure(job);
    if prepares {
        would_run.push("prepare");
        would_run.extend(enriches.then_some("enrich"));
        would_run.push("train");
    } else if enriches && !matches!(enrich_stage(job)?, Some(EnrichStage::Unchanged)) {
        would_run.extend(["enrich", "train"]);
    } else if !matches!(train_stage(job, Answers::Own)?, TrainStage::Unchanged) {
        would_run.push("train");
    }
    if measures && (!would_run.is_empty() || evaluate_stage(job)?.is_none()) {
        would_run.push("evaluate");
    }
    let text = match would_run.as_slice() {
        [] => "dry run: nothing has changed, no stage would run".to_owned(),
        stages => format!("dry run: would run {}", stages.join(", ")),
    };
    job.console.result(&serde_json::json!({ "would_run": would_run }), &text)?;
    Ok(ExitStatus::Done)
}

/// The closing table of a measurement that is not held to a gate.
pub(super) fn closing_table(measured: &Measured) -> String {
    Report { record: &measured.record, latency: &measured.latency, decision: None, problems: &measured.problems }
        .to_string()
}

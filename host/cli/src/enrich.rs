//! `hilora-host enrich`, and the stage of the main job between prepare and train: a reasoning trace for every training
//! row that has none.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::failure::BadInput;
use super::interrupt::InterruptGuard;
use super::job::Job;
use super::{Console, ExitStatus, JobArguments};
use hilora_contract::artifact::StageInputs;
use hilora_enrich::{EnrichConfig, EnrichFiles, EnrichProgress, EnrichReport, enrich, plan};

/// Ask a model for the reasoning behind each training solution.
#[derive(Debug, Args)]
pub(super) struct EnrichCommand {
    #[command(flatten)]
    job: JobArguments,
}

/// What became of the stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(super) enum EnrichStage {
    /// Nothing that it reads has changed.
    Unchanged,
    /// It would run, and make `calls` calls.
    WouldRun(EnrichReport),
    /// It ran, to its end or to an interruption.
    Ran(EnrichReport),
}

impl EnrichCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let mut job = Job::open(&self.job, console)?;
        let Some(stage) = enrich_stage(&mut job)? else {
            return Err(BadInput::with_hint(
                "the config has no `enrich` section, so nobody knows which model to ask",
                "`enrich: {base_url: http://127.0.0.1:8000/v1, model: NAME}` names an OpenAI-compatible endpoint",
            )
            .into());
        };
        console.result(&stage, &stage.summary())?;
        Ok(stage.exit_status())
    }
}

impl EnrichStage {
    /// The counts, and every reason for which an answer was rejected.
    pub(super) fn summary(&self) -> String {
        let report = match self {
            Self::Unchanged => return "enrich: nothing has changed, no work done".to_owned(),
            Self::WouldRun(report) => {
                let EnrichReport { calls, answers_reused, rows, .. } = report;
                return format!("enrich: would make {calls} calls for {rows} rows; {answers_reused} are in the ledger");
            }
            Self::Ran(report) => report,
        };
        let cost = report.cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
        let mut text = format!(
            "enrich: {} calls ({} in the ledger before), {} input and {} output tokens{cost}",
            report.calls_answered, report.answers_reused, report.prompt_tokens, report.completion_tokens
        );
        if !report.finished {
            let left = report.calls - report.calls_answered;
            text.push_str(&format!(
                "\ninterrupted with {left} calls left; what was answered is kept, run again to go on"
            ));
            return text;
        }
        text.push_str(&format!("\n  {:>6}  rows", report.rows));
        let counts = [("traces accepted", report.accepted), ("had a reasoning", report.had_reasoning)];
        for (what, count) in counts.into_iter().chain([("are no solved problems", report.other_rows)]) {
            if count > 0 {
                text.push_str(&format!("\n  {count:>6}  {what}"));
            }
        }
        for (reason, count) in &report.rejected {
            text.push_str(&format!("\n  {count:>6}  rejected: {reason}"));
        }
        text
    }

    /// An interrupted run has recorded every answer, and says so.
    pub(super) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Ran(report) if !report.finished => ExitStatus::Interrupted,
            _ => ExitStatus::Done,
        }
    }
}

/// Enriches the run's training rows, unless nothing that it reads has changed. `None` where the config has no such
/// section.
pub(super) fn enrich_stage(job: &mut Job) -> Result<Option<EnrichStage>> {
    let Some(config) = job.config.enrich.clone() else { return Ok(None) };
    let train = prepared_rows(job)?;
    let inputs = stage_inputs(job, &config)?;
    if job.ledger.is_current("enrich", &inputs) {
        return Ok(Some(EnrichStage::Unchanged));
    }
    let (tests, ledger, output) =
        (job.data_file("train_tests"), job.data_file("traces"), job.data_file("train_enriched"));
    let files = EnrichFiles { train: &train, tests: &tests, ledger: &ledger, output: &output };
    if job.dry_run {
        return Ok(Some(EnrichStage::WouldRun(plan(&config, &files)?)));
    }
    let interrupt = InterruptGuard::arm()?;
    let bar = job.console.progress().stage("enrich", 0, "calls");
    let report = enrich(&config, &files, &|| interrupt.requested(), &|at: EnrichProgress| {
        bar.set_total(at.calls);
        let cost = at.cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
        bar.set_message(&format!("{} tokens{cost}", at.tokens));
        bar.set_position(at.answered);
    })?;
    bar.finish();
    if report.finished {
        job.ledger.record("enrich", inputs, &[&job.relative(&output)])?;
    }
    Ok(Some(EnrichStage::Ran(report)))
}

/// The rows to train on: the prepared ones, or the enriched ones where the config asks for traces.
pub(super) fn training_rows(job: &Job) -> Result<PathBuf> {
    let prepared = prepared_rows(job)?;
    let Some(config) = &job.config.enrich else { return Ok(prepared) };
    let enriched = job.data_file("train_enriched");
    if !enriched.is_file() {
        let message = format!("the config has an `enrich` section, but {} is missing", enriched.display());
        return Err(BadInput::with_hint(message, "`hilora-host enrich` makes it").into());
    }
    if !job.ledger.outputs_stand("enrich") {
        let message = format!("{} is not what an enrichment of this run has written", enriched.display());
        return Err(BadInput::with_hint(message, "`hilora-host enrich` makes it anew and repeats no call").into());
    }
    let inputs = stage_inputs(job, config)?;
    // Another build of the program makes the same rows; other training data does not.
    let changed: Vec<String> =
        job.ledger.changed_inputs("enrich", &inputs).into_iter().filter(|name| name != "program").collect();
    if !changed.is_empty() {
        let message = format!(
            "{} was made from something else than stands there now: {}",
            enriched.display(),
            changed.join(", ")
        );
        return Err(BadInput::with_hint(message, "`hilora-host enrich` makes it anew and repeats no call").into());
    }
    Ok(enriched)
}

fn prepared_rows(job: &Job) -> Result<PathBuf> {
    let rows = job.data_file("train");
    if rows.is_file() {
        return Ok(rows);
    }
    let message = format!("the training data {} is missing", rows.display());
    Err(BadInput::with_hint(message, "`hilora-host prepare` makes it").into())
}

/// Everything that decides the enriched rows, but for the answers themselves, which the ledger keeps.
fn stage_inputs(job: &Job, config: &EnrichConfig) -> Result<StageInputs> {
    let mut inputs = job.stage_inputs();
    inputs.insert("enrich settings".to_owned(), config.hash());
    for (name, side) in [("training data", "train"), ("training problems' tests", "train_tests")] {
        inputs.insert(name.to_owned(), job.hash_of_prepared(&job.data_file(side))?);
    }
    Ok(inputs)
}

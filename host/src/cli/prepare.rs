//! `hilora-host prepare`, and the first stage of the main job.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::job::Job;
use super::{Console, ExitStatus, JobArguments};
use crate::artifact::{ContentHash, StageInputs};
use crate::pipeline::{PrepareInputs, PrepareManifest, PrepareStage, prepare};
use crate::plugin::PluginKind;

/// Load, verify, classify, deduplicate and split a dataset.
#[derive(Debug, Args)]
pub(super) struct PrepareCommand {
    #[command(flatten)]
    job: JobArguments,
}

/// What became of the stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(super) enum PreparedStage {
    /// Nothing that it reads has changed.
    Unchanged,
    /// It ran; in a dry run nothing was written.
    Ran {
        /// What stands in `manifest.json`.
        manifest: Box<PrepareManifest>,
    },
}

impl PrepareCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let mut job = Job::open(&self.job, console)?;
        let stage = prepare_stage(&mut job)?;
        console.result(&stage, &stage.summary(job.dry_run))?;
        Ok(ExitStatus::Done)
    }
}

impl PreparedStage {
    /// The counts, and every reason for which rows were skipped.
    pub(super) fn summary(&self, dry_run: bool) -> String {
        let Self::Ran { manifest } = self else { return "prepare: nothing has changed, no work done".to_owned() };
        let counts = &manifest.counts;
        let mut text = format!(
            "{}{} rows: {} problems accepted ({} to train on, {} held out), {} skipped",
            if dry_run { "dry run, nothing written: " } else { "" },
            counts.rows,
            counts.accepted,
            counts.train_problems,
            counts.eval_problems,
            counts.skipped
        );
        for (reason, rows) in &manifest.skipped {
            text.push_str(&format!("\n  {:>6}  {reason}", rows.count));
        }
        for (domain, found) in &manifest.domains {
            let note = if found.taken { "" } else { "  (no specialist of this run takes it)" };
            text.push_str(&format!("\n  {:>6}  domain {domain}{note}", found.problems));
        }
        text
    }
}

/// Prepares the run's data, unless nothing that it reads has changed.
pub(super) fn prepare_stage(job: &mut Job) -> Result<PreparedStage> {
    let inputs = stage_inputs(job)?;
    if job.ledger.is_current("prepare", &inputs) {
        return Ok(PreparedStage::Unchanged);
    }
    let (loader, classifier) = (job.loader()?, job.classifier()?);
    let progress = job.console.progress();
    let bars = [PrepareStage::Load, PrepareStage::Verify].map(|stage| {
        (stage, progress.stage(stage.name(), 0, if stage == PrepareStage::Load { "rows" } else { "programs" }))
    });
    let report = prepare(
        &PrepareInputs {
            config: &job.config.data,
            specialist: job.config.specialist_name(),
            seed: job.config.seed,
            loader: &*loader,
            classifier: &*classifier,
            runner: job.runner()?,
            workers: job.workers,
            run_folder: (!job.dry_run).then_some(job.folder.as_path()),
        },
        &|at| {
            if let Some((_, bar)) = bars.iter().find(|(stage, _)| *stage == at.stage) {
                if let Some(total) = at.total {
                    bar.set_total(total);
                }
                bar.set_position(at.done);
            }
        },
    )?;
    bars.into_iter().for_each(|(_, bar)| bar.finish());
    if !job.dry_run {
        let files = job.config.data.files_of(job.config.specialist_name());
        let written = [&files.train, &files.eval, &files.tests].map(|path| path.to_string_lossy().into_owned());
        let outputs: Vec<&str> = written.iter().map(String::as_str).chain(["manifest.json"]).collect();
        job.ledger.record("prepare", inputs, &outputs)?;
    }
    Ok(PreparedStage::Ran { manifest: Box::new(report.manifest) })
}

/// Everything that decides the data files' bytes.
fn stage_inputs(job: &Job) -> Result<StageInputs> {
    let config = &job.config;
    let section = serde_json::to_vec(&(&config.data, config.seed, config.specialist_name()))?;
    let mut inputs = job.stage_inputs();
    inputs.insert("config".to_owned(), ContentHash::of(&section));
    for file in &config.data.files {
        inputs.insert(format!("source {}", file.display()), job.hash_of(file)?);
    }
    for kind in [PluginKind::DatasetLoader, PluginKind::DomainClassifier, PluginKind::SolutionRunner] {
        inputs.insert(kind.to_string(), job.plugin_hash(kind)?);
    }
    Ok(inputs)
}

//! `hilora-host prepare`, and the first stage of the main job.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::job::Job;
use super::{Console, ExitStatus, JobArguments};
use hilora_contract::artifact::{ContentHash, StageInputs};
use hilora_contract::plugin::PluginKind;
use hilora_prepare::{
    InputFile, PrepareInputs, PrepareManifest, PrepareStage, SetInputs, WeakTests, input_files, prepare,
};

/// Load, verify, classify, deduplicate, split and decontaminate a dataset.
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
    /// The config names rows that are prepared already.
    Given,
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
        let manifest = match self {
            Self::Unchanged => return "prepare: nothing has changed, no work done".to_owned(),
            Self::Given => return "prepare: data.train_file names rows that are prepared already".to_owned(),
            Self::Ran { manifest } => manifest,
        };
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
        if !manifest.config.verify {
            text.push_str("\n  data.verify is false: no solution was run, the dataset is believed");
        }
        for (reason, rows) in &manifest.skipped {
            text.push_str(&format!("\n  {:>6}  {reason}", rows.count));
        }
        for (domain, found) in &manifest.domains {
            let note = if found.taken { "" } else { "  (no specialist of this run takes it)" };
            text.push_str(&format!("\n  {:>6}  domain {domain}{note}", found.problems));
        }
        let WeakTests { tests, weak, .. } = &manifest.weak_tests;
        if *weak > 0 {
            text.push_str(&format!("\n  {weak:>6}  of {tests} tests are weak: each accepted a wrong program"));
        }
        for set in &manifest.decontamination.sets {
            text.push_str(&format!(
                "\n  {:>6}  left out for `{}` ({} problems; {} more share 10 words, {} share 8)",
                set.removed, set.name, set.problems, set.kept_with_10_words, set.kept_with_8_words
            ));
        }
        text
    }
}

/// Prepares the run's data, unless nothing that it reads has changed.
pub(super) fn prepare_stage(job: &mut Job) -> Result<PreparedStage> {
    if job.config.data.is_prepared() {
        return Ok(PreparedStage::Given);
    }
    let files = input_files(&job.config.data.files)?;
    let sets = job.config.data.decontaminate.iter();
    let set_files: Vec<Vec<InputFile>> = sets.map(|set| input_files(&set.files)).collect::<Result<_, _>>()?;
    let inputs = stage_inputs(job, &files, &set_files)?;
    if job.ledger.is_current("prepare", &inputs) {
        return Ok(PreparedStage::Unchanged);
    }
    let (loader, classifier) = (job.loader()?, job.classifier()?);
    let sets = set_files.into_iter().zip(job.set_loaders()?);
    let sets: Vec<SetInputs> = sets.map(|(files, loader)| SetInputs { files, loader }).collect();
    let progress = job.console.progress();
    let bars = PrepareStage::ALL.map(|stage| (stage, OnceLock::new()));
    let report = prepare(
        &PrepareInputs {
            config: &job.config.data,
            files: &files,
            specialist: job.config.specialist_name(),
            seed: job.config.seed,
            program: job.program(),
            loader: &*loader,
            sets: &sets,
            classifier: &*classifier,
            runner: job.runner()?,
            train_tests: job.config.enrich.is_some(),
            workers: job.workers,
            run_folder: (!job.dry_run).then_some(job.folder.as_path()),
        },
        &|at| {
            if let Some((stage, bar)) = bars.iter().find(|(stage, _)| *stage == at.stage) {
                // A bar appears with its stage: what was found done has none.
                let bar = bar.get_or_init(|| progress.stage(stage.name(), 0, stage.unit()));
                if let Some(total) = at.total {
                    bar.set_total(total);
                }
                bar.set_position(at.done);
            }
        },
    )?;
    bars.into_iter().filter_map(|(_, bar)| bar.into_inner()).for_each(|bar| bar.finish());
    if !job.dry_run {
        let written = report.manifest.outputs.iter();
        let mut outputs: BTreeMap<String, ContentHash> =
            written.map(|output| (output.file.to_string_lossy().into_owned(), output.content)).collect();
        outputs.insert("manifest.json".to_owned(), job.hash_of(&job.path("manifest.json"))?);
        job.ledger.record_hashed("prepare", inputs, outputs)?;
    }
    Ok(PreparedStage::Ran { manifest: Box::new(report.manifest) })
}

/// Everything that decides the data files' bytes.
fn stage_inputs(job: &Job, files: &[InputFile], set_files: &[Vec<InputFile>]) -> Result<StageInputs> {
    let config = &job.config;
    let section = serde_json::to_vec(&(&config.data, config.seed, config.specialist_name(), config.enrich.is_some()))?;
    let mut inputs = job.stage_inputs();
    inputs.insert("config".to_owned(), ContentHash::of(&section));
    for InputFile { file, content, .. } in files {
        inputs.insert(format!("source {}", file.display()), *content);
    }
    for (set, files) in config.data.decontaminate.iter().zip(set_files) {
        for InputFile { file, content, .. } in files {
            inputs.insert(format!("evaluation set {} {}", set.name, file.display()), *content);
        }
        let loader = job.loader_file(&set.source);
        inputs.insert(format!("evaluation set {} loader", set.name), job.hash_of(&loader)?);
    }
    for kind in [PluginKind::DatasetLoader, PluginKind::DomainClassifier, PluginKind::SolutionRunner] {
        inputs.insert(kind.to_string(), job.plugin_hash(kind)?);
    }
    Ok(inputs)
}

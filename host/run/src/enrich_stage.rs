//! The stage between prepare and train: a reasoning trace for every row to learn from that has none.

use std::path::PathBuf;

use hilora_contract::fault::BadInput;
use hilora_enrich::{EnrichConfig, EnrichFiles, EnrichProgress, enrich, plan};

use super::data_files::DataFile;
use super::error::RunError;
use super::observer::{RunObserver, Task, TaskProgress};
use super::run::Run;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;

/// Enriches the run's training rows.
#[derive(Debug, Clone, Copy)]
pub struct EnrichStage;

/// What enriching works on.
pub struct EnrichWork {
    config: EnrichConfig,
    train: PathBuf,
    tests: PathBuf,
    traces: PathBuf,
    output: PathBuf,
    /// The output as the ledger names it.
    output_name: String,
}

impl EnrichWork {
    fn files(&self) -> EnrichFiles<'_> {
        EnrichFiles { train: &self.train, tests: &self.tests, record: &self.traces, output: &self.output }
    }
}

/// Everything that decides the enriched rows, but for the answers themselves, which are recorded.
fn key_of(run: &Run, config: &EnrichConfig) -> Result<StageKey, RunError> {
    let mut key = run.stage_key();
    key.insert(&InputName::EnrichSettings, config.hash());
    key.insert(&InputName::TrainingData, run.hash_of_prepared(DataFile::Train)?);
    key.insert(&InputName::TrainingTests, run.hash_of_prepared(DataFile::TrainTests)?);
    Ok(key)
}

/// The rows to train on: the prepared ones, or the enriched ones if the config asks for traces.
pub fn training_rows(run: &Run) -> Result<PathBuf, RunError> {
    let prepared = run.prepared(DataFile::Train)?;
    let Some(config) = &run.config.enrich else { return Ok(prepared) };
    let enriched = run.data.path(DataFile::TrainEnriched);
    if !enriched.is_file() {
        let message = format!("the config has an `enrich` section, but {} is missing", enriched.display());
        return Err(BadInput::with_hint(message, "`hilora-host enrich` makes it").into());
    }
    let again = "`hilora-host enrich` makes it anew and repeats no call";
    if !run.ledger().outputs_stand(StageName::Enrich.as_str()) {
        let message = format!("{} is not what an enrichment of this run has written", enriched.display());
        return Err(BadInput::with_hint(message, again).into());
    }
    let key = key_of(run, config)?;
    // Another build of the program makes the same rows; other training data does not.
    let program = InputName::Program.to_string();
    let changed = run.ledger().changed_inputs(StageName::Enrich.as_str(), key.inputs());
    let changed: Vec<String> = changed.into_iter().filter(|name| *name != program).collect();
    if changed.is_empty() {
        return Ok(enriched);
    }
    let (file, changed) = (enriched.display(), changed.join(", "));
    let message = format!("{file} was made from something else than stands there now: {changed}");
    Err(BadInput::with_hint(message, again).into())
}

fn config_of(run: &Run) -> Result<&EnrichConfig, RunError> {
    run.config.enrich.as_ref().ok_or_else(|| {
        BadInput::with_hint(
            "the config has no `enrich` section, so nobody knows which model to ask",
            "`enrich: {base_url: http://127.0.0.1:8000/v1, model: NAME}` names an OpenAI-compatible endpoint",
        )
        .into()
    })
}

impl Stage for EnrichStage {
    type Inputs = EnrichWork;

    fn name(&self) -> StageName {
        StageName::Enrich
    }

    fn check(&self, run: &Run, ahead: &[StageName], _observer: &dyn RunObserver) -> Result<(), RunError> {
        config_of(run)?;
        if !ahead.contains(&StageName::Prepare) || run.data.are_given() {
            run.prepared(DataFile::Train)?;
        }
        Ok(())
    }

    fn key(&self, run: &Run, _observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        run.prepared(DataFile::Train)?;
        key_of(run, config_of(run)?).map(Some)
    }

    fn inputs(&self, run: &Run, _key: Option<&StageKey>, _observer: &dyn RunObserver) -> Result<EnrichWork, RunError> {
        let output = run.data.path(DataFile::TrainEnriched);
        Ok(EnrichWork {
            config: config_of(run)?.clone(),
            train: run.prepared(DataFile::Train)?,
            tests: run.data.path(DataFile::TrainTests),
            traces: run.data.path(DataFile::Traces),
            output_name: run.folder.relative(&output),
            output,
        })
    }

    fn rehearse(&self, work: EnrichWork, _observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        Ok(StageReport::Enrich(plan(&work.config, &work.files())?))
    }

    fn run(&self, work: EnrichWork, observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        let task = observer.begin(Task::open_ended("enrich", "calls"));
        let stop = || observer.stop_requested();
        let report = enrich(&work.config, &work.files(), &stop, &|at: EnrichProgress| {
            task.set_total(at.calls);
            let cost = at.cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
            task.set_message(&format!("{} tokens{cost}", at.tokens));
            task.set_done(at.answered);
        })?;
        TaskProgress::finish(task);
        Ok(if report.finished {
            StageEnd::finished(StageReport::Enrich(report), &[&work.output_name])
        } else {
            StageEnd::interrupted(StageReport::Enrich(report))
        })
    }
}

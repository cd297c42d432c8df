//! The first stage: from the files of a dataset to the rows of a specialist.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::ProblemChecker;
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, OutputCheckers, PluginKind, SolutionRunner};
use hilora_prepare::{
    DataConfig, InputFile, PrepareInputs, PreparePhase, PrepareReport, Prepared, SetInputs, input_files, prepare,
};

use super::error::RunError;
use super::observer::{RunObserver, Task, TaskProgress};
use super::run::Run;
use super::source_files::source_files;
use super::source_view::load_plan;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;

/// The option by which a config says what the rows of a source of any layout are.
const KIND_OPTION: &str = "kind";

/// How many files a note names.
const PLANNED_FILES_TOLD: usize = 5;

/// Prepares the run's data.
#[derive(Debug, Clone, Copy)]
pub struct PrepareStage;

/// What preparing works on.
pub struct PrepareWork {
    config: DataConfig,
    specialist: String,
    seed: u64,
    program: ContentHash,
    files: Vec<InputFile>,
    sets: Vec<SetInputs>,
    loader: Box<dyn DatasetLoader>,
    classifier: Box<dyn DomainClassifier>,
    runner: Arc<dyn SolutionRunner>,
    checkers: Arc<dyn OutputCheckers>,
    train_tests: bool,
    workers: usize,
    folder: PathBuf,
}

impl PrepareWork {
    /// Tells what the loader recognises in the files, where the config does not say what they are.
    fn tell_plan(&self, observer: &dyn RunObserver) -> Result<(), RunError> {
        if self.config.options.contains_key(KIND_OPTION) {
            return Ok(());
        }
        let plan = load_plan(&*self.loader, &self.config.files, &self.config.options)?;
        plan.iter().take(PLANNED_FILES_TOLD).for_each(|file| observer.note(&file.words));
        if plan.len() > PLANNED_FILES_TOLD {
            observer.note(&format!("and {} more files", plan.len() - PLANNED_FILES_TOLD));
        }
        Ok(())
    }

    /// Prepares; without writing anything if `is_dry`. `None` if it was stopped before the data was ready.
    fn prepare(&self, is_dry: bool, observer: &dyn RunObserver) -> Result<Option<PrepareReport>, RunError> {
        self.tell_plan(observer)?;
        let tasks = PreparePhase::ALL.map(|phase| (phase, OnceLock::<Box<dyn TaskProgress>>::new()));
        let inputs = PrepareInputs {
            config: &self.config,
            files: &self.files,
            specialist: &self.specialist,
            seed: self.seed,
            program: self.program,
            loader: &*self.loader,
            sets: &self.sets,
            classifier: &*self.classifier,
            runner: self.runner.clone(),
            checkers: self.checkers.clone(),
            train_tests: self.train_tests,
            workers: self.workers,
            run_folder: (!is_dry).then_some(self.folder.as_path()),
        };
        let prepared = prepare(&inputs, &|| observer.stop_requested(), &|at| {
            let Some((phase, task)) = tasks.iter().find(|(phase, _)| *phase == at.phase) else { return };
            // A task begins with its phase: what was found done has none.
            let task = task.get_or_init(|| observer.begin(Task::open_ended(phase.name(), phase.unit())));
            if let Some(total) = at.total {
                task.set_total(total);
            }
            task.set_done(at.done);
        })?;
        tasks.into_iter().filter_map(|(_, task)| task.into_inner()).for_each(TaskProgress::finish);
        Ok(match prepared {
            Prepared::Finished(report) => Some(*report),
            Prepared::Interrupted => None,
        })
    }
}

fn set_files(config: &DataConfig) -> Result<Vec<Vec<InputFile>>, RunError> {
    config.decontaminate.iter().map(|set| Ok(input_files(&set.files)?)).collect()
}

impl Stage for PrepareStage {
    type Inputs = PrepareWork;

    fn name(&self) -> StageName {
        StageName::Prepare
    }

    fn is_needed(&self, run: &Run, _would_run: &[StageName]) -> Result<bool, RunError> {
        Ok(!run.data.are_given())
    }

    fn check(&self, run: &Run, _ahead: &[StageName], _observer: &dyn RunObserver) -> Result<(), RunError> {
        if run.data.are_given() {
            return Ok(());
        }
        let data = &run.config.data;
        for files in std::iter::once(&data.files).chain(data.decontaminate.iter().map(|set| &set.files)) {
            source_files(files)?;
        }
        for path in data.files.iter().chain(data.decontaminate.iter().flat_map(|set| &set.files)) {
            let hint = "the config's paths are relative to the current folder";
            std::fs::metadata(path).map_err(|error| RunError::reading_what_is_made(path, error, hint))?;
        }
        run.plugins.loader()?;
        run.plugins.classifier()?;
        run.plugins.runner()?;
        if let Some(ProblemChecker::Plugin { name, .. }) = &data.checker
            && run.plugins.checkers()?.find(name)?.is_none()
        {
            let message = format!("data.checker: there is no output checker `{name}`");
            let hint = "expected `lines`, `tokens`, `float`, or the name of an output checker under plugins/";
            return Err(BadInput::with_hint(message, hint).into());
        }
        data.decontaminate.iter().try_for_each(|set| run.plugins.set_loader(&set.source).map(|_| ()))
    }

    fn key(&self, run: &Run, _observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        let config = &run.config;
        let section = (&config.data, config.seed, config.specialist_name(), config.enrich.is_some());
        let section = serde_json::to_vec(&section).map_err(|error| RunError::record("the data section", error))?;
        let mut key = run.stage_key();
        key.insert(&InputName::Config, ContentHash::of(&section));
        for InputFile { file, content, .. } in input_files(&config.data.files)? {
            key.insert(&InputName::Source(file.display().to_string()), content);
        }
        for (set, files) in config.data.decontaminate.iter().zip(set_files(&config.data)?) {
            for InputFile { file, content, .. } in files {
                key.insert(&InputName::EvaluationSet(set.name.clone(), file.display().to_string()), content);
            }
            let loader = run.plugins.set_loader_hash(&set.source)?;
            key.insert(&InputName::EvaluationSetLoader(set.name.clone()), loader);
        }
        for kind in [PluginKind::DatasetLoader, PluginKind::DomainClassifier, PluginKind::SolutionRunner] {
            key.insert(&InputName::Plugin(kind), run.plugins.hash(kind)?);
        }
        Ok(Some(key))
    }

    fn inputs(&self, run: &Run, _key: Option<&StageKey>, _observer: &dyn RunObserver) -> Result<PrepareWork, RunError> {
        let config = &run.config;
        let sets = config.data.decontaminate.iter().zip(set_files(&config.data)?);
        let sets = sets.map(|(set, files)| Ok(SetInputs { files, loader: run.plugins.set_loader(&set.source)? }));
        Ok(PrepareWork {
            config: config.data.clone(),
            specialist: config.specialist_name().to_owned(),
            seed: config.seed,
            program: run.program(),
            files: input_files(&config.data.files)?,
            sets: sets.collect::<Result<_, RunError>>()?,
            loader: run.plugins.loader()?,
            classifier: run.plugins.classifier()?,
            runner: run.plugins.runner()?,
            checkers: run.plugins.checkers()?,
            train_tests: config.enrich.is_some(),
            workers: run.workers,
            folder: run.folder.path().to_owned(),
        })
    }

    fn rehearse(&self, work: PrepareWork, observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        Ok(work.prepare(true, observer)?.map_or(StageReport::Nothing {}, report_of))
    }

    fn run(&self, work: PrepareWork, observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        let Some(report) = work.prepare(false, observer)? else {
            return Ok(StageEnd::interrupted(StageReport::Nothing {}));
        };
        let written = report.manifest.outputs.iter();
        let mut outputs: BTreeMap<String, Option<ContentHash>> =
            written.map(|output| (output.file.to_string_lossy().into_owned(), Some(output.content))).collect();
        outputs.insert("manifest.json".to_owned(), None);
        let undecided = report.not_judged;
        Ok(StageEnd { report: report_of(report), is_finished: true, undecided, outputs })
    }
}

fn report_of(report: PrepareReport) -> StageReport {
    StageReport::Prepare { manifest: Box::new(report.manifest) }
}

//! The first stage: from the files of a dataset to the rows of a specialist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Domain, ProblemChecker};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, OutputCheckers, PluginKind, SolutionRunner};
use hilora_prepare::{
    DataConfig, EVALUATION_FILES, InputFile, PrepareInputs, PreparePhase, PrepareReport, Prepared, SetInputs,
    SourceConfig, SourceFile, SourceInputs, named_input_files, prepare,
};

use super::error::RunError;
use super::hub_files::{download_words, is_of_the_hub, local_files};
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
    sources: Vec<SourceWork>,
    evaluation: Option<SourceWork>,
    sets: Vec<SetInputs>,
    runner: Arc<dyn SolutionRunner>,
    checkers: Arc<dyn OutputCheckers>,
    train_tests: bool,
    workers: usize,
    folder: PathBuf,
}

/// A source, its files and its plugins.
struct SourceWork {
    config: SourceConfig,
    files: Vec<SourceFile>,
    loader: Box<dyn DatasetLoader>,
    classifier: Box<dyn DomainClassifier>,
}

impl SourceWork {
    fn open(run: &Run, config: SourceConfig, observer: &dyn RunObserver) -> Result<Self, RunError> {
        let files = input_files_of(&config.files, observer)?;
        let loader = if config.name.is_empty() { run.plugins.loader()? } else { run.plugins.source_loader(&config)? };
        let classifier = run.plugins.source_classifier(&config)?;
        Ok(Self { config, files, loader, classifier })
    }

    fn inputs(&self) -> SourceInputs<'_> {
        SourceInputs { files: &self.files, loader: &*self.loader, classifier: &*self.classifier }
    }

    /// Tells what the loader recognises in the files, where the config does not say what they are, and how often the rows
    /// of one of several sources are trained on.
    fn tell_plan(&self, observer: &dyn RunObserver) -> Result<(), RunError> {
        let SourceConfig { name, weight, options, .. } = &self.config;
        if !name.is_empty() && name != EVALUATION_FILES {
            let share = match *weight {
                1.0 => "each training row once".to_owned(),
                weight if weight < 1.0 => format!("{}% of the training rows", weight * 100.0),
                weight => format!("each training row {weight} times"),
            };
            observer.note(&format!("source `{name}`: {} files, {share}", self.files.len()));
        }
        if options.contains_key(KIND_OPTION) {
            return Ok(());
        }
        let paths: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        let plan = load_plan(&*self.loader, &paths, options)?;
        plan.iter().take(PLANNED_FILES_TOLD).for_each(|file| observer.note(&file.words));
        if plan.len() > PLANNED_FILES_TOLD {
            observer.note(&format!("and {} more files", plan.len() - PLANNED_FILES_TOLD));
        }
        Ok(())
    }
}

impl PrepareWork {
    /// Prepares; without writing anything if `is_dry`. `None` if it was stopped before the data was ready.
    fn prepare(&self, is_dry: bool, observer: &dyn RunObserver) -> Result<Option<PrepareReport>, RunError> {
        self.sources.iter().chain(&self.evaluation).try_for_each(|source| source.tell_plan(observer))?;
        let sources: Vec<SourceInputs<'_>> = self.sources.iter().map(SourceWork::inputs).collect();
        let tasks = PreparePhase::ALL.map(|phase| (phase, OnceLock::<Box<dyn TaskProgress>>::new()));
        let inputs = PrepareInputs {
            config: &self.config,
            sources: &sources,
            evaluation: self.evaluation.as_ref().map(SourceWork::inputs),
            specialist: &self.specialist,
            seed: self.seed,
            program: self.program,
            sets: &self.sets,
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

/// Files under the names that the config has for them; those of the hub are downloaded.
fn input_files_of(names: &[PathBuf], observer: &dyn RunObserver) -> Result<Vec<SourceFile>, RunError> {
    Ok(named_input_files(names, &local_files(names, observer)?)?)
}

/// The sources of all rows: of those to learn from, and of those to be measured on.
fn all_sources(config: &DataConfig) -> impl Iterator<Item = SourceConfig> {
    config.training_sources().into_iter().chain(config.evaluation_set())
}

/// All files that a loader reads, as the config names them.
fn all_files(config: &DataConfig) -> Vec<PathBuf> {
    let sets = config.decontaminate.iter().flat_map(|set| set.files.clone());
    all_sources(config).flat_map(|source| source.files).chain(sets).collect()
}

/// What a dry run says that it does not download; nothing where everything is there.
fn left_to_download(run: &Run) -> Result<Option<String>, RunError> {
    if run.is_dry() { download_words(&all_files(&run.config.data)) } else { Ok(None) }
}

/// Tells of domains in the config that no classifier knows, before programs run: that takes long, and no row would be of
/// them. Where it knows none of them, there would be nothing to train on.
fn check_domains(run: &Run, observer: &dyn RunObserver) -> Result<(), RunError> {
    let mut known: BTreeSet<Domain> = BTreeSet::new();
    let mut classifiers: BTreeSet<String> = BTreeSet::new();
    for source in run.config.data.training_sources() {
        let classifier = run.plugins.source_classifier(&source)?;
        known.extend(classifier.domains()?.into_iter().map(|info| info.domain));
        classifiers.insert(classifier.identity().to_string());
    }
    let words = |domains: &mut dyn Iterator<Item = &Domain>| {
        domains.map(|domain| format!("`{domain}`")).collect::<Vec<_>>().join(", ")
    };
    let taken = &run.config.data.domains;
    let unknown = words(&mut taken.iter().filter(|domain| !known.contains(*domain)));
    if unknown.is_empty() {
        return Ok(());
    }
    let classifiers = classifiers.into_iter().collect::<Vec<_>>().join(", ");
    let known_words = words(&mut known.iter());
    if taken.iter().any(|domain| known.contains(domain)) {
        let note = format!("data.domains: no row can be of {unknown}: {classifiers} answers only {known_words}");
        observer.note(&note);
        return Ok(());
    }
    Err(BadInput::with_hint(
        format!("data.domains: expected a domain of {known_words}, which {classifiers} answers, got {unknown}"),
        "name domains of the classifier in `data.domains`, or a classifier of your own in `plugins.classifier`",
    )
    .into())
}

impl Stage for PrepareStage {
    /// Nothing in a dry run whose files are still to be downloaded.
    type Inputs = Option<PrepareWork>;

    fn name(&self) -> StageName {
        StageName::Prepare
    }

    fn is_needed(&self, run: &Run, _would_run: &[StageName]) -> Result<bool, RunError> {
        Ok(!run.data.are_given())
    }

    fn check(&self, run: &Run, _ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError> {
        if run.data.are_given() {
            return Ok(());
        }
        let data = &run.config.data;
        let files = all_files(data);
        source_files(&files, false)?;
        for path in files.iter().filter(|path| !is_of_the_hub(path)) {
            let hint = "the config's paths are relative to the current folder";
            std::fs::metadata(path).map_err(|error| RunError::reading_what_is_made(path, error, hint))?;
        }
        if data.sources.is_empty() {
            run.plugins.loader()?;
        }
        for source in data.sources.iter().cloned().chain(data.evaluation_set()) {
            run.plugins.source_loader(&source)?;
            run.plugins.source_classifier(&source)?;
        }
        run.plugins.classifier()?;
        check_domains(run, observer)?;
        run.plugins.runner()?;
        run.plugins.try_out_formatter(&run.config)?;
        if let Some(ProblemChecker::Plugin { name, .. }) = &data.checker
            && run.plugins.checkers()?.find(name)?.is_none()
        {
            let message = format!("data.checker: there is no output checker `{name}`");
            let hint = "expected `lines`, `tokens`, `float`, `decimals`, `answer`, or the name of an output checker under plugins/";
            return Err(BadInput::with_hint(message, hint).into());
        }
        data.decontaminate.iter().try_for_each(|set| run.plugins.set_loader(&set.source).map(|_| ()))
    }

    fn key(&self, run: &Run, observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        let config = &run.config;
        if let Some(words) = left_to_download(run)? {
            observer.note(&words);
            return Ok(None);
        }
        let section = (&config.data, config.seed, config.specialist_name(), config.enrich.is_some());
        let section = serde_json::to_vec(&section).map_err(|error| RunError::record("the data section", error))?;
        let mut key = run.stage_key();
        key.insert(&InputName::Config, ContentHash::of(&section));
        for source in all_sources(&config.data) {
            for SourceFile { input, .. } in input_files_of(&source.files, observer)? {
                key.insert(&InputName::Source(input.file.display().to_string()), input.content);
            }
            if !source.name.is_empty() {
                let [loader, classifier] = run.plugins.source_hashes(&source)?;
                key.insert(&InputName::SourceLoader(source.name.clone()), loader);
                key.insert(&InputName::SourceClassifier(source.name), classifier);
            }
        }
        for set in &config.data.decontaminate {
            for SourceFile { input: InputFile { file, content, .. }, .. } in input_files_of(&set.files, observer)? {
                key.insert(&InputName::EvaluationSet(set.name.clone(), file.display().to_string()), content);
            }
            let loader = run.plugins.set_loader_hash(&set.source)?;
            key.insert(&InputName::EvaluationSetLoader(set.name.clone()), loader);
        }
        let of_the_run = [PluginKind::DatasetLoader, PluginKind::DomainClassifier, PluginKind::SolutionRunner];
        // With several sources, each has named its own.
        for kind in of_the_run.into_iter().skip(usize::from(!config.data.sources.is_empty())) {
            key.insert(&InputName::Plugin(kind), run.plugins.hash(kind)?);
        }
        Ok(Some(key))
    }

    fn inputs(
        &self,
        run: &Run,
        key: Option<&StageKey>,
        observer: &dyn RunObserver,
    ) -> Result<Option<PrepareWork>, RunError> {
        if key.is_none() {
            return Ok(None);
        }
        let config = &run.config;
        let sets = config.data.decontaminate.iter().map(|set| {
            let (files, loader) = (input_files_of(&set.files, observer)?, run.plugins.set_loader(&set.source)?);
            Ok(SetInputs { files, loader })
        });
        let open = |source| SourceWork::open(run, source, observer);
        let sources = config.data.training_sources().into_iter().map(open);
        Ok(Some(PrepareWork {
            config: config.data.clone(),
            specialist: config.specialist_name().to_owned(),
            seed: config.seed,
            program: run.program(),
            sources: sources.collect::<Result<_, RunError>>()?,
            evaluation: config.data.evaluation_set().map(open).transpose()?,
            sets: sets.collect::<Result<_, RunError>>()?,
            runner: run.plugins.runner()?,
            checkers: run.plugins.checkers()?,
            train_tests: config.enrich.is_some(),
            workers: run.workers,
            folder: run.folder.path().to_owned(),
        }))
    }

    fn rehearse(&self, work: Option<PrepareWork>, observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        let Some(work) = work else { return Ok(StageReport::Nothing {}) };
        Ok(work.prepare(true, observer)?.map_or(StageReport::Nothing {}, report_of))
    }

    fn run(&self, work: Option<PrepareWork>, observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        let work = work.expect("only a dry run leaves files where they are");
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

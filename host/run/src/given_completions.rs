//! Given completions: the measurement of what somebody else's model answered to a benchmark or to prepared problems. There is
//! no run and no config. What was judged is kept beside the record until that is written.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::artifact::{
    ContentHash, FileError, JsonLines, Output, OutputClaim, OutputError, Row, hash_of_artifact,
};
use hilora_contract::dataset::{EvaluationProblem, Lesson};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::PluginKind;
use hilora_evaluator::{
    CleanRates, CompletionFile, CompletionsRecord, Contamination, GivenAnswers, STATISTICS, SampleRecord, Watch,
};
use hilora_judge::workers::WorkerCommand;
use hilora_judge::{BrokenTest, Judge};
use hilora_wasm::{CheckerFolder, HostOptions, PluginHost};

use super::benchmark::{Benchmark, BenchmarkProblems, DateWindow, name_of};
use super::environment::available_cores;
use super::error::RunError;
use super::hub_files::local_files;
use super::measured_benchmark::MeasuredBenchmark;
use super::measurement_watch::MeasurementWatch;
use super::observer::RunObserver;
use super::program::program_hash;
use super::rows::read_rows_watched;
use super::run_plugins::{shipped_loader, worker_pool};
use super::source_files::source_files;

/// What the record's name adds to that of the output.
const RECORD_SUFFIX: &str = ".judged";

/// What is measured, and on what.
#[derive(Debug, Clone)]
pub struct GivenCompletions {
    /// The completions.
    pub completions: PathBuf,
    /// The published benchmark that they answer; without it the problems are prepared already.
    pub benchmark: Option<Benchmark>,
    /// The files of the problems; where empty, those of the benchmark on the hub.
    pub problems: Vec<PathBuf>,
    /// The days of contests that count.
    pub window: DateWindow,
    /// Rows that the model was trained on, as `prepare` writes them, to be held against the problems.
    pub trained_on: Option<PathBuf>,
    /// The k of each pass@k.
    pub k: Vec<u32>,
    /// Components in the place of the shipped formatter and runner.
    pub plugins: Vec<PathBuf>,
    /// Programs that run at once.
    pub workers: Option<NonZeroUsize>,
    /// Where the record goes.
    pub output: Option<PathBuf>,
    /// What runs untrusted programs.
    pub worker: WorkerCommand,
}

/// Where output checkers lie.
const PLUGINS: &str = "plugins";

/// The components that serve.
struct Components {
    formatter: PathBuf,
    runner: PathBuf,
}

impl GivenCompletions {
    /// Measures, and writes the record if that is asked for. `None` if it was asked to stop; what was judged is kept then.
    pub fn measure(&self, observer: &dyn RunObserver) -> Result<Option<CompletionsRecord>, RunError> {
        let file = CompletionFile::read(&self.completions)?;
        let host = PluginHost::new(&HostOptions::default())?;
        let components = self.components(&host)?;
        let files = self.files(observer)?;
        self.check_output(&files, &components)?;
        let BenchmarkProblems { problems, skipped } = self.problems(&host, &files)?;
        let contamination = self.contamination(&problems, observer)?;
        let made_from = self.made_from(&components, &files, &contamination)?;
        let formatter = host.formatter(&components.formatter)?;
        let runner = Arc::new(worker_pool(&host, &components.runner, &self.worker)?);
        let workers = self.workers.map_or_else(available_cores, usize::from);
        let judge = Judge::new(runner, workers).with_checkers(Arc::new(CheckerFolder::new(host, PLUGINS.into())));
        // Held to the end: two that append to one file of verdicts would spoil it.
        let _claim = self.output.as_deref().map(claim).transpose()?;
        let record_path = self.output.as_deref().map(record_path);
        let mut samples = match &record_path {
            Some(path) => SampleRecord::open_file(path, program_hash()?)?,
            None => SampleRecord::forgetful(),
        };
        let progress = MeasurementWatch::new(observer);
        let should_stop = || observer.stop_requested();
        let watch = Watch { observer: &progress, should_stop: &should_stop, check_model: &|| Ok(()) };
        let given = GivenAnswers { formatter: &*formatter, judge: &judge, problems: &problems, k: &self.k };
        let Some((evaluation, completions)) = given.measure(file, &mut samples, &watch)? else { return Ok(None) };
        let benchmark = match (self.benchmark, self.problems.first()) {
            (Some(benchmark), _) => benchmark.name.to_owned(),
            (None, file) => file.map(|file| name_of(file)).unwrap_or_default(),
        };
        let without_contaminated = CleanRates::of(&evaluation, &contamination)?;
        let record = CompletionsRecord {
            statistics: STATISTICS,
            benchmark,
            made_from,
            skipped_problems: skipped,
            completions,
            contamination,
            evaluation,
            without_contaminated,
        };
        if let Some(output) = &self.output {
            record.write(output)?;
        }
        // What could not be judged is asked for again by the next call, which repeats nothing else.
        if let Some(path) = record_path.filter(|_| record.completions.not_judged == 0) {
            drop(samples);
            std::fs::remove_file(&path).map_err(|error| RunError::writing(&path, error))?;
        }
        Ok(Some(record))
    }

    /// Refuses to write over anything that is read.
    fn check_output(&self, files: &[PathBuf], components: &Components) -> Result<(), RunError> {
        let Some(output) = &self.output else { return Ok(()) };
        let served = [&components.formatter, &components.runner, &self.completions];
        let checkers = CheckerFolder::components(Path::new(PLUGINS));
        let inputs = files.iter().chain(&self.plugins).chain(&self.trained_on).chain(served).chain(&checkers);
        let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).collect();
        for written in [output.clone(), record_path(output)] {
            Output::check(&written, &inputs)?;
        }
        Ok(())
    }

    /// The shipped components, or those that were given in their place.
    fn components(&self, host: &PluginHost) -> Result<Components, RunError> {
        let mut components =
            Components { formatter: shipped_loader("chatml-formatter"), runner: shipped_loader("python-runner") };
        for path in &self.plugins {
            match host.inspect(path)?.identity.kind {
                PluginKind::PromptFormatter => components.formatter = path.clone(),
                PluginKind::SolutionRunner => components.runner = path.clone(),
                kind @ (PluginKind::DatasetLoader | PluginKind::DomainClassifier | PluginKind::OutputChecker) => {
                    let message = format!("{} is a {kind}, which judging completions has no place for", path.display());
                    return Err(BadInput::with_hint(message, "a prompt-formatter or a solution-runner").into());
                }
            }
        }
        Ok(components)
    }

    fn files(&self, observer: &dyn RunObserver) -> Result<Vec<PathBuf>, RunError> {
        let of_the_hub = || self.benchmark.map(|benchmark| PathBuf::from(benchmark.hub)).into_iter().collect();
        let entries: Vec<PathBuf> = if self.problems.is_empty() { of_the_hub() } else { self.problems.clone() };
        local_files(&source_files(&entries, true)?, observer)
    }

    fn problems(&self, host: &PluginHost, files: &[PathBuf]) -> Result<BenchmarkProblems, RunError> {
        if let Some(benchmark) = self.benchmark {
            return benchmark.problems(host, files, &self.window);
        }
        let mut problems = Vec::new();
        let mut places: HashMap<String, (&Path, u64)> = HashMap::new();
        for file in files {
            for row in JsonLines::<EvaluationProblem>::open(file)? {
                let Row { line, value } = row?;
                let id = &value.text.id;
                if let Some((first, first_line)) = places.insert(id.clone(), (file, line)) {
                    let (file, first) = (file.display(), first.display());
                    let message = format!(
                        "{file}, line {line}, text.id: expected an id of its own, got `{id}`, which line {first_line} of {first} has"
                    );
                    return Err(BadInput::with_hint(message, "answers name their problem by its id").into());
                }
                problems.push(value);
            }
        }
        let before = problems.len();
        problems.retain(|problem| BrokenTest::among(problem.entry_point.as_deref(), &problem.tests).is_none());
        let broken = (before - problems.len()) as u64;
        let skipped = (broken > 0).then(|| ("broken-test".to_owned(), broken)).into_iter().collect();
        Ok(BenchmarkProblems { problems, skipped })
    }

    fn made_from(
        &self,
        components: &Components,
        files: &[PathBuf],
        contamination: &Contamination,
    ) -> Result<BTreeMap<String, String>, RunError> {
        let hash = |file: &Path| -> Result<ContentHash, RunError> {
            Ok(hash_of_artifact(file).map_err(|error| FileError::reading(file, error))?)
        };
        let mut made_from = BTreeMap::new();
        let mut put = |name: String, value: String| made_from.insert(name, value);
        // What standard input held is gone.
        if self.completions != Path::new("-") {
            put("completions".to_owned(), hash(&self.completions)?.to_string());
        }
        for (number, file) in files.iter().enumerate() {
            put(format!("problems {number} {}", name_of(file)), hash(file)?.to_string());
        }
        for (kind, file) in
            [(PluginKind::PromptFormatter, &components.formatter), (PluginKind::SolutionRunner, &components.runner)]
        {
            put(kind.to_string(), hash(file)?.to_string());
        }
        let DateWindow { from, to } = &self.window;
        for (name, day) in [("contests from", from), ("contests to", to)] {
            if let Some(day) = day {
                put(name.to_owned(), day.clone());
            }
        }
        put("code version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        put("prompt".to_owned(), "as whoever drew the completions asked; no model was asked here".to_owned());
        put("training data check".to_owned(), contamination.words());
        Ok(made_from)
    }

    /// What is known of the problems in the data that the model was trained on.
    fn contamination(
        &self,
        problems: &[EvaluationProblem],
        observer: &dyn RunObserver,
    ) -> Result<Contamination, RunError> {
        let name = self.benchmark.map_or("the problems", |benchmark| benchmark.name);
        let lessons: Option<Vec<Lesson>> =
            self.trained_on.as_ref().map(|rows| read_rows_watched(rows, observer)).transpose()?;
        let learned = lessons.as_deref().ok_or("nothing here says what the model was trained on");
        MeasuredBenchmark::contamination(name, problems, learned, observer)
    }
}

/// The right to write an output.
fn claim(output: &Path) -> Result<OutputClaim, RunError> {
    let claim = OutputClaim::take(output)?;
    Ok(claim.ok_or_else(|| OutputError::Claimed { path: output.to_owned() })?)
}

/// Where verdicts are kept until the record is written.
fn record_path(output: &Path) -> PathBuf {
    let mut path = OsString::from(output);
    path.push(RECORD_SUFFIX);
    path.into()
}

//! The benchmarks of a run: what its config names under `evaluation.benchmarks`, read and asked once before anything is
//! trained. A file that is missing, a prompt that cannot be laid out or that leaves no room for an answer ends a run at its
//! beginning.

use std::collections::BTreeMap;
use std::path::Path;

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_contract::dataset::{EvaluationProblem, Lesson, ProblemText};
use hilora_contract::plugin::{PromptFormatter, Sequence};
use hilora_evaluator::{BenchmarkConfig, BenchmarkPrompt, Contamination, EvaluationConfig, PromptRecord, prompts};
use hilora_prepare::shared_problems;
use hilora_wasm::PluginHost;

use super::benchmark::{Benchmark, BenchmarkProblems, DateWindow, name_of};
use super::benchmark_prompt::{OfficialFormatter, OfficialPrompt, prompt_record};
use super::error::RunError;
use super::hub_files::{download_words, is_of_the_hub, local_files};
use super::observer::{RunObserver, Task};
use super::source_files::source_files;

/// Files of a benchmark that its section names one by one; of more it has one hash.
const FILES_NAMED_MAX: usize = 16;

/// A benchmark that a run measures.
pub struct MeasuredBenchmark {
    /// Which one.
    pub benchmark: Benchmark,
    /// How its answers are drawn.
    pub evaluation: EvaluationConfig,
    /// Its problems, and what its files hold beside them.
    pub problems: BenchmarkProblems,
    /// Its files and what else decides the problems, by name.
    pub(crate) made_from: BTreeMap<String, String>,
    config: BenchmarkConfig,
}

impl MeasuredBenchmark {
    /// Reads the benchmarks of a run. A dry run downloads nothing, so that what is not there is told and not read.
    pub(crate) fn all(
        evaluation: &EvaluationConfig,
        host: &PluginHost,
        is_dry: bool,
        observer: &dyn RunObserver,
    ) -> Result<Vec<Self>, RunError> {
        let read = |config| Self::read(config, evaluation, host, is_dry, observer).transpose();
        evaluation.benchmarks.iter().filter_map(read).collect()
    }

    fn read(
        config: &BenchmarkConfig,
        evaluation: &EvaluationConfig,
        host: &PluginHost,
        is_dry: bool,
        observer: &dyn RunObserver,
    ) -> Result<Option<Self>, RunError> {
        // The config was checked for names.
        let Some(benchmark) = Benchmark::named(&config.name) else { return Ok(None) };
        let files = source_files(&config.files, !is_dry)?;
        if let (true, Some(words)) = (is_dry, download_words(&files)?) {
            observer.note(&format!("{}: {words}; its problems are counted once it is here", config.name));
            return Ok(None);
        }
        let local = local_files(&files, observer)?;
        let hint = "the files of `evaluation.benchmarks` are relative to the current folder";
        let hash = |file: &Path| -> Result<ContentHash, RunError> {
            hash_of_artifact(file).map_err(|error| RunError::reading_what_is_made(file, error, hint))
        };
        let hashes: Vec<ContentHash> = local.iter().map(|file| hash(file)).collect::<Result<_, _>>()?;
        let mut made_from = BTreeMap::new();
        if hashes.len() <= FILES_NAMED_MAX {
            for (number, (file, hash)) in files.iter().zip(&hashes).enumerate() {
                made_from.insert(format!("file {number} {}", name_of(file)), hash.to_string());
            }
        } else {
            let all = ContentHash::of_parts(hashes.iter().map(ContentHash::as_bytes));
            made_from.insert(format!("{} files", hashes.len()), all.to_string());
        }
        for file in files.iter().filter(|file| is_of_the_hub(file)).take(1) {
            made_from.insert("hub".to_owned(), file.display().to_string());
        }
        made_from.insert("loader".to_owned(), hash(&benchmark.loader_file())?.to_string());
        for (name, day) in [("contests from", &config.from), ("contests to", &config.to)] {
            made_from.extend(day.as_ref().map(|day| (name.to_owned(), day.clone())));
        }
        let window = DateWindow { from: config.from.clone(), to: config.to.clone() };
        let task = observer.begin(Task::brief(&format!("{}: read", config.name), "files"));
        let mut problems = benchmark.problems(host, &local, &window)?;
        task.finish();
        if let Some(limit) = config.limit.filter(|limit| *limit < problems.problems.len()) {
            let left_out = (problems.problems.len() - limit) as u64;
            problems.problems.truncate(limit);
            problems.skipped.insert("beyond-the-limit".to_owned(), left_out);
        }
        let evaluation = evaluation.of_benchmark(config);
        Ok(Some(Self { benchmark, evaluation, problems, made_from, config: config.clone() }))
    }

    /// What decides its problems, for the stage's key.
    pub(crate) fn content(&self) -> ContentHash {
        let parts = self.made_from.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        ContentHash::of_parts(parts)
    }

    /// The words that its problems are asked with; `None` for the run's formatter's.
    fn official(&self) -> Option<OfficialPrompt> {
        match self.config.prompt {
            BenchmarkPrompt::Official => self.benchmark.official_prompt(),
            BenchmarkPrompt::Formatter => None,
        }
    }

    /// What lays out its prompts, over the run's formatter.
    pub(crate) fn formatter(&self, formatter: Box<dyn PromptFormatter>) -> Box<dyn PromptFormatter> {
        match self.official() {
            Some(prompt) => Box::new(OfficialFormatter::new(formatter, prompt)),
            None => formatter,
        }
    }

    /// Its prompts, as this formatter lays them out.
    pub(crate) fn prompts(&self, formatter: &dyn PromptFormatter, specialist: &str) -> Result<Vec<Sequence>, RunError> {
        let texts: Vec<ProblemText> = self.problems.problems.iter().map(|problem| problem.text.clone()).collect();
        Ok(prompts(formatter, specialist, &texts)?)
    }

    /// What its section says of the prompts.
    pub(crate) fn prompt_record(
        &self,
        formatter: &dyn PromptFormatter,
        specialist: &str,
    ) -> Result<PromptRecord, RunError> {
        let prompts = self.prompts(formatter, specialist)?;
        Ok(prompt_record(self.official(), self.benchmark.answers_in_words(), &prompts))
    }

    /// What is known of its problems in these rows, or why nothing is.
    pub(crate) fn contamination(
        name: &str,
        problems: &[EvaluationProblem],
        trained_on: Result<&[Lesson], &str>,
        observer: &dyn RunObserver,
    ) -> Result<Contamination, RunError> {
        let lessons = match trained_on {
            Ok(lessons) => lessons,
            Err(why) => return Ok(Contamination::unchecked(why)),
        };
        let task = observer.begin(Task::brief(&format!("{name}: check the rows"), "rows"));
        let shared = shared_problems(lessons, name, problems)?;
        task.finish();
        Ok(Contamination {
            check: "checked against the rows to learn from".to_owned(),
            rows: Some(lessons.len() as u64),
            problems: shared.problems,
            rows_with_10_words: shared.rows_with_10_words,
            rows_with_8_words: shared.rows_with_8_words,
        })
    }
}

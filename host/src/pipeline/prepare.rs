//! Preparing: the whole data path for one specialist, from files to files. It writes only once everything is known,
//! so that an error leaves what stood there before.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::classify::{ChosenDomain, Classifier};
use super::deduplicate::Deduplicator;
use super::fate::{Ledger, Skip};
use super::load::RowReader;
use super::manifest::{counts, skipped_by_reason};
use super::route::Route;
use super::split::sides;
use super::verify::{VerifiedProblem, Verifier};
use super::{DataConfig, Fate, InputFile, OutputFile, PrepareError, PrepareManifest, Side};
use crate::artifact::{ContentHash, write_atomic};
use crate::dataset::{EvaluationProblem, Example, ProblemText};
use crate::judge::Judge;
use crate::plugin::{DatasetLoader, DomainClassifier, LoadedRow, LoaderOptions, SolutionRunner};

/// What is prepared, by whom and whereto.
pub struct PrepareInputs<'a> {
    /// The config's data section.
    pub config: &'a DataConfig,
    /// The specialist whose files are written ("python").
    pub specialist: &'a str,
    /// The seed of the split.
    pub seed: u64,
    /// Reads the files.
    pub loader: &'a dyn DatasetLoader,
    /// Names each problem's domain.
    pub classifier: &'a dyn DomainClassifier,
    /// Runs the programs.
    pub runner: Arc<dyn SolutionRunner>,
    /// How many programs run at once; it changes nothing but the time.
    pub workers: usize,
    /// The run's folder; with `None` nothing is written (a dry run).
    pub run_folder: Option<&'a Path>,
}

/// A stage that can be seen to progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrepareStage {
    /// Rows are read.
    Load,
    /// Programs run against their tests.
    Verify,
    /// Files are written.
    Write,
}

impl PrepareStage {
    /// The stage in a word, for progress bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Verify => "verify",
            Self::Write => "write",
        }
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareProgress {
    /// The stage.
    pub stage: PrepareStage,
    /// Rows, programs or files done.
    pub done: u64,
    /// Of how many, as far as is known. It grows while programs are found.
    pub total: Option<u64>,
}

/// What preparing found, and how long it took.
#[derive(Debug, Clone, Serialize)]
pub struct PrepareReport {
    /// What stands in `manifest.json`.
    pub manifest: PrepareManifest,
    /// Wall time, in seconds.
    pub wall_seconds: f64,
}

/// A problem on its way to a file.
struct Kept {
    problem: VerifiedProblem,
    domain: ChosenDomain,
}

/// Prepares a specialist's data.
pub fn prepare(
    inputs: &PrepareInputs<'_>,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<PrepareReport, PrepareError> {
    let started = Instant::now();
    let problems = inputs.config.validate();
    if !problems.is_empty() {
        return Err(PrepareError::Config(problems));
    }
    let served = inputs.loader.describe()?.source;
    if served != inputs.config.source {
        let loader = inputs.loader.identity().clone();
        return Err(PrepareError::SourceMismatch { loader, served, wanted: inputs.config.source.clone() });
    }
    let input_files: Vec<InputFile> =
        inputs.config.files.iter().map(|file| input_file(file)).collect::<Result<_, _>>()?;

    let mut ledger = Ledger::default();
    let (verified, rows, programs_judged) = read_and_verify(inputs, &mut ledger, progress)?;
    let mut route = Route::new(inputs.specialist, &inputs.config.domains);
    let kept = keep(verified, &mut route, &mut ledger);
    let outputs = split(inputs, kept, &mut ledger);
    let fates = ledger.close(rows)?;
    let counts = counts(&fates, programs_judged);
    let skipped = skipped_by_reason(&fates);
    if counts.train_examples < inputs.config.min_examples {
        let mut reasons: Vec<(usize, &str)> =
            skipped.iter().map(|(reason, rows)| (rows.count, reason.as_str())).collect();
        reasons.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let reasons: Vec<String> = reasons.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
        return Err(PrepareError::TooFewExamples {
            specialist: inputs.specialist.to_owned(),
            found: counts.train_examples,
            expected: inputs.config.min_examples,
            rows,
            skipped: if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") },
        });
    }

    let files = [
        (outputs.files.train, lines(&outputs.train)),
        (outputs.files.eval, lines(&outputs.eval)),
        (outputs.files.tests, lines(&outputs.tests)),
    ];
    let manifest = PrepareManifest {
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        specialist: inputs.specialist.to_owned(),
        seed: inputs.seed,
        config: inputs.config.clone(),
        config_hash: ContentHash::of(&json(inputs.config)),
        inputs: input_files,
        plugins: vec![
            inputs.loader.identity().clone(),
            inputs.classifier.identity().clone(),
            inputs.runner.identity().clone(),
        ],
        counts,
        domains: route.into_counts(),
        skipped,
        outputs: files.iter().map(|(file, bytes)| output_file(file, bytes)).collect(),
        fates,
    };
    if let Some(folder) = inputs.run_folder {
        write(folder, &files, &manifest, progress)?;
    }
    Ok(PrepareReport { manifest, wall_seconds: started.elapsed().as_secs_f64() })
}

/// Reads every row, runs its programs and names its domain, batch by batch.
fn read_and_verify(
    inputs: &PrepareInputs<'_>,
    ledger: &mut Ledger,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<(Vec<Kept>, u64, u64), PrepareError> {
    let judge = Judge::new(Arc::clone(&inputs.runner), inputs.workers);
    let language = inputs.runner.describe()?.language;
    let on_done = |done, known| progress(PrepareProgress { stage: PrepareStage::Verify, done, total: Some(known) });
    let mut verifier = Verifier::new(&judge, language, inputs.config.max_solutions_per_problem, &on_done);
    let classifier = Classifier::new(inputs.classifier)?;
    let mut reader = RowReader::open(inputs.loader, &inputs.config.files, &LoaderOptions::new())?;
    let mut ids = HashSet::new();
    let mut kept = Vec::new();
    loop {
        let batch = reader.next_batch()?;
        if batch.is_empty() {
            break;
        }
        let (done, total) = (reader.rows_read(), reader.rows_total());
        progress(PrepareProgress { stage: PrepareStage::Load, done, total });
        let mut problems = Vec::new();
        for (row, loaded) in batch {
            let problem = match loaded {
                LoadedRow::Problem(problem) => problem,
                LoadedRow::Skipped(skipped) => {
                    ledger.skipped_by_loader(row, skipped);
                    continue;
                }
                LoadedRow::Conversation(_) | LoadedRow::Policy(_) => continue,
            };
            // The split goes by name: two problems of one name could end on both sides.
            if ids.insert(problem.text.id.clone()) {
                problems.push((row, problem));
            } else {
                let skip = Skip::new("duplicate-id", "an earlier row has the same identifier");
                ledger.skip(row, &problem.text.id, skip);
            }
        }
        let mut passed = Vec::new();
        for verified in verifier.verify(problems)? {
            match verified {
                Ok(problem) => passed.push(problem),
                Err((row, id, skip)) => ledger.skip(row, &id, skip),
            }
        }
        let texts: Vec<ProblemText> = passed.iter().map(|problem| problem.text.clone()).collect();
        let domains = classifier.choose(&texts)?;
        kept.extend(passed.into_iter().zip(domains).map(|(problem, domain)| Kept { problem, domain }));
    }
    Ok((kept, reader.rows_read(), verifier.programs_judged()))
}

/// Leaves out duplicates, then problems of domains that the specialist does not take.
fn keep(verified: Vec<Kept>, route: &mut Route<'_>, ledger: &mut Ledger) -> Vec<Kept> {
    let mut seen = Deduplicator::default();
    let mut kept = Vec::new();
    for candidate in verified {
        match seen.check(&candidate.problem).and_then(|()| route.check(&candidate.domain.domain)) {
            Ok(()) => kept.push(candidate),
            Err(skip) => ledger.skip(candidate.problem.row, &candidate.problem.text.id, skip),
        }
    }
    kept
}

/// The rows of the three files and their names.
struct Outputs {
    files: super::DataFiles,
    train: Vec<Example>,
    eval: Vec<Example>,
    tests: Vec<EvaluationProblem>,
}

/// Cuts the problems in two and makes their rows, in the dataset's order.
fn split(inputs: &PrepareInputs<'_>, kept: Vec<Kept>, ledger: &mut Ledger) -> Outputs {
    let ids: Vec<&str> = kept.iter().map(|kept| kept.problem.text.id.as_str()).collect();
    let sides = sides(&ids, inputs.seed, inputs.config.eval_fraction);
    let files = inputs.config.files_of(inputs.specialist);
    let mut outputs = Outputs { files, train: Vec::new(), eval: Vec::new(), tests: Vec::new() };
    for (Kept { problem, domain: ChosenDomain { domain, tied_with } }, side) in kept.into_iter().zip(sides) {
        let (solutions, tests) = (problem.solutions.len(), problem.tests.len());
        let fate = Fate::Accepted { side, domain: domain.clone(), tied_with, solutions, tests };
        ledger.enter(problem.row, Some(problem.text.id.clone()), fate);
        let examples = problem.solutions.into_iter().map(|solution| Example {
            problem: problem.text.statement.clone(),
            reasoning: None,
            solution,
            domain: domain.clone(),
            difficulty: problem.text.difficulty.clone(),
        });
        match side {
            Side::Train => outputs.train.extend(examples),
            Side::Eval => {
                outputs.eval.extend(examples);
                outputs.tests.push(EvaluationProblem {
                    text: problem.text,
                    domain,
                    tests: problem.tests,
                    entry_point: None,
                    attributes: Vec::new(),
                    time_limit_ms: problem.time_limit_ms,
                    memory_limit_bytes: problem.memory_limit_bytes,
                });
            }
        }
    }
    outputs
}

fn input_file(path: &Path) -> Result<InputFile, PrepareError> {
    let read = || -> io::Result<InputFile> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found a folder"));
        }
        Ok(InputFile { file: path.to_owned(), bytes: metadata.len(), content: ContentHash::of_file(path)? })
    };
    read().map_err(|error| PrepareError::SourceFile { path: path.to_owned(), error })
}

fn output_file(path: &Path, bytes: &[u8]) -> OutputFile {
    let rows = bytes.iter().filter(|&&byte| byte == b'\n').count();
    OutputFile { file: path.to_owned(), rows, bytes: bytes.len() as u64, content: ContentHash::of(bytes) }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with text keys always serialize")
}

fn lines(rows: &[impl Serialize]) -> Vec<u8> {
    rows.iter().flat_map(|row| json(row).into_iter().chain([b'\n'])).collect()
}

/// Writes the files, the manifest last: it names the hashes of the others, so that a kill in between shows.
fn write(
    folder: &Path,
    files: &[(PathBuf, Vec<u8>)],
    manifest: &PrepareManifest,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<(), PrepareError> {
    let mut manifest_bytes =
        serde_json::to_vec_pretty(manifest).expect("plain structs with text keys always serialize");
    manifest_bytes.push(b'\n');
    let manifest_path = PathBuf::from("manifest.json");
    let all = files.iter().map(|(path, bytes)| (path, bytes)).chain([(&manifest_path, &manifest_bytes)]);
    let total = files.len() as u64 + 1;
    for ((path, bytes), done) in all.zip(1..) {
        let path = folder.join(path);
        write_atomic(&path, bytes).map_err(|error| PrepareError::Write { path, error })?;
        progress(PrepareProgress { stage: PrepareStage::Write, done, total: Some(total) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::super::fakes::{FakeClassifier, FakeLoader, FakeRunner, problem, problem_with};
    use super::*;
    use crate::dataset::{Domain, SkippedRow};

    /// A dataset of one file, and the run that is prepared from it.
    struct Run {
        folder: tempfile::TempDir,
        config: DataConfig,
        rows: Vec<LoadedRow>,
    }

    impl Run {
        fn new(rows: Vec<LoadedRow>) -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let file = folder.path().join("rows");
            fs::write(&file, "a fake loader reads no file").expect("it can be written to");
            let config = DataConfig {
                source: "fake".to_owned(),
                files: vec![file],
                domains: vec![Domain("python".to_owned()), Domain("data_structures".to_owned())],
                eval_fraction: 0.1,
                max_solutions_per_problem: 1,
                min_examples: 1,
                train_file: None,
                eval_file: None,
            };
            Self { folder, config, rows }
        }

        fn folder(&self) -> PathBuf {
            self.folder.path().join("run")
        }

        fn prepare(&self, workers: usize, seed: u64) -> Result<PrepareReport, PrepareError> {
            let folder = self.folder();
            let inputs = PrepareInputs {
                config: &self.config,
                specialist: "python",
                seed,
                loader: &FakeLoader::new(self.rows.clone()),
                classifier: &FakeClassifier::new(),
                runner: Arc::new(FakeRunner),
                workers,
                run_folder: Some(&folder),
            };
            prepare(&inputs, &|_| {})
        }

        fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            let paths =
                ["data/python_train.jsonl", "data/python_eval.jsonl", "data/python_tests.jsonl", "manifest.json"];
            paths.iter().filter_map(|path| Some((path.into(), fs::read(self.folder().join(path)).ok()?))).collect()
        }
    }

    /// Rows of every kind: 30 good ones, then one for each way to be skipped.
    fn mixed_rows() -> Vec<LoadedRow> {
        let skipped =
            SkippedRow { id: None, reason: "no-python3-solution".to_owned(), detail: "found 1 in Python 2".to_owned() };
        let mut rows: Vec<LoadedRow> =
            (0..30).map(|i| LoadedRow::Problem(problem(&format!("p{i}"), &i.to_string()))).collect();
        rows.push(LoadedRow::Skipped(skipped));
        rows.push(LoadedRow::Problem(problem("p3", "333")));
        rows.push(LoadedRow::Problem(problem_with("wrong", "Wrong.", &["print(0)"], &[("", "1")])));
        rows.push(LoadedRow::Problem(problem("again", "7")));
        rows.push(LoadedRow::Problem(problem_with("renamed", "print  7 .", &["echo"], &[("7", "7")])));
        rows.push(LoadedRow::Problem(problem_with("hard", "A proof.", &["print(88)"], &[("", "88")])));
        rows
    }

    #[test]
    fn every_row_has_a_fate_and_every_file_its_fields() -> Result<(), Box<dyn std::error::Error>> {
        let run = Run::new(mixed_rows());
        let manifest = run.prepare(2, 1)?.manifest;
        assert_eq!(manifest.fates.len(), 36);
        let reasons: BTreeMap<&str, usize> =
            manifest.skipped.iter().map(|(reason, rows)| (reason.as_str(), rows.count)).collect();
        let expected = [
            ("domain-not-taken", 1),
            ("duplicate-id", 1),
            ("duplicate-statement", 2),
            ("no-python3-solution", 1),
            ("no-solution-passed", 1),
        ];
        assert_eq!(reasons, BTreeMap::from(expected));
        let counts = manifest.counts;
        assert_eq!((counts.rows, counts.accepted, counts.skipped), (36, 30, 6));
        assert_eq!((counts.train_problems, counts.eval_problems), (27, 3));
        assert!(!manifest.domains[&Domain("proofs".to_owned())].taken);

        let files = run.files();
        let train = String::from_utf8(files[Path::new("data/python_train.jsonl")].clone())?;
        assert_eq!(train.lines().count(), 27);
        for line in train.lines() {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
            let fields: Vec<&str> = row.keys().map(String::as_str).collect();
            assert_eq!(fields.len(), 5);
            assert!(line.starts_with(r#"{"problem":"#), "{line}");
            for field in ["problem", "reasoning", "solution", "domain", "difficulty"] {
                assert!(row.contains_key(field), "{line} lacks {field}");
            }
        }
        let tests = String::from_utf8(files[Path::new("data/python_tests.jsonl")].clone())?;
        for line in tests.lines() {
            let held_out: EvaluationProblem = serde_json::from_str(line)?;
            assert!(!train.contains(&format!("\"{}\"", held_out.text.statement)), "{line} is on both sides");
            assert!(!line.contains("print("), "{line} shows a solution");
        }
        let written: PrepareManifest = serde_json::from_slice(&files[Path::new("manifest.json")])?;
        assert_eq!(written, manifest);
        for output in &manifest.outputs {
            assert_eq!(ContentHash::of(&files[&output.file]), output.content);
        }
        Ok(())
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_at_any_number_of_workers() -> Result<(), PrepareError> {
        let run = Run::new(mixed_rows());
        run.prepare(1, 1)?;
        let first = run.files();
        assert_eq!(first.len(), 4);
        run.prepare(3, 1)?;
        assert_eq!(run.files(), first);
        run.prepare(1, 2)?;
        assert_ne!(run.files(), first, "another seed holds out others");
        Ok(())
    }

    #[test]
    fn a_dry_run_writes_nothing_and_tells_the_same() -> Result<(), PrepareError> {
        let run = Run::new(mixed_rows());
        let stages = Mutex::new(Vec::new());
        let inputs = PrepareInputs {
            config: &run.config,
            specialist: "python",
            seed: 1,
            loader: &FakeLoader::new(run.rows.clone()),
            classifier: &FakeClassifier::new(),
            runner: Arc::new(FakeRunner),
            workers: 1,
            run_folder: None,
        };
        let record = |progress: PrepareProgress| {
            if let Ok(mut stages) = stages.lock() {
                stages.push(progress);
            }
        };
        let report = prepare(&inputs, &record)?;
        assert!(!run.folder().exists());
        assert_eq!(report.manifest, run.prepare(1, 1)?.manifest);
        let stages = stages.into_inner().unwrap_or_default();
        let last = |stage| stages.iter().rev().find(|progress| progress.stage == stage).copied();
        let judged = report.manifest.counts.programs_judged;
        let verified = PrepareProgress { stage: PrepareStage::Verify, done: judged, total: Some(judged) };
        assert_eq!(last(PrepareStage::Verify), Some(verified));
        assert_eq!(last(PrepareStage::Load).map(|progress| progress.done), Some(36));
        assert_eq!(last(PrepareStage::Write), None);
        Ok(())
    }

    #[test]
    fn bad_input_is_one_error_and_leaves_the_old_files() -> Result<(), PrepareError> {
        let mut run = Run::new(mixed_rows());
        run.prepare(1, 1)?;
        let before = run.files();
        run.config.min_examples = 28;
        let error = run.prepare(1, 1).expect_err("27 are left");
        let message = "the specialist `python` has 27 training examples, expected at least 28 (of 36 rows, skipped: 2 \
                       duplicate-statement, 1 domain-not-taken, 1 duplicate-id, 1 no-python3-solution, 1 \
                       no-solution-passed)";
        assert_eq!(error.to_string(), message);
        assert!(error.hint().is_some());

        run.config.min_examples = 1;
        run.config.source = "apps".to_owned();
        let error = run.prepare(1, 1).expect_err("the loader serves another source");
        assert!(error.to_string().contains("reads the source `fake`, but data.source is `apps`"), "{error}");

        run.config.source = "fake".to_owned();
        run.config.files.push("missing.parquet".into());
        let error = run.prepare(1, 1).expect_err("the file does not exist");
        assert!(error.to_string().contains("missing.parquet"), "{error}");

        run.config.files.pop();
        run.config.eval_fraction = 2.0;
        assert!(matches!(run.prepare(1, 1), Err(PrepareError::Config(problems)) if problems.len() == 1));
        assert_eq!(run.files(), before);
        Ok(())
    }
}

//! Preparing: the whole data path for one specialist, from files to files. What costs much is kept in stage files; the
//! specialist's files become visible only once everything is known, so that an error leaves what stood there before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use super::classified::Classified;
use super::decontaminate::{EvaluationSet, Measured, decontaminate};
use super::deduplicate::deduplicate;
use super::entry::{Decision, Entries, Entry};
use super::fate::{Fate, Ledger};
use super::load::{ROWS_PER_BATCH, RowReader};
use super::manifest::{DecontaminatedSet, Decontamination, SideCounts, counts, skipped_by_reason};
use super::material::Material;
use super::output::Wanted;
use super::route::Route;
use super::split::{Grouped, sides};
use super::stage_file::StageFolder;
use super::words_file::WordsFile;
use super::{DataConfig, EvaluationSetConfig, InputFile, PrepareError, PrepareManifest, Side, output, verified};
use hilora_contract::artifact::{ContentHash, write_atomic};
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, LoadedRow, OutputCheckers, SolutionRunner};

/// What the manifest calls the run's own held-out problems.
const OWN_SET: &str = "held-out problems";

/// What is prepared, by whom and whereto.
pub struct PrepareInputs<'a> {
    /// The config's data section.
    pub config: &'a DataConfig,
    /// The specialist whose files are written ("python").
    pub specialist: &'a str,
    /// The seed of the split.
    pub seed: u64,
    /// The hash of the program that prepares; what another build left is not taken for its own.
    pub program: ContentHash,
    /// The config's files with their hashes, in their order, as [`input_files`] gives them.
    pub files: &'a [InputFile],
    /// Reads the files.
    pub loader: &'a dyn DatasetLoader,
    /// The config's evaluation sets, in their order.
    pub sets: &'a [SetInputs],
    /// Names each problem's domain.
    pub classifier: &'a dyn DomainClassifier,
    /// Runs the programs.
    pub runner: Arc<dyn SolutionRunner>,
    /// Where the output checkers that problems name are found.
    pub checkers: Arc<dyn OutputCheckers>,
    /// Whether the tests of the training problems are written, too: traces are held against them.
    pub train_tests: bool,
    /// How many programs run at once; it changes nothing but the time.
    pub workers: usize,
    /// The run's folder; with `None` nothing is written (a dry run).
    pub run_folder: Option<&'a Path>,
}

/// What an evaluation set is read from, and by whom.
pub struct SetInputs {
    /// Its files with their hashes, as [`input_files`] gives them.
    pub files: Vec<InputFile>,
    /// Reads them.
    pub loader: Box<dyn DatasetLoader>,
}

/// A stage that can be seen to progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrepareStage {
    /// Rows are read.
    Load,
    /// Programs run against their tests.
    Verify,
    /// Rows get their domains.
    Classify,
    /// Rows are made ready to be compared.
    Compare,
    /// Files are written.
    Write,
}

impl PrepareStage {
    /// Every stage in its order.
    pub const ALL: [Self; 5] = [Self::Load, Self::Verify, Self::Classify, Self::Compare, Self::Write];

    /// The stage in a word, for progress bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Verify => "verify",
            Self::Classify => "classify",
            Self::Compare => "compare",
            Self::Write => "write",
        }
    }

    /// What it counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Verify => "programs",
            Self::Load | Self::Classify | Self::Compare | Self::Write => "rows",
        }
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareProgress {
    /// The stage.
    pub stage: PrepareStage,
    /// Rows or programs done.
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
    /// Wall time until every row was read, verified and classified, in seconds; next to nothing where that was found done.
    pub load_seconds: f64,
}

/// Prepares a specialist's data.
pub fn prepare(
    inputs: &PrepareInputs<'_>,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<PrepareReport, PrepareError> {
    let started = Instant::now();
    let config = inputs.config;
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(PrepareError::Config(problems));
    }
    // With one too few, a set that the config names would be left out unseen.
    assert_eq!(inputs.sets.len(), config.decontaminate.len(), "every evaluation set of the config is given");
    assert_eq!(inputs.files.len(), config.files.len(), "every file of the config is given");
    check_source(inputs.loader, &config.source)?;
    let stages = StageFolder::new(inputs.run_folder)?;
    let mut entries = Entries::create(&stages)?;
    let sets = evaluation_sets(inputs, &mut entries.words)?;

    let key = verified::key(inputs, inputs.files);
    let found = verified::find(inputs, &stages, key);
    let mut classified = Classified::begin(inputs, found.as_ref(), &stages)?;
    let mut take = |rows: &[Material], total: Option<u64>| -> Result<(), PrepareError> {
        let domains = classified.of(rows)?;
        let done = (entries.rows.len() + rows.len()) as u64;
        if classified.asks() {
            progress(PrepareProgress { stage: PrepareStage::Classify, done, total });
        }
        entries.enter(rows, domains)?;
        progress(PrepareProgress { stage: PrepareStage::Compare, done, total });
        Ok(())
    };
    let verified = match found {
        Some(found) => {
            let total = found.summary.rows - found.summary.skipped.len() as u64;
            found.parts()?.try_for_each(|part| take(&part?, Some(total)))?;
            found
        }
        None => verified::make(inputs, &stages, key, &mut take, progress)?,
    };
    classified.finish(&verified)?;
    let load_seconds = started.elapsed().as_secs_f64();

    let mut duplicates = deduplicate(&mut entries)?;
    duplicates.near_solutions = verified.summary.near_duplicate_solutions;
    let mut route = Route::new(inputs.specialist, &config.domains);
    for entry in entries.rows.iter_mut().filter(|entry| matches!(entry.decision, Decision::Kept { .. })) {
        if let Err(skip) = route.check(&entry.domain.domain) {
            entry.decision = Decision::Skipped(skip);
        }
    }
    split(&mut entries.rows, inputs.seed, config.eval_fraction);
    let mut decontamination = decontaminate(&mut entries, sets, DecontaminatedSet::named(OWN_SET))?;
    // The words are not needed any more.
    let Entries { rows: mut entries, .. } = entries;

    let names = config.files_of(inputs.specialist);
    let tests_file = names.tests.clone();
    let wanted = Wanted { names, train_tests: inputs.train_tests };
    let written = output::write(&verified, &mut entries, wanted, inputs.run_folder, progress)?;
    name_own_set(&mut decontamination, &written.files, &tests_file);
    let (counts, skipped, fates, side_counts) = account(&verified.summary, &entries)?;
    if counts.train_examples < config.min_examples {
        return Err(too_few(inputs, &counts, &skipped));
    }

    let manifest = PrepareManifest {
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        specialist: inputs.specialist.to_owned(),
        seed: inputs.seed,
        config: config.clone(),
        config_hash: ContentHash::of(&json(config)),
        inputs: inputs.files.to_vec(),
        plugins: std::iter::once(inputs.loader.identity().clone())
            .chain([inputs.classifier.identity().clone(), inputs.runner.identity().clone()])
            .chain(inputs.sets.iter().map(|set| set.loader.identity().clone()))
            .collect(),
        counts,
        domains: route.into_counts(),
        sides: side_counts,
        duplicates,
        decontamination,
        weak_tests: verified.summary.weak_tests.clone(),
        skipped,
        outputs: written.files.clone(),
        fates,
    };
    // The manifest last: it names the hashes of the others, so that a kill in between shows.
    written.commit()?;
    if let Some(folder) = inputs.run_folder {
        write_manifest(folder, &manifest)?;
    }
    Ok(PrepareReport { manifest, wall_seconds: started.elapsed().as_secs_f64(), load_seconds })
}

fn check_source(loader: &dyn DatasetLoader, wanted: &str) -> Result<(), PrepareError> {
    let served = loader.describe()?.source;
    if served == wanted {
        return Ok(());
    }
    let loader = loader.identity().clone();
    Err(PrepareError::SourceMismatch { loader, served, wanted: wanted.to_owned() })
}

/// Reads the problems that the model will be measured on elsewhere.
fn evaluation_sets(inputs: &PrepareInputs<'_>, words: &mut WordsFile) -> Result<Vec<EvaluationSet>, PrepareError> {
    let sets = inputs.config.decontaminate.iter().zip(inputs.sets);
    sets.map(|(set, inputs)| evaluation_set(set, inputs, words)).collect()
}

fn evaluation_set(
    set: &EvaluationSetConfig,
    SetInputs { files, loader }: &SetInputs,
    words: &mut WordsFile,
) -> Result<EvaluationSet, PrepareError> {
    let loader = &**loader;
    check_source(loader, &set.source)?;
    let mut report = DecontaminatedSet::named(&set.name);
    report.files = files.clone();
    let mut reader = RowReader::open(loader, &set.files, &set.options, ROWS_PER_BATCH)?;
    let mut problems = Vec::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let rows = reader.next_batch()?;
        if rows.is_empty() {
            break;
        }
        for (_, row) in rows {
            match row {
                LoadedRow::Problem(problem) => {
                    problems.push(Measured::new(problem.text.id, &problem.text.statement, words));
                }
                LoadedRow::Conversation(conversation) => {
                    let said: Vec<String> = conversation.messages.into_iter().map(|message| message.content).collect();
                    problems.push(Measured::new(conversation.id, &said.join("\n\n"), words));
                }
                LoadedRow::Policy(example) => problems.push(Measured::new(example.id, &example.instruction, words)),
                LoadedRow::Skipped(row) => *skipped.entry(row.reason).or_default() += 1,
            }
        }
        words.flush()?;
    }
    if problems.is_empty() {
        let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let skipped = if reasons.is_empty() { "none skipped".to_owned() } else { reasons.join(", ") };
        return Err(PrepareError::EmptyEvaluationSet { set: set.name.clone(), rows: reader.rows_read(), skipped });
    }
    Ok(EvaluationSet { report, problems })
}

/// Puts every entry that is left on a side.
fn split(entries: &mut [Entry], seed: u64, eval_fraction: f64) {
    let mut places = Vec::new();
    let mut problems = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Decision::Kept { group } = entry.decision {
            places.push(place);
            problems.push(Grouped { id: &entry.id, group });
        }
    }
    let sides = sides(&problems, seed, eval_fraction);
    for (place, side) in places.into_iter().zip(sides) {
        entries[place].decision = Decision::Accepted(side);
    }
}

/// The run's own set is the file of held-out problems that was just written.
fn name_own_set(decontamination: &mut Decontamination, files: &[super::OutputFile], tests: &Path) {
    let own = decontamination.sets.last_mut();
    if let (Some(own), Some(file)) = (own, files.iter().find(|file| file.file == tests)) {
        own.files = vec![InputFile { file: file.file.clone(), bytes: file.bytes, content: file.content }];
    }
}

type Account = (super::Counts, BTreeMap<String, super::SkippedReason>, Vec<super::RowFate>, BTreeMap<Side, SideCounts>);

/// Every row's fate, and what is counted over them.
fn account(summary: &verified::VerifiedSummary, entries: &[Entry]) -> Result<Account, PrepareError> {
    let mut ledger = Ledger::default();
    let mut sides: BTreeMap<Side, SideCounts> = BTreeMap::new();
    summary.skipped.iter().cloned().for_each(|row| ledger.decided(row));
    for entry in entries {
        match &entry.decision {
            Decision::Accepted(side) => {
                let domain = entry.domain.domain.clone();
                let counts = sides.entry(*side).or_default();
                *counts.domains.entry(domain.clone()).or_default() += 1;
                *counts.difficulties.entry(entry.difficulty.clone().unwrap_or_default()).or_default() += 1;
                let tied_with = entry.domain.tied_with.clone();
                let (solutions, tests) = (entry.lessons, entry.tests);
                let fate = Fate::Accepted { side: *side, domain, tied_with, solutions, tests };
                ledger.enter(entry.row, Some(entry.id.clone()), fate);
            }
            Decision::Skipped(skip) => ledger.skip(entry.row, &entry.id, skip.clone()),
            // No row is left undecided; the ledger would refuse to close over one.
            Decision::Kept { .. } | Decision::Contaminated(_) => {}
        }
    }
    let fates = ledger.close(summary.rows)?;
    let counts = counts(&fates, summary.programs_judged);
    Ok((counts, skipped_by_reason(&fates), fates, sides))
}

fn too_few(
    inputs: &PrepareInputs<'_>,
    counts: &super::Counts,
    skipped: &BTreeMap<String, super::SkippedReason>,
) -> PrepareError {
    let mut reasons: Vec<(usize, &str)> = skipped.iter().map(|(reason, rows)| (rows.count, reason.as_str())).collect();
    reasons.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let reasons: Vec<String> = reasons.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
    PrepareError::TooFewExamples {
        specialist: inputs.specialist.to_owned(),
        found: counts.train_examples,
        expected: inputs.config.min_examples,
        rows: counts.rows,
        skipped: if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") },
    }
}

/// The files with their sizes and hashes.
pub fn input_files(paths: &[std::path::PathBuf]) -> Result<Vec<InputFile>, PrepareError> {
    paths.par_iter().map(|path| input_file(path)).collect()
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

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with text keys always serialize")
}

fn write_manifest(folder: &Path, manifest: &PrepareManifest) -> Result<(), PrepareError> {
    let mut bytes = serde_json::to_vec_pretty(manifest).expect("plain structs with text keys always serialize");
    bytes.push(b'\n');
    Ok(write_atomic(&folder.join("manifest.json"), &bytes)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hilora_contract::fault::Fault;
    use std::sync::Mutex;

    use super::super::fakes::{FakeClassifier, FakeLoader, FakeRunner, problem, problem_with};
    use super::*;
    use hilora_contract::dataset::{Domain, EvaluationProblem, SkippedRow};
    use hilora_contract::plugin::LoaderOptions;

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
                options: LoaderOptions::new(),
                verify: true,
                max_solutions_per_problem: 1,
                max_incorrect_solutions_per_problem: 0,
                decontaminate: Vec::new(),
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
                files: &input_files(&self.config.files)?,
                specialist: "python",
                seed,
                program: ContentHash::of(b"program"),
                loader: &FakeLoader::new(self.rows.clone()),
                sets: &[],
                classifier: &FakeClassifier::new(),
                runner: Arc::new(FakeRunner),
                checkers: Arc::new(|_: &str| Ok(None)),
                train_tests: true,
                workers,
                run_folder: Some(&folder),
            };
            prepare(&inputs, &|_| {})
        }

        fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            let paths = [
                "data/python_train.jsonl",
                "data/python_train_tests.jsonl",
                "data/python_eval.jsonl",
                "data/python_tests.jsonl",
                "manifest.json",
            ];
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
        assert_eq!(first.len(), 5);
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
            files: &input_files(&run.config.files)?,
            specialist: "python",
            seed: 1,
            program: ContentHash::of(b"program"),
            loader: &FakeLoader::new(run.rows.clone()),
            sets: &[],
            classifier: &FakeClassifier::new(),
            runner: Arc::new(FakeRunner),
            checkers: Arc::new(|_: &str| Ok(None)),
            train_tests: true,
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
        // One row repeats another's programs and tests, and nothing runs twice.
        let verified = PrepareProgress { stage: PrepareStage::Verify, done: judged - 1, total: Some(judged - 1) };
        assert_eq!(last(PrepareStage::Verify), Some(verified));
        assert_eq!(last(PrepareStage::Load).map(|progress| progress.done), Some(36));
        let written = last(PrepareStage::Write).map(|progress| (progress.done, progress.total));
        assert_eq!(written, Some((33, Some(33))), "every row that was verified is looked at");
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
        assert!(!error.hints().is_empty());

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

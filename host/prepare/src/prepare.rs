//! Preparing: the whole data path for one specialist, from files to files. What costs much is kept in phase files; the
//! specialist's files become visible only once everything is known, so that an error leaves what stood there before.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::account::{Account, account, nothing_to_measure, too_few};
use super::classified::Classified;
use super::config::EVALUATION_FILES;
use super::decontaminate::decontaminate;
use super::deduplicate::deduplicate;
use super::entry::{Decision, Entries, Entry};
use super::error::PrepareError;
use super::evaluation_set::{check_source, evaluation_sets};
use super::fate::Side;
use super::inputs::{OrderedSource, PrepareInputs};
use super::manifest::{DecontaminatedSet, Decontamination, InputFile, OutputFile, PrepareManifest, SourceCounts};
use super::material::Material;
use super::output::{self, Wanted};
use super::phase_file::PhaseFolder;
use super::progress::{PreparePhase, PrepareProgress};
use super::route::Route;
use super::split::{hold_out, split};
use super::verified::{self, VerifiedSummary};
use super::weight::{LEFT_OUT, weigh};
use hilora_contract::artifact::{ContentHash, write_atomic};
use hilora_contract::plugin::PluginIdentity;

/// What the manifest calls the run's own held-out problems.
const OWN_SET: &str = "held-out problems";

/// What preparing found, and how long it took.
#[derive(Debug, Clone, Serialize)]
pub struct PrepareReport {
    /// What stands in `manifest.json`.
    pub manifest: PrepareManifest,
    /// Rows of which nothing is known, because the machine kept a program of theirs from being judged. They are skipped as
    /// `not-judged`, and asked for again the next time.
    pub not_judged: u64,
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// Wall time until every row was read, verified and classified, in seconds; next to nothing where that was found done.
    pub load_seconds: f64,
}

/// How preparing ended.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// Everything is done, and written unless it was a dry run.
    Finished(Box<PrepareReport>),
    /// It was asked to stop. The specialist's files are as they were, and what was found of programs is kept.
    Interrupted,
}

/// Prepares a specialist's data. `stop` is asked between rows and while programs run; once it says so, preparing ends
/// within a moment, and the next time nothing runs again that was found before.
pub fn prepare(
    inputs: &PrepareInputs<'_>,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<Prepared, PrepareError> {
    let started = Instant::now();
    let config = inputs.config;
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(PrepareError::Config(problems));
    }
    // With one too few, a set that the config names would be left out unseen.
    assert_eq!(inputs.sets.len(), config.decontaminate.len(), "every evaluation set of the config is given");
    assert_eq!(inputs.sources.len(), config.training_sources().len(), "every source of the config is given");
    assert_eq!(inputs.evaluation.is_some(), !config.evaluation_files.is_empty(), "the evaluation files are given");
    let sources = inputs.in_order();
    for OrderedSource { config, inputs, .. } in &sources {
        assert_eq!(inputs.files.len(), config.files.len(), "every file of the config is given");
        check_source(inputs.loader, &config.source)?;
    }
    let folder = PhaseFolder::new(inputs.run_folder)?;
    let mut entries = Entries::create(&folder)?;
    let Some(sets) = evaluation_sets(inputs, &mut entries.words, stop)? else { return Ok(Prepared::Interrupted) };

    let key = verified::key(inputs);
    let found = verified::find(inputs, &folder, key);
    let mut classified = Classified::begin(inputs, found.as_ref(), &folder)?;
    let asks = classified.asks();
    let compared = |done, total| {
        if asks {
            progress(PrepareProgress { phase: PreparePhase::Classify, done, total });
        }
        progress(PrepareProgress { phase: PreparePhase::Compare, done, total });
    };
    let mut take = |rows: &[Material], total: Option<u64>| -> Result<(), PrepareError> {
        let domains = classified.of(rows)?;
        entries.enter(rows)?;
        entries.give_domains(domains);
        compared(entries.rows.len() as u64, total);
        Ok(())
    };
    let verified = match found {
        Some(found) => {
            let total = found.summary.rows - found.summary.skipped.len() as u64;
            for part in found.parts()? {
                if stop() {
                    return Ok(Prepared::Interrupted);
                }
                take(&part?, Some(total))?;
            }
            found
        }
        None => {
            let verified = verified::make(inputs, &folder, key, &mut take, stop, progress)?;
            let Some(verified) = verified else { return Ok(Prepared::Interrupted) };
            // How many there are was not known before.
            let rows = entries.rows.len() as u64;
            compared(rows, Some(rows));
            verified
        }
    };
    entries.give_domains(classified.finish(&verified)?);
    let load_seconds = started.elapsed().as_secs_f64();

    let boilerplate = entries.find_boilerplate()?;
    let mut duplicates = deduplicate(&mut entries)?;
    duplicates.near_solutions = verified.summary.near_duplicate_solutions;
    let mut route = Route::new(inputs.specialist, &config.domains);
    // What is given to be measured on is measured on, whatever its domain.
    let is_measured = |entry: &Entry| sources[entry.source].is_measured;
    let routed = |entry: &&mut Entry| matches!(entry.decision, Decision::Kept { .. }) && !is_measured(entry);
    for entry in entries.rows.iter_mut().filter(routed) {
        if let Err(skip) = route.check(&entry.domain) {
            entry.decision = Decision::Skipped(skip);
        }
    }
    let is_given = inputs.evaluation.is_some();
    match is_given {
        true => hold_out(&mut entries.rows, &is_measured),
        false => split(&mut entries.rows, inputs.seed, config.held_out_fraction()),
    }
    if is_given && !entries.rows.iter().any(|entry| entry.decision == Decision::Accepted(Side::Eval)) {
        return Err(nothing_to_measure(&verified.summary, &entries.rows));
    }
    let own = DecontaminatedSet::named(if is_given { EVALUATION_FILES } else { OWN_SET });
    let mut decontamination = decontaminate(&mut entries, sets, own, boilerplate, is_given)?;
    // The words are not needed any more.
    let Entries { rows: mut entries, .. } = entries;
    for (place, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_measured) {
        weigh(&mut entries, place, source.config.weight, inputs.seed);
    }

    let names = config.files_of(inputs.specialist);
    let tests_file = names.tests.clone();
    let wanted = Wanted { names, train_tests: inputs.train_tests };
    let written = output::write(&verified, &mut entries, wanted, inputs.run_folder, stop, progress)?;
    let Some(written) = written else { return Ok(Prepared::Interrupted) };
    name_own_set(&mut decontamination, &written.files, &tests_file);
    let account = account(&verified.summary, &entries)?;
    if account.counts.train_examples < config.min_examples {
        return Err(too_few(inputs, &account));
    }

    let Account { counts, skipped, fates, sides } = account;
    let (domains, ties) = route.into_counts();
    let manifest = PrepareManifest {
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        specialist: inputs.specialist.to_owned(),
        seed: inputs.seed,
        config: config.clone(),
        config_hash: ContentHash::of(&json(config)),
        inputs: sources.iter().flat_map(|source| source.inputs.files).map(|file| file.input.clone()).collect(),
        plugins: plugins(inputs, &sources),
        sources: if sources.len() > 1 || !config.sources.is_empty() {
            source_counts(&sources, &verified.summary, &entries)
        } else {
            Vec::new()
        },
        counts,
        domains,
        ties,
        sides,
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
    let not_judged = verified.summary.not_judged;
    let report = PrepareReport { manifest, not_judged, wall_seconds: started.elapsed().as_secs_f64(), load_seconds };
    Ok(Prepared::Finished(Box::new(report)))
}

/// The plugins that made the data, in reading order; one that serves several sources stands there once.
fn plugins(inputs: &PrepareInputs<'_>, sources: &[OrderedSource<'_>]) -> Vec<PluginIdentity> {
    let mut plugins: Vec<PluginIdentity> = Vec::new();
    for OrderedSource { inputs, .. } in sources {
        for identity in [inputs.loader.identity(), inputs.classifier.identity()] {
            if !plugins.contains(identity) {
                plugins.push(identity.clone());
            }
        }
    }
    plugins.push(inputs.runner.identity().clone());
    plugins.extend(inputs.sets.iter().map(|set| set.loader.identity().clone()));
    plugins
}

/// What was read of each source, and what became of it.
fn source_counts(sources: &[OrderedSource<'_>], summary: &VerifiedSummary, entries: &[Entry]) -> Vec<SourceCounts> {
    let mut counts: Vec<SourceCounts> = sources
        .iter()
        .zip(&summary.rows_of_sources)
        .map(|(source, rows)| SourceCounts {
            name: source.config.name.clone(),
            rows: *rows,
            weight: (!source.is_measured).then_some(source.config.weight),
            train_rows: 0,
            left_out: 0,
            repeated: 0,
            train_examples: 0,
            eval_rows: 0,
        })
        .collect();
    for entry in entries {
        let counts = &mut counts[entry.source];
        match &entry.decision {
            Decision::Accepted(Side::Train) => {
                counts.train_rows += 1;
                counts.repeated += entry.copies - 1;
                counts.train_examples += entry.lessons * entry.copies;
            }
            Decision::Accepted(Side::Eval) => counts.eval_rows += 1,
            Decision::Skipped(skip) => counts.left_out += usize::from(skip.reason == LEFT_OUT),
            Decision::Kept { .. } | Decision::Contaminated(_) => {}
        }
    }
    counts
}

/// The run's own set is the file of held-out problems that was just written.
fn name_own_set(decontamination: &mut Decontamination, files: &[OutputFile], tests: &Path) {
    let own = decontamination.sets.last_mut();
    if let (Some(own), Some(file)) = (own, files.iter().find(|file| file.file == tests)) {
        own.files = vec![InputFile { file: file.file.clone(), bytes: file.bytes, content: file.content }];
    }
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
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::super::config::{DataConfig, SourceConfig};
    use super::super::fakes::{FakeClassifier, FakeLoader, FakeRunner, problem, problem_with};
    use super::super::inputs::{SourceInputs, input_files};
    use super::*;
    use hilora_contract::dataset::{Domain, EvaluationProblem, ProblemChecker, SkippedRow};
    use hilora_contract::fault::Fault;
    use hilora_contract::plugin::{LoadedRow, LoaderOptions};

    fn finished(prepared: Prepared) -> PrepareReport {
        match prepared {
            Prepared::Finished(report) => *report,
            Prepared::Interrupted => panic!("nobody stops it"),
        }
    }

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
                sources: Vec::new(),
                evaluation_files: Vec::new(),
                evaluation_source: None,
                evaluation_options: None,
                eval_fraction: Some(0.1),
                options: LoaderOptions::new(),
                verify: true,
                checker: None,
                max_solutions_per_problem: 1,
                max_incorrect_solutions_per_problem: 0,
                decontaminate: Vec::new(),
                min_examples: 1,
                rows_max: 1_000,
                bytes_max: None,
                train_file: None,
                eval_file: None,
            };
            Self { folder, config, rows }
        }

        fn folder(&self) -> PathBuf {
            self.folder.path().join("run")
        }

        fn prepare(&self, workers: usize, seed: u64) -> Result<PrepareReport, PrepareError> {
            self.prepare_until(workers, seed, &|| false, &|_| {}).map(finished)
        }

        fn prepare_until(
            &self,
            workers: usize,
            seed: u64,
            stop: &(dyn Fn() -> bool + Sync),
            progress: &(dyn Fn(PrepareProgress) + Sync),
        ) -> Result<Prepared, PrepareError> {
            let folder = self.folder();
            let inputs = PrepareInputs {
                config: &self.config,
                specialist: "python",
                seed,
                program: ContentHash::of(b"program"),
                sources: &[SourceInputs {
                    files: &input_files(&self.config.files)?,
                    loader: &FakeLoader::new(self.rows.clone()),
                    classifier: &FakeClassifier::new(),
                }],
                evaluation: None,
                sets: &[],
                runner: Arc::new(FakeRunner),
                checkers: Arc::new(|_: &str| Ok(None)),
                train_tests: true,
                workers,
                run_folder: Some(&folder),
            };
            prepare(&inputs, stop, progress)
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
    fn the_runs_checker_is_that_of_problems_that_name_none() -> Result<(), Box<dyn std::error::Error>> {
        let near = |id: &str| problem_with(id, &format!("Print about one, {id}."), &["print(1.00001)"], &[("", "1")]);
        let mut exact = near("exact");
        exact.checker = ProblemChecker::named("lines").ok();
        let mut run = Run::new(vec![LoadedRow::Problem(near("near")), LoadedRow::Problem(exact)]);
        run.config.eval_fraction = Some(0.0);
        let absolute = r#"{"name":"float","absolute_tolerance":0.0001}"#;
        for (checker, accepted) in [(None, 0), (Some(r#""float""#), 0), (Some(absolute), 1)] {
            run.config.checker = checker.map(serde_json::from_str).transpose()?;
            match run.prepare(1, 1) {
                Ok(report) => assert_eq!(report.manifest.counts.accepted, accepted, "{checker:?}"),
                Err(error) => assert_eq!(accepted, 0, "{checker:?}: {error}"),
            }
        }
        let tests = String::from_utf8(run.files()[Path::new("data/python_train_tests.jsonl")].clone())?;
        assert_eq!(tests.lines().count(), 1, "{tests}");
        Ok(())
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
        let seen = Mutex::new(Vec::new());
        let inputs = PrepareInputs {
            config: &run.config,
            specialist: "python",
            seed: 1,
            program: ContentHash::of(b"program"),
            sources: &[SourceInputs {
                files: &input_files(&run.config.files)?,
                loader: &FakeLoader::open_ended(run.rows.clone()),
                classifier: &FakeClassifier::new(),
            }],
            evaluation: None,
            sets: &[],
            runner: Arc::new(FakeRunner),
            checkers: Arc::new(|_: &str| Ok(None)),
            train_tests: true,
            workers: 1,
            run_folder: None,
        };
        let record = |progress: PrepareProgress| {
            if let Ok(mut seen) = seen.lock() {
                seen.push(progress);
            }
        };
        let report = finished(prepare(&inputs, &|| false, &record)?);
        assert!(!run.folder().exists());
        assert_eq!(report.manifest, run.prepare(1, 1)?.manifest);
        let seen = seen.into_inner().unwrap_or_default();
        let last = |phase| seen.iter().rev().find(|progress| progress.phase == phase).copied();
        let judged = report.manifest.counts.programs_judged;
        // One row repeats another's programs and tests, and nothing runs twice.
        let verified = PrepareProgress { phase: PreparePhase::Verify, done: judged - 1, total: Some(judged - 1) };
        assert_eq!(last(PreparePhase::Verify), Some(verified));
        // The loader does not tell how many rows it has; the end does.
        let is_open = |progress: &&PrepareProgress| progress.total.is_none() && progress.phase == PreparePhase::Load;
        assert!(seen.iter().any(|progress| is_open(&progress)), "{seen:?}");
        let ended = |phase| last(phase).map(|progress| (progress.done, progress.total));
        assert_eq!(ended(PreparePhase::Load), Some((36, Some(36))));
        assert_eq!(ended(PreparePhase::Compare), Some((33, Some(33))));
        assert_eq!(ended(PreparePhase::Write), Some((33, Some(33))), "every row that was verified is looked at");
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
                       no-solution-passed)\n  - no-python3-solution: found 1 in Python 2 (row 30)\n  - duplicate-id: an earlier \
                       row has the same identifier (`p3`)\n  - no-solution-passed: 0 of 1 programs passed 1 tests: 1 \
                       wrong-answer; the first: wrong-answer at test 1 (`wrong`)";
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
        run.config.eval_fraction = Some(2.0);
        assert!(matches!(run.prepare(1, 1), Err(PrepareError::Config(problems)) if problems.len() == 1));
        assert_eq!(run.files(), before);
        Ok(())
    }

    /// A run of two sources, `a` and `b`, and of evaluation files where there are rows for them.
    struct Sources {
        run: Run,
        weights: [f64; 2],
        rows: [Vec<LoadedRow>; 2],
        measured: Vec<LoadedRow>,
    }

    impl Sources {
        fn prepare(&self) -> Result<PrepareReport, PrepareError> {
            let files = self.run.config.files.clone();
            let source = |(name, weight): (&str, f64)| SourceConfig {
                name: name.to_owned(),
                source: "fake".to_owned(),
                files: files.clone(),
                options: LoaderOptions::new(),
                weight,
                loader: None,
                classifier: None,
            };
            let is_measured = !self.measured.is_empty();
            let config = DataConfig {
                source: String::new(),
                files: Vec::new(),
                sources: ["a", "b"].into_iter().zip(self.weights).map(source).collect(),
                evaluation_files: if is_measured { files.clone() } else { Vec::new() },
                evaluation_source: is_measured.then(|| "fake".to_owned()),
                eval_fraction: Some(0.0),
                ..self.run.config.clone()
            };
            let [first, second] = self.rows.clone().map(FakeLoader::new);
            let (measured, classifier) = (FakeLoader::new(self.measured.clone()), FakeClassifier::new());
            let files = &input_files(&files)?;
            let inputs = |loader| SourceInputs { files, loader, classifier: &classifier };
            let folder = self.run.folder();
            let inputs = PrepareInputs {
                config: &config,
                sources: &[inputs(&first), inputs(&second)],
                evaluation: is_measured.then(|| inputs(&measured)),
                specialist: "python",
                seed: 1,
                program: ContentHash::of(b"program"),
                sets: &[],
                runner: Arc::new(FakeRunner),
                checkers: Arc::new(|_: &str| Ok(None)),
                train_tests: false,
                workers: 1,
                run_folder: Some(&folder),
            };
            prepare(&inputs, &|| false, &|_| {}).map(finished)
        }
    }

    fn problems(ids: &str, numbers: std::ops::Range<usize>) -> Vec<LoadedRow> {
        let row = |i: usize| LoadedRow::Problem(problem(&format!("{ids}{i}"), &i.to_string()));
        numbers.map(row).collect()
    }

    #[test]
    fn several_sources_are_one_data_set_with_weights() -> Result<(), Box<dyn std::error::Error>> {
        // Both have the identifiers p0 to p7, and the last two rows of `b` ask what `a` asks.
        let mut second = problems("p", 20..28);
        second.extend(problems("q", 0..2));
        let rows = [problems("p", 0..8), second];
        let sources =
            |weights| Sources { run: Run::new(Vec::new()), weights, rows: rows.clone(), measured: Vec::new() };
        let plain = sources([1.0, 1.0]);
        let manifest = plain.prepare()?.manifest;
        assert_eq!((manifest.counts.rows, manifest.counts.train_examples), (18, 16));
        assert_eq!(manifest.fates[8].id.as_deref(), Some("b/p20"));
        assert_eq!(manifest.skipped["duplicate-statement"].ids, ["b/q0", "b/q1"]);
        assert_eq!(manifest.inputs.len(), 2);

        let weighted = sources([2.0, 0.5]);
        let manifest = weighted.prepare()?.manifest;
        let told: Vec<_> = manifest
            .sources
            .iter()
            .map(|of| (of.name.as_str(), of.rows, of.train_rows, of.left_out, of.repeated, of.train_examples))
            .collect();
        assert_eq!(told, [("a", 8, 8, 0, 8, 16), ("b", 10, 4, 4, 0, 4)]);
        assert_eq!((manifest.counts.train_problems, manifest.counts.train_examples), (12, 20));
        assert_eq!(manifest.skipped["left-out-by-weight"].count, 4);
        let train = String::from_utf8(weighted.run.files()[Path::new("data/python_train.jsonl")].clone())?;
        let lines: Vec<&str> = train.lines().collect();
        assert_eq!((lines.len(), lines[0]), (20, lines[1]), "a row and its repetition stand together");
        weighted.prepare()?;
        let again = String::from_utf8(weighted.run.files()[Path::new("data/python_train.jsonl")].clone())?;
        assert_eq!(again, train, "what was found done gives the same rows");
        Ok(())
    }

    #[test]
    fn evaluation_files_are_held_out_and_nothing_like_them_is_trained_on() -> Result<(), Box<dyn std::error::Error>> {
        let unsolved = |id: &str, number: &str| {
            let mut problem = problem(id, number);
            problem.solutions.clear();
            LoadedRow::Problem(problem)
        };
        let mut untested = problem("untested", "77");
        (untested.tests, untested.solutions) = (Vec::new().into(), Vec::new());
        let proof = LoadedRow::Problem(problem_with("proof", "A proof.", &["print(88)"], &[("", "88")]));
        let alone = vec![LoadedRow::Problem(untested.clone())];
        let measured = vec![unsolved("p0", "3"), unsolved("t1", "500"), proof, LoadedRow::Problem(untested)];
        let rows = [problems("p", 0..8), problems("q", 20..24)];
        let none = Sources { run: Run::new(Vec::new()), weights: [1.0, 2.0], rows: rows.clone(), measured: alone };
        let refused = none.prepare().expect_err("nothing can be measured").to_string();
        let expected = "data.evaluation_files have no row to measure on (1 rows: 1 no-tests)\n  - no-tests: ";
        assert!(refused.starts_with(expected), "{refused}");
        let sources = Sources { run: Run::new(Vec::new()), weights: [1.0, 2.0], rows, measured };
        let manifest = sources.prepare()?.manifest;
        let counts = manifest.counts;
        assert_eq!((counts.rows, counts.eval_problems, counts.train_problems), (16, 3, 11));
        assert_eq!(manifest.skipped["no-tests"].ids, ["untested"]);
        // It asks what the first of them asks, and is no duplicate of its identifier.
        assert_eq!(manifest.skipped["duplicate-statement"].ids, ["a/p3"]);
        assert_eq!(manifest.sources[0].name, EVALUATION_FILES);
        assert_eq!((manifest.sources[0].eval_rows, manifest.sources[0].weight), (3, None));
        assert_eq!(manifest.sources[2].train_examples, 8, "weights are of training rows");
        let set = manifest.decontamination.sets.last().ok_or("the own set")?;
        assert_eq!((set.name.as_str(), set.problems), (EVALUATION_FILES, 3));
        let files = sources.run.files();
        let tests = String::from_utf8(files[Path::new("data/python_tests.jsonl")].clone())?;
        assert_eq!(tests.lines().count(), 3, "{tests}");
        let of_measured = manifest.outputs.iter().find(|output| output.file == Path::new("data/python_tests.jsonl"));
        assert!(of_measured.is_some_and(|output| manifest.is_clean_of(output.content)));
        Ok(())
    }

    #[test]
    fn an_interruption_at_any_moment_leaves_the_files_and_changes_no_byte() -> Result<(), PrepareError> {
        let whole = Run::new(mixed_rows());
        let told = AtomicUsize::new(0);
        let count = |_| _ = told.fetch_add(1, Ordering::Relaxed);
        finished(whole.prepare_until(1, 1, &|| false, &count)?);
        let all = told.into_inner();
        for last in [0, 1, all / 2, all - 1] {
            let run = Run::new(mixed_rows());
            let told = AtomicUsize::new(0);
            let count = |_| _ = told.fetch_add(1, Ordering::Relaxed);
            let stop = || told.load(Ordering::Relaxed) >= last;
            assert!(matches!(run.prepare_until(1, 1, &stop, &count)?, Prepared::Interrupted), "{last} of {all}");
            assert!(run.files().is_empty(), "{last}");
            run.prepare(1, 1)?;
            let names = |run: &Run| run.files().into_iter().filter(|(name, _)| *name != Path::new("manifest.json"));
            assert!(names(&run).eq(names(&whole)), "{last}");
        }
        Ok(())
    }
}

//! The verified rows: every row read, its programs run, and what can be learned from written to a phase file.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::candidate::{BROKEN_TEST, Verified, VerifyOptions};
use super::error::{NotJudged, PrepareError};
use super::fate::{Fate, RowFate, Skip};
use super::fingerprint::{Shingles, Words};
use super::inputs::{OrderedSource, PrepareInputs, SourceFile, paths_of};
use super::load::{ROWS_PER_BATCH, ROWS_PER_VERIFIED_BATCH, RowReader, SourceLimits};
use super::manifest::WeakTests;
use super::material::Material;
use super::normal_form::normalized_code;
use super::outcome::Outcome;
use super::phase_file::{PhaseFile, PhaseFolder, PhaseWriter};
use super::progress::{PreparePhase, PrepareProgress};
use super::verdict_record::VerdictRecord;
use super::verify::Verifier;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Language, Problem, ProblemChecker, SkippedRow};
use hilora_contract::plugin::{LoadedRow, RunnerInfo};
use hilora_judge::{BrokenTest, Judge, UNDECIDED_MAX};

/// Batches that may wait between the loader and the judge: one is worked on while the next is read.
const BATCHES_WAITING: usize = 2;

/// What was counted over the rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct VerifiedSummary {
    /// Rows read.
    pub(super) rows: u64,
    /// The same of each source, in reading order.
    #[serde(default)]
    pub(super) rows_of_sources: Vec<u64>,
    /// Programs that ran.
    pub(super) programs_judged: u64,
    /// Solutions left out because another one of the problem resembles them.
    pub(super) near_duplicate_solutions: usize,
    /// Rows that are not in the file, with their reasons.
    pub(super) skipped: Vec<RowFate>,
    /// Tests that accepted a wrong program.
    pub(super) weak_tests: WeakTests,
    /// Rows of which nothing is known, because the machine or a checker kept a program of theirs from being judged.
    pub(super) not_judged: u64,
    /// The output checkers that problems name, by what each was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) checkers: BTreeMap<String, ContentHash>,
}

/// The file of the verified rows.
pub(super) type VerifiedFile = PhaseFile<Material, VerifiedSummary>;

/// Takes rows that can be learned from, in their order, and how many there may be in all.
pub(super) type Take<'a> = dyn FnMut(&[Material], Option<u64>) -> Result<(), PrepareError> + Send + 'a;

/// The hash of whatever judges: the program and the runner.
fn judged_by(inputs: &PrepareInputs<'_>) -> ContentHash {
    ContentHash::of_parts([inputs.program.as_bytes(), inputs.runner.identity().content.as_bytes()])
}

/// The hash of everything that decides the rows.
pub(super) fn key(inputs: &PrepareInputs<'_>) -> ContentHash {
    let config = inputs.config;
    let sources = inputs.in_order();
    let of_source = |OrderedSource { config, inputs, is_measured }: &OrderedSource<'_>| {
        let loader = inputs.loader.identity().content;
        let files: Vec<ContentHash> = inputs.files.iter().map(|file| file.input.content).collect();
        // A loader may make identifiers of the files' names.
        let name = |file: &SourceFile| file.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<Option<String>> = inputs.files.iter().map(name).collect();
        (loader, files, names, config.options.clone(), config.name.clone(), *is_measured)
    };
    let decides = serde_json::to_vec(&(
        judged_by(inputs),
        sources.iter().map(of_source).collect::<Vec<_>>(),
        &config.checker,
        (config.verify, config.max_solutions_per_problem, config.max_incorrect_solutions_per_problem),
    ));
    ContentHash::of(&decides.expect("plain values always serialize"))
}

/// Finds the file if it was made before with the output checkers that there are now, and nothing was left open. Which
/// checkers problems name is known only once they are read, so they are no part of the key.
pub(super) fn find(inputs: &PrepareInputs<'_>, folder: &PhaseFolder, key: ContentHash) -> Option<VerifiedFile> {
    let same = |(name, content): (&String, &ContentHash)| {
        inputs.checkers.find(name).ok().flatten().is_some_and(|checker| checker.identity().content == *content)
    };
    let whole = |file: &VerifiedFile| file.summary.not_judged == 0 && file.summary.checkers.iter().all(same);
    folder.find("verified", key).filter(whole)
}

/// Makes the file. `take` gets its rows while they are at hand. `None` once it was asked to stop: what was found of
/// programs is recorded then, and the rows are read again the next time.
pub(super) fn make(
    inputs: &PrepareInputs<'_>,
    folder: &PhaseFolder,
    key: ContentHash,
    take: &mut Take<'_>,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<Option<VerifiedFile>, PrepareError> {
    let config = inputs.config;
    // What wrong solutions wrote is looked at by nobody.
    let judge = Judge::new(inputs.runner.clone(), inputs.workers)
        .with_checkers(inputs.checkers.clone())
        .telling_expected(false);
    let options = VerifyOptions {
        runner: inputs.runner.describe()?,
        solutions_max: config.max_solutions_per_problem,
        incorrect_max: config.max_incorrect_solutions_per_problem,
        judged_by: judged_by(inputs),
    };
    let on_done = |done, known| progress(PrepareProgress { phase: PreparePhase::Verify, done, total: Some(known) });
    let record = VerdictRecord::open(folder.path())?;
    let mut verifying = Verifying {
        runner: options.runner.clone(),
        verifier: config.verify.then(|| Verifier::new(&judge, options, record, stop, &on_done)),
        solutions_max: config.max_solutions_per_problem,
        checker: config.checker.as_ref(),
        source: 0,
        is_measured: false,
        prefix: String::new(),
        ids: HashSet::new(),
        writer: folder.create("verified")?,
        take,
        summary: VerifiedSummary::default(),
        first_not_judged: None,
    };
    let rows_per_batch = if config.verify { ROWS_PER_VERIFIED_BATCH } else { ROWS_PER_BATCH };
    let sources = inputs.in_order();
    let mut readers = Vec::new();
    for OrderedSource { config: source, inputs, .. } in &sources {
        let paths = paths_of(inputs.files);
        let limits = SourceLimits::of(config, &paths);
        readers.push(RowReader::open(inputs.loader, &paths, &source.options, rows_per_batch, limits)?);
    }
    let total = readers.iter().map(RowReader::rows_total).sum::<Option<u64>>();
    verifying.summary.rows_of_sources = vec![0; sources.len()];
    let finished = thread::scope(|scope| {
        let (send, batches) = sync_channel(BATCHES_WAITING);
        // The loader reads ahead while programs run. Its thread ends with the rows, an error, or the receiver.
        scope.spawn(move || {
            for (source, mut reader) in readers.into_iter().enumerate() {
                loop {
                    let batch = reader.next_batch();
                    let (is_last, failed) = (batch.as_ref().map_or(true, Vec::is_empty), batch.is_err());
                    if send.send(batch.map(|rows| (source, rows))).is_err() || failed {
                        return;
                    }
                    if is_last {
                        break;
                    }
                }
            }
        });
        verifying.take_all(&sources, batches, total, stop, progress)
    })?;
    if finished { verifying.finish(key).map(Some) } else { Ok(None) }
}

/// Which source some rows are of, and the rows with their numbers in it.
type SourceBatch = (usize, Vec<(u64, LoadedRow)>);

/// The rows on their way.
struct Verifying<'a> {
    /// `None` if nothing is to be run.
    verifier: Option<Verifier<'a>>,
    runner: RunnerInfo,
    solutions_max: usize,
    /// The run's checker, for problems that name none.
    checker: Option<&'a ProblemChecker>,
    /// The source whose rows are taken, what its identifiers begin with, and whether it is what is measured on.
    source: usize,
    prefix: String,
    is_measured: bool,
    /// The identifiers that it has had.
    ids: HashSet<String>,
    writer: PhaseWriter<Material>,
    take: &'a mut Take<'a>,
    summary: VerifiedSummary,
    /// The first row of which nothing is known.
    first_not_judged: Option<NotJudged>,
}

impl Verifying<'_> {
    /// Takes batch after batch; false once it was asked to stop.
    fn take_all(
        &mut self,
        sources: &[OrderedSource<'_>],
        batches: Receiver<Result<SourceBatch, PrepareError>>,
        total: Option<u64>,
        stop: &dyn Fn() -> bool,
        progress: &(dyn Fn(PrepareProgress) + Sync),
    ) -> Result<bool, PrepareError> {
        let read = |done, total| progress(PrepareProgress { phase: PreparePhase::Load, done, total });
        for batch in batches {
            let (source, mut batch) = batch?;
            if stop() {
                return Ok(false);
            }
            if source != self.source || self.summary.rows == 0 {
                let OrderedSource { config, is_measured, .. } = &sources[source];
                let is_named = !config.name.is_empty() && !is_measured;
                let prefix = if is_named { format!("{}/", config.name) } else { String::new() };
                (self.source, self.is_measured, self.prefix) = (source, *is_measured, prefix);
                self.ids.clear();
            }
            // Rows are numbered over all sources.
            let before = self.summary.rows - self.summary.rows_of_sources[source];
            batch.iter_mut().for_each(|(row, _)| *row += before);
            self.summary.rows += batch.len() as u64;
            self.summary.rows_of_sources[source] += batch.len() as u64;
            read(self.summary.rows, total);
            if !self.take(batch, total)? {
                return Ok(false);
            }
        }
        read(self.summary.rows, Some(self.summary.rows));
        Ok(true)
    }

    /// Takes a batch; false once it was asked to stop.
    fn take(&mut self, batch: Vec<(u64, LoadedRow)>, total: Option<u64>) -> Result<bool, PrepareError> {
        let mut materials = Vec::new();
        let mut problems = Vec::new();
        for (row, mut loaded) in batch {
            let id = match &mut loaded {
                LoadedRow::Problem(problem) => &mut problem.text.id,
                LoadedRow::Conversation(conversation) => &mut conversation.id,
                LoadedRow::Policy(example) => &mut example.id,
                LoadedRow::Skipped(SkippedRow { id, reason, detail }) => {
                    let fate = Fate::skipped(reason.clone(), detail.clone());
                    let id = id.as_ref().map(|id| format!("{}{id}", self.prefix));
                    self.summary.skipped.push(RowFate { row, id, fate });
                    continue;
                }
            };
            id.insert_str(0, &self.prefix);
            // The split goes by name: two problems of one name could end on both sides.
            if !self.ids.insert(id.clone()) {
                let id = id.clone();
                self.skip(row, id, Skip::new("duplicate-id", "an earlier row has the same identifier"));
                continue;
            }
            match loaded {
                LoadedRow::Problem(mut problem) => {
                    // What a called function returns is compared as a value, whatever the run names.
                    if problem.checker.is_none() && problem.entry_point.is_none() {
                        problem.checker = self.checker.cloned();
                    }
                    match self.is_measured && !self.has_programs(&problem) {
                        true => self.take_unsolved(row, problem, &mut materials),
                        false => problems.push((row, problem)),
                    }
                }
                LoadedRow::Conversation(conversation) => materials.push(Material::conversation(row, conversation)),
                LoadedRow::Policy(example) => materials.push(Material::policy(row, example)),
                LoadedRow::Skipped(_) => {}
            }
        }
        let Some(solved) = self.solved(problems)? else { return Ok(false) };
        materials.extend(solved);
        materials.iter_mut().for_each(|material| material.source = self.source);
        // Problems were told apart from the rest to be run together; the file keeps the rows' order.
        materials.sort_by_key(|material| material.row);
        let Self { writer, take, summary, .. } = self;
        let total = total.map(|rows| rows.saturating_sub(summary.skipped.len() as u64));
        let (written, taken) = rayon::join(|| writer.push(&materials), || take(&materials, total));
        written.and(taken).map(|()| true)
    }

    /// Whether there is a program that could solve the problem.
    fn has_programs(&self, problem: &Problem) -> bool {
        problem.solutions.iter().any(|solution| solution.language == self.runner.language)
    }

    /// Takes a problem that the model is to solve and nobody has: nothing is learned from it, so that it needs no solution.
    fn take_unsolved(&mut self, row: u64, problem: Problem, materials: &mut Vec<Material>) {
        let language = &self.runner.language;
        let uncallable = problem.entry_point.as_ref().filter(|name| !self.runner.can_call(name));
        let skip = match (problem.tests.is_empty(), uncallable) {
            (true, _) => Skip::new("no-tests", "there is nothing to measure an answer with"),
            (false, Some(name)) => {
                let detail = format!("the tests call `{name}`, expected a function's name in {language}");
                Skip::new("entry-point-not-callable", detail)
            }
            (false, None) => {
                if let Some(broken) = BrokenTest::among(problem.entry_point.as_deref(), &problem.tests) {
                    self.skip(row, problem.text.id, Skip::new(BROKEN_TEST, broken.to_string()));
                    return;
                }
                materials.push(Material::solved(row, problem, Vec::new(), None));
                return;
            }
        };
        self.skip(row, problem.text.id, skip);
    }

    fn skip(&mut self, row: u64, id: String, Skip { reason, detail, .. }: Skip) {
        let fate = Fate::skipped(reason.to_owned(), detail);
        self.summary.skipped.push(RowFate { row, id: Some(id), fate });
    }

    /// The problems that programs solve; `None` once it was asked to stop.
    fn solved(&mut self, problems: Vec<(u64, Problem)>) -> Result<Option<Vec<Material>>, PrepareError> {
        let verified = match &mut self.verifier {
            Some(verifier) => match verifier.verify(problems)? {
                Some(verified) => verified,
                None => return Ok(None),
            },
            None => {
                let (language, solutions_max) = (&self.runner.language, self.solutions_max);
                let taken = problems.into_par_iter();
                taken.map(|(row, problem)| unverified(row, problem, language, solutions_max)).collect()
            }
        };
        let mut materials = Vec::new();
        for answer in verified {
            match answer {
                Ok((row, problem, outcome)) => {
                    self.count(&problem.text.id, problem.tests.len(), &outcome);
                    if let Some((name, content)) = &outcome.checker {
                        self.summary.checkers.insert(name.clone(), *content);
                    }
                    let kept = outcome.passed.iter().map(|&index| problem.solutions[index].code.clone()).collect();
                    materials.push(Material::solved(row, problem, kept, outcome.reference_fuel));
                }
                Err((row, id, skip, outcome)) => {
                    self.count(&id, 0, &outcome);
                    if let Some(failed) = skip.not_judged {
                        self.summary.not_judged += 1;
                        let first = || NotJudged { id: id.clone(), failed, detail: skip.detail.clone() };
                        self.first_not_judged.get_or_insert_with(first);
                    }
                    self.skip(row, id, skip);
                }
            }
        }
        Ok(Some(materials))
    }

    fn count(&mut self, id: &str, tests: usize, outcome: &Outcome) {
        let summary = &mut self.summary;
        summary.programs_judged += outcome.judged;
        summary.near_duplicate_solutions += outcome.near_duplicates;
        // The tests of a problem that nothing solves are as likely wrong as weak.
        if !outcome.passed.is_empty() {
            summary.weak_tests.count(id, tests, &outcome.weak_tests, outcome.incorrect_accepted);
        }
    }

    fn finish(self, key: ContentHash) -> Result<VerifiedFile, PrepareError> {
        if let Some(first) = self.first_not_judged.filter(|_| self.summary.not_judged > UNDECIDED_MAX as u64) {
            return Err(PrepareError::NotJudged { rows: self.summary.not_judged, of: self.summary.rows, first });
        }
        let file = self.writer.finish(key, self.summary)?;
        if let Some(verifier) = self.verifier {
            verifier.into_record().close()?;
        }
        Ok(file)
    }
}

/// Takes the first solutions that do not resemble each other, as they are.
fn unverified(row: u64, problem: Problem, language: &Language, solutions_max: usize) -> Verified {
    let mut outcome = Outcome::default();
    let mut kept: Vec<Shingles> = Vec::new();
    let mut seen = HashSet::new();
    for (index, solution) in problem.solutions.iter().enumerate() {
        if kept.len() == solutions_max {
            break;
        }
        if solution.language != *language || !seen.insert(normalized_code(&solution.code)) {
            continue;
        }
        let shingles = Words::of_code(&solution.code).shingles();
        if kept.iter().any(|other| other.near(&shingles)) {
            outcome.near_duplicates += 1;
        } else {
            kept.push(shingles);
            outcome.passed.push(index);
        }
    }
    if outcome.passed.is_empty() {
        let skip = Skip::new("no-solution", format!("there is no program in {language}"));
        return Err((row, problem.text.id, skip, outcome));
    }
    Ok((row, problem, outcome))
}

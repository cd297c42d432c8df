//! Output: the specialist's files, written in one pass over the verified rows and visible only together with the
//! manifest that names their hashes.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::config::DataFiles;
use super::entry::{Decision, Entry};
use super::error::PrepareError;
use super::fate::Side;
use super::manifest::OutputFile;
use super::material::{Kind, Material, Solved};
use super::phase_file::line;
use super::progress::{PreparePhase, PrepareProgress};
use super::verified::VerifiedFile;

use hilora_contract::artifact::{AtomicFile, ContentHash, HashedFile};
use hilora_contract::dataset::{
    AnswerForm, ConversationLesson, Domain, EvaluationProblem, Example, Lesson, PolicyLesson, ProblemTests,
};

/// Rows as they stand in a file.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    rows: usize,
}

impl Lines {
    fn of<'a, R: Serialize + 'a>(rows: impl IntoIterator<Item = &'a R>) -> Self {
        let mut lines = Self::default();
        for row in rows {
            lines.bytes.extend(line(row));
            lines.rows += 1;
        }
        lines
    }
}

impl Lines {
    /// The same lines so often, one after the other.
    fn repeated(self, copies: usize) -> Self {
        Self { bytes: self.bytes.repeat(copies), rows: self.rows * copies }
    }
}

/// What an accepted row of the dataset adds to the files of its side.
struct Accepted {
    side: Side,
    lessons: Lines,
    /// Its tests, where it has some.
    tests: Lines,
}

/// A file on its way; in a dry run it is only hashed.
struct Output {
    relative: PathBuf,
    file: HashedFile,
    /// Lines that are not on their way yet.
    pending: Vec<Vec<u8>>,
    rows: usize,
    bytes: u64,
}

impl Output {
    fn create(run_folder: Option<&Path>, relative: PathBuf) -> Result<Self, PrepareError> {
        let path = run_folder.map(|folder| folder.join(&relative));
        let file = HashedFile::create(path.as_deref())?;
        Ok(Self { relative, file, pending: Vec::new(), rows: 0, bytes: 0 })
    }

    fn push(&mut self, lines: Lines) {
        self.rows += lines.rows;
        self.bytes += lines.bytes.len() as u64;
        self.pending.push(lines.bytes);
    }

    /// Sends on what was pushed.
    fn flush(&mut self) -> Result<(), PrepareError> {
        let pending = std::mem::take(&mut self.pending);
        Ok(self.file.push(pending)?)
    }

    fn finish(self) -> Result<(OutputFile, Option<AtomicFile>), PrepareError> {
        let Self { relative, file, rows, bytes, .. } = self;
        let (file, content) = file.finish()?;
        Ok((OutputFile { file: relative, rows, bytes, content }, file))
    }
}

/// Files that are whole and not yet visible.
pub(super) struct Written {
    pub(super) files: Vec<OutputFile>,
    waiting: Vec<AtomicFile>,
}

impl Written {
    /// Puts every file in its place.
    pub(super) fn commit(self) -> Result<(), PrepareError> {
        Ok(self.waiting.into_iter().try_for_each(AtomicFile::commit)?)
    }
}

/// Which files are written.
pub(super) struct Wanted {
    /// Their names.
    pub(super) names: DataFiles,
    /// Whether the tests of the problems to train on are among them.
    pub(super) train_tests: bool,
}

/// Writes the accepted rows in the dataset's order, and says in words why a row shares too much with what is measured.
/// `None` once it was asked to stop: nothing has become visible then.
pub(super) fn write(
    verified: &VerifiedFile,
    entries: &mut [Entry],
    wanted: Wanted,
    run_folder: Option<&Path>,
    stop: &dyn Fn() -> bool,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<Option<Written>, PrepareError> {
    let names = wanted.names;
    let mut train = Output::create(run_folder, names.train)?;
    let mut eval = Output::create(run_folder, names.eval)?;
    let mut tests = Output::create(run_folder, names.tests)?;
    let train_tests = wanted.train_tests.then(|| Output::create(run_folder, names.train_tests));
    let mut train_tests = train_tests.transpose()?;
    let total = entries.len() as u64;
    let with_train_tests = wanted.train_tests;
    let mut written = 0;
    for part in verified.parts()? {
        if stop() {
            return Ok(None);
        }
        let part = part?;
        let entries = &mut entries[written..written + part.len()];
        written += part.len();
        // Rows become text on all threads and are written in their order.
        let rows: Vec<Option<Accepted>> = part
            .into_par_iter()
            .zip(entries)
            .map(|(material, entry)| match &entry.decision {
                Decision::Accepted(side) => {
                    Some(accepted(material, *side, &entry.domain.domain, entry.copies, with_train_tests))
                }
                Decision::Contaminated(contamination) => {
                    entry.decision = Decision::Skipped(contamination.skip(&material.asked()));
                    None
                }
                Decision::Kept { .. } | Decision::Skipped(_) => None,
            })
            .collect();
        for row in rows.into_iter().flatten() {
            let (side, side_tests) = match row.side {
                Side::Train => (&mut train, train_tests.as_mut()),
                Side::Eval => (&mut eval, Some(&mut tests)),
            };
            side.push(row.lessons);
            if let Some(file) = side_tests {
                file.push(row.tests);
            }
        }
        [&mut train, &mut eval, &mut tests].into_iter().chain(&mut train_tests).try_for_each(Output::flush)?;
        progress(PrepareProgress { phase: PreparePhase::Write, done: written as u64, total: Some(total) });
    }
    let outputs = [train, eval, tests].into_iter().chain(train_tests);
    let (files, waiting): (Vec<_>, Vec<_>) =
        outputs.map(Output::finish).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    Ok(Some(Written { files, waiting: waiting.into_iter().flatten().collect() }))
}

/// A row of a side as it is written.
fn accepted(material: Material, side: Side, domain: &Domain, copies: usize, with_train_tests: bool) -> Accepted {
    let lessons = Lines::of(&lessons(&material, domain)).repeated(copies);
    let tests = match (material.kind, side) {
        (Kind::Solved(solved), Side::Eval) => Lines::of([&evaluation_problem(material.text, domain, *solved)]),
        (Kind::Solved(solved), Side::Train) if with_train_tests => {
            let problem = ContentHash::of(material.text.statement.as_bytes());
            Lines::of([&ProblemTests { problem, tests: solved.tests }])
        }
        (Kind::Solved(_) | Kind::Conversation { .. } | Kind::Policy { .. }, _) => Lines::default(),
    };
    Accepted { side, lessons, tests }
}

/// What is learned from a row.
fn lessons(material: &Material, domain: &Domain) -> Vec<Lesson> {
    let (text, difficulty) = (&material.text, &material.text.difficulty);
    match &material.kind {
        Kind::Solved(solved) => {
            let example = |solution: &String| {
                Lesson::Solved(Example {
                    problem: text.statement.clone(),
                    reasoning: None,
                    solution: solution.clone(),
                    domain: domain.clone(),
                    difficulty: difficulty.clone(),
                })
            };
            solved.solutions.iter().map(example).collect()
        }
        Kind::Conversation { messages, tools } => vec![Lesson::Conversation(ConversationLesson {
            messages: messages.clone(),
            tools: tools.clone(),
            domain: domain.clone(),
            difficulty: difficulty.clone(),
        })],
        Kind::Policy { policy, actions, outputs } => vec![Lesson::Policy(PolicyLesson {
            instruction: text.statement.clone(),
            policy: policy.clone(),
            actions: actions.clone(),
            outputs: outputs.clone(),
            domain: domain.clone(),
            difficulty: difficulty.clone(),
        })],
    }
}

fn evaluation_problem(
    text: hilora_contract::dataset::ProblemText,
    domain: &Domain,
    solved: Solved,
) -> EvaluationProblem {
    EvaluationProblem {
        text,
        domain: domain.clone(),
        tests: solved.tests,
        entry_point: solved.entry_point,
        test_code: solved.test_code,
        checker: solved.checker,
        answer_form: AnswerForm::Program,
        time_limit_ms: solved.time_limit_ms,
        memory_limit_bytes: solved.memory_limit_bytes,
        reference_fuel: solved.reference_fuel,
        attributes: solved.attributes,
    }
}

//! Output: the specialist's files, written in one pass over the verified stage and visible only together with the
//! manifest that names their hashes.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::entry::{Decision, Entry};
use super::manifest::OutputFile;
use super::material::{Kind, Material, Solved};
use super::verified::VerifiedFile;
use super::{DataFiles, PrepareError, PrepareProgress, PrepareStage, Side};
use crate::artifact::{AtomicFile, ContentHash, ContentHasher};
use crate::dataset::{ConversationLesson, Domain, EvaluationProblem, Example, Lesson, PolicyLesson, ProblemTests};

/// A file on its way; in a dry run it is only hashed.
struct Output {
    relative: PathBuf,
    path: PathBuf,
    file: Option<AtomicFile>,
    hasher: ContentHasher,
    rows: usize,
    bytes: u64,
}

impl Output {
    fn create(run_folder: Option<&Path>, relative: PathBuf) -> Result<Self, PrepareError> {
        let path = run_folder.map_or_else(|| relative.clone(), |folder| folder.join(&relative));
        let file = run_folder.map(|_| AtomicFile::create(&path)).transpose();
        let file = file.map_err(|error| PrepareError::Write { path: path.clone(), error })?;
        Ok(Self { relative, path, file, hasher: ContentHasher::default(), rows: 0, bytes: 0 })
    }

    fn push(&mut self, row: &impl Serialize) -> Result<(), PrepareError> {
        let mut line = serde_json::to_vec(row).expect("plain structs with text keys always serialize");
        line.push(b'\n');
        self.hasher.update(&line);
        self.rows += 1;
        self.bytes += line.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(&line).map_err(|error| PrepareError::Write { path: self.path.clone(), error }),
            None => Ok(()),
        }
    }

    fn finish(self) -> (OutputFile, Option<(PathBuf, AtomicFile)>) {
        let Self { relative, path, file, hasher, rows, bytes } = self;
        (OutputFile { file: relative, rows, bytes, content: hasher.finish() }, file.map(|file| (path, file)))
    }
}

/// Files that are whole and not yet visible.
pub(super) struct Written {
    pub(super) files: Vec<OutputFile>,
    waiting: Vec<(PathBuf, AtomicFile)>,
}

impl Written {
    /// Puts every file in its place.
    pub(super) fn commit(self) -> Result<(), PrepareError> {
        let commit =
            |(path, file): (PathBuf, AtomicFile)| file.commit().map_err(|error| PrepareError::Write { path, error });
        self.waiting.into_iter().try_for_each(commit)
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
pub(super) fn write(
    verified: &VerifiedFile,
    entries: &mut [Entry],
    wanted: Wanted,
    run_folder: Option<&Path>,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<Written, PrepareError> {
    let names = wanted.names;
    let mut train = Output::create(run_folder, names.train)?;
    let mut eval = Output::create(run_folder, names.eval)?;
    let mut tests = Output::create(run_folder, names.tests)?;
    let train_tests = wanted.train_tests.then(|| Output::create(run_folder, names.train_tests));
    let mut train_tests = train_tests.transpose()?;
    let total = entries.len() as u64;
    for ((material, entry), done) in verified.rows()?.zip(entries.iter_mut()).zip(1..) {
        let material = material?;
        match &entry.decision {
            Decision::Accepted(side) => {
                let side = match side {
                    Side::Train => &mut train,
                    Side::Eval => &mut eval,
                };
                lessons(&material, &entry.domain.domain).iter().try_for_each(|lesson| side.push(lesson))?;
                match (&entry.decision, material.kind) {
                    (Decision::Accepted(Side::Eval), Kind::Solved(solved)) => {
                        tests.push(&evaluation_problem(material.text, &entry.domain.domain, *solved))?;
                    }
                    (_, Kind::Solved(solved)) => {
                        let problem = ContentHash::of(material.text.statement.as_bytes());
                        let row = ProblemTests { problem, tests: solved.tests };
                        train_tests.iter_mut().try_for_each(|file| file.push(&row))?;
                    }
                    (_, Kind::Conversation { .. } | Kind::Policy { .. }) => {}
                }
            }
            Decision::Contaminated(contamination) => {
                entry.decision = Decision::Skipped(contamination.skip(&material.compared()));
            }
            Decision::Kept { .. } | Decision::Skipped(_) => {}
        }
        if done % 1024 == 0 || done == total {
            progress(PrepareProgress { stage: PrepareStage::Write, done, total: Some(total) });
        }
    }
    let outputs = [train, eval, tests].into_iter().chain(train_tests);
    let (files, waiting): (Vec<_>, Vec<_>) = outputs.map(Output::finish).unzip();
    Ok(Written { files, waiting: waiting.into_iter().flatten().collect() })
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
        Kind::Conversation { messages } => vec![Lesson::Conversation(ConversationLesson {
            messages: messages.clone(),
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

fn evaluation_problem(text: crate::dataset::ProblemText, domain: &Domain, solved: Solved) -> EvaluationProblem {
    let Solved { tests, entry_point, time_limit_ms, memory_limit_bytes, attributes, .. } = solved;
    EvaluationProblem {
        text,
        domain: domain.clone(),
        tests,
        entry_point,
        time_limit_ms,
        memory_limit_bytes,
        attributes,
    }
}

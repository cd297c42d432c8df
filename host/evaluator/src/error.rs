//! What can go wrong while a model is measured.

use std::path::PathBuf;

use super::lost_answer::LostAnswer;
use hilora_contract::artifact::{FileError, JsonLinesError, WrongRow};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{PluginError, PluginIdentity};
use hilora_endpoint::EndpointError;
use hilora_engine::EngineError;
use hilora_judge::JudgeError;
use hilora_model::ModelError;

/// An error of the evaluator.
#[derive(Debug, thiserror::Error)]
pub enum EvaluatorError {
    /// The formatter failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The model or its tokenizer failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The judge failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// There is nothing to measure on.
    #[error("there are no evaluation problems")]
    NoProblems,
    /// There is nothing to learn from or to copy.
    #[error("expected at least {expected} training examples, got {got}")]
    TooFewExamples {
        /// The least that is needed.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A problem has no test, so every answer to it would be right.
    #[error("evaluation problem `{id}` has no test")]
    NoTest {
        /// The problem.
        id: String,
    },
    /// Two problems share an identifier, so their answers could not be told apart.
    #[error("two evaluation problems have the id `{id}`")]
    DuplicateProblem {
        /// The identifier.
        id: String,
    },
    /// A formatter answered fewer or more items than it was asked for.
    #[error("{formatter}: expected {expected} prompts, got {got}")]
    Prompts {
        /// The formatter.
        formatter: PluginIdentity,
        /// How many were asked for.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A part of the evaluator answered fewer or more items than it was asked for.
    #[error("{what}: expected {expected}, got {got}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many were asked for.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// The answers to a problem are not as many as to the others, or fewer than a pass@k needs.
    #[error("answers to `{id}`: expected {expected}, got {got}")]
    Answers {
        /// The problem.
        id: String,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A stop sequence is no token of the model.
    #[error("{formatter} ends a completion at `{stop}`, which is no token of this model's tokenizer")]
    UnknownStop {
        /// The formatter.
        formatter: PluginIdentity,
        /// The stop sequence.
        stop: String,
    },
    /// No prompt can be decoded after.
    #[error("no prompt leaves room for {tokens} tokens in the model's context, so decoding cannot be timed")]
    NothingToTime {
        /// The tokens that are timed after each prompt.
        tokens: usize,
    },
    /// The machine or a checker kept too many answers from being judged; a rate that counts them would not be the model's.
    #[error("{programs} programs could not be judged; the first, for `{id}`: {detail}")]
    NotJudged {
        /// Different programs among the answers of which nothing is known.
        programs: usize,
        /// The first one's problem.
        id: String,
        /// What happened.
        detail: String,
        /// Who failed.
        failed: Blame,
    },
    /// An endpoint cannot be asked, or refuses to answer anything.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Too many answers were lost; a rate that counts them as wrong would not be the model's.
    #[error("{answers} answers did not come; the first, to `{id}`: {lost}")]
    NotAnswered {
        /// How many.
        answers: usize,
        /// The first one's problem.
        id: String,
        /// What happened to it.
        lost: Box<LostAnswer>,
    },
    /// Two measurements are not of the same problems with the same number of samples.
    #[error("the two evaluations do not match: {what}: expected {expected}, got {got}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// The base's.
        expected: String,
        /// The adapter's.
        got: String,
    },
    /// Two runs share no problem that can be compared.
    #[error("{left} and {right} have no problem in common whose answers were all judged")]
    NothingInCommon {
        /// The first run.
        left: String,
        /// The second.
        right: String,
        /// Common problems of which an answer was not judged.
        not_judged: usize,
    },
    /// A figure in a file is not the one that follows from what the file was made from.
    #[error("{path}: {figure}: expected {expected}, which follows from {from}, got {got}", path = path.display())]
    Figure {
        /// The file.
        path: PathBuf,
        /// Where in it, with dots: `comparison.adapter.pass_at.1.value`.
        figure: String,
        /// What decides the figure.
        from: &'static str,
        /// The figure that follows.
        expected: String,
        /// The figure that stands there.
        got: String,
    },
    /// A row of a file of completions is not what it must be.
    #[error(
        "{}, {place}{}{}: expected {}, got {}",
        path.display(),
        if wrong.field.is_empty() { "" } else { ", " },
        wrong.field,
        wrong.expected,
        wrong.got
    )]
    Completions {
        /// The file.
        path: PathBuf,
        /// The line, or the item of a list.
        place: String,
        /// What is wrong.
        wrong: WrongRow,
    },
    /// A file of completions has none.
    #[error("there are no completions in {}", path.display())]
    NoCompletions {
        /// The file.
        path: PathBuf,
    },
    /// No completion is of a problem that is asked.
    #[error("no completion is of a problem that is here: the first is of `{id}`, and the first problem is `{known}`")]
    AllUnknown {
        /// A problem that has a completion.
        id: String,
        /// A problem that is asked.
        known: String,
    },
    /// A file of JSON lines cannot be read.
    #[error(transparent)]
    Lines(#[from] JsonLinesError),
    /// A file of a measurement cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of a measurement is not what it must be.
    #[error("{}{}{}: expected {}, got {}", path.display(), if wrong.field.is_empty() { "" } else { ", " }, wrong.field, wrong.expected, wrong.got)]
    NotTheFile {
        /// The file.
        path: PathBuf,
        /// Where and what.
        wrong: WrongRow,
        /// Where such a file comes from.
        hint: &'static str,
    },
    /// A pass@k asks for more answers than some problem has.
    #[error("pass@{k}: expected {k} answers to every problem, got {got} to `{id}`")]
    TooLargeK {
        /// The k.
        k: u32,
        /// A problem that has the fewest.
        id: String,
        /// How many it has.
        got: usize,
    },
    /// A record of completions has no base to be compared.
    #[error("{name} is the record of given completions: expected a run, which has a base beside its adapter")]
    NoBase {
        /// What the user calls it.
        name: String,
    },
}

impl Fault for EvaluatorError {
    fn blame(&self) -> Blame {
        match self {
            Self::Plugin(error) => error.blame(),
            Self::Model(error) => error.blame(),
            Self::Engine(error) => error.blame(),
            Self::Judge(error) => error.blame(),
            Self::File(error) => error.blame(),
            Self::Lines(error) => error.blame(),
            Self::Prompts { .. } => Blame::Plugin,
            Self::NoProblems
            | Self::TooFewExamples { .. }
            | Self::NoTest { .. }
            | Self::DuplicateProblem { .. }
            | Self::UnknownStop { .. }
            | Self::NothingToTime { .. }
            | Self::Completions { .. }
            | Self::NoCompletions { .. }
            | Self::AllUnknown { .. }
            | Self::Answers { .. }
            | Self::Mismatch { .. }
            | Self::NothingInCommon { .. }
            | Self::Figure { .. }
            | Self::TooLargeK { .. }
            | Self::NoBase { .. }
            | Self::NotTheFile { .. } => Blame::User,
            Self::NotJudged { failed, .. } => *failed,
            Self::Endpoint(error) => error.blame(),
            Self::NotAnswered { lost, .. } => lost.blame(),
            Self::Count { .. } => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Plugin(error) => return error.hints(),
            Self::Model(error) => return error.hints(),
            Self::Engine(error) => return error.hints(),
            Self::Judge(error) => return error.hints(),
            Self::File(error) => return error.hints(),
            Self::Lines(error) => return error.hints(),
            Self::Completions { .. } | Self::NoCompletions { .. } => {
                "every row has the fields of the first: id with completion or code, or those of LiveCodeBench, EvalPlus or \
                 lm-evaluation-harness"
            }
            Self::AllUnknown { .. } => "`--problems` and `--benchmark` name what the completions answer",
            Self::NotTheFile { hint, .. } => hint,
            Self::TooLargeK { .. } => {
                "`--k` names those that are wanted; without it 1, 10 and 100 are told, as far as there are so many answers"
            }
            Self::NoBase { .. } => "`--side adapter` compares what was measured itself",
            Self::NoProblems => {
                "a run's `data/<specialist>_tests.jsonl` holds them; its manifest says what became of each row"
            }
            Self::UnknownStop { .. } => {
                "`chat_template: model` lays out by the base's own template, and `plugins.formatter` names a formatter \
                 for this base"
            }
            Self::NothingToTime { .. } => "a base with a longer context, or shorter problems",
            Self::NothingInCommon { not_judged: 0, .. } => "both must have been measured on the same problems, by id",
            Self::NothingInCommon { .. } => "`hilora-host evaluate` asks again for answers that were not judged",
            Self::Figure { .. } => "`hilora-host evaluate` measures anew what was edited",
            Self::Endpoint(error) => return error.hints(),
            Self::NotAnswered { lost, .. } if lost.blame() != Blame::Machine => return lost.hints(),
            Self::NotJudged { .. } | Self::NotAnswered { .. } => "what was drawn and judged is kept: run it again",
            Self::Prompts { .. }
            | Self::TooFewExamples { .. }
            | Self::NoTest { .. }
            | Self::DuplicateProblem { .. }
            | Self::Answers { .. }
            | Self::Mismatch { .. }
            | Self::Count { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

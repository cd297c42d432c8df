//! The native harness: what a plugin's own tests call, so that `cargo test` needs no host. Each function calls the plugin
//! and panics where it does not keep its interface's contract; [`golden`] holds it against a file of cases, the same file that
//! `hilora-host plugin test --vectors` reads.
//!
//! It cannot show what only a component has: limits, traps and the memory of a 32-bit machine. `hilora-host plugin test`
//! does.

pub mod golden;

use crate::checker::{CheckError, Decision, OutputChecker};
use crate::classifier::{Classification, DomainClassifier};
use crate::formatter::{Example, Lesson, PromptFormatter, Segment};
use crate::types::{ProblemText, Role};

pub use crate::loader_contract::{damaged, read_each, read_to_end};

/// The classification of each problem. Panics where one names a domain that is not listed, where scores are not above 0 and
/// the best first, and where an answer depends on the other problems of its batch.
pub fn classify<C: DomainClassifier>(problems: &[ProblemText]) -> Vec<Classification> {
    let domains = C::domains();
    let together = C::classify_batch(problems.to_vec());
    let together = together.unwrap_or_else(|why| panic!("a problem was refused: {why:?}"));
    assert_eq!(together.len(), problems.len(), "as many answers as problems");
    for (problem, answer) in problems.iter().zip(&together) {
        let id = &problem.id;
        let alone = C::classify_batch(vec![problem.clone()]);
        assert_eq!(alone.as_deref(), Ok(&[answer.clone()][..]), "`{id}` alone and among others");
        let named = answer.scores.iter().map(|score| &score.domain).chain([&answer.domain]);
        for name in named {
            assert!(domains.iter().any(|info| info.name == *name), "`{id}`: the domain `{name}` is not listed");
        }
        assert!(answer.scores.iter().all(|score| score.score > 0.0), "`{id}`: a score that is not above 0");
        assert!(answer.scores.is_sorted_by(|a, b| a.score >= b.score), "`{id}`: the best score is not first");
    }
    together
}

/// What a checker decides. Panics where it decides otherwise the second time.
pub fn check<C: OutputChecker>(
    input: &str,
    expected: &str,
    actual: &[u8],
    options: &str,
) -> Result<Decision, CheckError> {
    let check = || C::check(input.to_owned(), expected.to_owned(), actual.to_vec(), options.to_owned());
    let decision = check();
    assert_eq!(decision, check(), "the same answer twice");
    decision
}

/// A problem as a formatter lays it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidOut {
    /// The text of the prompt's segments.
    pub prompt: String,
    /// The text of everything behind the prompt in the lesson: what is trained on, and what a formatter puts behind it.
    pub answer: String,
}

/// The prompt of a problem and the rest of its lesson. Panics where the prompt is not the untrained beginning of the lesson,
/// where nothing is trained on, and where the last message is not the assistant's.
pub fn lay_out<F: PromptFormatter>(specialist: &str, problem: &ProblemText, solution: &str) -> LaidOut {
    let example = Example {
        problem: problem.clone(),
        reasoning: None,
        solution: solution.to_owned(),
        domain: specialist.to_owned(),
    };
    let lesson = F::format_lessons(specialist.to_owned(), vec![Lesson::Solved(example)]);
    let lesson = lesson.unwrap_or_else(|why| panic!("the lesson was refused: {why:?}")).remove(0);
    let prompt = F::format_prompts(specialist.to_owned(), vec![problem.clone()]);
    let prompt = prompt.unwrap_or_else(|why| panic!("the prompt was refused: {why:?}")).remove(0);
    let beginning = lesson.segments.iter().take_while(|segment| !segment.trained).count();
    assert!(beginning < lesson.segments.len(), "nothing of the lesson is trained on");
    let (beginning, rest) = lesson.segments.split_at(beginning);
    assert_eq!(text(&prompt.segments), text(beginning), "the prompt is the untrained beginning of the lesson");
    assert!(prompt.segments.iter().all(|segment| !segment.trained), "something of the prompt is trained on");
    assert_eq!(
        lesson.messages.last().map(|message| &message.role),
        Some(&Role::Assistant),
        "the lesson's last message"
    );
    LaidOut { prompt: text(beginning), answer: text(rest) }
}

fn text(segments: &[Segment]) -> String {
    segments.iter().map(|segment| segment.text.as_str()).collect()
}

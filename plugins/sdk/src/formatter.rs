//! A prompt formatter: lays out what a model reads and learns. It tokenizes nothing.
//!
//! ```
//! use hilora_plugin_sdk::formatter::{Lesson, PromptFormatter, Refusal, Segment, Sequence};
//! use hilora_plugin_sdk::types::{Message, Role};
//!
//! /// A question, an arrow, an answer.
//! pub struct Arrow;
//!
//! impl PromptFormatter for Arrow {
//!     fn stop_sequences() -> Vec<String> {
//!         vec!["<|end|>".to_owned()]
//!     }
//!
//!     fn lesson(_specialist: &str, lesson: Lesson) -> Result<Sequence, Refusal> {
//!         let Lesson::Solved(example) = lesson else { return Err("expected a solved problem".into()) };
//!         Ok(Sequence {
//!             segments: vec![
//!                 Segment::content(&example.problem.statement),
//!                 Segment::control("<|arrow|>"),
//!                 Segment::content(&example.solution).trained(),
//!                 Segment::control("<|end|>").trained(),
//!             ],
//!             messages: vec![
//!                 Message::new(Role::User, example.problem.statement),
//!                 Message::new(Role::Assistant, example.solution),
//!             ],
//!         })
//!     }
//!
//!     fn extract_solution(completion: String) -> Option<String> {
//!         Some(completion).filter(|completion| !completion.is_empty())
//!     }
//! }
//!
//! hilora_plugin_sdk::export_formatter!(Arrow);
//!
//! # fn main() {
//! # use hilora_plugin_sdk::{harness, types::ProblemText};
//! // A prompt that nobody wrote is the untrained beginning of the lesson.
//! let laid_out = harness::lay_out::<Arrow>("python", &ProblemText::new("p1", "Print 1."), "print(1)");
//! assert_eq!(laid_out.prompt, "Print 1.<|arrow|>");
//! assert_eq!(laid_out.answer, "print(1)<|end|>");
//! # }
//! ```

use std::marker::PhantomData;

use crate::bindings::prompt_formatter::exports::hilora::plugin::formatter as world;
use crate::types::{ProblemText, Role};

pub use world::{Example, FormatError, Lesson, Segment, SegmentKind, Sequence};

/// Why one item cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No layout is known for this specialist.
    UnknownSpecialist,
    /// This item cannot be laid out, and why.
    Item(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Item(why)
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Item(why.to_owned())
    }
}

impl Refusal {
    /// The same with the place of the item in its call.
    fn at(self, index: usize, specialist: &str) -> FormatError {
        match self {
            Self::UnknownSpecialist => FormatError::UnknownSpecialist(specialist.to_owned()),
            Self::Item(why) => FormatError::Rejected((index as u32, why)),
        }
    }
}

/// A formatter. The host makes a fresh instance of the component for every call.
pub trait PromptFormatter: 'static {
    /// The texts at which a completion ends: each a single special token of the model. Pure.
    fn stop_sequences() -> Vec<String>;

    /// The sequence to train on for a lesson. Its last message is the assistant's, and something is trained on.
    fn lesson(specialist: &str, lesson: Lesson) -> Result<Sequence, Refusal>;

    /// The program in a model's completion; nothing where there is none.
    fn extract_solution(completion: String) -> Option<String>;

    /// The prompt for a problem. It must equal the untrained beginning of the problem's lesson, and that is what it is
    /// unless a formatter writes its own: the lesson of a solution that nobody sees, up to what is trained on.
    fn prompt(specialist: &str, problem: ProblemText) -> Result<Sequence, Refusal> {
        let example = Example { problem, reasoning: None, solution: "?".to_owned(), domain: String::new() };
        let mut sequence = Self::lesson(specialist, Lesson::Solved(example))?;
        let prompt = sequence.segments.iter().take_while(|segment| !segment.trained).count();
        sequence.segments.truncate(prompt);
        if sequence.messages.last().is_some_and(|message| message.role == Role::Assistant) {
            sequence.messages.pop();
        }
        Ok(sequence)
    }

    /// The sequence of each lesson, in order.
    fn format_lessons(specialist: String, lessons: Vec<Lesson>) -> Result<Vec<Sequence>, FormatError> {
        let lay_out = |(index, lesson)| Self::lesson(&specialist, lesson).map_err(|why| why.at(index, &specialist));
        lessons.into_iter().enumerate().map(lay_out).collect()
    }

    /// The prompt for each problem, in order.
    fn format_prompts(specialist: String, problems: Vec<ProblemText>) -> Result<Vec<Sequence>, FormatError> {
        let lay_out = |(index, problem)| Self::prompt(&specialist, problem).map_err(|why| why.at(index, &specialist));
        problems.into_iter().enumerate().map(lay_out).collect()
    }
}

impl Segment {
    /// A text of the formatter's own, in which special tokens are recognised; not trained on.
    pub fn control(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: SegmentKind::Control, trained: false }
    }

    /// A text that somebody else wrote, in which a special token's text stays ordinary text; not trained on.
    pub fn content(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: SegmentKind::Content, trained: false }
    }

    /// The same, trained on.
    pub fn trained(self) -> Self {
        Self { trained: true, ..self }
    }
}

/// The last block of code in a completion: what stands between a line of three backticks, with or without a language, and
/// the next line of three. Nothing where no block is closed.
///
/// ```
/// use hilora_plugin_sdk::formatter::last_code_block;
///
/// let completion = "First:\n```\nold\n```\nBetter:\n```python\nprint(1)\n```\n";
/// assert_eq!(last_code_block(completion), Some("print(1)"));
/// assert_eq!(last_code_block("```python\nprint(1)"), None);
/// ```
pub fn last_code_block(completion: &str) -> Option<&str> {
    let mut opened: Option<usize> = None;
    let mut found = None;
    let mut at = 0;
    for line in completion.split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_start().starts_with("```") {
            match opened.take() {
                Some(start) => found = Some(completion[start..at].trim_end_matches(['\r', '\n'])),
                None => opened = Some(end),
            }
        }
        at = end;
    }
    found
}

/// Binds a [`PromptFormatter`] to the generated world.
#[doc(hidden)]
pub struct Exported<F>(PhantomData<F>);

impl<F: PromptFormatter> world::Guest for Exported<F> {
    fn stop_sequences() -> Vec<String> {
        F::stop_sequences()
    }

    fn format_lessons(specialist: String, lessons: Vec<Lesson>) -> Result<Vec<Sequence>, FormatError> {
        F::format_lessons(specialist, lessons)
    }

    fn format_prompts(specialist: String, problems: Vec<ProblemText>) -> Result<Vec<Sequence>, FormatError> {
        F::format_prompts(specialist, problems)
    }

    fn extract_solution(completion: String) -> Option<String> {
        F::extract_solution(completion)
    }
}

/// Exports a [`PromptFormatter`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_formatter {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::formatter::Exported<$plugin>;
            $crate::bindings::prompt_formatter::export_prompt_formatter_world!(
                Exported with_types_in $crate::bindings::prompt_formatter
            );
        };
    };
}

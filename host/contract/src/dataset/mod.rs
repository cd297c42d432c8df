//! The nouns of the data path: what a loader yields, what a specialist learns from, what it is measured on.
//!
//! These are plain values. They know no plugin, no file and no tensor, and every other module may import them.

mod conversation;
mod domain;
mod evaluation_problem;
mod example;
mod language;
mod lesson;
mod message;
mod problem;
mod problem_checker;
mod problem_tests;
mod rows;
mod segment;
pub mod shared_tests;

pub use conversation::{Action, Conversation, PolicyExample};
pub use domain::Domain;
pub use evaluation_problem::{AnswerForm, EvaluationProblem};
pub use example::Example;
pub use language::{Language, LanguageError};
pub use lesson::{ConversationLesson, Lesson, PolicyLesson};
pub use message::{Message, OtherRole, Role, RoleError, ToolCall};
pub use problem::{Attribute, Problem, ProblemText, SkippedRow, Solution, TestCase};
pub use problem_checker::{ProblemChecker, ProblemCheckerError};
pub use problem_tests::ProblemTests;
pub use segment::{Segment, SegmentKind};

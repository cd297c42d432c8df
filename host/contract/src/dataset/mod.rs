//! The nouns of the data path: what a loader yields, what a specialist learns from, what it is measured on.
//!
//! These are plain values. They know no plugin, no file and no tensor, and every other module may import them.

mod conversation;
mod domain;
mod evaluation_problem;
mod example;
mod lesson;
mod problem;
mod problem_tests;
mod rows;
pub mod shared_tests;

pub use conversation::{Action, Conversation, Message, PolicyExample, Role};
pub use domain::Domain;
pub use evaluation_problem::EvaluationProblem;
pub use example::Example;
pub use lesson::{ConversationLesson, Lesson, PolicyLesson};
pub use problem::{Attribute, Language, Problem, ProblemText, SkippedRow, Solution, TestCase};
pub use problem_tests::ProblemTests;

//! The nouns every kind of plugin shares: problems, conversations, policy examples and skipped rows.

pub use crate::bindings::dataset_loader::hilora::plugin::types::{
    Action, Attribute, Conversation, Language, Message, PolicyExample, Problem, ProblemText, Role, SkippedRow,
    Solution, TestCase,
};

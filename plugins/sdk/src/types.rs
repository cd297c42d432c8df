//! The nouns every kind of plugin shares: problems, conversations, policy examples and skipped rows.

pub use crate::bindings::dataset_loader::hilora::plugin::types::{
    Action, Attribute, CheckerPlugin, Conversation, FloatComparison, LetterCase, Message, PolicyExample, Problem,
    ProblemChecker, ProblemText, Role, SkippedRow, Solution, TestCase, ToolCall,
};

/// The languages that the shipped runners run. A solution may be in any other.
pub mod language {
    /// Python 3.
    pub const PYTHON3: &str = "python3";
    /// JavaScript.
    pub const JAVASCRIPT: &str = "javascript";
}

impl Solution {
    /// A program in Python 3.
    pub fn python3(code: impl Into<String>) -> Self {
        Self { language: language::PYTHON3.to_owned(), code: code.into() }
    }
}

impl ProblemText {
    /// A problem with a statement and nothing else.
    pub fn new(id: impl Into<String>, statement: impl Into<String>) -> Self {
        Self { id: id.into(), title: String::new(), statement: statement.into(), tags: Vec::new(), difficulty: None }
    }
}

impl Problem {
    /// A problem with a statement, programs that solve it, and tests of an input and an output each; everything
    /// else that a dataset can tell is absent.
    pub fn new(
        id: impl Into<String>,
        statement: impl Into<String>,
        solutions: Vec<Solution>,
        tests: Vec<TestCase>,
    ) -> Self {
        Self {
            text: ProblemText::new(id, statement),
            source: String::new(),
            solutions,
            incorrect_solutions: Vec::new(),
            tests,
            entry_point: None,
            test_code: None,
            checker: None,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: Vec::new(),
        }
    }
}

impl Role {
    /// Its name, as datasets and chat templates write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Developer => "developer",
            Self::Other(name) => name,
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Self {
        match name {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "developer" => Self::Developer,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Message {
    /// A text; it is trained on if it is the assistant's.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            trained: role == Role::Assistant,
            role,
            name: None,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

//! A prompt formatter: the text a model reads and learns, and which of it is trained on.

use super::{PluginError, PluginIdentity};
use crate::dataset::{Domain, ProblemText};

/// How the tokenizer reads a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Special tokens are recognised.
    Control,
    /// Special tokens' texts stay ordinary text.
    Content,
}

/// A piece of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// How the tokenizer reads it.
    pub kind: SegmentKind,
    /// Whether its tokens are targets of the loss.
    pub trained: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions.
    System,
    /// The question.
    User,
    /// The answer.
    Assistant,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A solved problem as a formatter takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatterExample {
    /// The problem.
    pub problem: ProblemText,
    /// How one gets to the solution.
    pub reasoning: Option<String>,
    /// The solution's code.
    pub solution: String,
    /// The problem's domain.
    pub domain: Domain,
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// As chat messages.
    pub messages: Vec<Message>,
    /// As the formatter lays them out; none is trained on.
    pub segments: Vec<Segment>,
}

/// Lays out prompts and training sequences.
pub trait PromptFormatter: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// The texts at which a completion ends, each a special token of the model.
    fn stop_sequences(&self) -> Result<Vec<String>, PluginError>;

    /// The sequence to train on for each example.
    fn format_examples(
        &self,
        specialist: &str,
        examples: &[FormatterExample],
    ) -> Result<Vec<Vec<Segment>>, PluginError>;

    /// The prompt for each problem.
    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError>;

    /// The program in a completion; `None` where there is none.
    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError>;
}

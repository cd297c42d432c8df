//! A prompt formatter: the text a model reads and learns, and which of it is trained on.

use super::{PluginError, PluginIdentity};
use crate::dataset::{Conversation, Domain, Message, PolicyExample, ProblemText};

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

/// Something to learn from as a formatter takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatterLesson {
    /// A solved problem.
    Solved(FormatterExample),
    /// A conversation.
    Conversation(Conversation),
    /// A case under a policy.
    Policy(PolicyExample),
}

impl FormatterLesson {
    /// What messages call it.
    pub fn id(&self) -> &str {
        match self {
            Self::Solved(example) => &example.problem.id,
            Self::Conversation(conversation) => &conversation.id,
            Self::Policy(example) => &example.id,
        }
    }
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

    /// The sequence to train on for each lesson.
    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Segment>>, PluginError>;

    /// The same lessons as chat messages, for a model's own template; the last message is the assistant's.
    fn compose_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Message>>, PluginError>;

    /// The prompt for each problem.
    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError>;

    /// The program in a completion; `None` where there is none.
    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError>;
}

//! A prompt formatter: the text a model reads and learns, and which of it is trained on.

use super::{PluginError, PluginIdentity};
use crate::dataset::{Conversation, Domain, Message, PolicyExample, ProblemText, Role, Segment};

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

/// What a model is asked or learns, in both forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// As chat messages: what a chat endpoint and a model's own template take.
    pub messages: Vec<Message>,
    /// The same messages as the formatter lays them out: what is tokenized.
    pub segments: Vec<Segment>,
}

/// Lays out prompts and training sequences.
pub trait PromptFormatter: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// The texts at which a completion ends, each a special token of the model.
    fn stop_sequences(&self) -> Result<Vec<String>, PluginError>;

    /// The sequence to train on for each lesson; the last message is the assistant's.
    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError>;

    /// The prompt for each problem; none of it is trained on.
    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError>;

    /// The prompt that each of these lists of messages is, laid out as a conversation that is learned from begins, with the
    /// assistant's turn opened.
    fn format_messages(&self, specialist: &str, prompts: &[Vec<Message>]) -> Result<Vec<Sequence>, PluginError> {
        // Nothing but the beginning of a lesson is of use, and that does not depend on its answer.
        let answered = |(number, messages): (usize, &Vec<Message>)| {
            let answer = Message::new(Role::Assistant, "answer");
            FormatterLesson::Conversation(Conversation {
                id: format!("prompt {number}"),
                messages: messages.iter().cloned().chain([answer]).collect(),
                tools: Vec::new(),
                tags: Vec::new(),
                difficulty: None,
            })
        };
        let lessons: Vec<FormatterLesson> = prompts.iter().enumerate().map(answered).collect();
        let sequences = self.format_lessons(specialist, &lessons)?;
        let prompt = |mut sequence: Sequence| {
            sequence.segments = sequence.segments.into_iter().take_while(|segment| !segment.trained).collect();
            sequence.messages.pop();
            sequence
        };
        Ok(sequences.into_iter().map(prompt).collect())
    }

    /// Whether the messages are laid out by a chat template of the model, and not by the plugin.
    fn lays_out_by_template(&self) -> bool {
        false
    }

    /// The program in a completion; `None` where there is none.
    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError>;
}

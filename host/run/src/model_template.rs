//! The model's own chat template in the place of the formatter's layout: the formatter composes the messages and finds
//! the program in an answer, the template lays the messages out.

use hilora_contract::dataset::{Conversation, Message, ProblemText, Role};
use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity, PromptFormatter, Sequence};
use hilora_model::{ChatTemplate, Dialogue, ModelError};

/// What begins a thought, in a template's prompt or in an answer.
const THOUGHT_BEGIN: &str = "<think>";
/// What ends a thought; the answer follows it.
const THOUGHT_END: &str = "</think>";

/// A formatter whose messages a model's template lays out.
pub(crate) struct ModelTemplateFormatter {
    formatter: Box<dyn PromptFormatter>,
    template: ChatTemplate,
    /// Whether the prompt ends within a thought, so that answers begin in it.
    opens_thought: bool,
}

impl ModelTemplateFormatter {
    /// Puts the template before the formatter.
    pub(crate) fn new(formatter: Box<dyn PromptFormatter>, template: ChatTemplate) -> Self {
        let question = [Message::new(Role::User, "question")];
        // A template that cannot lay this out says so where it is asked for a prompt.
        let prompt = template.lay_out_prompt(&question).unwrap_or_default();
        let opens_thought = prompt.last().is_some_and(|end| end.text.trim_end().ends_with(THOUGHT_BEGIN));
        Self { formatter, template, opens_thought }
    }

    fn refusal(&self, of: &str, error: &ModelError) -> PluginError {
        PluginError::Refused { plugin: self.identity().clone(), message: format!("{of}: {error}") }
    }
}

impl PromptFormatter for ModelTemplateFormatter {
    fn identity(&self) -> &PluginIdentity {
        self.formatter.identity()
    }

    /// The token that the template ends a turn with; the formatter's own stops may be no tokens of this model.
    fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
        let end = self.template.turn_end(&self.formatter.stop_sequences()?);
        Ok(vec![end.map_err(|error| self.refusal("the end of a turn", &error))?])
    }

    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
        let ends = self.formatter.stop_sequences()?;
        let composed: Vec<FormatterLesson> = lessons.iter().map(without_tools).collect();
        let sequences = self.formatter.format_lessons(specialist, &composed)?;
        let lay_out = |(lesson, sequence): (&FormatterLesson, Sequence)| {
            let (reasoning, tools): (_, &[String]) = match lesson {
                FormatterLesson::Solved(example) => (example.reasoning.as_deref(), &[]),
                FormatterLesson::Conversation(conversation) => (None, &conversation.tools),
                FormatterLesson::Policy(_) => (None, &[]),
            };
            let dialogue = Dialogue { messages: &sequence.messages, tools };
            let segments = self.template.lay_out_lesson(dialogue, reasoning, &ends);
            let segments = segments.map_err(|error| self.refusal(lesson.id(), &error))?;
            Ok(Sequence { segments, ..sequence })
        };
        lessons.iter().zip(sequences).map(lay_out).collect()
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        let prompts = self.formatter.format_prompts(specialist, problems)?;
        let lay_out = |(problem, prompt): (&ProblemText, Sequence)| {
            let segments = self.template.lay_out_prompt(&prompt.messages);
            let segments = segments.map_err(|error| self.refusal(&problem.id, &error))?;
            Ok(Sequence { segments, ..prompt })
        };
        problems.iter().zip(prompts).map(lay_out).collect()
    }

    fn format_messages(&self, _specialist: &str, prompts: &[Vec<Message>]) -> Result<Vec<Sequence>, PluginError> {
        let lay_out = |messages: &Vec<Message>| {
            let segments = self.template.lay_out_prompt(messages);
            let segments = segments.map_err(|error| self.refusal("a benchmark's prompt", &error))?;
            Ok(Sequence { segments, messages: messages.clone() })
        };
        prompts.iter().map(lay_out).collect()
    }

    fn lays_out_by_template(&self) -> bool {
        true
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        answer_of(completion, self.opens_thought).map_or(Ok(None), |answer| self.formatter.extract_solution(answer))
    }
}

/// A lesson as the formatter composes it: tools are told by the template, and once is enough.
fn without_tools(lesson: &FormatterLesson) -> FormatterLesson {
    match lesson.clone() {
        FormatterLesson::Conversation(conversation) => {
            FormatterLesson::Conversation(Conversation { tools: Vec::new(), ..conversation })
        }
        other => other,
    }
}

/// What follows the thought that a completion begins in, or begins itself; `None` if the thought was cut off.
fn answer_of(completion: &str, opens_thought: bool) -> Option<&str> {
    match opens_thought || completion.trim_start().starts_with(THOUGHT_BEGIN) {
        true => completion.split_once(THOUGHT_END).map(|(_, answer)| answer),
        false => Some(completion),
    }
}

#[cfg(test)]
mod tests {
    use super::answer_of;

    #[test]
    fn a_thought_is_no_answer() {
        for (completion, opens_thought, answer) in [
            ("hm</think>4", true, Some("4")),
            ("<think>hm</think>4", true, Some("4")),
            ("draft, cut off", true, None),
            ("<think>hm</think>4", false, Some("4")),
            ("\n<think>draft, cut off", false, None),
            ("4", false, Some("4")),
            ("print('</think>')", false, Some("print('</think>')")),
        ] {
            assert_eq!(answer_of(completion, opens_thought), answer, "{completion:?}");
        }
    }
}

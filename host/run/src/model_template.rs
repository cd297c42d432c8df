//! The model's own chat template in the place of the formatter's layout: the formatter composes the messages and finds
//! the program in an answer, the template lays the messages out.

use hilora_contract::dataset::ProblemText;
use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity, PromptFormatter, Sequence};
use hilora_model::{ChatTemplate, ModelError};

/// What ends a thought; the answer follows it.
const THOUGHT_END: &str = "</think>";

/// A formatter whose messages a model's template lays out.
pub(crate) struct ModelTemplateFormatter {
    formatter: Box<dyn PromptFormatter>,
    template: ChatTemplate,
}

impl ModelTemplateFormatter {
    /// Puts the template before the formatter.
    pub(crate) fn new(formatter: Box<dyn PromptFormatter>, template: ChatTemplate) -> Self {
        Self { formatter, template }
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
        let sequences = self.formatter.format_lessons(specialist, lessons)?;
        let lay_out = |(lesson, sequence): (&FormatterLesson, Sequence)| {
            let reasoning = match lesson {
                FormatterLesson::Solved(example) => example.reasoning.as_deref(),
                FormatterLesson::Conversation(_) | FormatterLesson::Policy(_) => None,
            };
            let segments = self.template.lay_out_lesson(&sequence.messages, reasoning, &ends);
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

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        let answer = completion.rsplit_once(THOUGHT_END).map_or(completion, |(_, answer)| answer);
        self.formatter.extract_solution(answer)
    }
}

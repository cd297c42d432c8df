//! The model's own chat template in the place of the formatter's layout: the formatter composes the messages and finds
//! the program in an answer, the template lays the messages out.

use hilora_contract::dataset::{Message, ProblemText, Role};
use hilora_contract::plugin::{
    FormatterLesson, PluginError, PluginIdentity, Prompt, PromptFormatter, Segment, SegmentKind,
};
use hilora_model::{ChatTemplate, LaidOut, ModelError};

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
        let say = |role, content: &str| Message { role, content: content.to_owned() };
        let turn = [say(Role::User, "question"), say(Role::Assistant, "answer")];
        let pieces = self
            .template
            .lay_out_lesson(&turn, None, &self.formatter.stop_sequences()?)
            .map_err(|error| self.refusal("the end of a turn", &error))?;
        let ends = pieces.iter().rev().find(|piece| piece.control && piece.trained);
        Ok(ends.map(|piece| piece.text.trim().to_owned()).into_iter().collect())
    }

    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Segment>>, PluginError> {
        let ends = self.formatter.stop_sequences()?;
        let composed = self.formatter.compose_lessons(specialist, lessons)?;
        let lay_out = |(lesson, messages): (&FormatterLesson, &Vec<Message>)| {
            let reasoning = match lesson {
                FormatterLesson::Solved(example) => example.reasoning.as_deref(),
                FormatterLesson::Conversation(_) | FormatterLesson::Policy(_) => None,
            };
            let pieces = self.template.lay_out_lesson(messages, reasoning, &ends);
            pieces.map(segments).map_err(|error| self.refusal(lesson.id(), &error))
        };
        lessons.iter().zip(&composed).map(lay_out).collect()
    }

    fn compose_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Message>>, PluginError> {
        self.formatter.compose_lessons(specialist, lessons)
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError> {
        let prompts = self.formatter.format_prompts(specialist, problems)?;
        let lay_out = |(problem, prompt): (&ProblemText, Prompt)| {
            let pieces = self.template.lay_out_prompt(&prompt.messages);
            let segments = pieces.map(segments).map_err(|error| self.refusal(&problem.id, &error))?;
            Ok(Prompt { segments, ..prompt })
        };
        problems.iter().zip(prompts).map(lay_out).collect()
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        let answer = completion.rsplit_once(THOUGHT_END).map_or(completion, |(_, answer)| answer);
        self.formatter.extract_solution(answer)
    }
}

fn segments(pieces: Vec<LaidOut>) -> Vec<Segment> {
    let segment = |piece: LaidOut| Segment {
        text: piece.text,
        kind: if piece.control { SegmentKind::Control } else { SegmentKind::Content },
        trained: piece.trained,
    };
    pieces.into_iter().map(segment).collect()
}

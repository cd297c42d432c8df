//! Prompt formatters over components. The loss mask comes from the plugin, so what it must not do is checked here: a
//! prompt that is trained on, an example without anything to learn.

use wasmtime::Store;

use super::bindings::prompt_formatter::PromptFormatterPre;
use super::bindings::prompt_formatter::exports::hilora::plugin::formatter as wit;
use super::bindings::types;
use super::classifier::{batch_name, item_name};
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::dataset::{Action, Message, ProblemText, Role};
use hilora_contract::plugin::{
    FormatterLesson, PluginError, PluginIdentity, Prompt, PromptFormatter, Segment, SegmentKind,
};

/// A prompt formatter in a component.
pub(super) struct ComponentFormatter {
    plugin: LoadedPlugin,
    world: PromptFormatterPre<GuestState>,
}

impl ComponentFormatter {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        Ok(Self { world: PromptFormatterPre::new(plugin.instance.clone())?, plugin })
    }

    fn refusal(&self, error: wit::FormatError, ids: &[&str]) -> PluginError {
        self.plugin.refused(&match error {
            wit::FormatError::Rejected((index, why)) => format!("{}: {why}", item_name(ids, index)),
            wit::FormatError::UnknownSpecialist(name) => {
                format!("no layout is known for the specialist `{name}`; hint: see `specialist.type` in the config")
            }
        })
    }

    fn segments_batch(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Segment>>, PluginError> {
        let call = "format-lessons";
        let (ids, asked) = asked(lessons);
        let answer = self.plugin.call(call, batch_name(&ids), async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_lessons(store, specialist, &asked).await
        })?;
        let sequences = answer.map_err(|error| self.refusal(error, &ids))?;
        self.plugin.check_count(call, lessons.len(), sequences.len())?;
        for (id, sequence) in ids.iter().zip(&sequences) {
            if !sequence.iter().any(|segment| segment.trained && !segment.text.is_empty()) {
                let row = Some(format!("`{id}`"));
                return Err(self.plugin.contract(call, row, "expected a segment to train on, got none".to_owned()));
            }
        }
        Ok(sequences.into_iter().map(|sequence| sequence.into_iter().map(Segment::from).collect()).collect())
    }

    fn messages_batch(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Message>>, PluginError> {
        let call = "compose-lessons";
        let (ids, asked) = asked(lessons);
        let answer = self.plugin.call(call, batch_name(&ids), async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_compose_lessons(store, specialist, &asked).await
        })?;
        let composed = answer.map_err(|error| self.refusal(error, &ids))?;
        self.plugin.check_count(call, lessons.len(), composed.len())?;
        for (id, messages) in ids.iter().zip(&composed) {
            if messages.last().is_none_or(|last| last.role != types::Role::Assistant || last.content.is_empty()) {
                let message = "expected messages that end with the assistant's, got none to learn".to_owned();
                return Err(self.plugin.contract(call, Some(format!("`{id}`")), message));
            }
        }
        Ok(composed.into_iter().map(|messages| messages.into_iter().map(Message::from).collect()).collect())
    }

    fn prompts_batch(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError> {
        let texts: Vec<types::ProblemText> = problems.iter().map(types::ProblemText::from).collect();
        let ids: Vec<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
        let call = "format-prompts";
        let answer = self.plugin.call(call, batch_name(&ids), async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_prompts(store, specialist, &texts).await
        })?;
        let prompts = answer.map_err(|error| self.refusal(error, &ids))?;
        self.plugin.check_count(call, problems.len(), prompts.len())?;
        for (problem, prompt) in problems.iter().zip(&prompts) {
            let row = || Some(format!("`{}`", problem.id));
            if prompt.segments.iter().any(|segment| segment.trained) {
                let message = "expected a prompt without trained segments, got one".to_owned();
                return Err(self.plugin.contract(call, row(), message));
            }
            if prompt.segments.iter().all(|segment| segment.text.is_empty()) {
                return Err(self.plugin.contract(call, row(), "expected a prompt, got an empty one".to_owned()));
            }
        }
        Ok(prompts.into_iter().map(Prompt::from).collect())
    }
}

/// The lessons as the interface takes them, and what messages call each.
fn asked(lessons: &[FormatterLesson]) -> (Vec<&str>, Vec<wit::Lesson>) {
    (lessons.iter().map(FormatterLesson::id).collect(), lessons.iter().map(wit::Lesson::from).collect())
}

impl From<&FormatterLesson> for wit::Lesson {
    fn from(lesson: &FormatterLesson) -> Self {
        match lesson {
            FormatterLesson::Solved(example) => Self::Solved(wit::Example {
                problem: types::ProblemText::from(&example.problem),
                reasoning: example.reasoning.clone(),
                solution: example.solution.clone(),
                domain: example.domain.0.clone(),
            }),
            FormatterLesson::Conversation(conversation) => Self::Conversation(types::Conversation {
                id: conversation.id.clone(),
                messages: conversation.messages.iter().map(types::Message::from).collect(),
                tags: conversation.tags.clone(),
                difficulty: conversation.difficulty.clone(),
            }),
            FormatterLesson::Policy(example) => Self::Policy(types::PolicyExample {
                id: example.id.clone(),
                instruction: example.instruction.clone(),
                policy: example.policy.clone(),
                actions: example.actions.iter().map(types::Action::from).collect(),
                outputs: example.outputs.clone(),
                tags: example.tags.clone(),
                difficulty: example.difficulty.clone(),
            }),
        }
    }
}

impl From<&Message> for types::Message {
    fn from(message: &Message) -> Self {
        let role = match message.role {
            Role::System => types::Role::System,
            Role::User => types::Role::User,
            Role::Assistant => types::Role::Assistant,
        };
        Self { role, content: message.content.clone() }
    }
}

impl From<&Action> for types::Action {
    fn from(action: &Action) -> Self {
        Self { name: action.name.clone(), arguments: action.arguments.clone() }
    }
}

impl From<wit::Segment> for Segment {
    fn from(segment: wit::Segment) -> Self {
        let kind = match segment.kind {
            wit::SegmentKind::Control => SegmentKind::Control,
            wit::SegmentKind::Content => SegmentKind::Content,
        };
        Self { text: segment.text, kind, trained: segment.trained }
    }
}

impl From<wit::Prompt> for Prompt {
    fn from(prompt: wit::Prompt) -> Self {
        Self {
            messages: prompt.messages.into_iter().map(Message::from).collect(),
            segments: prompt.segments.into_iter().map(Segment::from).collect(),
        }
    }
}

impl PromptFormatter for ComponentFormatter {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
        let stops = self.plugin.call("stop-sequences", None, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_stop_sequences(store).await
        })?;
        if stops.is_empty() || stops.iter().any(String::is_empty) {
            let message = format!("expected texts to stop at, got {stops:?}");
            return Err(self.plugin.contract("stop-sequences", None, message));
        }
        Ok(stops)
    }

    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Segment>>, PluginError> {
        self.plugin.locate(lessons, self.segments_batch(specialist, lessons), |lesson| {
            self.segments_batch(specialist, std::slice::from_ref(lesson))
        })
    }

    fn compose_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Vec<Message>>, PluginError> {
        self.plugin.locate(lessons, self.messages_batch(specialist, lessons), |lesson| {
            self.messages_batch(specialist, std::slice::from_ref(lesson))
        })
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError> {
        self.plugin.locate(problems, self.prompts_batch(specialist, problems), |problem| {
            self.prompts_batch(specialist, std::slice::from_ref(problem))
        })
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        self.plugin.call("extract-solution", None, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_extract_solution(store, completion).await
        })
    }
}

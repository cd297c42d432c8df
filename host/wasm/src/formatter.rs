//! Prompt formatters over components. The loss mask comes from the plugin, so what it must not do is checked here: a
//! prompt that is trained on, a lesson without anything to learn.

use wasmtime::Store;

use super::answer::{NAME_CHARACTERS_MAX, SEQUENCES_BYTES_MAX, WORDS_BYTES_MAX, shortened, shortened_name};
use super::bindings::prompt_formatter::PromptFormatterPre;
use super::bindings::prompt_formatter::exports::hilora::plugin::formatter as wit;
use super::bindings::types;
use super::classifier::{batch_name, item_name};
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use super::messages;
use hilora_contract::dataset::{ProblemText, Segment, SegmentKind};
use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity, PromptFormatter, Sequence};

/// The most texts at which a completion ends. Each is one token of a model; no template has so many.
const STOPS_MAX: usize = 64;

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
            wit::FormatError::Rejected((index, why)) => format!("{}: {}", item_name(ids, index), shortened(&why)),
            wit::FormatError::UnknownSpecialist(name) => {
                let name = shortened_name(&name);
                format!("no layout is known for the specialist `{name}`; hint: see `specialist.type` in the config")
            }
        })
    }

    fn lessons_batch(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
        let call = "format-lessons";
        let ids: Vec<&str> = lessons.iter().map(FormatterLesson::id).collect();
        let asked: Vec<wit::Lesson> = lessons.iter().map(wit::Lesson::from).collect();
        let format = async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_lessons(store, specialist, &asked).await
        };
        let answer = self.plugin.call(call, batch_name(&ids), SEQUENCES_BYTES_MAX, format)?;
        let sequences = answer.map_err(|error| self.refusal(error, &ids))?;
        self.plugin.check_count(call, lessons.len(), sequences.len())?;
        let checked = |(id, sequence): (&&str, wit::Sequence)| {
            lesson(sequence).map_err(|message| self.plugin.contract(call, Some(format!("`{id}`")), message))
        };
        ids.iter().zip(sequences).map(checked).collect()
    }

    fn prompts_batch(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        let texts: Vec<types::ProblemText> = problems.iter().map(types::ProblemText::from).collect();
        let ids: Vec<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
        let call = "format-prompts";
        let format = async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_prompts(store, specialist, &texts).await
        };
        let answer = self.plugin.call(call, batch_name(&ids), SEQUENCES_BYTES_MAX, format)?;
        let prompts = answer.map_err(|error| self.refusal(error, &ids))?;
        self.plugin.check_count(call, problems.len(), prompts.len())?;
        let checked = |(id, sequence): (&&str, wit::Sequence)| {
            prompt(sequence).map_err(|message| self.plugin.contract(call, Some(format!("`{id}`")), message))
        };
        ids.iter().zip(prompts).map(checked).collect()
    }
}

/// The sequence of a lesson, or what is wrong with it.
fn lesson(sequence: wit::Sequence) -> Result<Sequence, String> {
    if !sequence.segments.iter().any(|segment| segment.trained && !segment.text.is_empty()) {
        return Err("expected a segment to train on, got none".to_owned());
    }
    let messages = messages::all_checked(sequence.messages)?;
    match messages.last().is_some_and(|last| last.texts().any(|text| !text.is_empty())) {
        true => Ok(Sequence { messages, segments: segments(sequence.segments) }),
        false => Err("expected an answer to learn, got an empty one".to_owned()),
    }
}

/// The sequence of a prompt, or what is wrong with it.
fn prompt(sequence: wit::Sequence) -> Result<Sequence, String> {
    if sequence.segments.iter().any(|segment| segment.trained) {
        return Err("expected a prompt without trained segments, got one".to_owned());
    }
    if sequence.segments.iter().all(|segment| segment.text.is_empty()) {
        return Err("expected a prompt, got an empty one".to_owned());
    }
    let messages = sequence.messages.into_iter().map(messages::checked).collect::<Result<_, _>>()?;
    Ok(Sequence { messages, segments: segments(sequence.segments) })
}

fn segments(segments: Vec<wit::Segment>) -> Vec<Segment> {
    segments.into_iter().map(Segment::from).collect()
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
                tools: conversation.tools.clone(),
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

impl From<wit::Segment> for Segment {
    fn from(segment: wit::Segment) -> Self {
        let kind = match segment.kind {
            wit::SegmentKind::Control => SegmentKind::Control,
            wit::SegmentKind::Content => SegmentKind::Content,
        };
        Self { text: segment.text, kind, trained: segment.trained }
    }
}

impl PromptFormatter for ComponentFormatter {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
        let stops =
            self.plugin.call("stop-sequences", None, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
                let instance = self.world.instantiate_async(&mut *store).await?;
                instance.hilora_plugin_formatter().call_stop_sequences(store).await
            })?;
        let wrong = |message| Err(self.plugin.contract("stop-sequences", None, message));
        if !(1..=STOPS_MAX).contains(&stops.len()) {
            return wrong(format!("expected 1 to {STOPS_MAX} texts to stop at, got {}", stops.len()));
        }
        match stops.iter().find(|stop| !(1..=NAME_CHARACTERS_MAX).contains(&stop.chars().count())) {
            None => Ok(stops),
            Some(stop) => wrong(format!(
                "expected texts to stop at of 1 to {NAME_CHARACTERS_MAX} characters, got one of {}",
                stop.chars().count()
            )),
        }
    }

    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
        self.plugin.locate(lessons, self.lessons_batch(specialist, lessons), |lesson| {
            self.lessons_batch(specialist, std::slice::from_ref(lesson))
        })
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        self.plugin.locate(problems, self.prompts_batch(specialist, problems), |problem| {
            self.prompts_batch(specialist, std::slice::from_ref(problem))
        })
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        let call = "extract-solution";
        let bytes_max = completion.len();
        let extract = async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_extract_solution(store, completion).await
        };
        let solution = self.plugin.call(call, None, bytes_max as u64, extract)?;
        // The store's bound is never below what a guest may write to an output.
        match solution.as_ref().map(String::len).filter(|bytes| *bytes > bytes_max) {
            Some(bytes) => {
                let message = format!("expected a part of a completion of {bytes_max} bytes, got {bytes} bytes");
                Err(self.plugin.contract(call, None, message))
            }
            None => Ok(solution),
        }
    }
}

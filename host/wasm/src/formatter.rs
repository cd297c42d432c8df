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
use hilora_contract::dataset::{Action, Message, ProblemText, Segment, SegmentKind};
use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity, PromptFormatter, Sequence};

/// A sequence may have so many times the text that it is made of.
const TEXT_FACTOR: usize = 16;
/// And so many bytes beside it: what is said to a model before each question.
const TEXT_BYTES_LEAST: usize = 256 << 10;

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
        let checked = |(asked, sequence): (&FormatterLesson, wit::Sequence)| {
            let lesson = check_size(lesson_bytes(asked), &sequence).and_then(|()| lesson(sequence));
            lesson.map_err(|message| self.plugin.contract(call, Some(format!("`{}`", asked.id())), message))
        };
        lessons.iter().zip(sequences).map(checked).collect()
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
        let checked = |(asked, sequence): (&ProblemText, wit::Sequence)| {
            let prompt = check_size(problem_bytes(asked), &sequence).and_then(|()| prompt(sequence));
            prompt.map_err(|message| self.plugin.contract(call, Some(format!("`{}`", asked.id)), message))
        };
        problems.iter().zip(prompts).map(checked).collect()
    }
}

/// Refuses a sequence that is out of all proportion to what it is made of: a data set of them would fill any memory.
fn check_size(asked: usize, sequence: &wit::Sequence) -> Result<(), String> {
    let bytes_max = asked.saturating_mul(TEXT_FACTOR).saturating_add(TEXT_BYTES_LEAST);
    // A segment takes memory beside its text.
    let segments = sequence.segments.iter().map(|segment| segment.text.len() + size_of::<Segment>());
    let messages = sequence.messages.iter().map(|message| {
        let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
        let reasoning = message.reasoning.as_ref().map_or(0, String::len);
        size_of::<Message>() + message.content.len() + reasoning + calls.sum::<usize>()
    });
    match segments.chain(messages).sum::<usize>() {
        bytes if bytes > bytes_max => {
            Err(format!("expected a sequence of at most {bytes_max} bytes for {asked} bytes of text, got {bytes}"))
        }
        _ => Ok(()),
    }
}

fn problem_bytes(problem: &ProblemText) -> usize {
    let tags: usize = problem.tags.iter().map(String::len).sum();
    problem.title.len() + problem.statement.len() + tags
}

fn lesson_bytes(lesson: &FormatterLesson) -> usize {
    let actions = |actions: &[Action]| actions.iter().map(|a| a.name.len() + a.arguments.len()).sum::<usize>();
    match lesson {
        FormatterLesson::Solved(example) => {
            let reasoning = example.reasoning.as_ref().map_or(0, String::len);
            problem_bytes(&example.problem) + reasoning + example.solution.len()
        }
        FormatterLesson::Conversation(conversation) => {
            let said = conversation.messages.iter().flat_map(Message::texts).map(str::len).sum::<usize>();
            said + conversation.tools.iter().map(String::len).sum::<usize>()
        }
        FormatterLesson::Policy(example) => {
            let outputs = example.outputs.iter().map(String::len).sum::<usize>();
            example.instruction.len() + example.policy.len() + actions(&example.actions) + outputs
        }
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
        self.plugin.in_calls(lessons, |lessons| {
            self.plugin.locate(lessons, self.lessons_batch(specialist, lessons), |lesson| {
                self.lessons_batch(specialist, std::slice::from_ref(lesson))
            })
        })
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        self.plugin.in_calls(problems, |problems| {
            self.plugin.locate(problems, self.prompts_batch(specialist, problems), |problem| {
                self.prompts_batch(specialist, std::slice::from_ref(problem))
            })
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

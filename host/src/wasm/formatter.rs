//! Prompt formatters over components. The loss mask comes from the plugin, so what it must not do is checked here: a
//! prompt that is trained on, an example without anything to learn.

use wasmtime::Store;

use super::bindings::prompt_formatter::PromptFormatterPre;
use super::bindings::prompt_formatter::exports::hilora::plugin::formatter as wit;
use super::bindings::types;
use super::classifier::{batch_name, item_name};
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use crate::dataset::ProblemText;
use crate::plugin::{
    FormatterExample, Message, PluginError, PluginIdentity, Prompt, PromptFormatter, Role, Segment, SegmentKind,
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

    fn refusal(&self, error: wit::FormatError, problems: &[ProblemText]) -> PluginError {
        self.plugin.refused(&match error {
            wit::FormatError::Rejected((index, why)) => format!("{}: {why}", item_name(problems, index)),
            wit::FormatError::UnknownSpecialist(name) => {
                format!("no layout is known for the specialist `{name}`; hint: see `specialist.type` in the config")
            }
        })
    }

    fn examples_batch(
        &self,
        specialist: &str,
        examples: &[FormatterExample],
    ) -> Result<Vec<Vec<Segment>>, PluginError> {
        let problems: Vec<ProblemText> = examples.iter().map(|example| example.problem.clone()).collect();
        let asked: Vec<wit::Example> = examples
            .iter()
            .map(|example| wit::Example {
                problem: types::ProblemText::from(&example.problem),
                reasoning: example.reasoning.clone(),
                solution: example.solution.clone(),
                domain: example.domain.0.clone(),
            })
            .collect();
        let call = "format-examples";
        let answer = self.plugin.call(call, batch_name(&problems), async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_examples(store, specialist, &asked).await
        })?;
        let sequences = answer.map_err(|error| self.refusal(error, &problems))?;
        self.plugin.check_count(call, examples.len(), sequences.len())?;
        for (problem, sequence) in problems.iter().zip(&sequences) {
            if !sequence.iter().any(|segment| segment.trained && !segment.text.is_empty()) {
                let row = Some(format!("problem {}", problem.id));
                return Err(self.plugin.contract(call, row, "expected a segment to train on, got none".to_owned()));
            }
        }
        Ok(sequences.into_iter().map(|sequence| sequence.into_iter().map(Segment::from).collect()).collect())
    }

    fn prompts_batch(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Prompt>, PluginError> {
        let texts: Vec<types::ProblemText> = problems.iter().map(types::ProblemText::from).collect();
        let call = "format-prompts";
        let answer = self.plugin.call(call, batch_name(problems), async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_formatter().call_format_prompts(store, specialist, &texts).await
        })?;
        let prompts = answer.map_err(|error| self.refusal(error, problems))?;
        self.plugin.check_count(call, problems.len(), prompts.len())?;
        for (problem, prompt) in problems.iter().zip(&prompts) {
            let row = || Some(format!("problem {}", problem.id));
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
        let message = |message: wit::Message| Message {
            role: match message.role {
                wit::Role::System => Role::System,
                wit::Role::User => Role::User,
                wit::Role::Assistant => Role::Assistant,
            },
            content: message.content,
        };
        Self {
            messages: prompt.messages.into_iter().map(message).collect(),
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

    fn format_examples(
        &self,
        specialist: &str,
        examples: &[FormatterExample],
    ) -> Result<Vec<Vec<Segment>>, PluginError> {
        self.plugin.locate(examples, self.examples_batch(specialist, examples), |example| {
            self.examples_batch(specialist, std::slice::from_ref(example))
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

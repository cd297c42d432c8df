//! Sampling: a prompt for each problem, n completions for each prompt.
//!
//! What is drawn depends on the seed, the problem's id and the sample's number alone: not on the other problems, their
//! order or the size of a batch. A prompt that leaves no room for an answer in the model's context is not cut; it is
//! said to be too long.

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::ProblemText;
use hilora_contract::plugin::{Prompt, PromptFormatter, Segment, SegmentKind};
use hilora_model::{Adapter, GenerationOptions, GenerationRequest, Model, Tokenizer, generate};

use super::{EvaluationConfig, EvaluatorError};

/// Prompts that one call hands to the formatter.
const PROMPTS_PER_CALL: usize = 64;

/// A prompt to complete.
#[derive(Debug, Clone)]
pub struct SampleRequest<'a> {
    /// The prompt, as the formatter lays it out.
    pub segments: &'a [Segment],
    /// Names the random stream.
    pub stream: u64,
}

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionEnd {
    /// At a stop token.
    Stopped,
    /// At the most tokens an answer may have.
    Cut,
    /// It never began: the model's context has no room for prompt and answer.
    PromptTooLong,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens.
    pub tokens: u64,
    /// How it ended.
    pub end: CompletionEnd,
}

/// Completes prompts.
pub trait Generator {
    /// One completion for each request, in their order. `on_done` hears how many more are done.
    fn generate(
        &self,
        requests: &[SampleRequest<'_>],
        on_done: &dyn Fn(usize),
    ) -> Result<Vec<Completion>, EvaluatorError>;
}

/// A model, with or without an adapter, as a generator.
pub struct ModelGenerator<'a> {
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    tokenizer: &'a Tokenizer,
    options: GenerationOptions,
    stop: Vec<u32>,
    batch_rows_max: usize,
}

impl<'a> ModelGenerator<'a> {
    /// A generator that draws as the config says and stops where the formatter says.
    pub fn new(
        model: &'a Model,
        adapter: Option<&'a Adapter>,
        tokenizer: &'a Tokenizer,
        formatter: &dyn PromptFormatter,
        config: &EvaluationConfig,
        seed: u64,
        batch_rows_max: usize,
    ) -> Result<Self, EvaluatorError> {
        let stop = stop_tokens(tokenizer, formatter)?;
        let options = GenerationOptions {
            max_new_tokens: config.max_new_tokens,
            temperature: config.temperature,
            top_p: config.top_p,
            seed,
        };
        Ok(Self { model, adapter, tokenizer, options, stop, batch_rows_max })
    }
}

impl Generator for ModelGenerator<'_> {
    fn generate(
        &self,
        requests: &[SampleRequest<'_>],
        on_done: &dyn Fn(usize),
    ) -> Result<Vec<Completion>, EvaluatorError> {
        let context = self.model.config().max_position_embeddings;
        let mut fitting = Vec::new();
        let mut fits = Vec::new();
        for request in requests {
            let prompt = prompt_tokens(self.tokenizer, request.segments)?;
            let fit = prompt.len() + self.options.max_new_tokens <= context;
            fits.push(fit);
            if fit {
                fitting.push(GenerationRequest { prompt, stream: request.stream });
            } else {
                on_done(1);
            }
        }
        let generations =
            generate(self.model, self.adapter, &fitting, &self.options, &self.stop, self.batch_rows_max, on_done)?;
        if generations.len() != fitting.len() {
            let what = "completions from the model".to_owned();
            return Err(EvaluatorError::Count { what, expected: fitting.len(), got: generations.len() });
        }
        let mut generations = generations.into_iter();
        fits.into_iter()
            .map(|fit| match fit.then(|| generations.next()).flatten() {
                None => Ok(Completion { text: String::new(), tokens: 0, end: CompletionEnd::PromptTooLong }),
                Some(generation) => Ok(Completion {
                    text: self.tokenizer.decode(&generation.tokens)?,
                    tokens: generation.tokens.len() as u64,
                    end: if generation.finished { CompletionEnd::Stopped } else { CompletionEnd::Cut },
                }),
            })
            .collect()
    }
}

/// The tokens of a prompt: control text may spell special tokens, content never does.
pub fn prompt_tokens(tokenizer: &Tokenizer, segments: &[Segment]) -> Result<Vec<u32>, EvaluatorError> {
    let mut tokens = Vec::new();
    for segment in segments {
        tokens.extend(match segment.kind {
            SegmentKind::Control => tokenizer.encode_control(&segment.text)?,
            SegmentKind::Content => tokenizer.encode_content(&segment.text)?,
        });
    }
    Ok(tokens)
}

/// The tokens at which a completion ends.
pub fn stop_tokens(tokenizer: &Tokenizer, formatter: &dyn PromptFormatter) -> Result<Vec<u32>, EvaluatorError> {
    let token = |stop: String| match tokenizer.token_id(&stop) {
        Some(token) => Ok(token),
        None => Err(EvaluatorError::UnknownStop { formatter: formatter.identity().clone(), stop }),
    };
    formatter.stop_sequences()?.into_iter().map(token).collect()
}

/// A prompt for each problem.
pub fn prompts(
    formatter: &dyn PromptFormatter,
    specialist: &str,
    problems: &[ProblemText],
) -> Result<Vec<Prompt>, EvaluatorError> {
    let mut prompts = Vec::with_capacity(problems.len());
    for part in problems.chunks(PROMPTS_PER_CALL) {
        let formatted = formatter.format_prompts(specialist, part)?;
        if formatted.len() != part.len() {
            let what = format!("prompts from {}", formatter.identity());
            return Err(EvaluatorError::Count { what, expected: part.len(), got: formatted.len() });
        }
        prompts.extend(formatted);
    }
    Ok(prompts)
}

/// The random stream of one sample: it follows the problem's id wherever the problem stands.
pub(super) fn stream(problem: &str, sample: u32) -> u64 {
    let hash = ContentHash::of_parts([problem.as_bytes(), &sample.to_le_bytes()]).to_string();
    u64::from_str_radix(&hash[..16], 16).expect("a hash is written in hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeFormatter, doubling_problem};
    use crate::small_model::{perturbed_adapter, small_model};
    use hilora_contract::dataset::Message;
    use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity};
    use serde_json::json;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    #[test]
    fn a_stream_follows_its_problem_and_sample() {
        let streams: std::collections::BTreeSet<u64> =
            ["a", "b"].iter().flat_map(|id| (0..3).map(|sample| stream(id, sample))).collect();
        assert_eq!(streams.len(), 6);
        // SHA-256 over (8-byte length, id, 8-byte length, 4-byte sample), by Python's hashlib.
        assert_eq!(stream("a", 1), 0x014f_398b_bae9_c5f8);
    }

    /// A tokenizer of single characters with the control token `<end>`.
    fn tokenizer() -> Result<Tokenizer, EvaluatorError> {
        let characters = "abcdefghijklmnopqrstuvwxyz0123456789:,.<> ";
        let mut vocabulary: BTreeMap<String, usize> =
            characters.chars().enumerate().map(|(id, character)| (character.to_string(), id)).collect();
        let (unknown, end) = (vocabulary.len(), vocabulary.len() + 1);
        vocabulary.insert("?".to_owned(), unknown);
        let special =
            json!({"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        let mut token = json!({"id": end, "content": "<end>"});
        token.as_object_mut().expect("an object").extend(special.as_object().expect("an object").clone());
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [token], "normalizer": null,
            "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
            "post_processor": null, "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"},
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("the file can be written");
        Ok(Tokenizer::load(folder.path())?)
    }

    fn content(text: &str) -> Vec<Segment> {
        vec![Segment { text: text.to_owned(), kind: SegmentKind::Content, trained: false }]
    }

    #[test]
    fn a_statement_cannot_spell_a_control_token() -> Result<(), EvaluatorError> {
        let tokenizer = tokenizer()?;
        let mut segments = content("a<end>");
        assert_eq!(prompt_tokens(&tokenizer, &segments)?.len(), 6);
        segments[0].kind = SegmentKind::Control;
        assert_eq!(prompt_tokens(&tokenizer, &segments)?.len(), 2);
        assert_eq!(stop_tokens(&tokenizer, &FakeFormatter::new())?, prompt_tokens(&tokenizer, &segments)?[1..]);
        Ok(())
    }

    #[test]
    fn completions_do_not_depend_on_batch_or_order_and_a_long_prompt_is_told() -> Result<(), EvaluatorError> {
        let (tokenizer, model, formatter) = (tokenizer()?, small_model(3)?, FakeFormatter::new());
        let adapter = perturbed_adapter(&model)?;
        let config = EvaluationConfig { max_new_tokens: 12, temperature: 1.0, ..EvaluationConfig::default() };
        let prompts = [content("print the sum"), content(&"x".repeat(117)), content("sort"), content("reverse a line")];
        let mut requests: Vec<SampleRequest<'_>> =
            prompts.iter().zip(1..).map(|(segments, stream)| SampleRequest { segments, stream }).collect();
        let complete = |requests: &[SampleRequest<'_>], adapter, rows| {
            let done = Cell::new(0);
            let generator = ModelGenerator::new(&model, adapter, &tokenizer, &formatter, &config, 5, rows)?;
            let completions = generator.generate(requests, &|more| done.set(done.get() + more))?;
            assert_eq!(done.get(), requests.len());
            Ok::<_, EvaluatorError>(completions)
        };
        let one = complete(&requests, None, 1)?;
        assert_eq!(one, complete(&requests, None, 64)?);
        assert_ne!(one, complete(&requests, Some(&adapter), 1)?);
        requests.reverse();
        let mut reversed = complete(&requests, None, 2)?;
        reversed.reverse();
        assert_eq!(one, reversed);
        // 117 tokens and room for 12 are more than the model's 128.
        let ends: Vec<bool> = one.iter().map(|completion| completion.end == CompletionEnd::PromptTooLong).collect();
        assert_eq!(ends, [false, true, false, false]);
        assert!(one[0].tokens > 0 && one[0].tokens <= 12);
        Ok(())
    }

    #[test]
    fn a_stop_sequence_must_be_a_token() -> Result<(), EvaluatorError> {
        struct OtherFormatter(FakeFormatter);
        impl PromptFormatter for OtherFormatter {
            fn identity(&self) -> &PluginIdentity {
                self.0.identity()
            }
            fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
                Ok(vec!["</s>".to_owned()])
            }
            fn format_lessons(&self, _: &str, _: &[FormatterLesson]) -> Result<Vec<Vec<Segment>>, PluginError> {
                Ok(Vec::new())
            }

            fn compose_lessons(&self, _: &str, _: &[FormatterLesson]) -> Result<Vec<Vec<Message>>, PluginError> {
                Ok(Vec::new())
            }
            fn format_prompts(&self, _: &str, _: &[ProblemText]) -> Result<Vec<Prompt>, PluginError> {
                Ok(Vec::new())
            }
            fn extract_solution(&self, _: &str) -> Result<Option<String>, PluginError> {
                Ok(None)
            }
        }
        let formatter = OtherFormatter(FakeFormatter::new());
        let error = stop_tokens(&tokenizer()?, &formatter).expect_err("`</s>` is no token");
        assert!(error.to_string().contains("ends a completion at `</s>`"), "{error}");
        assert!(matches!(
            prompts(&formatter, "python", &[doubling_problem("p").text]),
            Err(EvaluatorError::Count { .. })
        ));
        Ok(())
    }
}

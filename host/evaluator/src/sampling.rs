//! Sampling: a prompt for each problem, n completions for each prompt.
//!
//! The samples of a prompt read it once, and the engine decides what is computed when.
//!
//! What is drawn depends on the seed, the problem's id and the sample's number alone: not on the other problems, their
//! order or the size of a batch. A prompt that leaves no room for an answer in the model's context is not cut; it is
//! said to be too long.

use std::collections::BTreeMap;

use super::completion::{Completion, CompletionEnd};
use super::config::EvaluationConfig;
use super::error::EvaluatorError;
use super::generator::{CompletionSink, Generator, SampleRequest, TimedDecoder, TimedGenerator};
use super::latency::ModelDecoder;
use super::lost_answer::LostAnswer;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{ProblemText, Segment};
use hilora_contract::plugin::{PluginError, PromptFormatter, Sequence, second_look};
use hilora_engine::{
    self as engine, Engine, Event, Limits, ModelForward, Request, RequestId, SampleError, SamplingOptions,
};
use hilora_model::{Adapter, KeyValueBlocks, Model, Tokenizer};

/// Prompts that one call hands to the formatter.
const PROMPTS_PER_CALL: usize = 64;

/// Prompts of each call that are asked for twice.
const PROMPTS_ASKED_TWICE: usize = 2;

/// Tokens of one pass: a prompt is read in pieces of at most so many, beside the samples that decode.
const STEP_TOKENS_MAX: usize = 1_024;

/// What the cache of keys and values may take, unless a single sequence needs more.
const CACHE_BYTES_MAX: usize = 4 << 30;

/// A model, with or without an adapter, as a generator.
pub struct ModelGenerator<'a> {
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    tokenizer: &'a Tokenizer,
    options: SamplingOptions,
    batch_rows_max: usize,
}

/// A prompt and the requests that ask for its samples.
struct Prompt<'r> {
    segments: &'r [Segment],
    tokens: Vec<u32>,
    requests: Vec<usize>,
    streams: Vec<u64>,
}

impl<'a> ModelGenerator<'a> {
    /// A generator that draws as the config says and stops where the formatter says, and where the model itself ends a
    /// text.
    pub fn new(
        model: &'a Model,
        adapter: Option<&'a Adapter>,
        tokenizer: &'a Tokenizer,
        formatter: &dyn PromptFormatter,
        config: &EvaluationConfig,
        seed: u64,
        batch_rows_max: usize,
    ) -> Result<Self, EvaluatorError> {
        let mut stop = stop_tokens(tokenizer, formatter)?;
        for end in &model.config().eos_token_ids {
            if !stop.contains(end) {
                stop.push(*end);
            }
        }
        let options = SamplingOptions {
            max_new_tokens: config.max_new_tokens,
            temperature: config.temperature,
            top_p: config.top_p,
            top_k: config.top_k as usize,
            min_p: config.min_p,
            repetition_penalty: config.repetition_penalty,
            seed,
            top_log_probabilities: config.log_probabilities.then_some(0),
            stop_tokens: stop,
            stop_strings: config.stop.clone(),
        };
        Ok(Self { model, adapter, tokenizer, options, batch_rows_max })
    }

    /// The prompts that fit, each once for all of the samples that are asked for one after another; the sink is told of
    /// those that do not. `None` if it wants no more.
    fn prompts<'r>(
        &self,
        requests: &[SampleRequest<'r>],
        sink: &mut dyn CompletionSink,
    ) -> Result<Option<Vec<Prompt<'r>>>, EvaluatorError> {
        let mut prompts: Vec<Prompt<'r>> = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            if !sink.wants_more() {
                return Ok(None);
            }
            let same = prompts.last_mut().filter(|prompt| prompt.segments == request.segments);
            if let Some(prompt) = same {
                prompt.requests.push(index);
                prompt.streams.push(request.stream);
                continue;
            }
            match self.prompt_tokens(request.segments, self.options.max_new_tokens)? {
                Some(tokens) => prompts.push(Prompt {
                    segments: request.segments,
                    tokens,
                    requests: vec![index],
                    streams: vec![request.stream],
                }),
                None => {
                    let end = CompletionEnd::PromptTooLong;
                    sink.accept(index, Completion { text: String::new(), tokens: 0, end, log_probabilities: None })?;
                }
            }
        }
        Ok(Some(prompts))
    }

    /// How much the engine does at once: every row has room for the longest prompt and its answer, within bounds.
    fn limits(&self, prompts: &[Prompt<'_>]) -> Limits {
        let (config, rows_max) = (self.model.config(), self.batch_rows_max.max(1));
        let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0) + self.options.max_new_tokens;
        let of_sequence = longest.div_ceil(KeyValueBlocks::BLOCK_TOKENS).max(1);
        let block_bytes = KeyValueBlocks::bytes_of(config, self.model.compute_type(), 1).max(1);
        Limits {
            blocks: (rows_max * of_sequence).min(CACHE_BYTES_MAX / block_bytes).max(of_sequence),
            rows_max,
            step_tokens_max: STEP_TOKENS_MAX,
            waiting_max: rows_max,
        }
    }

    /// A sample that has ended, as text.
    fn completion(&self, sample: engine::Completion) -> Result<Completion, SampleError> {
        let engine::Completion { tokens, end, log_probabilities } = sample;
        let (text, end) = match end {
            engine::CompletionEnd::StopString { text, .. } => (text, CompletionEnd::Stopped),
            engine::CompletionEnd::StopToken(_) => (self.tokenizer.decode(&tokens)?, CompletionEnd::Stopped),
            engine::CompletionEnd::Length => (self.tokenizer.decode(&tokens)?, CompletionEnd::Cut),
        };
        let asked = self.options.top_log_probabilities.is_some();
        Ok(Completion {
            text,
            tokens: tokens.len() as u64,
            end,
            log_probabilities: asked.then(|| log_probabilities.iter().map(|of_token| of_token.drawn).collect()),
        })
    }
}

impl Generator for ModelGenerator<'_> {
    fn settings(&self) -> ContentHash {
        self.options.content()
    }

    fn generate(&self, requests: &[SampleRequest<'_>], sink: &mut dyn CompletionSink) -> Result<(), EvaluatorError> {
        let Some(prompts) = self.prompts(requests, sink)?.filter(|prompts| !prompts.is_empty()) else { return Ok(()) };
        let forward = ModelForward::new(self.model, self.adapter.as_slice())?;
        let mut engine = Engine::new(forward, Some(self.tokenizer), self.limits(&prompts))?;
        let mut admitted: BTreeMap<RequestId, Vec<usize>> = BTreeMap::new();
        let mut prompts = prompts.into_iter();
        while sink.wants_more() {
            while engine.has_room() {
                let Some(Prompt { tokens: prompt, requests, streams, .. }) = prompts.next() else { break };
                let (adapter, options) = (self.adapter.map(|_| 0), self.options.clone());
                admitted.insert(engine.admit(Request { prompt, adapter, streams, options })?, requests);
            }
            if engine.is_idle() {
                break;
            }
            for event in engine.step()? {
                let (place, ended) = match event {
                    Event::Token { .. } => continue,
                    Event::End { request, sample, completion } => {
                        (admitted[&request][sample], self.completion(completion))
                    }
                    Event::Failed { request, sample, error } => (admitted[&request][sample], Err(error)),
                };
                match ended {
                    Ok(completion) => sink.accept(place, completion)?,
                    Err(error) => sink.lose(place, LostAnswer::Sample(error))?,
                }
            }
        }
        Ok(())
    }
}

impl TimedGenerator for ModelGenerator<'_> {
    fn decoder(&self) -> Result<Box<dyn TimedDecoder + '_>, EvaluatorError> {
        Ok(Box::new(ModelDecoder::new(self.model, self.adapter)?))
    }

    fn prompt_tokens(&self, prompt: &[Segment], room: usize) -> Result<Option<Vec<u32>>, EvaluatorError> {
        let (tokens, _) = self.tokenizer.encode_segments(prompt)?;
        let fits = tokens.len() + room <= self.model.config().max_position_embeddings;
        Ok(fits.then_some(tokens))
    }
}

/// The tokens at which a completion ends because the layout ends a turn with them; an error if the tokenizer has no
/// such token, so that no answer in this layout could ever end.
pub fn stop_tokens(tokenizer: &Tokenizer, formatter: &dyn PromptFormatter) -> Result<Vec<u32>, EvaluatorError> {
    let token = |stop: String| match tokenizer.control_token(&stop) {
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
) -> Result<Vec<Sequence>, EvaluatorError> {
    let mut prompts = Vec::with_capacity(problems.len());
    for part in problems.chunks(PROMPTS_PER_CALL) {
        let formatted = formatter.format_prompts(specialist, part)?;
        if formatted.len() != part.len() {
            let (formatter, expected, got) = (formatter.identity().clone(), part.len(), formatted.len());
            return Err(EvaluatorError::Prompts { formatter, expected, got });
        }
        let again = |problems: &[ProblemText]| formatter.format_prompts(specialist, problems);
        if let Some((place, _)) = second_look(part, &formatted, PROMPTS_ASKED_TWICE, |problem| &problem.id, again)? {
            return Err(PluginError::Promise {
                plugin: formatter.identity().clone(),
                call: "format-prompts",
                row: Some(format!("`{}`", part[place].id)),
                expected: "the same prompt in every batch".to_owned(),
                got: "another one in another batch".to_owned(),
                hint: "a layout may depend on its item alone: not on its place, its batch or what came before",
            }
            .into());
        }
        prompts.extend(formatted);
    }
    Ok(prompts)
}

/// The random stream of one sample: it follows the problem's id wherever the problem stands.
pub(crate) fn stream(problem: &str, sample: u32) -> u64 {
    let hash = ContentHash::of_parts([problem.as_bytes(), &sample.to_le_bytes()]).to_string();
    u64::from_str_radix(&hash[..16], 16).expect("a hash is written in hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::SampleOutcome;
    use crate::evaluator::{Candidate, Evaluator};
    use crate::fakes::{Collected, FakeFormatter, doubling_problem, every_way_to_draw, fake_judge};
    use crate::sample_record::SampleRecord;
    use crate::small_model::{SMALL_CONFIG, perturbed, perturbed_adapter, small_lora, small_model};
    use crate::watch::{Subject, Watch};
    use hilora_contract::dataset::SegmentKind;
    use hilora_contract::fault::{Blame, Fault};
    use hilora_contract::plugin::{FormatterLesson, PluginIdentity};
    use hilora_judge::Verdict;
    use hilora_model::{ComputeDevice, LoraConfig, ModelConfig, ModuleToSave};
    use serde_json::json;
    use std::cell::RefCell;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        assert_eq!(tokenizer.encode_segments(&segments)?.0.len(), 6);
        segments[0].kind = SegmentKind::Control;
        let (tokens, _) = tokenizer.encode_segments(&segments)?;
        assert_eq!(tokens.len(), 2);
        assert_eq!(stop_tokens(&tokenizer, &FakeFormatter::new())?, tokens[1..]);
        Ok(())
    }

    #[test]
    fn completions_do_not_depend_on_batch_or_order_and_a_long_prompt_is_told() -> Result<(), EvaluatorError> {
        let (tokenizer, model, formatter) = (tokenizer()?, small_model(3)?, FakeFormatter::new());
        let adapter = perturbed_adapter(&model)?;
        let config = EvaluationConfig { max_new_tokens: 12, temperature: 1.0, ..EvaluationConfig::default() };
        let prompts = [content("print the sum"), content(&"x".repeat(117)), content("sort"), content("reverse a line")];
        let mut requests: Vec<SampleRequest<'_>> = prompts
            .iter()
            .zip(1..)
            .map(|(segments, stream)| SampleRequest { segments, messages: &[], stream })
            .collect();
        let complete = |requests: &[SampleRequest<'_>], adapter, rows| {
            let generator = ModelGenerator::new(&model, adapter, &tokenizer, &formatter, &config, 5, rows)?;
            let mut collected = Collected::of(requests.len());
            generator.generate(requests, &mut collected)?;
            assert_eq!(collected.0.iter().flatten().count(), requests.len());
            Ok::<Vec<Completion>, EvaluatorError>(collected.0.into_iter().flatten().collect())
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
    fn the_samples_of_a_prompt_are_one_request_of_the_engine() -> Result<(), EvaluatorError> {
        let (tokenizer, model, formatter) = (tokenizer()?, small_model(3)?, FakeFormatter::new());
        let generator = ModelGenerator::new(&model, None, &tokenizer, &formatter, &EvaluationConfig::default(), 5, 4)?;
        // A model of 128 tokens has no room for 512 more.
        assert!(
            generator
                .prompts(&[SampleRequest { segments: &content("a"), messages: &[], stream: 1 }], &mut Collected::of(1))?
                .is_some_and(|prompts| prompts.is_empty())
        );
        let config = EvaluationConfig { max_new_tokens: 12, ..EvaluationConfig::default() };
        let generator = ModelGenerator::new(&model, None, &tokenizer, &formatter, &config, 5, 4)?;
        let (one, other) = (content("sort"), content("print"));
        let requests: Vec<SampleRequest<'_>> = [&one, &one, &other, &one]
            .into_iter()
            .zip(1..)
            .map(|(segments, stream)| SampleRequest { segments, messages: &[], stream })
            .collect();
        let prompts = generator.prompts(&requests, &mut Collected::of(4))?.expect("the sink wants all");
        let asked: Vec<_> = prompts.into_iter().map(|prompt| (prompt.requests, prompt.streams)).collect();
        assert_eq!(asked, [(vec![0, 1], vec![1, 2]), (vec![2], vec![3]), (vec![3], vec![4])]);
        Ok(())
    }

    #[test]
    fn a_completion_ends_where_the_model_ends_a_text() -> Result<(), EvaluatorError> {
        let (tokenizer, formatter) = (tokenizer()?, FakeFormatter::new());
        let config = EvaluationConfig { max_new_tokens: 12, temperature: 0.0, ..EvaluationConfig::default() };
        let prompt = content("print the sum");
        let requests = [SampleRequest { segments: &prompt, messages: &[], stream: 1 }];
        let complete = |ends: &[u32]| {
            let text = SMALL_CONFIG.trim_end().strip_suffix('}').expect("an object").to_owned();
            let text = format!("{text}, \"eos_token_id\": {ends:?}}}");
            let shape = ModelConfig::parse(Path::new("config.json"), &text)?;
            let model = Model::random(shape, 3, ComputeDevice::Cpu)?;
            let generator = ModelGenerator::new(&model, None, &tokenizer, &formatter, &config, 5, 1)?;
            let mut collected = Collected::of(1);
            generator.generate(&requests, &mut collected)?;
            let completion = collected.0.into_iter().flatten().next().expect("one was asked for");
            Ok::<_, EvaluatorError>((completion.tokens, completion.end, generator.settings()))
        };
        let (tokens, end, settings) = complete(&[])?;
        assert_eq!((tokens, end), (12, CompletionEnd::Cut));
        let every: Vec<u32> = (0..97).collect();
        let (tokens, end, others) = complete(&every)?;
        assert_eq!((tokens, end), (0, CompletionEnd::Stopped));
        assert_ne!(settings, others);
        // The formatter's own end token is not told twice.
        assert_eq!(complete(&stop_tokens(&tokenizer, &formatter)?)?.2, settings);
        Ok(())
    }

    #[test]
    fn everything_that_decides_a_completion_is_in_the_settings() -> Result<(), EvaluatorError> {
        let (tokenizer, model, formatter) = (tokenizer()?, small_model(3)?, FakeFormatter::new());
        let settings = |config: &EvaluationConfig, seed, rows| {
            Ok::<_, EvaluatorError>(
                ModelGenerator::new(&model, None, &tokenizer, &formatter, config, seed, rows)?.settings(),
            )
        };
        let config = EvaluationConfig::default();
        let before = settings(&config, 5, 64)?;
        assert_eq!(settings(&EvaluationConfig { samples_per_problem: 9, ..config.clone() }, 5, 1)?, before);
        assert_ne!(settings(&config, 6, 64)?, before);
        for config in every_way_to_draw() {
            let other = serde_json::from_value(config.clone()).expect("a config");
            assert_ne!(settings(&other, 5, 64)?, before, "{config}");
        }
        Ok(())
    }

    #[test]
    fn a_completion_ends_at_a_stop_string_and_keeps_its_log_probabilities() -> Result<(), EvaluatorError> {
        let (tokenizer, model, formatter) = (tokenizer()?, small_model(3)?, FakeFormatter::new());
        let prompt = content("print the sum");
        let requests = [SampleRequest { segments: &prompt, messages: &[], stream: 1 }];
        let complete = |stop: Vec<String>, log_probabilities| {
            let config =
                EvaluationConfig { max_new_tokens: 30, stop, log_probabilities, ..EvaluationConfig::default() };
            let generator = ModelGenerator::new(&model, None, &tokenizer, &formatter, &config, 5, 1)?;
            let mut collected = Collected::of(1);
            generator.generate(&requests, &mut collected)?;
            Ok::<_, EvaluatorError>(collected.0.remove(0).expect("one was asked for"))
        };
        let whole = complete(Vec::new(), true)?;
        let of_tokens = whole.log_probabilities.clone().expect("they were asked for");
        assert_eq!((whole.tokens, whole.end, of_tokens.len()), (30, CompletionEnd::Cut, 30));
        assert!(of_tokens.iter().all(|log_probability| *log_probability < 0.0), "{of_tokens:?}");
        assert_eq!(complete(Vec::new(), false)?, Completion { log_probabilities: None, ..whole.clone() });
        let stop: String = whole.text.chars().skip(4).take(3).collect();
        let place = whole.text.find(&stop).expect("it is in the text");
        let stopped = complete(vec![stop], true)?;
        assert_eq!((stopped.text.as_str(), stopped.end), (&whole.text[..place], CompletionEnd::Stopped));
        let tokens = stopped.tokens as usize;
        assert!(tokens < 30 && stopped.log_probabilities.as_deref() == Some(&of_tokens[..tokens]), "{stopped:?}");
        Ok(())
    }

    /// An adapter with a table of its own in which the letter z is no number, for a model whose head is another table.
    fn poisoned() -> Result<(Model, Adapter), Box<dyn std::error::Error>> {
        let json = SMALL_CONFIG.replace("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false");
        let model = Model::random(ModelConfig::parse(Path::new("config.json"), &json)?, 3, ComputeDevice::Cpu)?;
        let lora = LoraConfig { modules_to_save: vec![ModuleToSave::EmbedTokens], ..small_lora() };
        let adapter = perturbed(&model, &lora)?;
        let (_, table) = adapter.tensors().find(|(name, _)| name.contains("embed_tokens")).ok_or("it has a table")?;
        let row = candle_core::Tensor::full(f32::NAN, (1, table.dims2()?.1), table.device())?;
        table.slice_set(&row, 0, 25)?;
        Ok((model, adapter))
    }

    /// Writes down which streams have an answer, and which are lost.
    struct Counted<'g, G> {
        generator: &'g G,
        answered: RefCell<Vec<u64>>,
        lost: RefCell<Vec<u64>>,
    }

    struct CountedSink<'s> {
        sink: &'s mut dyn CompletionSink,
        requests: &'s [SampleRequest<'s>],
        answered: &'s RefCell<Vec<u64>>,
        lost: &'s RefCell<Vec<u64>>,
    }

    impl CompletionSink for CountedSink<'_> {
        fn accept(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError> {
            self.answered.borrow_mut().push(self.requests[request].stream);
            self.sink.accept(request, completion)
        }

        fn lose(&mut self, request: usize, lost: LostAnswer) -> Result<(), EvaluatorError> {
            self.lost.borrow_mut().push(self.requests[request].stream);
            self.sink.lose(request, lost)
        }

        fn wants_more(&mut self) -> bool {
            self.sink.wants_more()
        }

        fn has_any(&self) -> bool {
            self.sink.has_any()
        }
    }

    impl<G: Generator> Generator for Counted<'_, G> {
        fn settings(&self) -> ContentHash {
            self.generator.settings()
        }

        fn generate(
            &self,
            requests: &[SampleRequest<'_>],
            sink: &mut dyn CompletionSink,
        ) -> Result<(), EvaluatorError> {
            let mut sink = CountedSink { sink, requests, answered: &self.answered, lost: &self.lost };
            self.generator.generate(requests, &mut sink)
        }
    }

    #[test]
    fn a_lost_answer_is_counted_apart_and_asked_again_whatever_interrupts() -> Result<(), Box<dyn std::error::Error>> {
        let (tokenizer, formatter, judge) = (tokenizer()?, FakeFormatter::new(), fake_judge());
        let (model, adapter) = poisoned()?;
        let config = EvaluationConfig {
            max_new_tokens: 6,
            temperature: 1.0,
            samples_per_problem: 3,
            k: vec![1],
            log_probabilities: true,
            ..EvaluationConfig::default()
        };
        let evaluator = Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config };
        let generator = ModelGenerator::new(&model, Some(&adapter), &tokenizer, &formatter, &config, 5, 2)?;
        let (folder, whole_folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let evaluate = |folder: &Path, generator: &dyn Generator, ids: &[&str], watch: &Watch<'_>| {
            let problems: Vec<_> = ids.iter().map(|id| doubling_problem(id)).collect();
            let candidate = Candidate { subject: Subject::Adapter, generator, content: ContentHash::of(b"adapter") };
            let mut samples = SampleRecord::open(folder, ContentHash::of(b"program"))?;
            let evaluation = evaluator.evaluate(&candidate, &problems, &mut samples, watch)?;
            if evaluation.is_some() {
                samples.keep_used()?;
            }
            Ok::<_, EvaluatorError>(evaluation)
        };
        let ids = ["a", "z", "b", "c"];
        let whole = evaluate(whole_folder.path(), &generator, &ids, &Watch::SILENT)?.ok_or("nobody ends it early")?;
        // The others' answers are those that they have without it.
        let fine = evaluate(whole_folder.path(), &generator, &["a", "b", "c"], &Watch::SILENT)?.ok_or("nor this")?;
        let [a, z, b, c] = &whole.outcomes[..] else { panic!("{} problems", whole.outcomes.len()) };
        assert_eq!([a, b, c].map(Clone::clone), fine.outcomes[..]);
        // A sample that draws the letter itself is lost from there on.
        let is_lost = |sample: &&SampleOutcome| sample.error.as_deref() == Some("not-computed");
        let of_others = [a, b, c].iter().flat_map(|outcome| &outcome.samples).filter(is_lost).count();
        assert!(of_others < 3 && z.samples.iter().all(|sample| is_lost(&sample)), "{of_others}");
        for sample in whole.outcomes.iter().flat_map(|outcome| &outcome.samples) {
            match sample.log_probability {
                Some(sum) => assert!(sum < 0.0 && !is_lost(&sample)),
                None => assert!(is_lost(&sample) && sample.verdict == Some(Verdict::InternalError)),
            }
        }
        let lost = (3 + of_others) as u64;
        assert_eq!((whole.not_judged, whole.undecided().count() as u64, fine.not_judged), (lost, lost, lost - 3));

        // Killed at every moment it ends in the same record, and repeats nothing that was answered.
        let whole_again = evaluate(whole_folder.path(), &generator, &ids, &Watch::SILENT)?;
        let counted = Counted { generator: &generator, answered: RefCell::default(), lost: RefCell::default() };
        let mut interruptions = 0;
        let resumed = loop {
            let asked = AtomicUsize::new(0);
            let should_stop = || asked.fetch_add(1, Ordering::Relaxed) > 3 + interruptions;
            let watch = Watch { should_stop: &should_stop, ..Watch::SILENT };
            match evaluate(folder.path(), &counted, &ids, &watch)? {
                Some(evaluation) => break evaluation,
                None => interruptions += 1,
            }
        };
        assert!(interruptions > 5, "{interruptions}");
        assert_eq!((Some(&resumed), &whole_again), (Some(&whole), &Some(whole.clone())));
        let record = |folder: &Path| std::fs::read(folder.join("samples.jsonl"));
        assert_eq!(record(folder.path())?, record(whole_folder.path())?);
        let mut answered = counted.answered.into_inner();
        answered.sort_unstable();
        assert_eq!((answered.len(), answered.is_sorted_by(|one, next| one < next)), (9 - of_others, true));
        assert!(counted.lost.borrow().len() as u64 >= lost);

        // A model of which too little is known is not measured.
        let error = evaluate(folder.path(), &generator, &["z", "zz"], &Watch::SILENT).expect_err("six are lost");
        assert!(matches!(&error, EvaluatorError::NotAnswered { answers: 6, .. }), "{error}");
        assert!(error.to_string().ends_with("at position 0 of the completion is NaN"), "{error}");
        assert_eq!((error.blame(), error.hints().len()), (Blame::User, 1));
        Ok(())
    }

    #[test]
    fn a_prompt_that_depends_on_its_batch_is_refused() {
        struct CountingFormatter(FakeFormatter);
        impl PromptFormatter for CountingFormatter {
            fn identity(&self) -> &PluginIdentity {
                self.0.identity()
            }
            fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
                self.0.stop_sequences()
            }
            fn format_lessons(&self, _: &str, _: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
                Ok(Vec::new())
            }
            fn format_prompts(&self, _: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
                let segments = content(&problems.len().to_string());
                Ok(vec![Sequence { messages: Vec::new(), segments }; problems.len()])
            }
            fn extract_solution(&self, _: &str) -> Result<Option<String>, PluginError> {
                Ok(None)
            }
        }
        let formatter = CountingFormatter(FakeFormatter::new());
        let problems: Vec<ProblemText> = (0..70).map(|id| doubling_problem(&id.to_string()).text).collect();
        for problems in [&problems[..1], &problems] {
            let refused = prompts(&formatter, "python", problems).expect_err("a prompt says how many there are");
            let said = refused.to_string();
            assert!(said.contains("broke a promise of its interface in `format-prompts` at `"), "{said}");
            assert_eq!(refused.hints().len(), 1);
        }
        assert!(prompts(&FakeFormatter::new(), "python", &problems).is_ok_and(|prompts| prompts.len() == 70));
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
            fn format_lessons(&self, _: &str, _: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
                Ok(Vec::new())
            }
            fn format_prompts(&self, _: &str, _: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
                Ok(Vec::new())
            }
            fn extract_solution(&self, _: &str) -> Result<Option<String>, PluginError> {
                Ok(None)
            }
        }
        let formatter = OtherFormatter(FakeFormatter::new());
        let error = stop_tokens(&tokenizer()?, &formatter).expect_err("`</s>` is no token");
        assert!(error.to_string().contains("ends a completion at `</s>`"), "{error}");
        assert_eq!(error.hints().len(), 1);
        assert!(matches!(
            prompts(&formatter, "python", &[doubling_problem("p").text]),
            Err(EvaluatorError::Prompts { .. })
        ));
        Ok(())
    }
}

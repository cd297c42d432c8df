//! A model behind an OpenAI-compatible endpoint as a generator.
//!
//! A chat endpoint gets the formatter's messages, which the server lays out by its own template; the other API gets the text
//! that the formatter lays out. Every sample has a seed of its own, which follows from the run's seed and the sample's stream,
//! so that a server that keeps to seeds repeats itself. Several samples of one prompt may share a request, whose seed is then
//! the first one's.
//!
//! A call that failed is made again by the client. What still fails is no answer of the model's: it is told as lost, and is
//! asked for again the next time. A request that the endpoint refuses is one only if the endpoint answers others; otherwise
//! the refusal is about all of them, and nothing is measured.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::completion::{Completion, CompletionEnd};
use super::config::EvaluationConfig;
use super::endpoint_config::{EndpointGeneratorConfig, EndpointProtocol, Side};
use super::error::EvaluatorError;
use super::generator::{CompletionSink, Generator, SampleRequest};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::Message;
use hilora_contract::plugin::PromptFormatter;
use hilora_endpoint::{
    Answer, Api, Call, CallEnd, Caller, Choice, Demand, Endpoint, EndpointConfig, EndpointError, LENGTH,
};

/// An endpoint that has refused this many requests and answered none is asked no more.
const REFUSALS_MAX: usize = 8;

/// A model behind an endpoint.
pub struct EndpointGenerator {
    endpoint: EndpointConfig,
    model: String,
    stop: Vec<String>,
    temperature: f64,
    top_p: f64,
    filters: Filters,
    max_tokens: usize,
    seed: u64,
    samples_per_request: usize,
    log_probabilities: bool,
    concurrency: usize,
}

impl EndpointGenerator {
    /// One side's generator. An endpoint that wants a key and has none is an error at once.
    pub fn new(
        config: &EndpointGeneratorConfig,
        side: Side,
        evaluation: &EvaluationConfig,
        formatter: &dyn PromptFormatter,
        seed: u64,
    ) -> Result<Self, EvaluatorError> {
        let endpoint = config.endpoint(side)?;
        Endpoint::new(endpoint.clone())?;
        let mut stop = match config.api {
            // A chat ends its turns itself.
            Api::Chat => Vec::new(),
            Api::Completions => formatter.stop_sequences()?,
        };
        stop.extend(evaluation.stop.iter().cloned());
        Ok(Self {
            endpoint,
            model: config.model(side).to_owned(),
            stop,
            temperature: evaluation.temperature,
            top_p: evaluation.top_p,
            filters: Filters::of(config.protocol, evaluation),
            max_tokens: evaluation.max_new_tokens,
            seed,
            samples_per_request: config.samples_per_request as usize,
            log_probabilities: evaluation.log_probabilities,
            concurrency: config.concurrency,
        })
    }

    /// What is known of the model: its name, and who answers to it.
    pub fn content(&self) -> ContentHash {
        ContentHash::of_parts([&b"endpoint"[..], self.endpoint.url.as_str().as_bytes(), self.model.as_bytes()])
    }

    /// The body of a request for this many samples.
    fn body(&self, request: &SampleRequest<'_>, samples: usize) -> String {
        let is_chat = self.endpoint.api == Api::Chat;
        let text = || request.segments.iter().map(|segment| segment.text.as_str()).collect();
        let body = Body {
            model: &self.model,
            messages: is_chat.then_some(request.messages),
            prompt: (!is_chat).then(text),
            temperature: self.temperature,
            top_p: self.top_p,
            filters: self.filters,
            max_tokens: self.max_tokens,
            seed: self.seed_of(request.stream),
            n: (samples > 1).then_some(samples),
            stop: &self.stop,
            logprobs: self.log_probabilities.then_some(if is_chat { Logprobs::Are(true) } else { Logprobs::Of(1) }),
        };
        serde_json::to_string(&body).expect("text and finite numbers always serialize")
    }

    /// A sample's seed. Servers differ in how large one may be; 31 bits fit all of them.
    fn seed_of(&self, stream: u64) -> u32 {
        let hash = ContentHash::of_parts([&self.seed.to_le_bytes()[..], &stream.to_le_bytes()]);
        u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("a hash has more than four bytes")) >> 1
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    temperature: f64,
    top_p: f64,
    #[serde(flatten)]
    filters: Filters,
    max_tokens: usize,
    seed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<usize>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
}

/// What OpenAI's protocol has no keys for.
#[derive(Clone, Copy, Serialize)]
struct Filters {
    /// -1 is all: older versions of vLLM refuse 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
}

impl Filters {
    fn of(protocol: EndpointProtocol, evaluation: &EvaluationConfig) -> Self {
        match protocol {
            EndpointProtocol::Openai => Self { top_k: None, min_p: None, repetition_penalty: None },
            EndpointProtocol::Vllm => Self {
                top_k: Some(if evaluation.top_k == 0 { -1 } else { evaluation.top_k.into() }),
                min_p: Some(evaluation.min_p),
                repetition_penalty: Some(evaluation.repetition_penalty),
            },
        }
    }
}

/// Whether (a chat), or of how many tokens at each place (the other API).
#[derive(Serialize)]
#[serde(untagged)]
enum Logprobs {
    Are(bool),
    Of(u32),
}

impl Generator for EndpointGenerator {
    fn settings(&self) -> ContentHash {
        // Whatever is asked of the server is in the body of a request, here of one for no prompt.
        let none = SampleRequest { segments: &[], messages: &[], stream: 0 };
        ContentHash::of_parts([self.body(&none, self.samples_per_request).as_bytes(), &self.seed.to_le_bytes()])
    }

    fn generate(&self, requests: &[SampleRequest<'_>], sink: &mut dyn CompletionSink) -> Result<(), EvaluatorError> {
        let endpoint = Endpoint::new(self.endpoint.clone())?;
        let mut asking = Asking {
            generator: self,
            requests,
            waiting: groups(requests, self.samples_per_request),
            open: BTreeMap::new(),
            calls: 0,
            is_answered: false,
            gives_several: true,
            refusals: Vec::new(),
            first_refusal: None,
            failed: None,
            sink,
        };
        endpoint.make_calls(self.concurrency, &mut asking)?;
        let Asking { failed, refusals, first_refusal, waiting, open, sink, .. } = asking;
        if let Some(error) = failed {
            return Err(error);
        }
        let was_stopped = !(waiting.is_empty() && open.is_empty());
        match first_refusal.filter(|_| !refusals.is_empty() && !was_stopped) {
            // The few that were left of an earlier run may all be such prompts.
            Some(_) if sink.has_any() => sink.accept_all(refusals),
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }
}

/// Requests that follow each other and have the same prompt, at most this many together.
fn groups(requests: &[SampleRequest<'_>], size: usize) -> VecDeque<Vec<usize>> {
    let same = |one: &SampleRequest<'_>, other: &SampleRequest<'_>| {
        one.messages == other.messages && one.segments == other.segments
    };
    let mut groups: VecDeque<Vec<usize>> = VecDeque::new();
    for (index, request) in requests.iter().enumerate() {
        match groups.back_mut() {
            Some(group) if group.len() < size && same(&requests[group[0]], request) => group.push(index),
            _ => groups.push_back(vec![index]),
        }
    }
    groups
}

/// How far one call of `generate` is.
struct Asking<'a> {
    generator: &'a EndpointGenerator,
    requests: &'a [SampleRequest<'a>],
    /// Requests that are to share a call, in the order they are asked.
    waiting: VecDeque<Vec<usize>>,
    /// The requests of each call that is open.
    open: BTreeMap<usize, Vec<usize>>,
    calls: usize,
    /// Whether the endpoint has answered any request of this run; what an earlier one was answered may come of another.
    is_answered: bool,
    /// Whether it is asked for several samples at once; not any more once it has refused that or given fewer.
    gives_several: bool,
    /// Requests that it refused before it answered any, with its words.
    refusals: Vec<(usize, Completion)>,
    first_refusal: Option<EndpointError>,
    failed: Option<EvaluatorError>,
    sink: &'a mut dyn CompletionSink,
}

impl Asking<'_> {
    fn end(&mut self, group: Vec<usize>, end: CallEnd) -> Result<(), EvaluatorError> {
        match end {
            CallEnd::Answered(answer) => {
                self.is_answered = true;
                let completions = completions(&group, answer);
                // A server that takes no `n` gives one choice and may not say so.
                self.ask_singly(&group[completions.len()..]);
                self.sink.accept_all(completions)
            }
            CallEnd::Refused { .. } if group.len() > 1 => {
                self.ask_singly(&group);
                Ok(())
            }
            CallEnd::Refused { answer, error } => {
                self.first_refusal.get_or_insert(error);
                let refused = completions(&group, answer).into_iter().map(|(request, completion)| {
                    (request, Completion { tokens: 0, end: CompletionEnd::Refused, ..completion })
                });
                self.refusals.extend(refused);
                Ok(())
            }
            CallEnd::Stopped => Ok(()),
            CallEnd::Failed(EndpointError::NoAnswer { url, attempts, message }) => {
                for request in group {
                    let (url, message) = (url.clone(), message.clone());
                    self.sink.lose(request, EndpointError::NoAnswer { url, attempts, message }.into())?;
                }
                Ok(())
            }
            CallEnd::Failed(error) => Err(error.into()),
        }
    }

    fn ask_singly(&mut self, requests: &[usize]) {
        self.gives_several = self.gives_several && requests.is_empty();
        for request in requests.iter().rev() {
            self.waiting.push_front(vec![*request]);
        }
    }

    /// One answer shows that requests are served, so what was refused is about its prompt.
    fn settle_refusals(&mut self) -> Result<(), EvaluatorError> {
        if self.is_answered && !self.refusals.is_empty() {
            self.sink.accept_all(std::mem::take(&mut self.refusals))?;
        }
        match self.first_refusal.take_if(|_| self.refusals.len() >= REFUSALS_MAX) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }
}

impl Caller for Asking<'_> {
    fn next_call(&mut self) -> Option<Call> {
        let mut group = self.waiting.pop_front()?;
        if !self.gives_several && group.len() > 1 {
            self.ask_singly(&group.split_off(1));
        }
        let body = self.generator.body(&self.requests[group[0]], group.len());
        let key = ContentHash::of(body.as_bytes());
        self.calls += 1;
        self.open.insert(self.calls, group);
        Some(Call { number: self.calls, key, body, demand: Demand::Content })
    }

    fn take(&mut self, ended: Vec<(Call, CallEnd)>) {
        for (call, end) in ended {
            let group = self.open.remove(&call.number).unwrap_or_default();
            let taken = self.end(group, end).and_then(|()| self.settle_refusals());
            if let Err(error) = taken {
                self.failed.get_or_insert(error);
            }
        }
    }

    fn stops(&mut self) -> bool {
        self.failed.is_some() || !self.sink.wants_more()
    }
}

/// The completions of the requests that shared a call.
fn completions(group: &[usize], answer: Answer) -> Vec<(usize, Completion)> {
    // An endpoint counts all choices together; each is given its share where its own tokens are not listed.
    let share = answer.completion_tokens / answer.choices.len().max(1) as u64;
    let completion = |choice: Choice| {
        let Choice { text, reasoning, finish_reason, log_probabilities } = choice;
        let is_cut = finish_reason.as_deref() == Some(LENGTH);
        Completion {
            text: whole_text(text, reasoning),
            tokens: log_probabilities.as_ref().map_or(share, |tokens| tokens.len() as u64),
            end: if is_cut { CompletionEnd::Cut } else { CompletionEnd::Stopped },
            log_probabilities,
        }
    };
    group.iter().copied().zip(answer.choices.into_iter().map(completion)).collect()
}

/// What the model wrote: a thought that the server took out stands before the answer again, as the model marks it.
fn whole_text(text: Option<String>, reasoning: Option<String>) -> String {
    match (reasoning, text) {
        (None, text) => text.unwrap_or_default(),
        (Some(thought), Some(text)) => format!("<think>\n{thought}\n</think>\n\n{text}"),
        (Some(thought), None) => format!("<think>\n{thought}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::FakeFormatter;
    use hilora_contract::dataset::{Role, Segment, SegmentKind};
    use serde_json::{Value, json};

    fn generator(more: Value, evaluation: Value, side: Side) -> EndpointGenerator {
        let mut config = json!({"base_url": "http://127.0.0.1:1/v1", "base_model": "b", "adapter_model": "a"});
        config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let config = serde_json::from_value(config).expect("a config");
        let evaluation: EvaluationConfig = serde_json::from_value(evaluation).expect("a config");
        EndpointGenerator::new(&config, side, &evaluation, &FakeFormatter::new(), 7)
            .expect("a server on this machine needs no key")
    }

    #[test]
    fn a_chat_gets_messages_and_the_other_api_the_text_with_its_ends() {
        let segment = |text: &str| Segment { text: text.to_owned(), kind: SegmentKind::Content, trained: false };
        let (segments, messages) = ([segment("<user>"), segment("double")], [Message::new(Role::User, "double")]);
        let request = SampleRequest { segments: &segments, messages: &messages, stream: 3 };
        let body = |generator: &EndpointGenerator, n| -> Value {
            serde_json::from_str(&generator.body(&request, n)).expect("it is JSON")
        };
        let evaluation = json!({"stop": ["\n\n"], "log_probabilities": true});
        let chat = body(&generator(json!({}), evaluation.clone(), Side::Base), 1);
        assert_eq!(chat["messages"], json!([{"role": "user", "content": "double"}]));
        assert_eq!((&chat["model"], &chat["logprobs"], chat.get("n")), (&json!("b"), &json!(true), None));
        assert_eq!((&chat["stop"], chat.get("prompt")), (&json!(["\n\n"]), None));
        let text = body(&generator(json!({"api": "completions"}), evaluation, Side::Adapter), 4);
        assert_eq!((&text["prompt"], &text["stop"]), (&json!("<user>double"), &json!(["<end>", "\n\n"])));
        assert_eq!((&text["model"], &text["logprobs"], &text["n"]), (&json!("a"), &json!(1), &json!(4)));
        assert_eq!(
            (&text["temperature"], &text["top_p"], &text["max_tokens"]),
            (&json!(0.2), &json!(0.95), &json!(512))
        );
        let seed = text["seed"].as_u64().expect("a seed");
        assert!(seed < 1 << 31 && chat["seed"] == seed, "{seed}");
    }

    #[test]
    fn keys_that_are_not_openais_are_sent_to_those_that_take_them() {
        let filters = |protocol: &str, evaluation: Value| {
            let generator = generator(json!({"protocol": protocol}), evaluation, Side::Base);
            let none = SampleRequest { segments: &[], messages: &[], stream: 3 };
            let body: Value = serde_json::from_str(&generator.body(&none, 1)).expect("it is JSON");
            ["top_k", "min_p", "repetition_penalty"].map(|key| body.get(key).cloned())
        };
        assert_eq!(filters("openai", json!({})), [None, None, None]);
        assert_eq!(filters("vllm", json!({})), [Some(json!(-1)), Some(json!(0.0)), Some(json!(1.0))]);
        let narrow = json!({"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1});
        assert_eq!(filters("vllm", narrow), [Some(json!(20)), Some(json!(0.05)), Some(json!(1.1))]);
    }

    #[test]
    fn everything_that_decides_a_completion_is_in_content_or_settings() {
        let both = |more: Value, side| {
            let generator = generator(more, json!({}), side);
            (generator.content(), generator.settings())
        };
        let before = both(json!({}), Side::Base);
        assert_eq!(both(json!({"concurrency": 1, "retries": 0, "timeout_seconds": 1}), Side::Base), before);
        assert_ne!(both(json!({}), Side::Adapter).0, before.0);
        assert_ne!(both(json!({"api": "completions"}), Side::Base).0, before.0);
        assert_ne!(both(json!({"samples_per_request": 2}), Side::Base).1, before.1);
        let settings = |evaluation: Value| generator(json!({"protocol": "vllm"}), evaluation, Side::Base).settings();
        for evaluation in crate::fakes::every_way_to_draw() {
            assert_ne!(settings(evaluation.clone()), settings(json!({})), "{evaluation}");
        }
        assert_eq!(settings(json!({"samples_per_problem": 9, "hide_expected": true})), settings(json!({})));
    }

    #[test]
    fn samples_of_one_prompt_share_requests_and_those_of_two_do_not() {
        let messages = [Message::new(Role::User, "a"), Message::new(Role::User, "b")];
        let request = |prompt: usize| SampleRequest { segments: &[], messages: &messages[prompt..=prompt], stream: 0 };
        let requests = [request(0), request(0), request(0), request(1), request(1)];
        assert_eq!(groups(&requests, 2), [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(groups(&requests, 1).len(), 5);
    }

    #[test]
    fn a_thought_that_the_server_took_out_stands_before_the_answer() {
        let text =
            |text: Option<&str>, thought: Option<&str>| whole_text(text.map(str::to_owned), thought.map(str::to_owned));
        assert_eq!(text(Some("4"), None), "4");
        assert_eq!(text(Some("4"), Some("hm")), "<think>\nhm\n</think>\n\n4");
        assert_eq!(text(None, Some("hm")), "<think>\nhm");
    }
}

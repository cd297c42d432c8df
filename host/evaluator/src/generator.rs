//! A generator: whatever completes prompts. The evaluator knows models only as such; a test's fake is one, too.

use std::time::Duration;

use super::completion::Completion;
use super::error::EvaluatorError;
use super::lost_answer::LostAnswer;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Message, Segment};

/// A prompt to complete.
#[derive(Debug, Clone, Copy)]
pub struct SampleRequest<'a> {
    /// The prompt, as the formatter lays it out.
    pub segments: &'a [Segment],
    /// The same prompt as messages, for whoever lays it out itself.
    pub messages: &'a [Message],
    /// Names the random stream.
    pub stream: u64,
}

/// Takes completions as they end, which is not the order of the requests.
pub trait CompletionSink {
    /// Takes the completion of the request with this index.
    fn accept(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError>;

    /// Takes completions that came together, which are kept together.
    fn accept_all(&mut self, completions: Vec<(usize, Completion)>) -> Result<(), EvaluatorError> {
        completions.into_iter().try_for_each(|(request, completion)| self.accept(request, completion))
    }

    /// Takes a failure in place of a completion. Nothing is known of this answer; an error if there are too many of them to
    /// say anything of the model.
    fn lose(&mut self, request: usize, lost: LostAnswer) -> Result<(), EvaluatorError>;

    /// Whether to go on; what has not ended by then is lost.
    fn wants_more(&mut self) -> bool;

    /// Whether this generator has completed anything yet, now or in an earlier run.
    fn has_any(&self) -> bool;
}

/// Completes prompts. A completion depends on its request and on nothing else that is drawn.
pub trait Generator {
    /// The hash of all that decides a completion beside the model's weights and the request: how tokens are drawn, the
    /// seed, where completions end.
    fn settings(&self) -> ContentHash;

    /// Gives the sink one completion for each request, unless the sink wants no more.
    fn generate(&self, requests: &[SampleRequest<'_>], sink: &mut dyn CompletionSink) -> Result<(), EvaluatorError>;
}

/// Decodes token after token and says how long each took.
pub trait TimedDecoder {
    /// Forgets what was decoded and reads a prompt.
    fn start(&mut self, prompt: &[u32]) -> Result<(), EvaluatorError>;

    /// Decodes one more token.
    fn step(&mut self, token: u32) -> Result<Duration, EvaluatorError>;
}

/// A generator whose decoding can be timed token by token.
pub trait TimedGenerator: Generator {
    /// A decoder at the beginning.
    fn decoder(&self) -> Result<Box<dyn TimedDecoder + '_>, EvaluatorError>;

    /// A prompt's tokens; `None` if the model's context has no room for this many tokens after it.
    fn prompt_tokens(&self, prompt: &[Segment], room: usize) -> Result<Option<Vec<u32>>, EvaluatorError>;
}

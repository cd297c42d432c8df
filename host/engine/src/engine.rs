//! The engine: requests are admitted, steps are taken, samples end.
//!
//! A step is one pass over the model for all sequences that are under way, whatever they are at: prompts, pieces of them,
//! or a token each. A sample depends on its prompt, adapter, options and stream alone. The requests beside it, their order,
//! the limits, what is found in the cache and what had to be computed anew change nothing. Nor does a sample that fails.

use rayon::prelude::*;

use super::error::EngineError;
use super::event::{CompletionEnd, Event};
use super::forward::Forward;
use super::request::{Request, RequestId};
use super::sample_error::SampleError;
use super::sampler::{Drawn, draw, unusable};
use super::scheduler::{Limits, Scheduler};
use super::sequence::Sequence;
use super::stop_strings::{StopMatch, StopMatcher, TokenText};
use super::usage::Usage;
use hilora_model::{LogitRows, Span};

/// Completes requests over one model.
pub struct Engine<'t, F> {
    forward: F,
    text: Option<&'t dyn TokenText>,
    limits: Limits,
    scheduler: Scheduler,
    next: u64,
    /// Blocks that the model has made so far.
    reserved: usize,
}

impl<'t, F: Forward> Engine<'t, F> {
    /// An engine without requests. `text` is what stop strings are looked for with.
    pub fn new(forward: F, text: Option<&'t dyn TokenText>, limits: Limits) -> Result<Self, EngineError> {
        let Limits { blocks, rows_max, step_tokens_max, waiting_max } = limits;
        let of = [
            ("blocks", blocks),
            ("rows_max", rows_max),
            ("step_tokens_max", step_tokens_max),
            ("waiting_max", waiting_max),
        ];
        if let Some((name, _)) = of.iter().find(|(_, limit)| *limit == 0) {
            return Err(EngineError::input(format!("{name}: expected at least 1, got 0")));
        }
        if u32::try_from(blocks).is_err() {
            return Err(EngineError::input(format!("blocks: expected at most {}, got {blocks}", u32::MAX)));
        }
        let scheduler = Scheduler::new(limits, forward.block_tokens());
        Ok(Self { forward, text, limits, scheduler, next: 0, reserved: 0 })
    }

    /// Takes a request. It is refused if it can never be served, and while as many sequences wait as may.
    pub fn admit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        self.check(&request)?;
        let waiting = self.scheduler.waiting();
        if waiting >= self.limits.waiting_max {
            return Err(EngineError::Full { waiting });
        }
        let id = RequestId(self.next);
        self.next += 1;
        self.scheduler.add(Sequence::new(id, request));
        Ok(id)
    }

    /// Whether another request may wait.
    pub fn has_room(&self) -> bool {
        self.scheduler.waiting() < self.limits.waiting_max
    }

    /// Whether no request is left.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Forgets a request; nothing more is told of it. Whether any of its samples had not ended.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        self.scheduler.cancel(id)
    }

    /// What was computed since the engine began.
    pub fn usage(&self) -> Usage {
        self.scheduler.usage
    }

    /// Computes one pass, and draws a token for each sample that has one to draw. Nothing happens if no request is left.
    /// After an error the requests are as before the step, except that what they had in the cache is computed anew.
    pub fn step(&mut self) -> Result<Vec<Event>, EngineError> {
        if self.is_idle() {
            return Ok(Vec::new());
        }
        let drawn = self.pass();
        match drawn {
            Ok((sequences, drawn)) => Ok(self.go_on(sequences, drawn)),
            Err(error) => {
                self.scheduler.preempt_all();
                Err(error)
            }
        }
    }

    /// What is wrong with the books between two steps, if anything.
    #[cfg(test)]
    pub(crate) fn defect(&self) -> Option<String> {
        self.scheduler.defect()
    }

    /// Blocks that no sequence holds.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self) -> usize {
        self.scheduler.free_blocks()
    }

    /// How many sequences it keeps.
    #[cfg(test)]
    pub(crate) fn sequences(&self) -> usize {
        self.scheduler.sequences()
    }

    /// The model.
    #[cfg(test)]
    pub(crate) fn forward(&self) -> &F {
        &self.forward
    }

    fn check(&self, request: &Request) -> Result<(), EngineError> {
        let Request { prompt, adapter, streams, options } = request;
        options.check()?;
        if prompt.is_empty() {
            return Err(EngineError::input("a prompt: expected at least one token, got none"));
        }
        let vocabulary = self.forward.vocabulary();
        if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
            return Err(EngineError::input(format!("token id {token}: expected an id below {vocabulary}")));
        }
        if streams.is_empty() {
            return Err(EngineError::input("a request: expected at least one sample, got none"));
        }
        let adapters = self.forward.adapters();
        if let Some(adapter) = adapter.filter(|adapter| *adapter >= adapters) {
            return Err(EngineError::input(format!("adapter {adapter}: expected one of {adapters}, counted from 0")));
        }
        if !options.stop_strings.is_empty() && self.text.is_none() {
            return Err(EngineError::input("stop_strings: this engine has no tokenizer to find them with"));
        }
        let length_max = self.forward.length_max();
        if prompt.len() > length_max {
            return Err(EngineError::input(format!(
                "a prompt of {} tokens: the model takes {length_max}",
                prompt.len()
            )));
        }
        // The last token that is drawn is never computed.
        let longest = prompt.len().saturating_add(options.max_new_tokens - 1).min(length_max);
        let (needed, blocks) = (longest.div_ceil(self.forward.block_tokens()), self.limits.blocks);
        if needed > blocks {
            return Err(EngineError::input_with_hint(
                format!("a request of up to {longest} tokens: needs {needed} blocks, and the cache has {blocks}"),
                "a smaller max_new_tokens, or a larger cache",
            ));
        }
        Ok(())
    }

    /// One pass: the sequences whose last token it has computed, or that have no numbers any more, and what was drawn for
    /// their samples.
    fn pass(&mut self) -> Result<(Vec<Sequence>, Vec<DrawnSamples>), EngineError> {
        let copies = self.scheduler.plan();
        let touched =
            self.scheduler.scheduled().flat_map(|sequence| &sequence.blocks).chain(copies.iter().map(|(_, to)| to));
        let needed = touched.max().map_or(0, |last| *last as usize + 1);
        if needed > self.reserved {
            // Memory is taken as it is needed, and seldom. Where there is not that much, what is needed may do.
            let ample = needed.max(2 * self.reserved).min(self.limits.blocks);
            let is_ample = self.forward.reserve(ample);
            self.reserved = match is_ample {
                Ok(()) => ample,
                Err(_) if ample > needed => self.forward.reserve(needed).map(|()| needed)?,
                Err(error) => return Err(error.into()),
            };
        }
        for (from, to) in copies {
            self.forward.copy_block(from, to)?;
        }
        let spans: Vec<Span<'_>> = self
            .scheduler
            .scheduled()
            .map(|sequence| Span {
                tokens: &sequence.tokens[sequence.cached..sequence.cached + sequence.scheduled],
                start: sequence.cached,
                blocks: &sequence.blocks,
                adapter: sequence.request.adapter,
                // Also of a piece of a prompt: whether they are numbers tells whether its keys and values are.
                logits: LogitRows::Last,
            })
            .collect();
        if spans.is_empty() {
            return Err(EngineError::Defect("there is work, and nothing of it can be computed".to_owned()));
        }
        let rows = spans.len();
        let logits = self.forward.forward(&spans)?;
        let vocabulary = self.forward.vocabulary();
        if logits.len() != rows * vocabulary {
            let message = format!("{rows} rows of {vocabulary} logits: got {} numbers", logits.len());
            return Err(EngineError::Defect(message));
        }
        let computed: Vec<(&Sequence, &[f32])> =
            self.scheduler.scheduled().zip(logits.chunks_exact(vocabulary)).collect();
        let mut drawn: Vec<DrawnSamples> = computed
            .into_par_iter()
            .map(|(sequence, row)| {
                if let Some(unusable) = unusable(row) {
                    return Err(unusable);
                }
                let samples = (sequence.sample..sequence.sample + sequence.drawing).into_par_iter();
                Ok(samples.map(|sample| next_token(sequence, sample, row, self.text)).collect())
            })
            .collect();
        let sequences = self.scheduler.take_computed(drawn.iter().map(Result::is_ok));
        // A prompt that goes on has nothing to draw.
        drawn.retain(|drawn| !matches!(drawn, Ok(samples) if samples.is_empty()));
        Ok((sequences, drawn))
    }

    /// Gives every sample its token: those that end or fail are told, the others go on.
    fn go_on(&mut self, sequences: Vec<Sequence>, drawn: Vec<DrawnSamples>) -> Vec<Event> {
        let mut events = Vec::new();
        for (sequence, drawn) in sequences.into_iter().zip(drawn) {
            match drawn {
                Ok(drawn) => {
                    for (sample, next) in self.scheduler.branch(sequence).into_iter().zip(drawn) {
                        match next {
                            Ok(next) => self.go_on_with(sample, next, &mut events),
                            Err(error) => {
                                self.scheduler.end(&sample);
                                events.push(Event::Failed { request: sample.id, sample: sample.sample, error });
                            }
                        }
                    }
                }
                Err((token, logit)) => {
                    self.scheduler.end(&sequence);
                    let (request, position) = (sequence.id, sequence.drawn().len());
                    let samples = sequence.sample..sequence.sample + sequence.samples;
                    events.extend(samples.map(|sample| {
                        let error = SampleError::Logit { token, position, logit };
                        Event::Failed { request, sample, error }
                    }));
                }
            }
        }
        events
    }

    fn go_on_with(&mut self, mut sample: Sequence, next: NextToken, events: &mut Vec<Event>) {
        let NextToken { drawn: Drawn { token, log_probabilities }, stop } = next;
        let options = &sample.request.options;
        let mut end = options.stop_tokens.contains(&token).then_some(CompletionEnd::StopToken(token));
        sample.log_probabilities.extend(log_probabilities.clone());
        if end.is_none() {
            sample.tokens.push(token);
            events.push(Event::Token { request: sample.id, sample: sample.sample, token, log_probabilities });
            let is_long = sample.drawn().len() >= sample.request.options.max_new_tokens
                || sample.tokens.len() >= self.forward.length_max();
            end = is_long.then_some(CompletionEnd::Length);
        }
        if let Some((matcher, found)) = stop {
            sample.stop_matcher = matcher;
            end = found.map(|StopMatch { stop, text }| CompletionEnd::StopString { stop, text }).or(end);
        }
        match end {
            None => self.scheduler.run(sample),
            Some(end) => {
                self.scheduler.end(&sample);
                let (request, sample_number) = (sample.id, sample.sample);
                events.push(Event::End { request, sample: sample_number, completion: sample.completed(end) });
            }
        }
    }
}

/// What was drawn for the samples of a sequence; or the logit, and its token, by which nothing can be for any of them.
type DrawnSamples = Result<Vec<Result<NextToken, SampleError>>, (usize, f32)>;

/// A sample's next token, and what its text has become if stop strings are looked for in it.
struct NextToken {
    drawn: Drawn,
    stop: Option<(StopMatcher, Option<StopMatch>)>,
}

fn next_token(
    sequence: &Sequence,
    sample: usize,
    logits: &[f32],
    text: Option<&dyn TokenText>,
) -> Result<NextToken, SampleError> {
    let Request { options, streams, .. } = &*sequence.request;
    let drawn = draw(options, logits, &sequence.tokens, streams[sample], sequence.drawn().len());
    let is_read = !options.stop_strings.is_empty() && !options.stop_tokens.contains(&drawn.token);
    let stop = match text.filter(|_| is_read) {
        Some(text) => {
            let mut matcher = sequence.stop_matcher.clone();
            let tokens = [sequence.drawn(), &[drawn.token]].concat();
            let found = matcher.advance(&tokens, &options.stop_strings, text)?;
            Some((matcher, found))
        }
        None => None,
    };
    Ok(NextToken { drawn, stop })
}

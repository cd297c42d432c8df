//! Generation: completing prompts token by token, many at a time.
//!
//! A completion depends on its prompt, the options and its stream alone. The batch it is decoded in, the order of the
//! requests and the number of threads change nothing: every product keeps its order of sums, and the random number of
//! a token is a function of (seed, stream, position).

use std::collections::VecDeque;

use rayon::prelude::*;

use super::{Adapter, DecodeSession, Model, ModelError};
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_kernels::softmax::softmax;

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// The most tokens a completion may have, its end token included.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// The smallest set of likeliest tokens with at least this probability is drawn from; 1 is all.
    pub top_p: f64,
    /// Keys the random numbers together with a request's stream and the token's position.
    pub seed: u64,
}

/// One prompt to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRequest {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Names the random stream: two requests with the same stream and seed draw the same numbers.
    pub stream: u64,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens, without the stop token.
    pub tokens: Vec<u32>,
    /// Whether a stop token ended it; otherwise it was cut at `max_new_tokens` or at the model's longest sequence.
    pub finished: bool,
}

/// A request in the batch.
struct Active {
    request: usize,
    tokens: Vec<u32>,
}

/// Takes completions as they end, which is not the order of the requests.
pub trait GenerationSink {
    /// Takes the completion of the request with this index.
    fn accept(&mut self, request: usize, generation: Generation);

    /// Whether to go on. It is asked before every prefill and every step; what has not ended by then is lost.
    fn wants_more(&mut self) -> bool;
}

/// Completes every request, unless the sink wants no more. What is accepted does not depend on `batch_rows_max`.
pub fn generate(
    model: &Model,
    adapter: Option<&Adapter>,
    requests: &[GenerationRequest],
    options: &GenerationOptions,
    stop: &[u32],
    batch_rows_max: usize,
    sink: &mut dyn GenerationSink,
) -> Result<(), ModelError> {
    options.check()?;
    let rows_max = batch_rows_max.max(1);
    let vocabulary = model.config().vocab_size;
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    let mut active: Vec<Active> = Vec::new();
    let mut session = DecodeSession::new(model, adapter)?;
    while !(waiting.is_empty() && active.is_empty()) && sink.wants_more() {
        let room = rows_max - active.len();
        // Prompts join in groups: a prefill for each single free row would stall the others.
        let joining = if active.is_empty() || room >= rows_max.div_ceil(4) { room.min(waiting.len()) } else { 0 };
        let logits = if joining > 0 {
            let joined: Vec<usize> = waiting.drain(..joining).collect();
            active.extend(joined.iter().map(|request| Active { request: *request, tokens: Vec::new() }));
            let prompts: Vec<&[u32]> = joined.iter().map(|request| requests[*request].prompt.as_slice()).collect();
            session.prefill(&prompts)?
        } else {
            // Every row in the batch has drawn a token that is not yet in the cache.
            let last: Vec<u32> = active.iter().filter_map(|row| row.tokens.last().copied()).collect();
            session.step(&last)?
        };
        // A prefill returns logits of the new rows only, which are the last ones.
        let first = active.len() - logits.len() / vocabulary;
        let drawing: Vec<_> = active[first..]
            .iter()
            .map(|row| (requests[row.request].stream, row.tokens.len()))
            .zip(logits.chunks_exact(vocabulary))
            .collect();
        let tokens = drawing
            .into_par_iter()
            .with_min_len(8)
            .map(|((stream, position), logits)| options.draw(logits, stream, position))
            .collect::<Result<Vec<_>, _>>()?;
        let mut keep = vec![true; active.len()];
        for (row, token) in (first..).zip(tokens) {
            let Active { request, tokens } = &mut active[row];
            let request = &requests[*request];
            let finished = stop.contains(&token);
            if !finished {
                tokens.push(token);
            }
            let length = request.prompt.len() + tokens.len();
            let cut = tokens.len() >= options.max_new_tokens || length >= model.config().max_position_embeddings;
            if finished || cut {
                keep[row] = false;
                let tokens = std::mem::take(&mut active[row].tokens);
                sink.accept(active[row].request, Generation { tokens, finished });
            }
        }
        if keep.contains(&false) {
            session.retain(&keep);
            let mut keep = keep.into_iter();
            active.retain(|_| keep.next().unwrap_or(false));
        }
    }
    Ok(())
}

impl GenerationOptions {
    fn check(&self) -> Result<(), ModelError> {
        let wrong = |message: String| Err(ModelError::input(message));
        if self.max_new_tokens == 0 {
            return wrong("max_new_tokens: expected at least 1, got 0".to_owned());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return wrong(format!("temperature: expected at least 0, got {}", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong(format!("top_p: expected 0 < top_p <= 1, got {}", self.top_p));
        }
        Ok(())
    }

    /// The next token.
    fn draw(&self, logits: &[f32], stream: u64, position: usize) -> Result<u32, ModelError> {
        let mut likeliest = 0;
        for (token, logit) in logits.iter().enumerate() {
            if !logit.is_finite() {
                return Err(ModelError::input(format!("the logit of token {token} at position {position} is {logit}")));
            }
            if *logit > logits[likeliest] {
                likeliest = token;
            }
        }
        if self.temperature == 0.0 {
            return Ok(likeliest as u32);
        }
        let inverse = (1.0 / self.temperature as f32).min(f32::MAX);
        let mut probabilities: Vec<f32> = logits.iter().map(|logit| (logit - logits[likeliest]) * inverse).collect();
        softmax(&mut probabilities);
        let total: f64 = probabilities.iter().map(|p| f64::from(*p)).sum();
        let mut candidates: Vec<(usize, f64)> = probabilities.iter().map(|p| f64::from(*p)).enumerate().collect();
        if self.top_p < 1.0 {
            // All tokens below this together have less than 1 - top_p, so none of them is in the set; this leaves few
            // to be sorted.
            let negligible = (1.0 - self.top_p) * total / logits.len() as f64;
            candidates.retain(|(_, probability)| *probability >= negligible);
            candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut mass = 0.0;
            let reaches = |(_, probability): &(usize, f64)| {
                mass += probability;
                mass >= self.top_p * total
            };
            let kept = candidates.iter().position(reaches).map_or(candidates.len(), |last| last + 1);
            candidates.truncate(kept);
        }
        let kept: f64 = candidates.iter().map(|(_, probability)| probability).sum();
        let mut left = kept * Sequence::from(self.seed, Purpose::Sampling, stream, position as u32).uniform();
        for (token, probability) in &candidates {
            left -= probability;
            if left < 0.0 {
                return Ok(*token as u32);
            }
        }
        Ok(candidates.last().map_or(likeliest, |(token, _)| *token) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(temperature: f64, top_p: f64) -> GenerationOptions {
        GenerationOptions { max_new_tokens: 1, temperature, top_p, seed: 11 }
    }

    #[test]
    fn draws_in_proportion_to_the_probabilities() -> Result<(), ModelError> {
        // softmax of these at temperature 1 is 0.1, 0.2, 0.7.
        let logits = [0.1f32.ln(), 0.2f32.ln(), 0.7f32.ln()];
        let mut counts = [0.0f64; 3];
        for stream in 0..20_000 {
            counts[options(1.0, 1.0).draw(&logits, stream, 0)? as usize] += 1.0 / 20_000.0;
        }
        for (count, expected) in counts.iter().zip([0.1, 0.2, 0.7]) {
            assert!((count - expected).abs() < 0.01, "{counts:?}");
        }
        Ok(())
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() -> Result<(), ModelError> {
        let logits = [0.1f32.ln(), 0.2f32.ln(), 0.7f32.ln()];
        for stream in 0..1_000 {
            assert_eq!(options(1.0, 0.6).draw(&logits, stream, 3)?, 2);
            assert_ne!(options(1.0, 0.85).draw(&logits, stream, 3)?, 0);
        }
        Ok(())
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_likeliest() -> Result<(), ModelError> {
        assert_eq!(options(0.0, 1.0).draw(&[1.0, 3.0, 3.0], 0, 0)?, 1);
        Ok(())
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error() {
        assert!(options(0.0, 1.0).draw(&[1.0, f32::NAN], 0, 0).is_err());
    }
}

//! Sampling options: how the tokens of a completion are drawn, and where it ends.

use super::error::EngineError;
use hilora_contract::artifact::ContentHash;

/// How tokens are drawn.
///
/// A row of logits goes through the filters in this order, which is that of transformers: repetition penalty, temperature,
/// top-k, top-p (of what top-k left), min-p. At temperature 0 the likeliest token after the penalty is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// The most tokens a completion may have, its stop token included.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// The smallest set of likeliest tokens with at least this probability is drawn from; 1 is all.
    pub top_p: f64,
    /// So many likeliest tokens are drawn from, and those that are as likely as the last of them; 0 is all.
    pub top_k: usize,
    /// Tokens with less than this part of the likeliest token's probability are not drawn; 0 is all.
    pub min_p: f64,
    /// Divides the positive logits of tokens that the prompt or the completion has, and multiplies the negative; 1 is none.
    pub repetition_penalty: f64,
    /// Keys the random numbers together with a sample's stream and the token's position.
    pub seed: u64,
    /// How many of the likeliest tokens are reported with their log-probabilities, beside the drawn one; `None` reports
    /// none at all.
    pub top_log_probabilities: Option<usize>,
    /// Tokens that end a completion, and are no part of it.
    pub stop_tokens: Vec<u32>,
    /// Texts that end a completion, wherever in its text they come up; the text before them is kept.
    pub stop_strings: Vec<String>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 512,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
            top_log_probabilities: None,
            stop_tokens: Vec::new(),
            stop_strings: Vec::new(),
        }
    }
}

impl SamplingOptions {
    /// The hash of all that decides which tokens are drawn from a model's logits, and of what is told of them.
    pub fn content(&self) -> ContentHash {
        // Named one by one, so that none can be forgotten.
        let Self {
            max_new_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            seed,
            top_log_probabilities,
            stop_tokens,
            stop_strings,
        } = self;
        let numbers = [
            *max_new_tokens as u64,
            temperature.to_bits(),
            top_p.to_bits(),
            *top_k as u64,
            min_p.to_bits(),
            repetition_penalty.to_bits(),
            *seed,
            top_log_probabilities.map_or(0, |top| top as u64 + 1),
        ]
        .map(u64::to_le_bytes);
        let stop_tokens: Vec<u8> = stop_tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let numbers = numbers.iter().map(|number| &number[..]);
        ContentHash::of_parts(numbers.chain([&stop_tokens[..]]).chain(stop_strings.iter().map(String::as_bytes)))
    }

    /// Refuses the first value that cannot be used.
    pub fn check(&self) -> Result<(), EngineError> {
        let Self { max_new_tokens, temperature, top_p, min_p, repetition_penalty, .. } = self;
        let wrong = |name: &str, expected: &str, got: &dyn std::fmt::Display| {
            Err(EngineError::input(format!("{name}: expected {expected}, got {got}")))
        };
        if *max_new_tokens == 0 {
            return wrong("max_new_tokens", "at least 1", max_new_tokens);
        }
        if !(temperature.is_finite() && *temperature >= 0.0) {
            return wrong("temperature", "at least 0", temperature);
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return wrong("top_p", "0 < top_p <= 1", top_p);
        }
        if !(0.0..=1.0).contains(min_p) {
            return wrong("min_p", "0 to 1", min_p);
        }
        // Logits are multiplied by it and divided.
        if !(1e-3..=1e3).contains(repetition_penalty) {
            return wrong("repetition_penalty", "0.001 to 1000", repetition_penalty);
        }
        if self.stop_strings.iter().any(String::is_empty) {
            return wrong("stop_strings", "texts of at least one character", &"an empty one");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_content() {
        let fine = SamplingOptions::default;
        let mut contents = vec![fine().content()];
        for options in [
            SamplingOptions { max_new_tokens: 511, ..fine() },
            SamplingOptions { temperature: 0.5, ..fine() },
            SamplingOptions { top_p: 0.5, ..fine() },
            SamplingOptions { top_k: 5, ..fine() },
            SamplingOptions { min_p: 0.5, ..fine() },
            SamplingOptions { repetition_penalty: 1.5, ..fine() },
            SamplingOptions { seed: 5, ..fine() },
            SamplingOptions { top_log_probabilities: Some(0), ..fine() },
            SamplingOptions { stop_tokens: vec![5], ..fine() },
            SamplingOptions { stop_strings: vec!["a".to_owned(), "b".to_owned()], ..fine() },
            SamplingOptions { stop_strings: vec!["ab".to_owned()], ..fine() },
        ] {
            assert!(!contents.contains(&options.content()), "{options:?}");
            contents.push(options.content());
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let fine = SamplingOptions::default;
        assert!(fine().check().is_ok());
        for (options, message) in [
            (SamplingOptions { max_new_tokens: 0, ..fine() }, "max_new_tokens: expected at least 1, got 0"),
            (SamplingOptions { temperature: -0.1, ..fine() }, "temperature: expected at least 0, got -0.1"),
            (SamplingOptions { temperature: f64::NAN, ..fine() }, "temperature: expected at least 0, got NaN"),
            (SamplingOptions { top_p: 0.0, ..fine() }, "top_p: expected 0 < top_p <= 1, got 0"),
            (SamplingOptions { min_p: 1.5, ..fine() }, "min_p: expected 0 to 1, got 1.5"),
            (
                SamplingOptions { repetition_penalty: 0.0, ..fine() },
                "repetition_penalty: expected 0.001 to 1000, got 0",
            ),
            (
                SamplingOptions { stop_strings: vec![String::new()], ..fine() },
                "stop_strings: expected texts of at least one character, got an empty one",
            ),
        ] {
            assert_eq!(options.check().map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}

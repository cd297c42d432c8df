//! A training sample: token ids, and for each whether the model is trained to predict it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::TrainingError;

/// One document. Samples never see each other, however they are batched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSample {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// For each token, whether it is a target. The first token has no past and is never one.
    pub trained: Vec<bool>,
}

impl TrainingSample {
    /// A document all of whose tokens are targets.
    pub fn plain(tokens: Vec<u32>) -> Self {
        let trained = vec![true; tokens.len()];
        Self { tokens, trained }
    }

    /// How many tokens are predicted.
    pub fn targets(&self) -> usize {
        self.targets_within(0..self.tokens.len())
    }

    fn targets_within(&self, tokens: Range<usize>) -> usize {
        self.trained[tokens].iter().skip(1).filter(|trained| **trained).count()
    }
}

/// Samples as they fit into `max_seq_length`: a longer one keeps its first tokens, as in TRL, and one that loses all its
/// targets by that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FittedSamples<'a> {
    samples: &'a [TrainingSample],
    max_seq_length: usize,
    /// Indices of the samples that are used, rising.
    pub(crate) used: Vec<usize>,
    /// Indices of those among them that were cut.
    pub(crate) cut: Vec<usize>,
    /// Indices of the samples that were left out because no target is among their first tokens.
    pub(crate) without_targets: Vec<usize>,
}

impl<'a> FittedSamples<'a> {
    /// Fits samples. One that has no target even whole is an error: its row was made wrongly.
    pub(crate) fn new(samples: &'a [TrainingSample], max_seq_length: usize) -> Result<Self, TrainingError> {
        let (mut used, mut cut, mut without_targets) = (Vec::new(), Vec::new(), Vec::new());
        for (index, sample) in samples.iter().enumerate() {
            let refuse = |problem: String| Err(TrainingError::Sample { sample: index, problem });
            if sample.tokens.len() != sample.trained.len() {
                return refuse(format!("{} tokens, but {} marks", sample.tokens.len(), sample.trained.len()));
            }
            if sample.targets() == 0 {
                return refuse("expected at least one token to train on, got none".to_owned());
            }
            let length = sample.tokens.len().min(max_seq_length);
            if sample.targets_within(0..length) == 0 {
                without_targets.push(index);
                continue;
            }
            used.push(index);
            if length < sample.tokens.len() {
                cut.push(index);
            }
        }
        if used.is_empty() {
            return Err(TrainingError::NoSamples {
                given: samples.len(),
                without_targets: without_targets.len(),
                max_seq_length,
            });
        }
        Ok(Self { samples, max_seq_length, used, cut, without_targets })
    }

    /// The tokens of a sample that are seen.
    pub(crate) fn tokens(&self, index: usize) -> &'a [u32] {
        let tokens = &self.samples[index].tokens;
        &tokens[..tokens.len().min(self.max_seq_length)]
    }

    /// Whether a token of a sample is a target.
    pub(crate) fn is_target(&self, index: usize, token: usize) -> bool {
        self.samples[index].trained[token]
    }

    /// How many tokens of a sample are predicted.
    pub(crate) fn targets(&self, index: usize) -> usize {
        self.samples[index].targets_within(0..self.tokens(index).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sample_keeps_its_first_tokens_unless_no_target_is_left() -> Result<(), TrainingError> {
        let late = TrainingSample { tokens: vec![1, 2, 3, 4], trained: vec![false, false, false, true] };
        let early = TrainingSample { tokens: vec![5, 6, 7, 8], trained: vec![false, true, true, true] };
        // The first token of a document is never a target, whatever its mark says.
        let first = TrainingSample { tokens: vec![9, 9, 9, 9], trained: vec![true, false, false, true] };
        let short = TrainingSample::plain(vec![1, 2, 3]);
        let samples = [late, early, first, short];
        let fitted = FittedSamples::new(&samples, 3)?;
        assert_eq!(fitted.used, [1, 3]);
        assert_eq!(fitted.cut, [1]);
        assert_eq!(fitted.without_targets, [0, 2]);
        assert_eq!(fitted.tokens(1), [5, 6, 7]);
        assert_eq!(fitted.targets(1), 2);
        assert_eq!(FittedSamples::new(&samples, 4)?.used, [0, 1, 2, 3]);
        Ok(())
    }

    #[test]
    fn nothing_to_train_on_is_an_error_with_both_numbers() {
        let samples = [TrainingSample { tokens: vec![1, 2, 3], trained: vec![false, false, true] }];
        let error = FittedSamples::new(&samples, 2).err().map(|error| error.to_string());
        let expected = "no sample to train on: 1 given, 1 of them without a target among their first 2 tokens \
                        (training.max_seq_length)";
        assert_eq!(error.as_deref(), Some(expected));
    }
}

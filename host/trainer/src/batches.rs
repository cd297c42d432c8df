//! Batches: which samples make which optimizer step. The order is drawn anew for every epoch from the run's seed, and
//! the last step of an epoch takes what is left.
//!
//! A row is one sample or, with packing, several. Samples of a micro-batch are concatenated without padding; attention
//! is blocked by document. Since the loss is the mean over a whole step's targets, a micro-batch of many tokens is
//! computed in several passes: the same gradients in less memory.

use super::length_groups::group_by_length;
use super::packing::best_fit_decreasing;
use super::sample::FittedSamples;
use super::{TrainingConfig, TrainingSample};
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_model::PackedDocuments;

/// Samples that an audit looks at.
const AUDITED_SAMPLES: usize = 4;
/// Tokens of a pass, beyond which products gain no speed from more of them and memory only grows. A longer row is a pass
/// of its own.
pub(crate) const PASS_TOKENS: usize = 2048;

/// The plan of a run: how samples are put into rows, and rows into steps.
pub(crate) struct Batches<'a> {
    samples: &'a FittedSamples<'a>,
    /// Indices of the samples of each row.
    rows: Vec<Vec<usize>>,
    /// Tokens of each row.
    lengths: Vec<usize>,
    batch_size: usize,
    accumulation: usize,
    epochs: usize,
    max_steps: Option<usize>,
    shuffle: bool,
    group_by_length: bool,
    seed: u64,
}

/// What goes through the model at once: a micro-batch, or if that has many tokens a part of it.
pub(crate) struct MicroBatch {
    /// The samples' indices.
    pub(crate) samples: Vec<usize>,
    /// Their tokens.
    pub(crate) documents: PackedDocuments,
}

/// The samples that are held against themselves alone.
pub(crate) struct IsolationAudit {
    /// Their indices.
    pub(crate) samples: Vec<usize>,
    /// How many of its first tokens each keeps.
    share: usize,
}

impl IsolationAudit {
    /// Some of the samples as they are audited.
    pub(crate) fn documents(&self, samples: &FittedSamples<'_>, indices: &[usize]) -> PackedDocuments {
        let mut documents = PackedDocuments::default();
        for index in indices {
            let tokens = samples.tokens(*index);
            let length = tokens.len().min(self.share);
            // Where a sample is cut its targets may be gone, and any row shows what leaks.
            let is_cut = length < tokens.len();
            documents.push(&tokens[..length], |token| is_cut || samples.is_target(*index, token));
        }
        documents
    }

    /// Tokens of all of them together.
    pub(crate) fn tokens(&self, samples: &FittedSamples<'_>) -> usize {
        self.samples.iter().map(|index| samples.tokens(*index).len().min(self.share)).sum()
    }
}

impl<'a> Batches<'a> {
    /// Plans a run over these samples.
    pub(crate) fn new(samples: &'a FittedSamples<'a>, config: &TrainingConfig, seed: u64) -> Self {
        let lengths: Vec<usize> = samples.used.iter().map(|index| samples.tokens(*index).len()).collect();
        let rows: Vec<Vec<usize>> = if config.packing {
            let packed = best_fit_decreasing(&lengths, config.max_seq_length);
            packed.iter().map(|row| row.iter().map(|at| samples.used[*at]).collect()).collect()
        } else {
            samples.used.iter().map(|index| vec![*index]).collect()
        };
        let tokens = |row: &Vec<usize>| row.iter().map(|index| samples.tokens(*index).len()).sum();
        Self {
            samples,
            lengths: rows.iter().map(tokens).collect(),
            rows,
            batch_size: config.batch_size,
            accumulation: config.gradient_accumulation_steps,
            epochs: config.num_epochs,
            max_steps: config.max_steps,
            shuffle: config.shuffle,
            group_by_length: config.group_by_length,
            seed,
        }
    }

    fn per_step(&self) -> usize {
        self.batch_size * self.accumulation
    }

    fn steps_per_epoch(&self) -> usize {
        self.rows.len().div_ceil(self.per_step())
    }

    /// Rows of an epoch.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Steps of the whole run.
    pub(crate) fn steps(&self) -> usize {
        self.max_steps.unwrap_or(self.steps_per_epoch() * self.epochs)
    }

    /// The passes of a step, counted from 0.
    pub(crate) fn step(&self, step: usize) -> Vec<MicroBatch> {
        let packed = |samples: Vec<usize>| MicroBatch { documents: pack_fitted(self.samples, &samples), samples };
        self.samples_of(step).into_iter().map(packed).collect()
    }

    /// The samples of each pass of a step, counted from 0.
    pub(crate) fn samples_of(&self, step: usize) -> Vec<Vec<usize>> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = self.order(epoch);
        let first = within * self.per_step();
        let rows = &order[first..order.len().min(first + self.per_step())];
        rows.chunks(self.batch_size)
            .flat_map(|rows| passes(rows, |row| self.lengths[*row]))
            .map(|rows| rows.iter().flat_map(|row| self.rows[*row].iter().copied()).collect())
            .collect()
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if !self.shuffle {
            return order;
        }
        let mut numbers = Sequence::new(self.seed, Purpose::Shuffle, epoch as u64);
        for i in (1..order.len()).rev() {
            order.swap(i, numbers.below(i + 1));
        }
        if self.group_by_length { group_by_length(order, &self.lengths, self.per_step()) } else { order }
    }

    /// What must bring a gradient to every tensor: the shortest samples, at most four, in no more tokens than a pass has.
    pub(crate) fn for_gradient_audit(&self) -> MicroBatch {
        self.shortest(1)
    }

    /// What must not see each other: the same samples, but two at least if there are two. Of samples with more tokens than a
    /// pass has, each keeps its first tokens, an even share of a pass.
    pub(crate) fn for_isolation_audit(&self) -> IsolationAudit {
        let samples = self.shortest(2).samples;
        let tokens: usize = samples.iter().map(|index| self.samples.tokens(*index).len()).sum();
        let share = if tokens > PASS_TOKENS { PASS_TOKENS / samples.len() } else { usize::MAX };
        IsolationAudit { samples, share }
    }

    fn shortest(&self, at_least: usize) -> MicroBatch {
        let mut by_length = self.samples.used.clone();
        by_length.sort_by_key(|index| (self.samples.tokens(*index).len(), *index));
        let (mut samples, mut tokens) = (Vec::new(), 0);
        for index in by_length.into_iter().take(AUDITED_SAMPLES) {
            tokens += self.samples.tokens(index).len();
            if samples.len() >= at_least && tokens > PASS_TOKENS {
                break;
            }
            samples.push(index);
        }
        MicroBatch { documents: pack_fitted(self.samples, &samples), samples }
    }
}

/// Cuts the rows of a micro-batch into passes.
pub(crate) fn passes<R>(rows: &[R], tokens: impl Fn(&R) -> usize) -> Vec<&[R]> {
    let mut passes = Vec::new();
    let (mut first, mut sum) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        sum += tokens(row);
        if at > first && sum > PASS_TOKENS {
            passes.push(&rows[first..at]);
            (first, sum) = (at, tokens(row));
        }
    }
    passes.push(&rows[first..]);
    passes
}

/// Concatenates samples as they fit.
pub(crate) fn pack_fitted(samples: &FittedSamples<'_>, indices: &[usize]) -> PackedDocuments {
    let mut documents = PackedDocuments::default();
    for index in indices {
        documents.push(samples.tokens(*index), |token| samples.is_target(*index, token));
    }
    documents
}

/// Concatenates whole samples.
pub(crate) fn pack<'s>(samples: impl Iterator<Item = &'s TrainingSample>) -> PackedDocuments {
    let mut documents = PackedDocuments::default();
    for sample in samples {
        documents.push(&sample.tokens, |i| sample.trained[i]);
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainingError;
    use crate::config::tests::config_with;

    const CONFIG: &str = r#""num_epochs":2,"batch_size":2,"gradient_accumulation_steps":2,"max_seq_length":4"#;

    fn config(keys: &str) -> TrainingConfig {
        let config: TrainingConfig =
            serde_json::from_str(&format!(r#"{{"learning_rate":0.001,{CONFIG}{keys}}}"#)).expect("a configuration");
        assert_eq!(config.validate(), Vec::<String>::new());
        config
    }

    /// Six samples of three tokens, each filled with its index.
    fn samples() -> Vec<TrainingSample> {
        (0..6).map(|i| TrainingSample::plain(vec![i; 3])).collect()
    }

    fn order(batches: &Batches<'_>, steps: std::ops::Range<usize>) -> Vec<usize> {
        steps.flat_map(|step| batches.step(step)).flat_map(|batch| batch.samples).collect()
    }

    #[test]
    fn every_epoch_sees_every_sample_once_in_another_order() -> Result<(), TrainingError> {
        let samples = samples();
        let fitted = FittedSamples::new(&samples, 4)?;
        let batches = Batches::new(&fitted, &config(""), 1);
        assert_eq!(batches.steps(), 4);
        let (first, second) = (order(&batches, 0..2), order(&batches, 2..4));
        assert_ne!(first, second);
        for mut seen in [first, second] {
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        }
        let as_they_stand = Batches::new(&fitted, &config(r#","shuffle":false"#), 1);
        assert_eq!(order(&as_they_stand, 0..4), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
        Ok(())
    }

    #[test]
    fn packed_rows_hold_several_documents_and_every_sample_once() -> Result<(), TrainingError> {
        let samples: Vec<_> = [3, 1, 2, 4, 2, 3].iter().map(|n| TrainingSample::plain(vec![7; *n])).collect();
        // The sample of one token has no target.
        let samples = [&samples[..1], &samples[2..]].concat();
        let fitted = FittedSamples::new(&samples, 4)?;
        let batches = Batches::new(&fitted, &config(r#","packing":true"#), 1);
        // 4 | 3 | 3 | 2 + 2, two rows in a micro-batch and all four in one step.
        assert_eq!((batches.rows(), batches.steps()), (4, 2));
        let step = batches.step(0);
        assert_eq!(step.iter().map(|batch| batch.documents.tokens.len()).sum::<usize>(), 14);
        assert_eq!(step.iter().map(|batch| batch.documents.documents.len()).sum::<usize>(), 5);
        let mut seen = order(&batches, 0..1);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        Ok(())
    }

    #[test]
    fn a_micro_batch_of_many_tokens_is_several_passes() -> Result<(), TrainingError> {
        let samples: Vec<_> = [900, 900, 400, 3000, 100].map(|n| TrainingSample::plain(vec![7; n])).into();
        let fitted = FittedSamples::new(&samples, 4096)?;
        let config = TrainingConfig { batch_size: 5, max_seq_length: 4096, ..config(r#","shuffle":false"#) };
        let batches = Batches::new(&fitted, &config, 1);
        assert_eq!(batches.samples_of(0), [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert_eq!(batches.for_gradient_audit().samples, [4, 2, 0]);
        let long = [3000, 2500].map(|n| TrainingSample::plain(vec![7; n]));
        let fitted = FittedSamples::new(&long, 4096)?;
        let batches = Batches::new(&fitted, &config, 1);
        assert_eq!(batches.for_gradient_audit().samples, [1]);
        let audit = batches.for_isolation_audit();
        assert_eq!((&audit.samples[..], audit.tokens(&fitted)), (&[1, 0][..], PASS_TOKENS));
        let documents = audit.documents(&fitted, &audit.samples);
        assert_eq!(documents.documents.iter().map(|document| document.rows.len()).collect::<Vec<_>>(), [1024, 1024]);
        // A sample whose targets are cut off is still looked at.
        let late: Vec<bool> = (0..3000).map(|token| token >= 2000).collect();
        let late = [0, 1].map(|_| TrainingSample { tokens: vec![7; 3000], trained: late.clone() });
        let fitted = FittedSamples::new(&late, 4096)?;
        let audit = Batches::new(&fitted, &config, 1).for_isolation_audit();
        assert_eq!(audit.documents(&fitted, &[0]).predicting.len(), 1023);
        Ok(())
    }

    #[test]
    fn groups_by_length_begin_with_the_longest() -> Result<(), TrainingError> {
        let samples: Vec<_> = (0..64).map(|i| TrainingSample::plain(vec![1; 2 + (i * 29) % 60])).collect();
        let fitted = FittedSamples::new(&samples, 64)?;
        let grouped = TrainingConfig { max_seq_length: 64, ..config(r#","group_by_length":true"#) };
        let batches = Batches::new(&fitted, &grouped, 3);
        let length = |index: &usize| fitted.tokens(*index).len();
        let first = order(&batches, 0..16);
        assert_eq!(first.iter().map(length).max(), Some(length(&first[0])));
        let spread = |order: &[usize]| -> usize {
            order
                .chunks(4)
                .map(|step| {
                    let lengths = step.iter().map(length);
                    lengths.clone().max().unwrap_or(0) - lengths.min().unwrap_or(0)
                })
                .sum()
        };
        let plain = Batches::new(&fitted, &TrainingConfig { group_by_length: false, ..grouped }, 3);
        assert!(spread(&first) * 2 < spread(&order(&plain, 0..16)));
        Ok(())
    }

    #[test]
    fn a_sample_without_a_target_is_refused_by_its_index() {
        let mut samples = samples();
        samples[5].trained = vec![true, false, false];
        let error = FittedSamples::new(&samples, 4).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("sample 5: expected at least one token to train on, got none"));
    }

    #[test]
    fn targets_follow_the_rows_that_predict_them() {
        let sample = TrainingSample { tokens: vec![7, 8, 9], trained: vec![true, false, true] };
        let packed = pack([&sample, &sample].into_iter());
        assert_eq!(packed.predicting, [1, 4]);
        assert_eq!(packed.targets, [9, 9]);
        assert_eq!(packed.positions, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_defaults_shuffle_and_do_not_pack() {
        let config = config_with("");
        assert!(config.shuffle && !config.packing && !config.group_by_length);
    }
}

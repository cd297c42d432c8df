//! Batches: which samples make which optimizer step. The order is drawn anew for every epoch from the run's seed, and
//! the last step of an epoch takes what is left.
//!
//! Samples of a micro-batch are concatenated without padding; attention is blocked by document.

use super::{TrainingConfig, TrainingError, TrainingSample};
use crate::kernels::philox::{Purpose, Sequence};
use crate::model::PackedDocuments;

/// The plan of a run: the samples that are used, and how they are cut into steps.
pub(crate) struct Batches<'a> {
    samples: &'a [TrainingSample],
    /// Indices of the samples that fit.
    used: Vec<usize>,
    /// Indices of the samples that are longer than the limit.
    pub(crate) too_long: Vec<usize>,
    batch_size: usize,
    accumulation: usize,
    epochs: usize,
    seed: u64,
}

impl<'a> Batches<'a> {
    /// Refuses a sample without a target, counts those that are too long.
    pub(crate) fn new(
        samples: &'a [TrainingSample],
        config: &TrainingConfig,
        seed: u64,
    ) -> Result<Self, TrainingError> {
        let (mut used, mut too_long) = (Vec::new(), Vec::new());
        for (index, sample) in samples.iter().enumerate() {
            let refuse = |problem: String| Err(TrainingError::Sample { sample: index, problem });
            if sample.tokens.len() != sample.trained.len() {
                return refuse(format!("{} tokens, but {} marks", sample.tokens.len(), sample.trained.len()));
            }
            if sample.targets() == 0 {
                return refuse("expected at least one token to train on, got none".to_owned());
            }
            if sample.tokens.len() > config.max_seq_length { too_long.push(index) } else { used.push(index) }
        }
        if used.is_empty() {
            return Err(TrainingError::NoSamples {
                given: samples.len(),
                too_long: too_long.len(),
                max_seq_length: config.max_seq_length,
            });
        }
        Ok(Self {
            samples,
            used,
            too_long,
            batch_size: config.batch_size,
            accumulation: config.gradient_accumulation_steps,
            epochs: config.num_epochs,
            seed,
        })
    }

    fn per_step(&self) -> usize {
        self.batch_size * self.accumulation
    }

    fn steps_per_epoch(&self) -> usize {
        self.used.len().div_ceil(self.per_step())
    }

    /// Steps of the whole run.
    pub(crate) fn steps(&self) -> usize {
        self.steps_per_epoch() * self.epochs
    }

    /// The micro-batches of a step, counted from 0.
    pub(crate) fn step(&self, step: usize) -> Vec<PackedDocuments> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = self.order(epoch);
        let first = within * self.per_step();
        let indices = &order[first..order.len().min(first + self.per_step())];
        indices.chunks(self.batch_size).map(|indices| pack(indices.iter().map(|index| &self.samples[*index]))).collect()
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order = self.used.clone();
        let mut numbers = Sequence::new(self.seed, Purpose::Shuffle, epoch as u64);
        for i in (1..order.len()).rev() {
            order.swap(i, numbers.below(i + 1));
        }
        order
    }

    /// The longest samples, one micro-batch of at most four: what the audit looks at.
    pub(crate) fn for_audit(&self) -> PackedDocuments {
        let mut longest = self.used.clone();
        longest.sort_by_key(|index| (std::cmp::Reverse(self.samples[*index].targets()), *index));
        pack(longest.iter().take(4).map(|index| &self.samples[*index]))
    }
}

/// Concatenates samples.
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
    use crate::trainer::{LearningRateSchedule, OptimizerKind, TrainingMode};

    fn config() -> TrainingConfig {
        TrainingConfig {
            mode: TrainingMode::Full,
            num_epochs: 2,
            batch_size: 2,
            gradient_accumulation_steps: 2,
            learning_rate: 1e-3,
            lr_scheduler: LearningRateSchedule::Cosine,
            warmup_ratio: 0.0,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            max_seq_length: 4,
            gradient_checkpointing: false,
            optim: OptimizerKind::Adamw,
            save_steps: 0,
        }
    }

    fn samples() -> Vec<TrainingSample> {
        (0..7).map(|i| TrainingSample::plain(vec![i; if i == 3 { 5 } else { 3 }])).collect()
    }

    #[test]
    fn every_epoch_sees_every_sample_that_fits_once() -> Result<(), TrainingError> {
        let samples = samples();
        let batches = Batches::new(&samples, &config(), 1)?;
        assert_eq!((batches.steps(), batches.too_long.as_slice()), (4, &[3][..]));
        let seen = |steps: std::ops::Range<usize>| {
            let mut seen: Vec<u32> = steps
                .flat_map(|step| batches.step(step))
                .flat_map(|batch| {
                    batch.documents.clone().into_iter().map(move |document| batch.tokens[document.rows.start])
                })
                .collect();
            let order = seen.clone();
            seen.sort_unstable();
            (seen, order)
        };
        let (first, second) = (seen(0..2), seen(2..4));
        assert_eq!(first.0, [0, 1, 2, 4, 5, 6]);
        assert_eq!(first.0, second.0);
        assert_ne!(first.1, second.1);
        Ok(())
    }

    #[test]
    fn a_sample_without_a_target_is_refused_by_its_index() {
        let mut samples = samples();
        samples[5].trained = vec![true, false, false];
        let error = Batches::new(&samples, &config(), 1).err().map(|e| e.to_string());
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
}

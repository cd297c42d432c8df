//! The audit before step 0, on a few of the run's own samples: samples that share a row must get the numbers that each
//! gets alone. They are looked at in no more tokens than a pass has. (That a gradient reaches every trained tensor is the learner's own audit.)

use super::TrainingError;
use super::batches::IsolationAudit;
use super::learner::Learner;
use super::sample::FittedSamples;
use hilora_kernels::{in_pool, scratch};
use hilora_model::{ComputeType, Model};

/// Rows of each sample whose logits are compared: the last that predict a target, where what leaked would show.
pub(crate) const ROWS: usize = 8;
/// |packed − alone| / |alone| in the Euclidean norm, if a product does not depend on the rows beside it.
const BOUND: f64 = 2e-5;
/// The same if it does, as in a library's products on another device: what its order of sums and its roundings may
/// move. A sample that sees another is off by a multiple of it.
const DEVICE_BOUND_F32: f64 = 1e-3;
const DEVICE_BOUND_BF16: f64 = 5e-2;

fn bound(model: &Model) -> f64 {
    match (model.device().is_cpu(), model.compute_type()) {
        (true, _) => BOUND,
        (false, ComputeType::F32) => DEVICE_BOUND_F32,
        (false, ComputeType::Bf16) => DEVICE_BOUND_BF16,
    }
}

/// Fails unless each sample of a micro-batch has the logits that it has alone.
pub(crate) fn packed_equals_alone(
    learner: &Learner,
    samples: &FittedSamples<'_>,
    audit: &IsolationAudit,
) -> Result<(), TrainingError> {
    let (model, adapter) = (learner.model(), learner.adapter());
    let logits_of = |indices: &[usize]| {
        in_pool(|| {
            let documents = audit.documents(samples, indices);
            // What passes of other lengths have left free would stand beside this one's.
            scratch::begin_pass(documents.tokens.len(), documents.documents.len() * ROWS);
            let hidden = model.hidden(&documents, adapter)?;
            let mut logits = Vec::with_capacity(indices.len());
            for document in &documents.documents {
                let of_document = |row: &&usize| document.rows.contains(row);
                let rows: Vec<usize> =
                    documents.predicting.iter().rev().filter(of_document).take(ROWS).copied().collect();
                logits.push(model.logits(&hidden, &rows, adapter)?);
            }
            Ok::<_, TrainingError>(logits)
        })
    };
    let packed = logits_of(&audit.samples)?;
    for (sample, packed) in audit.samples.iter().zip(packed) {
        let alone = logits_of(&[*sample])?.concat();
        let distance = relative_distance(&packed, &alone);
        // NaN proves nothing.
        let bound = bound(model);
        if distance.is_nan() || distance > bound {
            return Err(TrainingError::NotIsolated { sample: *sample, distance, bound });
        }
    }
    Ok(())
}

fn relative_distance(packed: &[f32], alone: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut packed.iter().zip(alone).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut alone.iter().map(|x| f64::from(*x))).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::small_model;
    use hilora_model::PackedDocuments;

    #[test]
    fn a_sample_that_sees_another_is_far_beyond_the_bound() -> Result<(), TrainingError> {
        let model = small_model(4)?;
        let last_logits = |lists: &[&[u32]]| {
            let mut documents = PackedDocuments::default();
            lists.iter().for_each(|tokens| documents.push(tokens, |_| true));
            model.logits(&*model.hidden(&documents, None)?, &[documents.tokens.len() - 1], None)
        };
        let (first, second): ([u32; 4], [u32; 3]) = ([5, 6, 7, 8], [9, 10, 11]);
        let alone = last_logits(&[&second])?;
        assert_eq!(relative_distance(&last_logits(&[&first, &second])?, &alone), 0.0);
        // One document of both: the second part sees the first.
        let leaked = last_logits(&[&[5, 6, 7, 8, 9, 10, 11]])?;
        assert!(relative_distance(&leaked, &alone) > 100.0 * BOUND);
        Ok(())
    }
}

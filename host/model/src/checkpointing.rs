//! Gradient checkpointing: what a block computes is computed again in the backward pass instead of kept; only inputs of
//! blocks are.
//!
//! If the inputs of all blocks would take much memory, too, as few of them are kept as can be (about twice the root of
//! their number), and the others are computed again from those: another forward pass for most blocks. The gradients are
//! the same bits.

/// How much gradient checkpointing keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointing {
    /// What the inputs of all blocks may take together, in bytes, before fewer are kept.
    input_bytes_max: usize,
}

impl Default for Checkpointing {
    fn default() -> Self {
        // A model of 7 B parameters stays below it at 4,096 tokens, and one of 32 B would take 5 GiB.
        Self { input_bytes_max: 2 << 30 }
    }
}

impl Checkpointing {
    /// Every how many blocks an input is kept, if each takes `input_bytes`.
    pub fn segment(self, blocks: usize, input_bytes: usize) -> usize {
        if blocks * input_bytes <= self.input_bytes_max { 1 } else { blocks.isqrt().max(1) }
    }

    /// How many inputs are in memory at most: those that are kept, and those of the segment that is computed again.
    pub fn inputs(blocks: usize, segment: usize) -> usize {
        blocks.div_ceil(segment) + segment - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::{SMALL_CONFIG, perturbed_adapter};
    use crate::{
        Adapter, ComputeDevice, DropoutKey, Gradients, Model, ModelConfig, ModelError, PackedDocuments, TrainingPass,
    };

    #[test]
    fn keeps_what_fits() {
        let keeps = |megabytes: usize| Checkpointing::default().segment(64, megabytes << 20);
        assert_eq!([32, 33, 1 << 14].map(keeps), [1, 8, 8]);
        assert_eq!(Checkpointing::inputs(64, 8), 15);
        assert_eq!(Checkpointing::default().segment(1, 1 << 40), 1);
    }

    #[test]
    fn segments_have_the_gradients_of_whole_blocks() -> Result<(), ModelError> {
        let text = SMALL_CONFIG.replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":5");
        let model =
            Model::random(ModelConfig::parse(std::path::Path::new("config.json"), &text)?, 4, ComputeDevice::Cpu)?;
        let adapter = perturbed_adapter(&model)?;
        let mut documents = PackedDocuments::default();
        documents.push(&[3, 1, 4, 1, 5, 9, 2, 6], |_| true);
        let gradients = |checkpointing| -> Result<(f64, Vec<Vec<f32>>), ModelError> {
            let how = TrainingPass {
                scale: 1.0,
                dropout: Some(DropoutKey { seed: 1, micro_batch: 0 }),
                noise: None,
                checkpointing,
            };
            let into = Gradients::Adapter(Box::new(adapter.zeros_like()?));
            let loss = model.forward_backward(&documents, Some(&adapter), how, &into)?;
            let Gradients::Adapter(into) = &into else { return Ok((loss, Vec::new())) };
            let values = |adapter: &Adapter| -> candle_core::Result<Vec<Vec<f32>>> {
                adapter.tensors().map(|(_, tensor)| tensor.flatten_all()?.to_vec1()).collect()
            };
            Ok((loss, values(into)?))
        };
        let kept = gradients(None)?;
        for input_bytes_max in [usize::MAX, 1] {
            assert_eq!(gradients(Some(Checkpointing { input_bytes_max }))?, kept);
        }
        Ok(())
    }
}

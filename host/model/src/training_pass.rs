//! A training pass: forward through all blocks and back, with gradients added where they are kept.

use candle_core::Tensor;
use half::bf16;

use super::block::{BlockGradients, BlockSaved, DropoutKey, Pass, TrainedGradients};
use super::checkpointing::Checkpointing;
use super::packed_documents::PackedDocuments;
use super::weights::Weights;
use super::{Adapter, AdapterModule, ComputeType, Model, ModelError, ModuleToSave};
use hilora_kernels::cross_entropy::{self, Trained};
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Weight};
use hilora_kernels::neftune::Noise;
use hilora_kernels::scratch::{self, Scratch};
use hilora_kernels::{embedding, lora, neftune, residual, rms_norm};

/// Where a training pass adds its gradients.
pub enum Gradients {
    /// To the adapter's tensors.
    Adapter(Box<Adapter>),
    /// To all weights.
    Full(Box<Weights>),
}

impl Gradients {
    /// The embedding's, if it is trained.
    fn embedding(&self) -> Option<&Tensor> {
        match self {
            Self::Adapter(adapter) => adapter.saved(ModuleToSave::EmbedTokens),
            Self::Full(weights) => Some(&weights.embedding),
        }
        .and_then(Weight::dense)
    }

    /// Those of a table's update.
    fn update(&self, module: ModuleToSave) -> Option<&AdapterModule> {
        match self {
            Self::Adapter(adapter) => adapter.table_update(module),
            Self::Full(_) => None,
        }
    }

    /// Whether something of the embedding is trained.
    fn reach_the_embedding(&self) -> bool {
        self.embedding().is_some() || self.update(ModuleToSave::EmbedTokens).is_some()
    }

    /// The output layer's, if it is trained.
    fn output(&self) -> Option<&Tensor> {
        match self {
            Self::Adapter(adapter) => adapter.saved(ModuleToSave::LmHead),
            Self::Full(weights) => Some(weights.output()),
        }
        .and_then(Weight::dense)
    }
}

/// How a training pass is run.
#[derive(Clone, Copy)]
pub struct TrainingPass {
    /// Multiplies the summed loss before it is differentiated: one over the targets of the optimizer step.
    pub scale: f32,
    /// What decides the masks of the adapter's dropout; none without one.
    pub dropout: Option<DropoutKey>,
    /// What is added to the embeddings.
    pub noise: Option<Noise>,
    /// Whether blocks are computed again instead of kept.
    pub checkpointing: Option<Checkpointing>,
}

impl Model {
    /// Adds the gradients of `scale` · Σ loss to `gradients`; returns the summed loss in nats.
    pub fn forward_backward(
        &self,
        documents: &PackedDocuments,
        adapter: Option<&Adapter>,
        how: TrainingPass,
        gradients: &Gradients,
    ) -> Result<f64, ModelError> {
        match self.compute_type() {
            ComputeType::F32 => self.forward_backward_in::<f32>(documents, adapter, how, gradients),
            ComputeType::Bf16 => self.forward_backward_in::<bf16>(documents, adapter, how, gradients),
        }
    }

    fn forward_backward_in<T: Element>(
        &self,
        documents: &PackedDocuments,
        adapter: Option<&Adapter>,
        how: TrainingPass,
        gradients: &Gradients,
    ) -> Result<f64, ModelError> {
        self.check(documents)?;
        scratch::begin_pass(documents.tokens.len(), documents.predicting.len());
        let pass = self.pass(documents, adapter, how.dropout);
        let segment = how.checkpointing.map_or(1, |checkpointing| {
            checkpointing.segment(self.weights.blocks.len(), documents.tokens.len() * self.config().hidden_size * 4)
        });
        let mut inputs: Vec<Option<Scratch>> = Vec::with_capacity(self.weights.blocks.len());
        let mut kept: Vec<Option<BlockSaved>> = Vec::with_capacity(self.weights.blocks.len());
        let mut x = self.embedded(&documents.tokens, adapter)?;
        if let Some(noise) = &how.noise {
            // It is noise on what the table gives, which a family may multiply.
            let within = self.config().model_type.scales_its_table();
            let factor = if within { 1.0 } else { self.config().multipliers.embedding };
            let noise = Noise { alpha: noise.alpha * factor, ..*noise };
            neftune::add(&noise, &x, &documents.documents)?;
        }
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            let mut saved = block.forward_saved::<T>(layer, &x, &pass)?;
            let y = block.output::<T>(layer, &mut saved, &pass)?;
            kept.push(how.checkpointing.is_none().then_some(saved));
            let input = std::mem::replace(&mut x, y);
            inputs.push(layer.is_multiple_of(segment).then_some(input));
        }
        let full = match gradients {
            Gradients::Full(weights) => Some(weights),
            Gradients::Adapter(_) => None,
        };

        let last = embedding::gather(&x, &documents.predicting)?;
        let output_norm = self.output_norm()?;
        let (h, rstd) = rms_norm::forward::<f32, T>(&last, &output_norm, self.config().rms_norm_eps)?;
        let (loss, dh) = self.output_and_back::<T>(&h, &documents.targets, adapter, how, gradients)?;
        if let Some(weights) = full {
            let divisor = self.config().multipliers.logits_divisor;
            let scaled = residual::backward::<f32>(&dh, (1.0 / divisor) as f32)?;
            rms_norm::backward_weight::<f32>(&scaled, &last, &rstd, &weights.norm)?;
        }
        let d_last = Scratch::zeros::<f32>(last.shape(), last.device())?;
        rms_norm::backward::<f32>(&dh, &last, &output_norm, &rstd, &d_last)?;
        let mut dx = embedding::scatter(&d_last, &documents.predicting, documents.tokens.len())?;
        drop((x, last, h, dh, d_last));

        for (layer, block) in self.weights.blocks.iter().enumerate().rev() {
            self.compute_inputs_again::<T>(&mut inputs, layer, &pass)?;
            let (Some(Some(x)), Some(kept)) = (inputs.pop(), kept.pop()) else { break };
            let saved = match kept {
                Some(saved) => saved,
                None => {
                    let mut saved = block.forward_saved::<T>(layer, &x, &pass)?;
                    block.restore_down::<T>(layer, &mut saved, &pass)?;
                    saved
                }
            };
            let trained = match gradients {
                Gradients::Adapter(adapter) => TrainedGradients::Adapter(adapter),
                Gradients::Full(weights) => TrainedGradients::Block(&weights.blocks[layer]),
            };
            // Below the first block only the embedding may be trained, beside the first norm if all weights are.
            let into = BlockGradients { trained, input: layer > 0 || gradients.reach_the_embedding() };
            match block.backward::<T>(layer, dx, &x, saved, &pass, &into)? {
                Some(gradient) => dx = gradient,
                None => return Ok(loss),
            }
        }
        let factor = self.embedding_factor();
        let dx = if factor == 1.0 { dx } else { residual::backward::<f32>(&dx, factor)? };
        self.backward_embedding(&documents.tokens, &dx, adapter, gradients)?;
        Ok(loss)
    }

    /// The summed loss of the output layer, and the scaled gradient of its input; adds that of what is trained of it.
    fn output_and_back<T: Element>(
        &self,
        h: &Tensor,
        targets: &[u32],
        adapter: Option<&Adapter>,
        how: TrainingPass,
        gradients: &Gradients,
    ) -> Result<(f64, Scratch), ModelError> {
        let (output, scale) = (self.output(adapter), how.scale);
        let update = adapter.and_then(|adapter| adapter.head_update(how.dropout));
        let Some((update, into)) = update.zip(gradients.update(ModuleToSave::LmHead)) else {
            let trained = gradients.output().map_or(Trained::Nothing, Trained::Table);
            return Ok(cross_entropy::forward_backward::<T>(h, output, None, targets, scale, trained)?);
        };
        let t = update.inner_product::<T>(h)?;
        let dt = Scratch::zeros::<T>(t.shape(), t.device())?;
        let trained = Trained::Update { dt: &dt, db: &into.b };
        let (loss, dh) =
            cross_entropy::forward_backward::<T>(h, output, Some(&update.inner(&t)), targets, scale, trained)?;
        lora::backward_a::<T>(&dt, h, update.module.factors(), update.dropout.as_ref(), &into.a)?;
        lora::backward_x::<T, f32>(&update.inner(&dt), update.dropout.as_ref(), &dh)?;
        Ok((loss, dh))
    }

    /// Adds the gradients of what is trained of the embedding.
    fn backward_embedding(
        &self,
        tokens: &[u32],
        dx: &Tensor,
        adapter: Option<&Adapter>,
        gradients: &Gradients,
    ) -> Result<(), ModelError> {
        if let Some(dw) = gradients.embedding() {
            embedding::backward(tokens, dx, dw)?;
        }
        let module = ModuleToSave::EmbedTokens;
        let update = adapter.and_then(|adapter| adapter.table_update(module));
        if let Some((update, into)) = update.zip(gradients.update(module)) {
            let t = embedding::columns(tokens, &update.a, update.scale)?;
            linear::backward_weight::<f32>(dx, &t, 1.0, &into.b)?;
            linear::backward::<f32, f32>(dx, &Weight::F32(update.b.clone()), None, &t, false)?;
            embedding::backward_columns(tokens, self.config().pad_token_id, &t, update.scale, &into.a)?;
        }
        Ok(())
    }

    /// Makes sure that the last of `inputs`, a layer's, is there: it is computed from the nearest that was kept.
    fn compute_inputs_again<T: Element>(
        &self,
        inputs: &mut [Option<Scratch>],
        layer: usize,
        pass: &Pass<'_>,
    ) -> Result<(), ModelError> {
        let kept = inputs.iter().rposition(Option::is_some).unwrap_or(layer);
        for before in kept..layer {
            let block = &self.weights.blocks[before];
            let Some(x) = &inputs[before] else { break };
            let mut saved = block.forward_saved::<T>(before, x, pass)?;
            inputs[before + 1] = Some(block.output::<T>(before, &mut saved, pass)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Multipliers;
    use crate::small_model::{SMALL_CONFIG, perturbed_adapter};
    use crate::{ComputeDevice, ModelConfig};

    /// transformers adds NEFTune's noise to what the embedding gives, and multiplies both.
    #[test]
    fn noise_is_multiplied_as_the_embedding_is() -> Result<(), Box<dyn std::error::Error>> {
        let config =
            ModelConfig { tie_word_embeddings: false, ..ModelConfig::parse(Path::new("config.json"), SMALL_CONFIG)? };
        let multiplied =
            ModelConfig { multipliers: Multipliers { embedding: 4.0, ..Multipliers::default() }, ..config.clone() };
        let mut documents = PackedDocuments::default();
        documents.push(&[3, 1, 4, 1, 5, 9, 2, 6], |_| true);
        let loss = |model: &Model, alpha: f64| -> Result<f64, ModelError> {
            let adapter = perturbed_adapter(model)?;
            let noise = Some(Noise { seed: 5, micro_batch: 3, alpha });
            let how = TrainingPass { scale: 1.0, dropout: None, noise, checkpointing: None };
            let gradients = Gradients::Adapter(Box::new(adapter.zeros_like()?));
            model.forward_backward(&documents, Some(&adapter), how, &gradients)
        };
        let factor = Model::random(multiplied, 5, ComputeDevice::Cpu)?;
        let mut table = Model::random(config, 5, ComputeDevice::Cpu)?;
        let larger = (table.weights.embedding.dense().ok_or("no table")? * 4.0)?;
        table.weights.embedding = Weight::F32(larger);
        assert_eq!(loss(&factor, 5.0)?, loss(&table, 20.0)?);
        assert_ne!(loss(&factor, 5.0)?, loss(&factor, 1.25)?);
        Ok(())
    }
}

//! A causal language model: embedding, decoder blocks, a last norm and an output layer, which may be the embedding.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::Dtype;

use super::ModuleToSave;
use super::adapter_module::Target;
use super::block::{DropoutKey, Pass, effective};
use super::checkpoint::Checkpoint;
use super::checkpoint_files::{NamedFloats, write_floats};
use super::packed_documents::PackedDocuments;
use super::rope_tables::RopeTables;
use super::weights::Weights;
use super::{Adapter, BasePrecision, ComputeDevice, ComputeType, LoraConfig, ModelConfig, ModelError};
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Onto, Weight};
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_kernels::scratch::Scratch;
use hilora_kernels::{embedding, residual, rms_norm};

/// A language model.
pub struct Model {
    config: ModelConfig,
    device: Device,
    compute: ComputeType,
    /// What it computes with.
    pub weights: Weights,
    pub(crate) ropes: RopeTables,
}

impl Model {
    /// Loads a folder of the Hugging Face layout into the CPU's memory: `config.json` and safetensors, sharded or not.
    pub fn load(folder: &Path, precision: BasePrecision) -> Result<Self, ModelError> {
        Self::load_on(folder, precision, ComputeDevice::Cpu, &mut |_, _| ())
    }

    /// Loads a folder of the Hugging Face layout into the memory of a device, weight by weight. `on_weight` is told how
    /// many matrices are there, of how many.
    pub fn load_on(
        folder: &Path,
        precision: BasePrecision,
        device: ComputeDevice,
        on_weight: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ModelError> {
        let device = device.open()?;
        let checkpoint = Checkpoint::open(folder)?;
        checkpoint.check_precision(precision)?;
        let config = &checkpoint.config;
        let tables = if config.tie_word_embeddings { 1 } else { 2 };
        let (mut read, total) = (0, config.num_hidden_layers * config.projections().len() + tables);
        let weights = Weights::build(
            config,
            &mut |name, shape| Ok(checkpoint.vector(name, shape, precision)?.to_device(&device)?),
            &mut |name, shape, in_block| {
                let weight = checkpoint.matrix(name, shape, in_block, precision)?.to_device(&device)?;
                read += 1;
                on_weight(read, total);
                Ok(weight)
            },
        )?;
        Self::assemble(checkpoint.config, weights, device)
    }

    /// A model with weights drawn from a seed: linear layers and the embedding normal, norms one in effect, biases zero.
    /// The seed gives the same weights on every device.
    pub fn random(config: ModelConfig, seed: u64, device: ComputeDevice) -> Result<Self, ModelError> {
        let device = device.open()?;
        let deviation = config.initializer_range;
        let mut stream = 0;
        let weights = Weights::build(
            &config,
            &mut |name, shape| {
                let value = if name.ends_with("bias") { 0.0 } else { 1.0 - config.model_type.norm_offset() as f32 };
                Ok(Tensor::full(value, shape, &device)?)
            },
            &mut |_, shape, _| {
                let mut numbers = Sequence::new(seed, Purpose::Weights, stream);
                stream += 1;
                let values: Vec<f32> =
                    (0..shape[0] * shape[1]).map(|_| (numbers.normal() * deviation) as f32).collect();
                Ok(Weight::F32(Tensor::from_vec(values, (shape[0], shape[1]), &device)?))
            },
        )?;
        Self::assemble(config, weights, device)
    }

    pub(crate) fn assemble(config: ModelConfig, weights: Weights, device: Device) -> Result<Self, ModelError> {
        let ropes = RopeTables::new(&config, &device)?;
        Ok(Self { config, device, compute: ComputeType::F32, weights, ropes })
    }

    /// The device whose memory holds the weights, and which computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model with activations in another type. In bf16 the tables beside a 4-bit base are rounded to bf16 too, as
    /// `from_pretrained(…, dtype=torch.bfloat16)` does.
    pub fn computing_in(mut self, compute: ComputeType) -> Result<Self, ModelError> {
        if compute == ComputeType::Bf16 {
            let config = &self.config;
            let widths = [("hidden_size", config.hidden_size), ("intermediate_size", config.intermediate_size)];
            if let Some((name, width)) = widths.into_iter().find(|(_, width)| width % 2 != 0) {
                return Err(ModelError::input_with_hint(
                    format!("{name} {width}: products in bf16 need an even number"),
                    "train this model with bf16: false",
                ));
            }
            let quantized = self
                .weights
                .blocks
                .iter()
                .flat_map(|block| block.linears())
                .any(|linear| linear.weight.dense().is_none());
            if quantized {
                for table in [Some(&mut self.weights.embedding), self.weights.head.as_mut()].into_iter().flatten() {
                    if let Weight::F32(values) = table {
                        *table = Weight::Bf16(values.to_dtype(DType::BF16)?);
                    }
                }
            }
        }
        self.compute = compute;
        Ok(self)
    }

    /// The type of activations.
    pub fn compute_type(&self) -> ComputeType {
        self.compute
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A new adapter for this model, whose update begins at zero.
    pub fn new_adapter(&self, lora: &LoraConfig, seed: u64) -> Result<Adapter, ModelError> {
        let weight_of = |target: Target| {
            Ok(match target {
                Target::Layer(layer, projection) => &self.weights.blocks[layer].linear(projection)?.weight,
                Target::Table(ModuleToSave::EmbedTokens) => &self.weights.embedding,
                Target::Table(ModuleToSave::LmHead) => self.weights.output(),
            })
        };
        Adapter::new(lora, &self.config, weight_of, seed)
    }

    /// The embedding that a pass uses: the adapter's copy if it has one.
    pub(crate) fn embedding<'a>(&'a self, adapter: Option<&'a Adapter>) -> &'a Weight {
        let saved = adapter.and_then(|adapter| adapter.saved(ModuleToSave::EmbedTokens));
        saved.or_else(|| self.base_table(adapter, ModuleToSave::EmbedTokens)).unwrap_or(&self.weights.embedding)
    }

    /// The table that an adapter's file has for one of the base; of tied embeddings either is both.
    fn base_table<'a>(&'a self, adapter: Option<&'a Adapter>, module: ModuleToSave) -> Option<&'a Weight> {
        let adapter = adapter?;
        let tied = || match self.weights.head {
            None => ModuleToSave::ALL.into_iter().find_map(|module| adapter.base_table(module)),
            Some(_) => None,
        };
        adapter.base_table(module).or_else(tied)
    }

    /// The beginning of the residual stream, in f32.
    pub(crate) fn embedded(&self, tokens: &[u32], adapter: Option<&Adapter>) -> Result<Scratch, ModelError> {
        let x = embedding::forward(tokens, self.embedding(adapter))?;
        if let Some(update) = adapter.and_then(|adapter| adapter.table_update(ModuleToSave::EmbedTokens)) {
            let t = embedding::columns(tokens, &update.a, update.scale)?;
            linear::forward::<f32, f32>(&t, &Weight::F32(update.b.clone()), None, Onto::Existing, &x)?;
        }
        let factor = self.embedding_factor();
        Ok(if factor == 1.0 { x } else { residual::backward::<f32>(&x, factor)? })
    }

    /// What the embedding is multiplied with: one that belongs to the table has the table's type.
    pub(crate) fn embedding_factor(&self) -> f32 {
        let factor = self.config.multipliers.embedding as f32;
        match self.compute {
            ComputeType::Bf16 if self.config.model_type.scales_its_table() => bf16::from_f32(factor).to_f32(),
            _ => factor,
        }
    }

    /// The last norm's weight, divided by what the logits are divided by.
    pub(crate) fn output_norm(&self) -> candle_core::Result<Tensor> {
        let divisor = self.config.multipliers.logits_divisor;
        let weight = effective(&self.weights.norm, self.config.model_type.norm_offset())?;
        if divisor == 1.0 { Ok(weight) } else { weight / divisor }
    }

    /// The output layer that a pass uses: the adapter's copy if it has one. A copy of the embedding is not it, even
    /// if the base's output layer is the embedding.
    pub(crate) fn output<'a>(&'a self, adapter: Option<&'a Adapter>) -> &'a Weight {
        let saved = adapter.and_then(|adapter| adapter.saved(ModuleToSave::LmHead));
        saved.or_else(|| self.base_table(adapter, ModuleToSave::LmHead)).unwrap_or_else(|| self.weights.output())
    }

    /// Writes `model.safetensors` in f32 or bf16. Only a model whose weights are all in f32 can be written.
    pub fn save_weights(&self, folder: &Path, dtype: Dtype) -> Result<(), ModelError> {
        let tensors = self
            .weights
            .tensors()
            .into_iter()
            .map(|(name, tensor)| {
                Ok(NamedFloats { name, shape: tensor.dims().to_vec(), values: tensor.flatten_all()?.to_vec1()? })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        write_floats(&folder.join("model.safetensors"), &tensors, dtype)
    }

    /// Checks that tokens and lengths are within the model's range.
    pub fn check(&self, documents: &PackedDocuments) -> Result<(), ModelError> {
        self.check_tokens(&documents.tokens)?;
        let longest = documents.documents.iter().map(|document| document.rows.len()).max();
        self.check_length(longest.unwrap_or(0))
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let size = self.config.vocab_size;
        match tokens.iter().find(|token| **token as usize >= size) {
            Some(token) => Err(ModelError::input_with_hint(
                format!("token id {token}: expected an id below the vocabulary's size {size}"),
                "does the tokenizer belong to this model?",
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn check_length(&self, length: usize) -> Result<(), ModelError> {
        if length <= self.config.max_position_embeddings {
            return Ok(());
        }
        Err(ModelError::input(format!(
            "a sequence of {length} tokens: the model's {} is {}",
            self.config.length_limit, self.config.max_position_embeddings
        )))
    }

    pub(crate) fn pass<'a>(
        &'a self,
        documents: &'a PackedDocuments,
        adapter: Option<&'a Adapter>,
        dropout: Option<DropoutKey>,
    ) -> Pass<'a> {
        Pass {
            documents: &documents.documents,
            positions: &documents.positions,
            ropes: &self.ropes,
            config: &self.config,
            residual: self.config.multipliers.residual as f32,
            epsilon: self.config.rms_norm_eps,
            adapter,
            dropout,
        }
    }

    /// Runs all blocks without keeping them; returns the hidden states before the last norm, in f32.
    pub fn hidden(&self, documents: &PackedDocuments, adapter: Option<&Adapter>) -> Result<Scratch, ModelError> {
        match self.compute {
            ComputeType::F32 => self.hidden_in::<f32>(documents, adapter),
            ComputeType::Bf16 => self.hidden_in::<bf16>(documents, adapter),
        }
    }

    fn hidden_in<T: Element>(
        &self,
        documents: &PackedDocuments,
        adapter: Option<&Adapter>,
    ) -> Result<Scratch, ModelError> {
        self.check(documents)?;
        let pass = self.pass(documents, adapter, None);
        let mut x = self.embedded(&documents.tokens, adapter)?;
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            let mut saved = block.forward_saved::<T>(layer, &x, &pass)?;
            x = block.output::<T>(layer, &mut saved, &pass)?;
        }
        Ok(x)
    }

    /// The logits of some rows of hidden states, [rows, vocabulary] row by row, in f32.
    pub fn logits(&self, hidden: &Tensor, rows: &[usize], adapter: Option<&Adapter>) -> Result<Vec<f32>, ModelError> {
        let x = embedding::gather(hidden, rows)?;
        let logits = Scratch::arbitrary((rows.len(), self.config.vocab_size), x.device())?;
        match self.compute {
            ComputeType::F32 => self.logits_in::<f32>(&x, adapter, &logits)?,
            ComputeType::Bf16 => self.logits_in::<bf16>(&x, adapter, &logits)?,
        }
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    fn logits_in<T: Element>(&self, x: &Tensor, adapter: Option<&Adapter>, logits: &Tensor) -> Result<(), ModelError> {
        let (h, _) = rms_norm::forward::<f32, T>(x, &self.output_norm()?, self.config.rms_norm_eps)?;
        let update = adapter.and_then(|adapter| adapter.head_update(None));
        let t = update.map(|update| update.inner_product::<T>(&h)).transpose()?;
        let inner = update.zip(t.as_deref()).map(|(update, t)| update.inner(t));
        Ok(linear::forward::<T, f32>(&h, self.output(adapter), inner.as_ref(), Onto::Nothing, logits)?)
    }
}

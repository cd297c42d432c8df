//! A causal language model: embedding, decoder blocks, a last norm and an output layer, which may be the embedding.
//!
//! Documents are packed one after another without padding: a document's positions start at 0 and attention never
//! crosses into another document, so the numbers of a packed document are those it gets alone.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::Dtype;

use super::block::{Block, BlockGradients, BlockSaved, DropoutKey, HeadNorms, Pass, TrainedGradients};
use super::checkpoint::Checkpoint;
use super::checkpoint_files::{NamedFloats, write_floats};
use super::checkpointing::Checkpointing;
use super::linear::Linear;
use super::{Adapter, ComputeDevice, ModelConfig, ModelError, ModuleToSave, Projection};
use hilora_kernels::attention::{Document, Heads};
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Onto, Weight};
use hilora_kernels::neftune::Noise;
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_kernels::rope::RopeTable;
use hilora_kernels::scratch::{self, Scratch};
use hilora_kernels::{cross_entropy, embedding, neftune, rms_norm};

/// How the frozen weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePrecision {
    /// 32 bits.
    F32,
    /// 16 bits, rounded to nearest even on load.
    Bf16,
    /// The blocks' linear layers in 4 bits with double quantization, exactly as bitsandbytes makes them; a checkpoint
    /// that is in 4 bits already stays as it is. All else keeps the checkpoint's type.
    Nf4,
}

/// The type of activations and of the factors of every product; sums are in f32. What bitsandbytes calls
/// `bnb_4bit_compute_dtype`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeType {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, and twice the speed on a processor that multiplies them.
    Bf16,
}

/// All weights of a model, or one f32 tensor for each of them: gradients and moments have the same shape.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The embedding, [vocabulary, hidden].
    pub embedding: Weight,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Tensor,
    /// Absent where the output layer is the embedding.
    pub(crate) head: Option<Weight>,
}

/// A language model.
pub struct Model {
    config: ModelConfig,
    device: Device,
    compute: ComputeType,
    /// What it computes with.
    pub weights: Weights,
    pub(crate) rope: RopeTable,
}

/// Documents packed for one pass, and what is predicted in them.
#[derive(Debug, Clone, Default)]
pub struct PackedDocuments {
    /// The tokens of all rows.
    pub tokens: Vec<u32>,
    /// Each row's position in its document.
    pub positions: Vec<u32>,
    /// Which rows belong together.
    pub documents: Vec<Document>,
    /// Rows whose next token is a target.
    pub predicting: Vec<usize>,
    /// The targets of those rows.
    pub targets: Vec<u32>,
}

impl PackedDocuments {
    /// Appends a document; `trained[i]` says whether token i is a target.
    pub fn push(&mut self, tokens: &[u32], trained: impl Fn(usize) -> bool) {
        self.push_padded(tokens, tokens.len(), trained);
    }

    /// Appends a document of which only the first `seen` tokens are real.
    pub(crate) fn push_padded(&mut self, tokens: &[u32], seen: usize, trained: impl Fn(usize) -> bool) {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(0..tokens.len() as u32);
        self.documents.push(Document { rows: start..start + tokens.len(), seen });
        for i in (1..tokens.len()).filter(|i| trained(*i)) {
            self.predicting.push(start + i - 1);
            self.targets.push(tokens[i]);
        }
    }
}

/// Where a training pass adds its gradients.
pub enum Gradients {
    /// To the adapter's tensors.
    Adapter(Adapter),
    /// To all weights.
    Full(Box<Weights>),
}

impl Gradients {
    /// The embedding's, where it is trained.
    fn embedding(&self) -> Option<&Tensor> {
        match self {
            Self::Adapter(adapter) => adapter.saved(ModuleToSave::EmbedTokens),
            Self::Full(weights) => Some(&weights.embedding),
        }
        .and_then(Weight::dense)
    }

    /// The output layer's, where it is trained.
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

/// The weights' names in a checkpoint.
const EMBEDDING: &str = "model.embed_tokens.weight";
const NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";
const QUERY_NORM: &str = "self_attn.q_norm.weight";
const KEY_NORM: &str = "self_attn.k_norm.weight";

fn layer_key(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}

impl Projection {
    /// Its weight's name in a checkpoint.
    pub(crate) fn weight_key(self, layer: usize) -> String {
        layer_key(layer, &format!("{}.weight", self.path()))
    }
}

impl ModuleToSave {
    /// The name of its weight [vocabulary, width] in a checkpoint.
    pub(crate) fn weight_key(self) -> &'static str {
        match self {
            Self::EmbedTokens => EMBEDDING,
            Self::LmHead => HEAD,
        }
    }
}

impl ModelConfig {
    /// (out, in) of a projection.
    pub(crate) fn projection_dims(&self, projection: Projection) -> (usize, usize) {
        let (hidden, query, key_value) = (self.hidden_size, self.query_width(), self.key_value_width());
        match projection {
            Projection::QProj => (query, hidden),
            Projection::KProj | Projection::VProj => (key_value, hidden),
            Projection::OProj => (hidden, query),
            Projection::GateProj | Projection::UpProj => (self.intermediate_size, hidden),
            Projection::DownProj => (hidden, self.intermediate_size),
        }
    }

    /// Parameters of the linear layers, the output layer among them.
    pub(crate) fn linear_parameters(&self) -> usize {
        let of = |projection| {
            let (outputs, inputs) = self.projection_dims(projection);
            outputs * inputs
        };
        self.num_hidden_layers * Projection::ALL.map(of).iter().sum::<usize>() + self.vocab_size * self.hidden_size
    }

    fn has_bias(&self, projection: Projection) -> bool {
        let attention = matches!(projection, Projection::QProj | Projection::KProj | Projection::VProj);
        attention && self.model_type.has_attention_bias()
    }

    /// The heads of each attention layer.
    pub fn heads(&self) -> Heads {
        Heads { queries: self.num_attention_heads, keys: self.num_key_value_heads, dim: self.head_dim }
    }
}

/// Makes a vector of this name and shape.
pub(crate) type MakeTensor<'a> = dyn FnMut(&str, &[usize]) -> Result<Tensor, ModelError> + 'a;

/// Makes a matrix of this name and shape; the last argument says whether it is a block's linear layer.
pub(crate) type MakeWeight<'a> = dyn FnMut(&str, [usize; 2], bool) -> Result<Weight, ModelError> + 'a;

impl Weights {
    /// Builds every weight from a function of its name, its shape and whether it is a block's linear layer.
    pub(crate) fn build(
        config: &ModelConfig,
        tensor: &mut MakeTensor<'_>,
        weight: &mut MakeWeight<'_>,
    ) -> Result<Self, ModelError> {
        let table = [config.vocab_size, config.hidden_size];
        let embedding = weight(EMBEDDING, table, false)?;
        let mut blocks = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let mut linears = Vec::with_capacity(Projection::ALL.len());
            for projection in Projection::ALL {
                let (outputs, inputs) = config.projection_dims(projection);
                let key = |part: &str| layer_key(layer, &format!("{}.{part}", projection.path()));
                let bias = config.has_bias(projection).then(|| tensor(&key("bias"), &[outputs])).transpose()?;
                linears.push(Linear { weight: weight(&key("weight"), [outputs, inputs], true)?, bias });
            }
            let linears =
                linears.try_into().map_err(|_| ModelError::Input("a block has seven linear layers".to_owned()))?;
            let mut head_norm = |name: &str| tensor(&layer_key(layer, name), &[config.head_dim]);
            let head_norms = match config.model_type.has_head_norms() {
                true => Some(HeadNorms { query: head_norm(QUERY_NORM)?, key: head_norm(KEY_NORM)? }),
                false => None,
            };
            blocks.push(Block {
                input_norm: tensor(&layer_key(layer, "input_layernorm.weight"), &[config.hidden_size])?,
                linears,
                head_norms,
                post_attention_norm: tensor(
                    &layer_key(layer, "post_attention_layernorm.weight"),
                    &[config.hidden_size],
                )?,
            });
        }
        let norm = tensor(NORM, &[config.hidden_size])?;
        let head = if config.tie_word_embeddings { None } else { Some(weight(HEAD, table, false)?) };
        Ok(Self { embedding, blocks, norm, head })
    }

    /// One f32 tensor of zeros on a device for every weight.
    pub fn zeros(config: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
        Self::build(config, &mut |_, shape| Ok(zeros(shape)?), &mut |_, shape, _| Ok(Weight::F32(zeros(&shape)?)))
    }

    /// Bytes of the blocks' weights.
    pub fn block_bytes(&self) -> usize {
        let of_block = |block: &Block| {
            let linears: usize = block.linears.iter().map(|linear| linear.weight.bytes()).sum();
            let biases = block.linears.iter().filter_map(|linear| linear.bias.as_ref());
            let norms = [&block.input_norm, &block.post_attention_norm].into_iter();
            linears + biases.chain(norms).map(|tensor| tensor.elem_count() * 4).sum::<usize>()
        };
        self.blocks.iter().map(of_block).sum()
    }

    /// The output layer.
    pub fn output(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Every f32 tensor with its name in a checkpoint; quantized weights are not among them.
    pub fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut tensors = Vec::new();
        tensors.extend(self.embedding.dense().map(|tensor| (EMBEDDING.to_owned(), tensor)));
        for (layer, block) in self.blocks.iter().enumerate() {
            tensors.push((layer_key(layer, "input_layernorm.weight"), &block.input_norm));
            for projection in Projection::ALL {
                let linear = block.linear(projection);
                let key = |part: &str| layer_key(layer, &format!("{}.{part}", projection.path()));
                tensors.extend(linear.weight.dense().map(|tensor| (key("weight"), tensor)));
                tensors.extend(linear.bias.as_ref().map(|tensor| (key("bias"), tensor)));
            }
            if let Some(HeadNorms { query, key }) = &block.head_norms {
                tensors.push((layer_key(layer, QUERY_NORM), query));
                tensors.push((layer_key(layer, KEY_NORM), key));
            }
            tensors.push((layer_key(layer, "post_attention_layernorm.weight"), &block.post_attention_norm));
        }
        tensors.push((NORM.to_owned(), &self.norm));
        tensors.extend(self.head.as_ref().and_then(Weight::dense).map(|tensor| (HEAD.to_owned(), tensor)));
        tensors
    }
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
        let (mut read, total) = (0, config.num_hidden_layers * Projection::ALL.len() + tables);
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
        if checkpoint.config.tie_word_embeddings && checkpoint.files.contains(HEAD) {
            tracing::debug!("{}: `{HEAD}` is not read, the embeddings are tied", folder.display());
        }
        Self::assemble(checkpoint.config, weights, device)
    }

    /// A model with weights drawn from a seed: linear layers and the embedding normal, norms one, biases zero. The seed
    /// gives the same weights on every device.
    pub fn random(config: ModelConfig, seed: u64, device: ComputeDevice) -> Result<Self, ModelError> {
        let device = device.open()?;
        let deviation = config.initializer_range;
        let mut stream = 0;
        let weights = Weights::build(
            &config,
            &mut |name, shape| {
                let value = if name.ends_with("bias") { 0.0f32 } else { 1.0 };
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
        let frequencies = config.rope_parameters.frequencies(config.head_dim);
        let rope = RopeTable::new(config.max_position_embeddings, &frequencies, &device)?;
        Ok(Self { config, device, compute: ComputeType::F32, weights, rope })
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
            let widths = [
                ("hidden_size", config.hidden_size),
                ("intermediate_size", config.intermediate_size),
                ("vocab_size", config.vocab_size),
            ];
            if let Some((name, width)) = widths.into_iter().find(|(_, width)| width % 2 != 0) {
                return Err(ModelError::Input(format!(
                    "{name} {width}: products in bf16 need an even number\nhint: train this model with bf16: false"
                )));
            }
            let quantized = self
                .weights
                .blocks
                .iter()
                .flat_map(|block| &block.linears)
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

    /// The embedding that a pass uses: the adapter's copy, where it has one.
    pub(crate) fn embedding<'a>(&'a self, adapter: Option<&'a Adapter>) -> &'a Weight {
        adapter.and_then(|adapter| adapter.saved(ModuleToSave::EmbedTokens)).unwrap_or(&self.weights.embedding)
    }

    /// The output layer that a pass uses: the adapter's copy, where it has one. A copy of the embedding is not it, even
    /// where the base's output layer is the embedding.
    pub(crate) fn output<'a>(&'a self, adapter: Option<&'a Adapter>) -> &'a Weight {
        adapter.and_then(|adapter| adapter.saved(ModuleToSave::LmHead)).unwrap_or_else(|| self.weights.output())
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
        if let Some(token) = documents.tokens.iter().find(|token| **token as usize >= self.config.vocab_size) {
            return Err(ModelError::Input(format!(
                "token id {token}: expected an id below the vocabulary's size {}\nhint: does the tokenizer belong to this model?",
                self.config.vocab_size
            )));
        }
        match documents.documents.iter().map(|document| document.rows.len()).max() {
            Some(longest) if longest > self.config.max_position_embeddings => Err(ModelError::Input(format!(
                "a sequence of {longest} tokens: the model's max_position_embeddings is {}",
                self.config.max_position_embeddings
            ))),
            _ => Ok(()),
        }
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
            rope: &self.rope,
            heads: self.config.heads(),
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
        let mut x = embedding::forward(&documents.tokens, self.embedding(adapter))?;
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
            ComputeType::F32 => self.logits_in::<f32>(&x, self.output(adapter), &logits)?,
            ComputeType::Bf16 => self.logits_in::<bf16>(&x, self.output(adapter), &logits)?,
        }
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    fn logits_in<T: Element>(&self, x: &Tensor, output: &Weight, logits: &Tensor) -> Result<(), ModelError> {
        let (h, _) = rms_norm::forward::<f32, T>(x, &self.weights.norm, self.config.rms_norm_eps)?;
        Ok(linear::forward::<T, f32>(&h, output, None, Onto::Nothing, logits)?)
    }

    /// Adds the gradients of `scale` · Σ loss to `gradients`; returns the summed loss in nats.
    pub fn forward_backward(
        &self,
        documents: &PackedDocuments,
        adapter: Option<&Adapter>,
        how: TrainingPass,
        gradients: &Gradients,
    ) -> Result<f64, ModelError> {
        match self.compute {
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
            checkpointing.segment(self.weights.blocks.len(), documents.tokens.len() * self.config.hidden_size * 4)
        });
        let mut inputs: Vec<Option<Scratch>> = Vec::with_capacity(self.weights.blocks.len());
        let mut kept: Vec<Option<BlockSaved>> = Vec::with_capacity(self.weights.blocks.len());
        let mut x = embedding::forward(&documents.tokens, self.embedding(adapter))?;
        if let Some(noise) = &how.noise {
            neftune::add(noise, &x, &documents.documents)?;
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
        let (h, rstd) = rms_norm::forward::<f32, T>(&last, &self.weights.norm, self.config.rms_norm_eps)?;
        let (output, dw) = (self.output(adapter), gradients.output());
        let (loss, dh) = cross_entropy::forward_backward::<T>(&h, output, &documents.targets, how.scale, dw)?;
        if let Some(weights) = full {
            rms_norm::backward_weight::<f32>(&dh, &last, &rstd, &weights.norm)?;
        }
        let d_last = Scratch::zeros::<f32>(last.shape(), last.device())?;
        rms_norm::backward::<f32>(&dh, &last, &self.weights.norm, &rstd, &d_last)?;
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
            // Below the first block only the embedding may be trained, beside the first norm where all weights are.
            let into = BlockGradients { trained, input: layer > 0 || gradients.embedding().is_some() };
            match block.backward::<T>(layer, dx, &x, saved, &pass, &into)? {
                Some(gradient) => dx = gradient,
                None => return Ok(loss),
            }
        }
        if let Some(dw) = gradients.embedding() {
            embedding::backward(&documents.tokens, &dx, dw)?;
        }
        Ok(loss)
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

//! The weights of a model, or one f32 tensor for each of them, with their names in a checkpoint.

use candle_core::{DType, Device, Tensor};

use super::block::{Block, HeadNorms};
use super::linear::{Linear, Linears};
use super::tensor_names::{EMBEDDING, HEAD, KEY_NORM, NORM, QUERY_NORM, layer_key};
use super::{Architecture, BlockNorm, ModelConfig, ModelError, Projection};
use hilora_kernels::linear::Weight;

/// All weights of a model, or one f32 tensor for each of them: gradients and moments have the same shape.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Whose names the tensors have.
    architecture: Architecture,
    /// The embedding, [vocabulary, hidden].
    pub embedding: Weight,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Tensor,
    /// Absent if the output layer is the embedding.
    pub(crate) head: Option<Weight>,
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
            let mut linears = Linears::default();
            for &projection in config.projections() {
                let (outputs, inputs) = config.projection_dims(projection);
                let key = |part: &str| layer_key(layer, &format!("{}.{part}", projection.path()));
                let bias = config.has_bias(projection).then(|| tensor(&key("bias"), &[outputs])).transpose()?;
                let weight = weight(&key("weight"), [outputs, inputs], true)?;
                linears[projection.index()] = Some(Linear { weight, bias });
            }
            let head_norms = match config.query_key_norm_widths() {
                Some([query, key]) => Some(HeadNorms {
                    query: tensor(&layer_key(layer, QUERY_NORM), &[query])?,
                    key: tensor(&layer_key(layer, KEY_NORM), &[key])?,
                }),
                None => None,
            };
            let mut norms = [const { None }; BlockNorm::ALL.len()];
            for norm in BlockNorm::ALL {
                let Some(name) = config.model_type.norm_name(norm) else { continue };
                norms[norm.index()] = Some(tensor(&layer_key(layer, name), &[config.hidden_size])?);
            }
            blocks.push(Block { norms, linears, head_norms });
        }
        let norm = tensor(NORM, &[config.hidden_size])?;
        let head = if config.tie_word_embeddings { None } else { Some(weight(HEAD, table, false)?) };
        Ok(Self { architecture: config.model_type, embedding, blocks, norm, head })
    }

    /// One f32 tensor of zeros on a device for every weight.
    pub fn zeros(config: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
        Self::build(config, &mut |_, shape| Ok(zeros(shape)?), &mut |_, shape, _| Ok(Weight::F32(zeros(&shape)?)))
    }

    /// Bytes of the blocks' weights.
    pub fn block_bytes(&self) -> usize {
        let of_block = |block: &Block| {
            let linears: usize = block.linears().map(|linear| linear.weight.bytes()).sum();
            let biases = block.linears().filter_map(|linear| linear.bias.as_ref());
            let norms = block.norms.iter().flatten();
            linears + biases.chain(norms).map(|tensor| tensor.elem_count() * 4).sum::<usize>()
        };
        self.blocks.iter().map(of_block).sum()
    }

    /// The output layer.
    pub fn output(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// A norm of a block with its name in a checkpoint.
    fn norm(&self, layer: usize, norm: BlockNorm) -> Option<(String, &Tensor)> {
        let weight = self.blocks[layer].norms[norm.index()].as_ref()?;
        Some((layer_key(layer, self.architecture.norm_name(norm)?), weight))
    }

    /// Every f32 tensor with its name in a checkpoint; quantized weights are not among them.
    pub fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut tensors = Vec::new();
        tensors.extend(self.embedding.dense().map(|tensor| (EMBEDDING.to_owned(), tensor)));
        for (layer, block) in self.blocks.iter().enumerate() {
            let [first, others @ ..] = BlockNorm::ALL;
            tensors.extend(self.norm(layer, first));
            for projection in Projection::ALL {
                let Some(linear) = &block.linears[projection.index()] else { continue };
                let key = |part: &str| layer_key(layer, &format!("{}.{part}", projection.path()));
                tensors.extend(linear.weight.dense().map(|tensor| (key("weight"), tensor)));
                tensors.extend(linear.bias.as_ref().map(|tensor| (key("bias"), tensor)));
            }
            if let Some(HeadNorms { query, key }) = &block.head_norms {
                tensors.push((layer_key(layer, QUERY_NORM), query));
                tensors.push((layer_key(layer, KEY_NORM), key));
            }
            tensors.extend(others.into_iter().filter_map(|norm| self.norm(layer, norm)));
        }
        tensors.push((NORM.to_owned(), &self.norm));
        tensors.extend(self.head.as_ref().and_then(Weight::dense).map(|tensor| (HEAD.to_owned(), tensor)));
        tensors
    }
}

//! The keys and values of all layers in blocks of tokens, which sequences share: a block cache.
//!
//! Who has which block, and how often, is the caller's affair; this is the memory.

use super::{ComputeType, Model, ModelConfig, ModelError};
use half::bf16;
use hilora_kernels::attention::{BLOCK_TOKENS, KeyValues};

/// Blocks of keys and values, by their number.
pub struct KeyValueBlocks {
    pub(crate) layers: Vec<KeyValues>,
    compute: ComputeType,
    width: usize,
    blocks: usize,
}

impl KeyValueBlocks {
    /// Tokens of a block.
    pub const BLOCK_TOKENS: usize = BLOCK_TOKENS;

    /// Empty blocks in the model's compute type, on its device.
    pub fn new(model: &Model, blocks: usize) -> Result<Self, ModelError> {
        let config = model.config();
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let heads = config.heads_of(layer);
                // A device lends no memory of no bytes.
                Ok(match model.compute_type() {
                    ComputeType::F32 => KeyValues::new::<f32>(blocks.max(1), heads, model.device())?,
                    ComputeType::Bf16 => KeyValues::new::<bf16>(blocks.max(1), heads, model.device())?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self { layers, compute: model.compute_type(), width: config.key_value_width(), blocks })
    }

    /// What blocks take in memory, all layers' keys and values.
    pub fn bytes_of(config: &ModelConfig, compute: ComputeType, blocks: usize) -> usize {
        let element = match compute {
            ComputeType::F32 => size_of::<f32>(),
            ComputeType::Bf16 => size_of::<bf16>(),
        };
        blocks * Self::BLOCK_TOKENS * 2 * config.key_value_width() * element * config.num_hidden_layers
    }

    /// How many there are; their numbers are below this.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Makes room for this many blocks; what is in those that are there stays.
    pub fn reserve(&mut self, blocks: usize) -> Result<(), ModelError> {
        if blocks > self.blocks {
            self.layers.iter_mut().try_for_each(|layer| layer.reserve(blocks))?;
            self.blocks = blocks;
        }
        Ok(())
    }

    /// Copies a block over another, so that a sequence can go on where another has gone on, too.
    pub fn copy_block(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        for block in [from, to] {
            self.check_block(block)?;
        }
        Ok(self.layers.iter_mut().try_for_each(|layer| layer.copy_block(from as usize, to as usize))?)
    }

    pub(crate) fn check_block(&self, block: u32) -> Result<(), ModelError> {
        if (block as usize) < self.blocks {
            return Ok(());
        }
        Err(ModelError::input(format!("block {block}: expected one of the {} blocks of the cache", self.blocks)))
    }

    /// Refuses blocks that another model asked for.
    pub(crate) fn check_model(&self, model: &Model) -> Result<(), ModelError> {
        let of = |layers, width, compute| format!("{layers} layers of width {width} in {compute:?}");
        let config = model.config();
        let expected = of(config.num_hidden_layers, config.key_value_width(), model.compute_type());
        let got = of(self.layers.len(), self.width, self.compute);
        if expected == got {
            Ok(())
        } else {
            Err(ModelError::input(format!("a cache: expected {expected}, got {got}")))
        }
    }
}

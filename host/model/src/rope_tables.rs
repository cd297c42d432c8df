//! The rotary tables of a model: one, or one for each kind of its blocks.

use candle_core::Device;

use super::{ModelConfig, ModelError, RopeParameters};
use hilora_kernels::rope::RopeTable;

/// What turns queries and keys, block by block.
#[derive(Debug, Clone)]
pub(crate) struct RopeTables {
    full: RopeTable,
    /// That of blocks with a window, where it is another.
    sliding: Option<RopeTable>,
    sliding_layers: Vec<usize>,
    /// Blocks that turn nothing.
    without: Vec<usize>,
}

impl RopeTables {
    pub(crate) fn new(config: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let table = |parameters: &RopeParameters| {
            let frequencies = parameters.frequencies(config.rotary_dim);
            let positions = config.max_position_embeddings;
            Ok::<_, ModelError>(RopeTable::new(
                positions,
                config.head_dim,
                &frequencies,
                parameters.amplitude(),
                device,
            )?)
        };
        Ok(Self {
            full: table(&config.rope_parameters)?,
            sliding: config.sliding_rope_parameters.as_ref().map(table).transpose()?,
            sliding_layers: config.sliding_layers.clone(),
            without: config.no_rope_layers.clone(),
        })
    }

    /// The turn of a block's queries and keys.
    pub(crate) fn of(&self, layer: usize) -> Option<&RopeTable> {
        if self.without.contains(&layer) {
            return None;
        }
        Some(self.sliding.as_ref().filter(|_| self.sliding_layers.contains(&layer)).unwrap_or(&self.full))
    }
}

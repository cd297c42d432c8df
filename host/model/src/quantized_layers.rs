//! The quantized layers of a checkpoint, by the tensors that they consist of.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::checkpoint::Checkpoint;
use super::{BasePrecision, ModelError, ModuleToSave};

/// A layer that a base holds quantized.
pub(crate) struct QuantizedLayer {
    /// The name of its weight in a text model by itself.
    pub(crate) key: String,
    /// The name under which a base of floats would store it.
    pub(crate) name: String,
    /// [out, in]
    pub(crate) shape: [usize; 2],
}

/// The quantized layers of a base.
pub(crate) struct QuantizedLayers<'a> {
    checkpoint: &'a Checkpoint,
    /// By the name of each of their tensors. The first of a layer makes way for its weight, the others for nothing.
    tensors: BTreeMap<String, Option<QuantizedLayer>>,
}

impl<'a> QuantizedLayers<'a> {
    /// Finds them; a layer without any tensor is an error.
    pub(crate) fn new(checkpoint: &'a Checkpoint) -> Result<Self, ModelError> {
        let (config, files) = (&checkpoint.config, &checkpoint.files);
        let mut keys: Vec<(String, [usize; 2])> = (0..config.num_hidden_layers)
            .flat_map(|layer| config.projections().iter().map(move |projection| (layer, *projection)))
            .map(|(layer, projection)| (projection.weight_key(layer), config.projection_dims(projection).into()))
            .collect();
        if !config.tie_word_embeddings {
            keys.push((ModuleToSave::LmHead.weight_key().to_owned(), [config.vocab_size, config.hidden_size]));
        }
        // What all names of a layer's tensors begin with. Each ends with a dot, so none begins with another.
        let mut stems = BTreeMap::new();
        for (key, shape) in keys {
            if checkpoint.is_quantized(&key)? {
                stems.insert(key.strip_suffix("weight").unwrap_or(&key).to_owned(), (key, shape));
            }
        }
        let mut tensors = BTreeMap::new();
        for stored in files.names() {
            let own = files.own_name(stored);
            let before = stems.range_mut::<str, _>((Bound::Unbounded, Bound::Included(&*own))).next_back();
            let found = before.and_then(|(stem, layer)| Some((own.strip_prefix(stem.as_str())?, layer)));
            let Some((part, (key, shape))) = found.filter(|(part, _)| *part != "bias") else { continue };
            // The first takes the key with it.
            let layer = (!key.is_empty()).then(|| QuantizedLayer {
                key: std::mem::take(key),
                name: format!("{}weight", stored.strip_suffix(part).unwrap_or(stored)),
                shape: *shape,
            });
            tensors.insert(stored.to_owned(), layer);
        }
        match stems.into_values().find(|(key, _)| !key.is_empty()) {
            None => Ok(Self { checkpoint, tensors }),
            // That its weight is missing.
            Some((key, _)) => Err(files
                .tensor(&key)
                .err()
                .unwrap_or_else(|| ModelError::Defect(format!("`{key}` is there and has no tensors")))),
        }
    }

    /// The layer that a stored tensor is the first of, `Some(None)` if it is another one of a layer, and `None` if it is
    /// none of them.
    pub(crate) fn of(&self, tensor: &str) -> Option<Option<&QuantizedLayer>> {
        self.tensors.get(tensor).map(Option::as_ref)
    }

    /// The name under which a layer's weight is stored, or would be.
    pub(crate) fn stored_weight<'l>(&'l self, layer: &'l QuantizedLayer) -> &'l str {
        self.checkpoint.files.stored_name(&layer.key)
    }

    /// A layer's weight, dequantized, row by row.
    pub(crate) fn values(&self, layer: &QuantizedLayer) -> Result<Vec<f32>, ModelError> {
        Ok(self.checkpoint.matrix(&layer.key, layer.shape, true, BasePrecision::Nf4)?.widened()?)
    }
}

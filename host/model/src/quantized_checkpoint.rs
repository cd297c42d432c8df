//! A base whose linear layers are quantized as bitsandbytes stores them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, quantize};
use super::checkpoint_files::{NOT_THIS_CONFIG, StoredTensor};
use super::derived_checkpoint::{
    Derivation, DerivedCheckpoint, Instead, config_of_tables, read_config, refuse_quantized,
};
use super::new_tensor::{Content, NewTensor};
use super::wrapper::text_name;
use super::{ModelError, bitsandbytes};

/// Quantizes a base as bitsandbytes does it and stores it: the blocks' linear layers in NF4 with double quantization, all
/// else as it is. What is written can be mapped, and transformers loads it too.
///
/// Nothing is written with `dry_run`. `on_tensor` is told how many of the base's tensors are done, of how many, and may end
/// the work; then nothing is left, and the result is `None`.
pub fn quantize_checkpoint(
    base: &Path,
    output: &Path,
    dry_run: bool,
    on_tensor: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Option<DerivedCheckpoint>, ModelError> {
    let checkpoint = Checkpoint::open(base)?;
    refuse_quantized(&checkpoint, base, "a quantized base is used as it is")?;
    let mut quantized = BTreeSet::new();
    for layer in 0..checkpoint.config.num_hidden_layers {
        for &projection in checkpoint.config.projections() {
            let (outputs, inputs) = checkpoint.config.projection_dims(projection);
            let name = projection.weight_key(layer);
            let tensor = checkpoint.files.tensor(&name)?.of_shape(&[outputs, inputs], NOT_THIS_CONFIG)?;
            quantized.insert(tensor.name.to_owned());
        }
    }
    let replace = |tensor: StoredTensor<'_>| -> Result<Instead<'_>, ModelError> {
        if !quantized.contains(tensor.name) {
            return Ok(Instead::Copy);
        }
        if dry_run {
            return Ok(Instead::New(Vec::new()));
        }
        let tensors = bitsandbytes::tensors(&tensor, quantize(&tensor)?)?;
        let made = |(name, dtype, shape, bytes): bitsandbytes::OwnedTensor| {
            (name, NewTensor { dtype, shape, bytes: bytes.len(), content: Content::Made(bytes) })
        };
        Ok(Instead::New(tensors.into_iter().map(made).collect()))
    };
    let mut config = quantized_config(base, checkpoint.config.tie_word_embeddings)?;
    if checkpoint.config.wrapper.is_some() {
        // transformers would look for codes in the other models' layers, too.
        config["quantization_config"]["llm_int8_skip_modules"] = json!(other_models(&checkpoint));
    }
    let config = Some(config);
    Derivation { checkpoint: &checkpoint, base, output, dry_run, config }.run(&replace, on_tensor)
}

/// The models of a wrapper beside the text model, and its output layer, by their names in transformers' model.
fn other_models(checkpoint: &Checkpoint) -> BTreeSet<String> {
    let of_text = ["model.layers.", "model.embed_tokens.", "model.norm."];
    let outside = |name: &&str| text_name(name).is_none() && !of_text.iter().any(|start| name.starts_with(start));
    let name_of = |name: &str| {
        let name = name.strip_prefix("model.").unwrap_or(name);
        format!("model.{}", name.split('.').next().unwrap_or(name))
    };
    checkpoint.files.names().filter(outside).map(name_of).chain(["lm_head".to_owned()]).collect()
}

/// The base's config.json with what transformers needs to load bitsandbytes' layers.
fn quantized_config(base: &Path, tied: bool) -> Result<Value, ModelError> {
    let mut config = config_of_tables(base, tied)?.map_or_else(|| read_config(base), Ok)?;
    let dtype = config.get("dtype").or_else(|| config.get("torch_dtype")).and_then(Value::as_str);
    let section = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": true,
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_compute_dtype": dtype.unwrap_or("float32"),
    });
    config["quantization_config"] = section;
    Ok(config)
}

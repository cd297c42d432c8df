//! The model: a decoder-only language model in the Hugging Face layout, its LoRA adapters in PEFT's layout, its
//! tokenizer, its chat template, and passes over cached keys and values.
//!
//! One decoder block serves all families: biases, query and key norms, rotary embedding, factors on the way and tied
//! embeddings are data. Forward and backward are written out per block over the operations of `kernels`; candle's autograd
//! is never used. This module optimizes nothing (that is `trainer`) and has never heard of plugins.

mod error;

mod architecture;
mod block_norm;
mod config;
mod end_tokens;
mod projection;
mod quantization;
mod rope_parameters;
mod tensor_names;
mod wrapper;

mod base_modules;
mod lora_config;
mod module_names;
mod module_to_save;

mod tensor_place;
mod zip_archive;

mod pickle;
mod pickled_weights;

mod checkpoint_files;
mod stored_integers;

mod awq;
mod bitsandbytes;
mod compressed_tensors;
mod gptq;
mod stored_float8;

mod checkpoint;
mod precision;

mod adapter_module;

mod adapter;
mod block;
mod linear;
mod rope_tables;
mod weights;

mod causal_lm;
mod device;
mod packed_documents;

mod checkpointing;
mod document_loss;
mod training_pass;

mod inference_pass;
mod key_value_blocks;

mod chat_template;
mod tokenizer;

mod base_files;
mod derived_checkpoint;
mod merged_checkpoint;
mod new_tensor;
mod quantized_checkpoint;
mod quantized_layers;
mod stored_type;
mod trained_checkpoint;

mod description;
mod probe;
mod skeleton;

pub use adapter::Adapter;
pub use adapter_module::AdapterModule;
pub use architecture::Architecture;
pub use awq::AwqVersion;
pub use base_files::BaseFiles;
pub use block::DropoutKey;
pub(crate) use block_norm::BlockNorm;
pub use causal_lm::Model;
pub use chat_template::{ChatTemplate, ChatTemplateSource, ConfiningAllocator, Dialogue};
pub use checkpointing::Checkpointing;
pub use config::ModelConfig;
pub use derived_checkpoint::DerivedCheckpoint;
pub use description::{
    AdapterDescription, BaseDescription, Description, TensorLine, Tensors, TypeTotal, stored_block_bytes,
};
pub use device::{ComputeDevice, DeviceChoice};
pub use error::{ModelError, blame_of_operation};
pub use inference_pass::{InferencePass, LogitRows, Span};
pub use key_value_blocks::KeyValueBlocks;
pub use lora_config::{LoraBias, LoraConfig, TaskType};
pub use merged_checkpoint::merge;
pub use module_names::{ModuleNames, ModulePattern};
pub use module_to_save::ModuleToSave;
pub use packed_documents::PackedDocuments;
pub use precision::{BasePrecision, ComputeType};
pub use probe::{ProbeBatch, ProbeNumbers, probe};
pub use projection::Projection;
pub use quantization::Quantization;
pub use quantized_checkpoint::quantize_checkpoint;
pub use rope_parameters::{RopeParameters, RopeScaling};
pub use skeleton::SkeletonShape;
pub use stored_float8::ScaleBlock;
pub use stored_type::StoredType;
pub use tokenizer::Tokenizer;
pub use training_pass::{Gradients, TrainingPass};
pub use weights::Weights;
pub use wrapper::Wrapper;

// The tests of other crates read the same file, which names this crate as they do.
#[cfg(test)]
extern crate self as hilora_model;
#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

#[cfg(test)]
#[path = "../../../tests/support/decoded.rs"]
mod decoded;

#[cfg(test)]
mod inference_pass_tests;
#[cfg(test)]
mod quantized_cases;
#[cfg(test)]
mod reference_cases;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::checkpoint_files::CheckpointFiles;
    use super::small_model::small_model;
    use super::*;

    #[test]
    fn packed_documents_get_the_numbers_each_gets_alone() -> Result<(), ModelError> {
        let model = small_model(4)?;
        let (first, second): (Vec<u32>, Vec<u32>) = ((0..70).map(|i| i % 90).collect(), (5..38).collect());
        let logits = |lists: &[&[u32]]| {
            let mut documents = PackedDocuments::default();
            lists.iter().for_each(|tokens| documents.push(tokens, |_| true));
            let rows: Vec<usize> = (0..documents.tokens.len()).collect();
            model.logits(&*model.hidden(&documents, None)?, &rows, None)
        };
        let alone = [logits(&[&first])?, logits(&[&second])?].concat();
        assert_eq!(logits(&[&first, &second])?, alone);
        Ok(())
    }

    /// `tests/oracle/make_reference.py` made the files with torch's autograd.
    fn full_gradients_equal_torchs(architecture: &str, compared: usize) -> Result<(), ModelError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle").join(architecture);
        let model = Model::load(&folder.join("model"), BasePrecision::F32)?;
        let batch = ProbeBatch::load(&folder.join("batch.safetensors"))?;
        let documents = batch.documents()?;
        let gradients = Gradients::Full(Box::new(Weights::zeros(model.config(), model.device())?));
        let targets = documents.targets.len() as f64;
        let how = TrainingPass { scale: (1.0 / targets) as f32, dropout: None, noise: None, checkpointing: None };
        let loss = model.forward_backward(&documents, None, how, &gradients)? / targets;
        let expected = CheckpointFiles::open_file(&folder.join("full.safetensors"))?;
        assert!((loss - f64::from(expected.floats("loss", &[1], "")?[0])).abs() < 1e-6, "{loss}");
        let Gradients::Full(weights) = &gradients else { return Err(ModelError::Defect("not full".to_owned())) };
        let tensors: BTreeMap<_, _> = weights.tensors().into_iter().collect();
        let names: Vec<_> = expected.names().filter_map(|name| name.strip_prefix("grad.")).collect();
        assert_eq!(names.len(), compared);
        for name in names {
            let tensor = tensors.get(name).ok_or_else(|| ModelError::Defect(format!("no gradient of {name}")))?;
            let got: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            let expected = expected.floats(&format!("grad.{name}"), tensor.dims(), "")?;
            let square = |x: f32| f64::from(x) * f64::from(x);
            let error: f64 = got.iter().zip(&expected).map(|(got, expected)| square(got - expected)).sum();
            let relative = (error / expected.iter().map(|x| square(*x)).sum::<f64>()).sqrt();
            assert!(relative < 2e-5, "{architecture}: {name}: {relative:e}");
        }
        Ok(())
    }

    #[test]
    fn gradients_of_all_weights_equal_torchs() -> Result<(), ModelError> {
        full_gradients_equal_torchs("qwen2", 27)
    }

    #[test]
    fn gradients_of_head_norms_equal_torchs() -> Result<(), ModelError> {
        full_gradients_equal_torchs("qwen3", 11)
    }

    #[test]
    fn gradients_of_tied_embeddings_equal_torchs() -> Result<(), ModelError> {
        full_gradients_equal_torchs("llama", 6)
    }
}

/// So that the tests of chat templates find their bound of memory.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: ConfiningAllocator<std::alloc::System> = ConfiningAllocator(std::alloc::System);

//! The model: a decoder-only language model in the Hugging Face layout, its LoRA adapters in PEFT's layout, its
//! tokenizer, and generation with a key-value cache.
//!
//! One decoder block serves Qwen2, Qwen3 and Llama: biases, query and key norms and tied embeddings are data. Forward
//! and backward are written out per block over the operations of `kernels`; candle's autograd is never used. This
//! module optimizes nothing (that is `trainer`) and has never heard of plugins.

mod adapter;
mod block;
mod causal_lm;
mod checkpoint_files;
mod config;
mod decode;
mod error;
mod generation;
mod linear;
mod lora_config;
mod probe;
mod tokenizer;

pub(crate) use block::DropoutKey;
pub(crate) use causal_lm::{Gradients, PackedDocuments, TrainingPass, Weights};
pub(crate) use checkpoint_files::{CheckpointFiles, NamedFloats, write_floats};

pub use adapter::{Adapter, AdapterModule};
pub use causal_lm::{BasePrecision, Model};
pub use config::ModelConfig;
pub use decode::DecodeSession;
pub use error::ModelError;
pub use generation::{Generation, GenerationOptions, GenerationRequest, generate};
pub use lora_config::{LoraBias, LoraConfig, Projection, TaskType};
pub use probe::{ProbeBatch, ProbeNumbers, probe};
pub use tokenizer::Tokenizer;

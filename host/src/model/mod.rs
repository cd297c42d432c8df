//! The model: a decoder-only language model in the Hugging Face layout, its LoRA adapters in PEFT's layout, its
//! tokenizer, and generation with a key-value cache.
//!
//! One decoder block serves Qwen2, Qwen3 and Llama: biases, query and key norms and tied embeddings are data. Forward
//! and backward are written out per block over the operations of `kernels`; candle's autograd is never used. This
//! module optimizes nothing (that is `trainer`) and has never heard of plugins.

mod adapter;
mod causal_lm;
mod config;
mod decode;
mod error;
mod generation;
mod lora_config;
mod tokenizer;

pub use adapter::{Adapter, AdapterModule};
pub use causal_lm::{BasePrecision, Model};
pub use config::ModelConfig;
pub use decode::DecodeSession;
pub use error::ModelError;
pub use generation::{Generation, GenerationOptions, GenerationRequest, generate};
pub use lora_config::{LoraBias, LoraConfig, Projection, TaskType};
pub use tokenizer::Tokenizer;

//! A small model and adapter for the unit tests of the model, the trainer and the evaluator. Each includes this file by its
//! path: a crate of test helpers would meet the model's own tests as another model.

use std::path::Path;

use hilora_model::{
    Adapter, ComputeDevice, LoraBias, LoraConfig, Model, ModelConfig, ModelError, ModuleNames, ModulePattern, TaskType,
};

/// The shape of the small model: grouped queries, tied embeddings, a head of 16.
pub(crate) const SMALL_CONFIG: &str = r#"{"model_type":"qwen2","hidden_act":"silu","hidden_size":64,
    "intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":96,
    "max_position_embeddings":128,"rms_norm_eps":1e-6,"rope_theta":10000.0,"tie_word_embeddings":true,
    "initializer_range":0.1}"#;

pub(crate) fn small_model(seed: u64) -> Result<Model, ModelError> {
    Model::random(ModelConfig::parse(Path::new("config.json"), SMALL_CONFIG)?, seed, ComputeDevice::Cpu)
}

pub(crate) fn small_lora() -> LoraConfig {
    LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: ModuleNames::all_linear(),
        exclude_modules: None,
        layers_to_transform: Vec::new(),
        rank_pattern: ModulePattern::default(),
        alpha_pattern: ModulePattern::default(),
        modules_to_save: Vec::new(),
        bias: LoraBias::None,
        task_type: TaskType::CausalLm,
        use_rslora: false,
        use_dora: false,
        lora_bias: false,
    }
}

/// An adapter whose update is not zero.
pub(crate) fn perturbed_adapter(model: &Model) -> Result<Adapter, ModelError> {
    perturbed(model, &small_lora())
}

/// An adapter of which no tensor is as it begins.
pub(crate) fn perturbed(model: &Model, lora: &LoraConfig) -> Result<Adapter, ModelError> {
    let adapter = model.new_adapter(lora, 9)?;
    for (i, (_, tensor)) in adapter.tensors().enumerate() {
        let values: Vec<f32> =
            (0..tensor.elem_count()).map(|j| ((i * 17 + j * 13) % 29) as f32 * 0.01 - 0.14).collect();
        tensor.slice_set(&candle_core::Tensor::from_vec(values, tensor.shape(), tensor.device())?, 0, 0)?;
    }
    Ok(adapter)
}

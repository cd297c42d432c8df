//! Wrappers: models of images and text, of which the text model is computed and trained, and all else stays as it is.
//!
//! transformers' model has the text model at `model.language_model`, and adapters are named after that. Files name its
//! tensors so too, or `language_model.model.…` as older versions did, or `model.…`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ModelError;

/// A kind of wrapper, by its name in a `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrapper {
    /// Gemma 3 from 4 billion parameters on.
    #[serde(rename = "gemma3")]
    Gemma3,
    /// Mistral Small 3.1 and later.
    #[serde(rename = "mistral3")]
    Mistral3,
    /// LLaVA, and Pixtral in its layout.
    #[serde(rename = "llava")]
    Llava,
    /// Qwen2.5-VL. Positions of text are the same on all three axes of its rotary embedding, which is an ordinary one then.
    #[serde(rename = "qwen2_5_vl")]
    Qwen2_5Vl,
}

impl Wrapper {
    /// Every kind, in the order that errors name them.
    pub(crate) const ALL: [Self; 4] = [Self::Gemma3, Self::Mistral3, Self::Llava, Self::Qwen2_5Vl];

    /// Its name in a `config.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Gemma3 => "gemma3",
            Self::Mistral3 => "mistral3",
            Self::Llava => "llava",
            Self::Qwen2_5Vl => "qwen2_5_vl",
        }
    }

    /// The wrapper that a `config.json` describes; `None` if it is of a text model.
    pub(crate) fn of(config: &Value) -> Option<Self> {
        let named = config.get("model_type").and_then(Value::as_str)?;
        Self::ALL.into_iter().find(|wrapper| wrapper.model_type() == named)
    }

    /// The configuration of its text model as that alone would have it.
    pub(crate) fn text_config(self, path: &Path, config: &Value) -> Result<Value, ModelError> {
        let given = match (config.get("text_config"), self) {
            // Its older files are flat.
            (None | Some(Value::Null), Self::Qwen2_5Vl) => {
                let mut flat = config.clone();
                flat["model_type"] = "qwen2_5_vl_text".into();
                flat
            }
            (Some(text), _) => text.clone(),
            (None, _) => Value::Null,
        };
        let Value::Object(mut text) = given else {
            let got = config.get("text_config").map_or_else(|| "nothing".to_owned(), Value::to_string);
            return Err(ModelError::config(path, format!("text_config: expected an object, got {got}")));
        };
        let model_type = text.get("model_type").and_then(Value::as_str).unwrap_or(match self {
            Self::Gemma3 => "gemma3_text",
            Self::Mistral3 => "mistral",
            Self::Llava => "llama",
            Self::Qwen2_5Vl => "qwen2_5_vl_text",
        });
        let model_type = model_type.to_owned();
        for (field, value) in defaults_of(&model_type) {
            text.entry(field).or_insert(value);
        }
        if model_type == "qwen2_5_vl_text" {
            without_axes(&mut text);
        }
        // The architecture that computes it; what no file of a text model calls itself is named after its own class.
        let computed = if model_type == "qwen2_5_vl_text" { "qwen2".to_owned() } else { model_type };
        text.insert("model_type".to_owned(), computed.into());
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
        let own = config.get("tie_word_embeddings").filter(|value| !value.is_null());
        let tied = match self {
            Self::Gemma3 | Self::Mistral3 => own.is_none() || is_true(own),
            Self::Llava | Self::Qwen2_5Vl => is_true(own) || is_true(text.get("tie_word_embeddings")),
        };
        text.insert("tie_word_embeddings".to_owned(), tied.into());
        for field in ["quantization_config", "eos_token_id"] {
            if let Some(value) = config.get(field).filter(|value| !value.is_null()) {
                text.insert(field.to_owned(), value.clone());
            }
        }
        Ok(Value::Object(text))
    }
}

/// What transformers' class of a text model has where its configuration leaves a key out, as far as that is not what holds
/// for the family outside of wrappers.
fn defaults_of(model_type: &str) -> Vec<(&'static str, Value)> {
    let counts =
        |counts: &[(&'static str, usize)]| counts.iter().map(|(field, count)| (*field, json!(count))).collect();
    match model_type {
        "llama" => counts(&[
            ("vocab_size", 32_000),
            ("hidden_size", 4_096),
            ("intermediate_size", 11_008),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 32),
            ("max_position_embeddings", 2_048),
        ]),
        "mistral" => counts(&[
            ("vocab_size", 32_000),
            ("hidden_size", 4_096),
            ("intermediate_size", 14_336),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 32),
            ("max_position_embeddings", 131_072),
        ]),
        "qwen2_5_vl_text" => vec![
            ("num_key_value_heads", json!(8)),
            ("rms_norm_eps", json!(1e-5)),
            ("rope_theta", json!(1e6)),
            ("max_window_layers", json!(80)),
        ],
        _ => Vec::new(),
    }
}

/// Takes the axes out of a rotary embedding: text has one position, which is that of every axis.
fn without_axes(text: &mut Map<String, Value>) {
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(section) = text.get_mut(name).and_then(Value::as_object_mut) else { continue };
        section.remove("mrope_section");
        for kind in ["rope_type", "type"] {
            if section.get(kind).and_then(Value::as_str) == Some("mrope") {
                section.insert(kind.to_owned(), "default".into());
            }
        }
    }
}

/// What a text model would call a tensor that a wrapper's file calls otherwise.
pub(crate) fn text_name(stored: &str) -> Option<String> {
    let renamed = [
        ("model.language_model.", "model."),
        ("language_model.model.", "model."),
        ("language_model.lm_head.", "lm_head."),
    ];
    renamed.into_iter().find_map(|(from, to)| stored.strip_prefix(from).map(|rest| format!("{to}{rest}")))
}

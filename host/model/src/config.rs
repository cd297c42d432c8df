//! A model's configuration: `config.json` of the Hugging Face layout.
//!
//! What would change the numbers and is not computed here (sliding windows, other activations, biases beyond Qwen2's,
//! unknown rope scaling) is refused by name.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ModelError, Projection, Quantization, RopeParameters, end_tokens};
use hilora_kernels::attention::Heads;

/// The architectures that are computed. Their blocks differ in two details: Qwen2 has biases on queries, keys and
/// values; Qwen3 normalizes each head of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Qwen2, Qwen2.5 and QwQ.
    Qwen2,
    /// Qwen3, the dense models.
    Qwen3,
    /// Llama, and what calls itself so.
    Llama,
}

impl Architecture {
    /// Whether queries, keys and values have biases.
    pub fn has_attention_bias(self) -> bool {
        self == Self::Qwen2
    }

    /// Whether each head of queries and keys is normalized.
    pub fn has_head_norms(self) -> bool {
        self == Self::Qwen3
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
        })
    }
}

/// The shape of a decoder-only language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture.
    pub model_type: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward network.
    pub intermediate_size: usize,
    /// Number of decoder blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Number of token ids, padding of the table included.
    pub vocab_size: usize,
    /// The longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base and scaling of the rotary frequencies.
    pub rope_parameters: RopeParameters,
    /// Whether the output layer is the embedding table.
    pub tie_word_embeddings: bool,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// How the checkpoint holds the linear layers of the blocks.
    pub quantization: Quantization,
    /// Token ids at which the model ends a text, each once.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// Reads `config.json` from a model's folder, and the end tokens of its `generation_config.json` too.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| ModelError::reading(&path, e))?;
        let mut config = Self::parse(&path, &text)?;
        for token in end_tokens::of_generation_config(folder)? {
            if !config.eos_token_ids.contains(&token) {
                config.eos_token_ids.push(token);
            }
        }
        Ok(config)
    }

    /// Reads the text of a `config.json`; `path` is only named in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(format!("not valid JSON: {e}")))?;
        let fields = Fields { path, value: &value };

        let model_type = match fields.text("model_type")?.as_str() {
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            "llama" => Architecture::Llama,
            _ => {
                let got = value.get("model_type");
                return Err(fields.wrong("model_type", "\"qwen2\", \"qwen3\" or \"llama\"", got));
            }
        };
        let activation = fields.text("hidden_act")?;
        if activation != "silu" {
            return Err(wrong(format!("hidden_act: expected \"silu\", got \"{activation}\"")));
        }
        // Qwen2 has its biases whatever `attention_bias` says, and transformers does not look at the key there.
        let refused: &[&str] = match model_type {
            Architecture::Qwen2 => &["use_sliding_window"],
            Architecture::Qwen3 | Architecture::Llama => &["use_sliding_window", "attention_bias", "mlp_bias"],
        };
        if let Some(field) = refused.iter().find(|field| value.get(**field).and_then(Value::as_bool) == Some(true)) {
            return Err(wrong(format!("{field}: expected false, got true")));
        }
        let kinds = value.get("layer_types").and_then(Value::as_array);
        if let Some(kind) = kinds.into_iter().flatten().find(|kind| kind.as_str() != Some("full_attention")) {
            return Err(fields.wrong("layer_types", "\"full_attention\" for every layer", Some(kind)));
        }
        let heads = fields.count("num_attention_heads")?;
        let key_value_heads = fields.count("num_key_value_heads")?;
        let hidden_size = fields.count("hidden_size")?;
        if heads % key_value_heads != 0 {
            return Err(wrong(format!(
                "num_key_value_heads: expected a divisor of num_attention_heads {heads}, got {key_value_heads}"
            )));
        }
        let head_dim = match value.get("head_dim") {
            Some(Value::Number(_)) => fields.count("head_dim")?,
            // transformers' own default there.
            _ if model_type == Architecture::Qwen3 => 128,
            _ if hidden_size % heads == 0 => hidden_size / heads,
            _ => return Err(wrong(format!("hidden_size: expected a multiple of {heads} heads, got {hidden_size}"))),
        };
        if head_dim % 2 != 0 {
            return Err(wrong(format!("head_dim: expected an even number, got {head_dim}")));
        }
        Ok(Self {
            model_type,
            hidden_size,
            intermediate_size: fields.count("intermediate_size")?,
            num_hidden_layers: fields.count("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: key_value_heads,
            head_dim,
            vocab_size: fields.count("vocab_size")?,
            max_position_embeddings: fields.count("max_position_embeddings")?,
            rms_norm_eps: fields.number("rms_norm_eps")?,
            rope_parameters: RopeParameters::parse(path, &value)?,
            tie_word_embeddings: value.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
            initializer_range: value.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02),
            quantization: Quantization::parse(path, &value)?,
            eos_token_ids: end_tokens::of_config(path, &value)?,
        })
    }

    /// Number of parameters, tied ones counted once.
    pub fn parameter_count(&self) -> usize {
        let (query, key_value) = (self.query_width(), self.key_value_width());
        let bias = if self.model_type.has_attention_bias() { query + 2 * key_value } else { 0 };
        let head_norms = if self.model_type.has_head_norms() { 2 * self.head_dim } else { 0 };
        let block = self.hidden_size * (2 * query + 2 * key_value + 3 * self.intermediate_size + 2) + bias + head_norms;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        self.num_hidden_layers * block + self.hidden_size * (self.vocab_size * tables + 1)
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads together; values have the same.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// (out, in) of a projection.
    pub(crate) fn projection_dims(&self, projection: Projection) -> (usize, usize) {
        let (hidden, query, key_value) = (self.hidden_size, self.query_width(), self.key_value_width());
        match projection {
            Projection::QProj => (query, hidden),
            Projection::KProj | Projection::VProj => (key_value, hidden),
            Projection::OProj => (hidden, query),
            Projection::GateProj | Projection::UpProj => (self.intermediate_size, hidden),
            Projection::DownProj => (hidden, self.intermediate_size),
        }
    }

    /// Parameters of the linear layers, the output layer among them.
    pub(crate) fn linear_parameters(&self) -> usize {
        let of = |projection| {
            let (outputs, inputs) = self.projection_dims(projection);
            outputs * inputs
        };
        self.num_hidden_layers * Projection::ALL.map(of).iter().sum::<usize>() + self.vocab_size * self.hidden_size
    }

    /// Whether a projection has a bias.
    pub(crate) fn has_bias(&self, projection: Projection) -> bool {
        let attention = matches!(projection, Projection::QProj | Projection::KProj | Projection::VProj);
        attention && self.model_type.has_attention_bias()
    }

    /// The heads of each attention layer.
    pub fn heads(&self) -> Heads {
        Heads { queries: self.num_attention_heads, keys: self.num_key_value_heads, dim: self.head_dim }
    }
}

/// The JSON object with errors that name the field.
struct Fields<'a> {
    path: &'a Path,
    value: &'a Value,
}

impl Fields<'_> {
    fn wrong(&self, field: &str, expected: &str, got: Option<&Value>) -> ModelError {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        ModelError::config(self.path, format!("{field}: expected {expected}, got {got}"))
    }

    fn text(&self, field: &str) -> Result<String, ModelError> {
        let got = self.value.get(field);
        got.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| self.wrong(field, "a string", got))
    }

    fn count(&self, field: &str) -> Result<usize, ModelError> {
        let got = self.value.get(field);
        match got.and_then(Value::as_u64) {
            Some(count) if count > 0 => Ok(count as usize),
            _ => Err(self.wrong(field, "a positive whole number", got)),
        }
    }

    fn number(&self, field: &str) -> Result<f64, ModelError> {
        let got = self.value.get(field);
        got.and_then(Value::as_f64).ok_or_else(|| self.wrong(field, "a number", got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(extra: &str) -> String {
        format!(
            r#"{{"model_type":"qwen2","hidden_act":"silu","hidden_size":8,"intermediate_size":16,"num_hidden_layers":1,
            "num_attention_heads":2,"num_key_value_heads":1,"vocab_size":10,"max_position_embeddings":64,
            "rms_norm_eps":1e-6{extra}}}"#
        )
    }

    fn parse(extra: &str) -> Result<ModelConfig, ModelError> {
        ModelConfig::parse(Path::new("config.json"), &json(extra))
    }

    #[test]
    fn refuses_what_it_does_not_compute() {
        let message = |model_type: &str, extra: &str| {
            let text = json(extra).replace("qwen2", model_type);
            let error = ModelConfig::parse(Path::new("config.json"), &text).unwrap_err().to_string();
            error.strip_prefix("config.json: ").map(str::to_owned)
        };
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(message("mamba", ""), expected(r#"model_type: expected "qwen2", "qwen3" or "llama", got "mamba""#));
        assert_eq!(message("llama", r#","attention_bias":true"#), expected("attention_bias: expected false, got true"));
        assert_eq!(message("llama", r#","mlp_bias":true"#), expected("mlp_bias: expected false, got true"));
        assert_eq!(
            message("qwen3", r#","layer_types":["sliding_attention"]"#),
            expected(r#"layer_types: expected "full_attention" for every layer, got "sliding_attention""#)
        );
    }

    #[test]
    fn refuses_a_field_of_another_kind() {
        let error = parse(r#","head_dim":3"#).unwrap_err();
        assert_eq!(error.to_string(), "config.json: head_dim: expected an even number, got 3");
    }
}

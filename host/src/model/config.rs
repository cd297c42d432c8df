//! A model's configuration: `config.json` of the Hugging Face layout, in its old and its new spelling of rope.
//!
//! What would change the numbers and is not computed here (sliding windows, other activations, unknown rope scaling)
//! is refused by name.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ModelError;

/// The shape of a decoder-only language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture's name: `qwen2`.
    pub model_type: String,
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
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether the output layer is the embedding table.
    pub tie_word_embeddings: bool,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Whether queries, keys and values have biases: yes in Qwen2.
    pub attention_bias: bool,
    /// Token ids that end a text.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// Reads `config.json` from a model's folder.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| ModelError::file(&path, e))?;
        Self::parse(&path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(format!("not valid JSON: {e}")))?;
        let fields = Fields { path, value: &value };

        let model_type = fields.text("model_type")?;
        if model_type != "qwen2" {
            return Err(wrong(format!("model_type: expected \"qwen2\", got \"{model_type}\"")));
        }
        let activation = fields.text("hidden_act")?;
        if activation != "silu" {
            return Err(wrong(format!("hidden_act: expected \"silu\", got \"{activation}\"")));
        }
        if value.get("use_sliding_window").and_then(Value::as_bool) == Some(true) {
            return Err(wrong("use_sliding_window: expected false, got true".to_owned()));
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
            _ if hidden_size % heads == 0 => hidden_size / heads,
            _ => return Err(wrong(format!("hidden_size: expected a multiple of {heads} heads, got {hidden_size}"))),
        };
        if head_dim % 2 != 0 {
            return Err(wrong(format!("head_dim: expected an even number, got {head_dim}")));
        }
        let eos_token_ids = match value.get("eos_token_id") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).map(|id| id as u32).collect(),
            Some(Value::Number(id)) => id.as_u64().map(|id| id as u32).into_iter().collect(),
            _ => Vec::new(),
        };
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
            rope_theta: fields.rope_theta()?,
            tie_word_embeddings: value.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
            initializer_range: value.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02),
            attention_bias: true,
            eos_token_ids,
        })
    }

    /// Number of parameters, tied ones counted once.
    pub fn parameter_count(&self) -> usize {
        let (query, key_value) = (self.query_width(), self.key_value_width());
        let bias = if self.attention_bias { query + 2 * key_value } else { 0 };
        let block = self.hidden_size * (2 * query + 2 * key_value + 3 * self.intermediate_size + 2) + bias;
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

    /// Newer files hold `rope_parameters: {rope_theta, rope_type}`, older ones `rope_theta` and `rope_scaling`.
    fn rope_theta(&self) -> Result<f64, ModelError> {
        let unset = |value: Option<&Value>| value.is_none_or(Value::is_null);
        let parameters = self.value.get("rope_parameters");
        for (name, scaling) in [("rope_parameters", parameters), ("rope_scaling", self.value.get("rope_scaling"))] {
            let Some(scaling) = scaling.filter(|value| !value.is_null()) else { continue };
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
            if kind.and_then(Value::as_str).unwrap_or("default") != "default" {
                return Err(self.wrong(&format!("{name}.rope_type"), "\"default\"", kind));
            }
        }
        let nested = parameters.and_then(|parameters| parameters.get("rope_theta"));
        let theta = if unset(nested) { self.value.get("rope_theta") } else { nested };
        match theta.and_then(Value::as_f64) {
            Some(theta) if theta > 0.0 => Ok(theta),
            // Hugging Face's own default, for files that leave it out.
            None if unset(theta) => Ok(10_000.0),
            _ => Err(self.wrong("rope_theta", "a positive number", theta)),
        }
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
    fn reads_both_spellings_of_rope() -> Result<(), ModelError> {
        assert_eq!(parse(r#","rope_theta":1e6"#)?.rope_theta, 1e6);
        assert_eq!(parse(r#","rope_parameters":{"rope_theta":5e5,"rope_type":"default"}"#)?.rope_theta, 5e5);
        assert_eq!(parse("")?.rope_theta, 1e4);
        Ok(())
    }

    #[test]
    fn refuses_rope_that_it_does_not_compute() {
        let error = parse(r#","rope_theta":1e6,"rope_scaling":{"rope_type":"yarn","factor":4.0}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"config.json: rope_scaling.rope_type: expected "default", got "yarn""#);
    }

    #[test]
    fn refuses_a_field_of_another_kind() {
        let error = parse(r#","head_dim":3"#).unwrap_err();
        assert_eq!(error.to_string(), "config.json: head_dim: expected an even number, got 3");
    }
}

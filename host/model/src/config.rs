//! A model's configuration: `config.json` of the Hugging Face layout.
//!
//! What would change the numbers and is not computed here (other activations, unknown rope scaling) is refused by name. A
//! sequence that is longer than a sliding window is, too: up to there a window changes nothing. A base's own dropouts
//! (`attention_dropout`, and `residual_dropout` of Seed-OSS) are not applied, in training neither: the adapter's is.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ModelError, Projection, Quantization, RopeParameters, end_tokens};
use hilora_kernels::attention::Heads;

/// The families that are computed. What their blocks differ in is data of the configuration; a family decides what its
/// `config.json` means, above all what holds where a key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Qwen2, Qwen2.5 and QwQ.
    Qwen2,
    /// Qwen3, the dense models.
    Qwen3,
    /// Llama, and what calls itself so.
    Llama,
    /// Mistral, the dense models.
    Mistral,
    /// Seed-OSS.
    #[serde(rename = "seed_oss")]
    SeedOss,
    /// InternLM3.
    InternLm3,
    /// SmolLM3, some of whose blocks have no rotary embedding.
    SmolLm3,
    /// Granite 3 and the dense models after it, with factors on embedding, scores, residuals and logits.
    Granite,
}

impl Architecture {
    /// Every family, in the order that errors name them.
    const ALL: [Self; 8] = [
        Self::Qwen2,
        Self::Qwen3,
        Self::Llama,
        Self::Mistral,
        Self::SeedOss,
        Self::InternLm3,
        Self::SmolLm3,
        Self::Granite,
    ];

    /// Its name in a `config.json`.
    fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::SeedOss => "seed_oss",
            Self::InternLm3 => "internlm3",
            Self::SmolLm3 => "smollm3",
            Self::Granite => "granite",
        }
    }

    /// The linear layers of a block.
    fn projections(self) -> &'static [Projection] {
        &Projection::SEPARATE
    }

    /// Whether each head of queries and keys is normalized.
    pub fn has_head_norms(self) -> bool {
        self == Self::Qwen3
    }

    /// The key and value heads of transformers' class where the key is missing; `None` is as many as there are queries.
    fn default_key_value_heads(self) -> Option<usize> {
        match self {
            Self::Qwen2 | Self::Qwen3 => Some(32),
            Self::Mistral | Self::SeedOss => Some(8),
            Self::SmolLm3 => Some(4),
            Self::Llama | Self::InternLm3 | Self::Granite => None,
        }
    }

    /// The width of a head where the key is missing; `None` is the hidden size by the heads.
    fn default_head_dim(self) -> Option<usize> {
        match self {
            Self::Qwen3 | Self::SeedOss => Some(128),
            _ => None,
        }
    }

    /// The base of the rotary frequencies where nothing says it.
    fn default_rope_theta(self) -> f64 {
        if self == Self::SmolLm3 { 2e6 } else { 1e4 }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

/// Which linear layers have biases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Biases {
    /// Queries, keys and values.
    pub attention: bool,
    /// The attention's output.
    pub attention_output: bool,
    /// The feed-forward network's.
    pub mlp: bool,
}

/// What says how long a sequence may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthLimit {
    /// The model's own length.
    MaxPositionEmbeddings,
    /// The window of a layer that sees no more: up to it, a sequence has the numbers that it has without one.
    SlidingWindow,
    /// The length up to which longrope's short factors hold.
    OriginalMaxPositionEmbeddings,
}

impl fmt::Display for LengthLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxPositionEmbeddings => "max_position_embeddings",
            Self::SlidingWindow => "sliding_window",
            Self::OriginalMaxPositionEmbeddings => "original_max_position_embeddings (longrope)",
        })
    }
}

/// Factors that a family multiplies with on the way; one each where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Multipliers {
    /// Of the embedding.
    pub embedding: f64,
    /// Of the scores of attention; `None` is one by the root of the head's width.
    pub attention: Option<f64>,
    /// Of what a block adds to the residual stream.
    pub residual: f64,
    /// What the logits are divided by.
    pub logits_divisor: f64,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { embedding: 1.0, attention: None, residual: 1.0, logits_divisor: 1.0 }
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
    /// The longest sequence that is computed.
    pub max_position_embeddings: usize,
    /// What says so.
    pub length_limit: LengthLimit,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base and scaling of the rotary frequencies.
    pub rope_parameters: RopeParameters,
    /// Blocks whose queries and keys are not turned by their positions.
    pub no_rope_layers: Vec<usize>,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Factors on the way.
    pub multipliers: Multipliers,
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

        let named = fields.text("model_type")?;
        let Some(model_type) = Architecture::ALL.into_iter().find(|known| known.model_type() == named) else {
            let known = Architecture::ALL.map(|known| format!("\"{known}\"")).join(", ");
            return Err(fields.wrong("model_type", &format!("one of {known}"), value.get("model_type")));
        };
        if !matches!(fields.get("hidden_act").map(Value::as_str), None | Some(Some("silu"))) {
            return Err(fields.wrong("hidden_act", "\"silu\"", value.get("hidden_act")));
        }
        let layers = fields.count("num_hidden_layers")?;
        let heads = fields.count("num_attention_heads")?;
        let key_value_heads = match value.get("num_key_value_heads") {
            None => model_type.default_key_value_heads().unwrap_or(heads),
            Some(Value::Null) => heads,
            Some(_) => fields.count("num_key_value_heads")?,
        };
        let hidden_size = fields.count("hidden_size")?;
        if heads % key_value_heads != 0 {
            return Err(wrong(format!(
                "num_key_value_heads: expected a divisor of num_attention_heads {heads}, got {key_value_heads}"
            )));
        }
        let head_dim = match (fields.get("head_dim"), model_type.default_head_dim()) {
            (Some(_), _) => fields.count("head_dim")?,
            (None, Some(default)) => default,
            (None, None) if hidden_size % heads == 0 => hidden_size / heads,
            _ => return Err(wrong(format!("hidden_size: expected a multiple of {heads} heads, got {hidden_size}"))),
        };
        if head_dim % 2 != 0 {
            return Err(wrong(format!("head_dim: expected an even number, got {head_dim}")));
        }
        let positions = fields.count("max_position_embeddings")?;
        let rope_parameters = RopeParameters::parse(path, &value, model_type.default_rope_theta(), head_dim)?;
        let (mut longest, mut length_limit) = (positions, LengthLimit::MaxPositionEmbeddings);
        let original = rope_parameters.length_max().map(|length| (length, LengthLimit::OriginalMaxPositionEmbeddings));
        let window = fields.window(model_type, layers)?.map(|window| (window, LengthLimit::SlidingWindow));
        for (length, limit) in [original, window].into_iter().flatten() {
            if length < longest {
                (longest, length_limit) = (length, limit);
            }
        }
        Ok(Self {
            model_type,
            hidden_size,
            intermediate_size: fields.count("intermediate_size")?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: key_value_heads,
            head_dim,
            vocab_size: fields.count("vocab_size")?,
            max_position_embeddings: longest,
            length_limit,
            rms_norm_eps: fields.number_or("rms_norm_eps", 1e-6)?,
            rope_parameters,
            no_rope_layers: fields.no_rope_layers(model_type, layers)?,
            biases: fields.biases(model_type)?,
            multipliers: fields.multipliers(model_type)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", model_type == Architecture::SmolLm3)?,
            initializer_range: value.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02),
            quantization: Quantization::parse(path, &value)?,
            eos_token_ids: end_tokens::of_config(path, &value)?,
        })
    }

    /// Number of parameters, tied ones counted once.
    pub fn parameter_count(&self) -> usize {
        let (query, key_value) = (self.query_width(), self.key_value_width());
        let biased = self.projections().iter().filter(|projection| self.has_bias(**projection));
        let bias: usize = biased.map(|projection| self.projection_dims(*projection).0).sum();
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

    /// The linear layers of a block.
    pub fn projections(&self) -> &'static [Projection] {
        self.model_type.projections()
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
            Projection::QkvProj => (query + 2 * key_value, hidden),
            Projection::GateUpProj => (2 * self.intermediate_size, hidden),
        }
    }

    /// Parameters of the linear layers, the output layer among them.
    pub(crate) fn linear_parameters(&self) -> usize {
        let of = |projection: &Projection| {
            let (outputs, inputs) = self.projection_dims(*projection);
            outputs * inputs
        };
        let block: usize = self.projections().iter().map(of).sum();
        self.num_hidden_layers * block + self.vocab_size * self.hidden_size
    }

    /// Whether a projection has a bias.
    pub(crate) fn has_bias(&self, projection: Projection) -> bool {
        match projection {
            Projection::QProj | Projection::KProj | Projection::VProj | Projection::QkvProj => self.biases.attention,
            Projection::OProj => self.biases.attention_output,
            Projection::GateProj | Projection::UpProj | Projection::GateUpProj | Projection::DownProj => {
                self.biases.mlp
            }
        }
    }

    /// The heads of each attention layer.
    pub fn heads(&self) -> Heads {
        let heads = Heads::new(self.num_attention_heads, self.num_key_value_heads, self.head_dim);
        Heads { scale: self.multipliers.attention.map_or(heads.scale, |scale| scale as f32), ..heads }
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

    /// A field's value; `None` if it is missing or null.
    fn get(&self, field: &str) -> Option<&Value> {
        self.value.get(field).filter(|value| !value.is_null())
    }

    fn number_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        let got = self.get(field);
        got.map_or(Some(default), Value::as_f64).ok_or_else(|| self.wrong(field, "a number", got))
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        let got = self.get(field);
        got.map_or(Some(default), Value::as_bool).ok_or_else(|| self.wrong(field, "true or false", got))
    }

    /// Which layers have biases. A key that a family's class does not look at means nothing.
    fn biases(&self, model_type: Architecture) -> Result<Biases, ModelError> {
        let (attention, mlp) = (self.flag("attention_bias", false)?, self.flag("mlp_bias", false)?);
        Ok(match model_type {
            Architecture::Qwen2 => Biases { attention: true, ..Biases::default() },
            Architecture::Qwen3 => Biases { attention, attention_output: attention, mlp: false },
            Architecture::Llama | Architecture::SmolLm3 | Architecture::Granite => {
                Biases { attention, attention_output: attention, mlp }
            }
            Architecture::Mistral => Biases::default(),
            Architecture::SeedOss => Biases {
                attention: self.flag("attention_bias", true)?,
                attention_output: self.flag("attention_out_bias", false)?,
                mlp,
            },
            Architecture::InternLm3 => {
                let bias = self.flag("bias", false)?;
                Biases { attention: self.flag("qkv_bias", false)?, attention_output: bias, mlp: bias }
            }
        })
    }

    /// The smallest window that some layer has; `None` if every layer sees everything.
    fn window(&self, model_type: Architecture, layers: usize) -> Result<Option<usize>, ModelError> {
        let kinds = self.get("layer_types").map(|kinds| {
            let list = kinds.as_array().ok_or_else(|| {
                self.wrong("layer_types", "a list of \"full_attention\" and \"sliding_attention\"", Some(kinds))
            })?;
            let other = list.iter().find(|kind| !matches!(kind.as_str(), Some("full_attention" | "sliding_attention")));
            if let Some(kind) = other {
                let expected = "\"full_attention\" or \"sliding_attention\" for every layer";
                return Err(self.wrong("layer_types", expected, Some(kind)));
            }
            Ok(list.iter().any(|kind| kind.as_str() == Some("sliding_attention")))
        });
        let slides = kinds.transpose()?;
        let default = match model_type {
            Architecture::Qwen2 | Architecture::Qwen3 | Architecture::SmolLm3 => {
                if !self.flag("use_sliding_window", false)? {
                    return Ok(None);
                }
                let first = match self.get("max_window_layers") {
                    None => 28,
                    Some(first) => first.as_u64().ok_or_else(|| {
                        self.wrong("max_window_layers", "a whole number that is not negative", Some(first))
                    })? as usize,
                };
                // In SmolLM3 the blocks without rotary embedding slide.
                let some = if model_type == Architecture::SmolLm3 {
                    !self.no_rope_layers(model_type, layers)?.is_empty()
                } else {
                    first < layers
                };
                if !slides.unwrap_or(some) {
                    return Ok(None);
                }
                (model_type != Architecture::SmolLm3).then_some(4096)
            }
            Architecture::Mistral => Some(4096),
            // Their classes have no windows, whatever a file says.
            Architecture::Llama | Architecture::SeedOss | Architecture::InternLm3 | Architecture::Granite => {
                if slides == Some(true) {
                    let expected = "\"full_attention\" for every layer";
                    return Err(self.wrong("layer_types", expected, self.get("layer_types")));
                }
                return Ok(None);
            }
        };
        match self.value.get("sliding_window") {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.count("sliding_window").map(Some),
        }
    }

    /// Blocks without rotary embedding.
    fn no_rope_layers(&self, model_type: Architecture, layers: usize) -> Result<Vec<usize>, ModelError> {
        if model_type != Architecture::SmolLm3 {
            return Ok(Vec::new());
        }
        let Some(given) = self.get("no_rope_layers") else {
            let interval =
                if self.get("no_rope_layer_interval").is_some() { self.count("no_rope_layer_interval")? } else { 4 };
            return Ok((0..layers).filter(|layer| (layer + 1) % interval == 0).collect());
        };
        // The list says of each layer whether it has one.
        let has_rope: Option<Vec<bool>> = given.as_array().and_then(|list| {
            list.iter().map(|has| has.as_bool().or_else(|| has.as_u64().map(|has| has != 0))).collect()
        });
        match has_rope.filter(|list| list.len() == layers) {
            Some(list) => Ok((0..layers).filter(|layer| !list[*layer]).collect()),
            None => Err(self.wrong("no_rope_layers", &format!("0 or 1 for each of {layers} layers"), Some(given))),
        }
    }

    fn multipliers(&self, model_type: Architecture) -> Result<Multipliers, ModelError> {
        if model_type != Architecture::Granite {
            return Ok(Multipliers::default());
        }
        let positive = |field: &str| match self.number_or(field, 1.0)? {
            number if number.is_finite() && number > 0.0 => Ok(number),
            _ => Err(self.wrong(field, "a positive number", self.value.get(field))),
        };
        Ok(Multipliers {
            embedding: positive("embedding_multiplier")?,
            attention: Some(positive("attention_multiplier")?),
            residual: positive("residual_multiplier")?,
            logits_divisor: positive("logits_scaling")?,
        })
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
        let known = r#""qwen2", "qwen3", "llama", "mistral", "seed_oss", "internlm3", "smollm3", "granite""#;
        assert_eq!(message("mamba", ""), expected(&format!(r#"model_type: expected one of {known}, got "mamba""#)));
        assert_eq!(
            message("qwen3", r#","layer_types":["chunked_attention"]"#),
            expected(
                r#"layer_types: expected "full_attention" or "sliding_attention" for every layer, got "chunked_attention""#
            )
        );
        assert_eq!(
            message("llama", r#","attention_bias":"yes""#),
            expected(r#"attention_bias: expected true or false, got "yes""#)
        );
        assert_eq!(
            message("smollm3", r#","no_rope_layers":[1,0]"#),
            expected("no_rope_layers: expected 0 or 1 for each of 1 layers, got [1,0]")
        );
    }

    /// The length up to which a family's windows change nothing, and what sets it.
    #[test]
    fn a_window_that_some_layer_uses_bounds_the_length() -> Result<(), ModelError> {
        let limit = |model_type: &str, extra: &str| -> Result<(usize, LengthLimit), ModelError> {
            let text = json(extra).replace("qwen2", model_type);
            let config = ModelConfig::parse(Path::new("config.json"), &text)?;
            Ok((config.max_position_embeddings, config.length_limit))
        };
        let (all, window) = ((64, LengthLimit::MaxPositionEmbeddings), (16, LengthLimit::SlidingWindow));
        assert_eq!(limit("qwen2", r#","sliding_window":16"#)?, all);
        assert_eq!(limit("qwen2", r#","sliding_window":16,"use_sliding_window":true,"max_window_layers":1"#)?, all);
        assert_eq!(limit("qwen2", r#","sliding_window":16,"use_sliding_window":true,"max_window_layers":0"#)?, window);
        let kinds = r#","sliding_window":16,"use_sliding_window":true,"layer_types":["sliding_attention"]"#;
        assert_eq!(limit("qwen3", kinds)?, window);
        assert_eq!(limit("mistral", r#","sliding_window":16"#)?, window);
        assert_eq!(limit("mistral", r#","sliding_window":null"#)?, all);
        assert_eq!(limit("llama", r#","sliding_window":16"#)?, all);
        Ok(())
    }

    #[test]
    fn a_missing_number_of_key_heads_is_that_of_the_family() -> Result<(), ModelError> {
        let heads = |model_type: &str, heads: usize| -> Result<usize, ModelError> {
            let text = json("").replace("qwen2", model_type).replace(r#""num_key_value_heads":1,"#, "");
            let text =
                text.replace(r#""num_attention_heads":2"#, &format!(r#""num_attention_heads":{heads},"head_dim":4"#));
            Ok(ModelConfig::parse(Path::new("config.json"), &text)?.num_key_value_heads)
        };
        assert_eq!(
            (heads("llama", 4)?, heads("granite", 6)?, heads("mistral", 16)?, heads("qwen2", 32)?),
            (4, 6, 8, 32)
        );
        assert!(heads("mistral", 4).is_err_and(|error| error.to_string().contains("num_key_value_heads")));
        Ok(())
    }

    #[test]
    fn refuses_a_field_of_another_kind() {
        let error = parse(r#","head_dim":3"#).unwrap_err();
        assert_eq!(error.to_string(), "config.json: head_dim: expected an even number, got 3");
    }
}

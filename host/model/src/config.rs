//! A model's configuration: `config.json` of the Hugging Face layout.
//!
//! What would change the numbers and is not computed here (other activations, unknown rope scaling, soft caps) is refused by
//! name. A base's own dropouts (`attention_dropout`, `residual_dropout` of Seed-OSS, `resid_pdrop` and `embd_pdrop` of Phi)
//! are not applied, in training neither: the adapter's is.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::architecture::QueryKeyNorm;
use super::base_modules::BaseModules;
use super::{Architecture, BlockNorm, ModelError, Projection, Quantization, RopeParameters, Wrapper, end_tokens};
use hilora_kernels::attention::Heads;
use hilora_kernels::glu::Activation;

/// No base has as many blocks: more are refused before anything is made for each.
pub(crate) const BLOCKS_MAX: usize = 4096;

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
    /// The length up to which longrope's short factors hold.
    OriginalMaxPositionEmbeddings,
}

impl fmt::Display for LengthLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxPositionEmbeddings => "max_position_embeddings",
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
    /// What the model is the text model of.
    pub wrapper: Option<Wrapper>,
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
    /// Those of blocks with a window, where they are others.
    pub sliding_rope_parameters: Option<RopeParameters>,
    /// Columns of a head that are turned.
    pub rotary_dim: usize,
    /// Blocks in which a token sees the last tokens alone.
    pub sliding_layers: Vec<usize>,
    /// How many it sees there, itself among them; `None` if all.
    pub sliding_window: Option<usize>,
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
    /// The token id that fills up rows. torch trains no column of an embedding's update for it.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
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
        let wrapper = Wrapper::of(&value);
        let value = match wrapper {
            Some(wrapper) => wrapper.text_config(path, &value)?,
            None => value,
        };
        let fields = Fields { path, value: &value, model_type: None };

        let named = fields.text("model_type")?;
        let Some(model_type) = Architecture::ALL.into_iter().find(|known| known.model_type() == named) else {
            // A wrapper's own text model is none of them again.
            let wrappers = if wrapper.is_none() { &Wrapper::ALL[..] } else { &[] };
            let known = Architecture::ALL.into_iter().map(Architecture::model_type);
            let known = known.chain(wrappers.iter().map(|wrapper| wrapper.model_type()));
            let known: Vec<_> = known.map(|known| format!("\"{known}\"")).collect();
            let field = if wrapper.is_none() { "model_type" } else { "text_config.model_type" };
            return Err(fields.wrong(field, &format!("one of {}", known.join(", ")), value.get("model_type")));
        };
        let fields = Fields { model_type: Some(model_type), ..fields };
        fields.refuse_uncomputed(model_type)?;
        let layers = fields.count("num_hidden_layers")?;
        if layers > BLOCKS_MAX {
            let expected = format!("at most {BLOCKS_MAX}");
            return Err(fields.wrong("num_hidden_layers", &expected, value.get("num_hidden_layers")));
        }
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
        let rotary_dim = fields.rotary_dim(model_type, head_dim)?;
        let rope = RopeSource { path, config: &value, model_type, rotary_dim };
        let rope_parameters = rope.of_full_attention()?;
        let (mut longest, mut length_limit) = (positions, LengthLimit::MaxPositionEmbeddings);
        if let Some(original) = rope_parameters.length_max().filter(|original| *original < positions) {
            (longest, length_limit) = (original, LengthLimit::OriginalMaxPositionEmbeddings);
        }
        let (sliding_layers, sliding_window) = fields.windows(model_type, layers)?;
        Ok(Self {
            model_type,
            wrapper,
            hidden_size,
            intermediate_size: fields.count("intermediate_size")?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: key_value_heads,
            head_dim,
            vocab_size: fields.count("vocab_size")?,
            max_position_embeddings: longest,
            length_limit,
            rms_norm_eps: fields.number_or("rms_norm_eps", model_type.default_rms_norm_eps())?,
            rope_parameters,
            sliding_rope_parameters: rope.of_sliding_attention()?,
            rotary_dim,
            sliding_layers,
            sliding_window,
            no_rope_layers: fields.no_rope_layers(model_type, layers)?,
            biases: fields.biases(model_type)?,
            multipliers: fields.multipliers(model_type, hidden_size)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", model_type.ties_by_default())?,
            initializer_range: value.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02),
            quantization: Quantization::parse(path, &value)?,
            eos_token_ids: end_tokens::of_config(path, &value)?,
            pad_token_id: fields.get("pad_token_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()),
        })
    }

    /// Number of parameters, tied ones counted once.
    pub fn parameter_count(&self) -> usize {
        let (query, key_value) = (self.query_width(), self.key_value_width());
        let biased = self.projections().iter().filter(|projection| self.has_bias(**projection));
        let bias: usize = biased.map(|projection| self.projection_dims(*projection).0).sum();
        let norms = BlockNorm::ALL.into_iter().filter(|norm| self.model_type.norm_name(*norm).is_some()).count();
        let head_norms: usize = self.query_key_norm_widths().map_or(0, |widths| widths.iter().sum());
        let block =
            self.hidden_size * (2 * query + 2 * key_value + 3 * self.intermediate_size + norms) + bias + head_norms;
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

    /// The widths of the norms of queries and keys, where there are any.
    pub(crate) fn query_key_norm_widths(&self) -> Option<[usize; 2]> {
        Some(match self.model_type.query_key_norm()? {
            QueryKeyNorm::Head => [self.head_dim; 2],
            QueryKeyNorm::Projection => [self.query_width(), self.key_value_width()],
        })
    }

    /// The linear layers of a block.
    pub fn projections(&self) -> &'static [Projection] {
        self.model_type.projections()
    }

    /// What an adapter may update.
    pub(crate) fn modules(&self) -> BaseModules {
        BaseModules { layers: self.projections(), wrapped: self.wrapper.is_some() }
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

    /// The heads of a block, and how far they see.
    pub(crate) fn heads_of(&self, layer: usize) -> Heads {
        Heads { window: self.sliding_window.filter(|_| self.sliding_layers.contains(&layer)), ..self.heads() }
    }
}

/// The JSON object with errors that name the field.
struct Fields<'a> {
    path: &'a Path,
    value: &'a Value,
    /// Whose defaults hold, once that is known.
    model_type: Option<Architecture>,
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
        if let (None, Some(default)) = (got, self.model_type.and_then(|family| family.default_count(field))) {
            return Ok(default);
        }
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
            Architecture::Mistral | Architecture::Phi3 => Biases::default(),
            Architecture::Olmo2 | Architecture::Olmo3 | Architecture::Gemma3 => {
                Biases { attention, attention_output: attention, mlp: false }
            }
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

    /// The blocks with a window, and how many tokens it has; `None` if it has all.
    fn windows(&self, model_type: Architecture, layers: usize) -> Result<(Vec<usize>, Option<usize>), ModelError> {
        let slides = self.get("layer_types").map(|kinds| self.sliding(kinds, layers)).transpose()?;
        let (sliding, default) = match model_type {
            Architecture::Qwen2 | Architecture::Qwen3 | Architecture::SmolLm3 => {
                if !self.flag("use_sliding_window", false)? {
                    return Ok((Vec::new(), None));
                }
                let first = match self.get("max_window_layers") {
                    None => 28,
                    Some(first) => first.as_u64().ok_or_else(|| {
                        self.wrong("max_window_layers", "a whole number that is not negative", Some(first))
                    })? as usize,
                };
                // In SmolLM3 the blocks without rotary embedding slide.
                let smol = model_type == Architecture::SmolLm3;
                let sliding = if smol { self.no_rope_layers(model_type, layers)? } else { (first..layers).collect() };
                (slides.unwrap_or(sliding), if smol { None } else { Some(4096) })
            }
            // Every block has it.
            Architecture::Mistral => ((0..layers).collect(), Some(4096)),
            Architecture::Phi3 => ((0..layers).collect(), None),
            Architecture::Olmo3 => (slides.unwrap_or_else(|| all_but_every(4, layers)), Some(4096)),
            Architecture::Gemma3 => {
                let pattern = "sliding_window_pattern";
                let every = if self.get(pattern).is_some() { self.count(pattern)? } else { 6 };
                (slides.unwrap_or_else(|| all_but_every(every, layers)), Some(4096))
            }
            // Their classes have no windows, whatever a file says.
            Architecture::Llama
            | Architecture::SeedOss
            | Architecture::InternLm3
            | Architecture::Granite
            | Architecture::Olmo2 => {
                if slides.is_some_and(|sliding| !sliding.is_empty()) {
                    let expected = "\"full_attention\" for every layer";
                    return Err(self.wrong("layer_types", expected, self.get("layer_types")));
                }
                return Ok((Vec::new(), None));
            }
        };
        let tokens = match self.value.get("sliding_window") {
            None => default,
            Some(Value::Null) => None,
            Some(_) => Some(self.count("sliding_window")?),
        };
        Ok((sliding, tokens))
    }

    /// The blocks that a list of kinds calls sliding.
    fn sliding(&self, kinds: &Value, layers: usize) -> Result<Vec<usize>, ModelError> {
        let Some(list) = kinds.as_array() else {
            let expected = "a list of \"full_attention\" and \"sliding_attention\"";
            return Err(self.wrong("layer_types", expected, Some(kinds)));
        };
        let other = list.iter().find(|kind| !matches!(kind.as_str(), Some("full_attention" | "sliding_attention")));
        if let Some(kind) = other {
            let expected = "\"full_attention\" or \"sliding_attention\" for every layer";
            return Err(self.wrong("layer_types", expected, Some(kind)));
        }
        if list.len() != layers {
            let expected = format!("a kind for each of {layers} layers");
            return Err(self.wrong("layer_types", &expected, Some(kinds)));
        }
        Ok((0..layers).filter(|layer| list[*layer].as_str() == Some("sliding_attention")).collect())
    }

    /// Refuses what would change the numbers and is not computed.
    fn refuse_uncomputed(&self, model_type: Architecture) -> Result<(), ModelError> {
        let activation = model_type.activation().name();
        let field = if model_type.activation() == Activation::Silu { "hidden_act" } else { "hidden_activation" };
        if self.get(field).is_some_and(|given| given.as_str() != Some(activation)) {
            return Err(self.wrong(field, &format!("\"{activation}\""), self.value.get(field)));
        }
        if model_type == Architecture::Gemma3 {
            for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
                if let Some(cap) = self.get(field) {
                    return Err(self.wrong(field, "null", Some(cap)));
                }
            }
            if self.flag("use_bidirectional_attention", false)? {
                let got = self.get("use_bidirectional_attention");
                return Err(self.wrong("use_bidirectional_attention", "false", got));
            }
        }
        Ok(())
    }

    /// Columns of a head that are turned. Families whose classes turn all of them refuse another part.
    fn rotary_dim(&self, model_type: Architecture, head_dim: usize) -> Result<usize, ModelError> {
        let sections = ["rope_parameters", "rope_scaling"].into_iter().filter_map(|name| self.get(name)?.get(PARTIAL));
        let given = sections.chain(self.value.get(PARTIAL)).find(|value| !value.is_null());
        let Some(given) = given.filter(|_| model_type == Architecture::Phi3) else { return Ok(head_dim) };
        let columns = given.as_f64().map(|factor| (head_dim as f64 * factor) as usize);
        columns.filter(|columns| *columns > 0 && *columns <= head_dim && columns.is_multiple_of(2)).ok_or_else(|| {
            self.wrong(PARTIAL, &format!("a part of {head_dim} columns that is an even number of them"), Some(given))
        })
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

    fn multipliers(&self, model_type: Architecture, hidden_size: usize) -> Result<Multipliers, ModelError> {
        let positive_or = |field: &str, default: f64| match self.number_or(field, default)? {
            number if number.is_finite() && number > 0.0 => Ok(number),
            _ => Err(self.wrong(field, "a positive number", self.value.get(field))),
        };
        if model_type == Architecture::Gemma3 {
            let scale = positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
            let embedding = (hidden_size as f64).sqrt();
            return Ok(Multipliers { embedding, attention: Some(scale), ..Multipliers::default() });
        }
        if model_type != Architecture::Granite {
            return Ok(Multipliers::default());
        }
        let positive = |field: &str| positive_or(field, 1.0);
        Ok(Multipliers {
            embedding: positive("embedding_multiplier")?,
            attention: Some(positive("attention_multiplier")?),
            residual: positive("residual_multiplier")?,
            logits_divisor: positive("logits_scaling")?,
        })
    }
}

/// All blocks but every n-th.
fn all_but_every(n: usize, layers: usize) -> Vec<usize> {
    (0..layers).filter(|layer| !(layer + 1).is_multiple_of(n)).collect()
}

/// The key of the part of a head's columns that is turned.
const PARTIAL: &str = "partial_rotary_factor";

/// Where a configuration says how its rotary frequencies are scaled: once, or for every kind of attention.
struct RopeSource<'a> {
    path: &'a Path,
    config: &'a Value,
    model_type: Architecture,
    rotary_dim: usize,
}

impl RopeSource<'_> {
    /// The parameters of blocks without a window.
    fn of_full_attention(&self) -> Result<RopeParameters, ModelError> {
        let config = match self.model_type {
            Architecture::Olmo3 | Architecture::Gemma3 => {
                self.of_kind("full_attention", self.config.get("rope_scaling"), self.config.get("rope_theta"))
            }
            Architecture::Phi3 => self.of_phi(),
            _ => self.config.clone(),
        };
        RopeParameters::parse(self.path, &config, self.model_type.default_rope_theta(), self.rotary_dim)
    }

    /// The parameters of blocks with a window, where a family has others for them.
    fn of_sliding_attention(&self) -> Result<Option<RopeParameters>, ModelError> {
        let (theta, default) = match self.model_type {
            // transformers takes `rope_theta` once, for the other kind.
            Architecture::Olmo3 => (None, self.model_type.default_rope_theta()),
            Architecture::Gemma3 => (self.config.get("rope_local_base_freq"), 1e4),
            _ => return Ok(None),
        };
        let config = self.of_kind("sliding_attention", None, theta);
        RopeParameters::parse(self.path, &config, default, self.rotary_dim).map(Some)
    }

    /// The configuration as one kind of blocks has it, with its own parameters alone.
    fn of_kind(&self, kind: &str, scaling: Option<&Value>, theta: Option<&Value>) -> Value {
        let mut config = self.config.clone();
        let Some(fields) = config.as_object_mut() else { return config };
        for field in ["rope_parameters", "rope_scaling", "rope_theta"] {
            fields.remove(field);
        }
        let given = self.config.get("rope_parameters").and_then(|parameters| parameters.get(kind));
        for (field, value) in [("rope_parameters", given), ("rope_scaling", scaling), ("rope_theta", theta)] {
            fields.extend(value.map(|value| (field.to_owned(), value.clone())));
        }
        config
    }

    /// Phi's configuration in the words of the others: its part of a head is in `rotary_dim`, and its older files call
    /// longrope "su" or "yarn".
    fn of_phi(&self) -> Value {
        let mut config = self.config.clone();
        let Some(fields) = config.as_object_mut() else { return config };
        fields.remove(PARTIAL);
        let original = fields.entry("original_max_position_embeddings").or_insert(Value::Null);
        if original.is_null() {
            *original = 4_096.into();
        }
        for name in ["rope_parameters", "rope_scaling"] {
            let Some(section) = fields.get_mut(name).and_then(Value::as_object_mut) else { continue };
            section.remove(PARTIAL);
            for kind in ["rope_type", "type"] {
                if section.get(kind).and_then(Value::as_str).is_some_and(|kind| matches!(kind, "su" | "yarn")) {
                    section.insert(kind.to_owned(), "longrope".into());
                }
            }
        }
        config
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
        let unknown = message("mamba", "").unwrap_or_default();
        assert!(
            unknown.starts_with(r#"model_type: expected one of "qwen2", "qwen3", "llama", "mistral", "#),
            "{unknown}"
        );
        assert!(unknown.ends_with(r#""gemma3", "mistral3", "llava", "qwen2_5_vl", got "mamba""#), "{unknown}");
        assert_eq!(message("gemma3", ""), expected("text_config: expected an object, got nothing"));
        let unknown = message("mistral3", r#","text_config":{"model_type":"ministral3"}"#).unwrap_or_default();
        assert!(unknown.starts_with("text_config.model_type: expected one of"), "{unknown}");
        assert!(unknown.ends_with(r#""gemma3_text", got "ministral3""#), "{unknown}");
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
            message("gemma3_text", r#","hidden_activation":"silu""#),
            expected(r#"hidden_activation: expected "gelu_pytorch_tanh", got "silu""#)
        );
        assert_eq!(
            message("gemma3_text", r#","final_logit_softcapping":30.0"#),
            expected("final_logit_softcapping: expected null, got 30.0")
        );
        assert_eq!(
            message("phi3", r#","partial_rotary_factor":0.3"#),
            expected("partial_rotary_factor: expected a part of 4 columns that is an even number of them, got 0.3")
        );
        assert_eq!(
            message("smollm3", r#","no_rope_layers":[1,0]"#),
            expected("no_rope_layers: expected 0 or 1 for each of 1 layers, got [1,0]")
        );
        // Nothing is made for each of so many.
        let many = json("").replace("qwen2", "mistral").replace("layers\":1", "layers\":1000000000000000");
        let many = ModelConfig::parse(Path::new("config.json"), &many).unwrap_err().to_string();
        assert_eq!(many, "config.json: num_hidden_layers: expected at most 4096, got 1000000000000000");
    }

    #[test]
    fn a_window_is_that_of_the_blocks_that_use_it() -> Result<(), ModelError> {
        let window = |model_type: &str, extra: &str| -> Result<Option<(usize, Vec<usize>)>, ModelError> {
            let text = json(extra).replace("qwen2", model_type);
            let text =
                text.replace(r#""num_hidden_layers":1"#, r#""num_hidden_layers":7"#).replace("hidden_act", "act");
            let config = ModelConfig::parse(Path::new("config.json"), &text)?;
            Ok(config.sliding_window.filter(|_| !config.sliding_layers.is_empty()).map(|w| (w, config.sliding_layers)))
        };
        assert_eq!(window("qwen2", r#","sliding_window":16"#)?, None);
        assert_eq!(window("qwen2", r#","sliding_window":16,"use_sliding_window":true,"max_window_layers":7"#)?, None);
        let some = Some((16, vec![5, 6]));
        assert_eq!(window("qwen2", r#","sliding_window":16,"use_sliding_window":true,"max_window_layers":5"#)?, some);
        let full = |count: usize| vec![r#""full_attention""#; count].join(",");
        let kinds = format!(
            r#","sliding_window":16,"use_sliding_window":true,"layer_types":[{},"sliding_attention","sliding_attention"]"#,
            full(5)
        );
        assert_eq!(window("qwen3", &kinds)?, some);
        assert_eq!(window("mistral", r#","sliding_window":16"#)?, Some((16, (0..7).collect())));
        assert_eq!(window("mistral", r#","sliding_window":null"#)?, None);
        assert_eq!(window("llama", r#","sliding_window":16"#)?, None);
        assert_eq!(window("phi3", "")?, None);
        assert_eq!(window("olmo3", "")?, Some((4096, vec![0, 1, 2, 4, 5, 6])));
        assert_eq!(window("gemma3_text", r#","sliding_window":512"#)?, Some((512, vec![0, 1, 2, 3, 4, 6])));
        Ok(())
    }

    #[test]
    fn a_base_of_frequencies_is_that_of_the_blocks_kind() -> Result<(), ModelError> {
        let bases = |model_type: &str, extra: &str| -> Result<(f64, Option<f64>), ModelError> {
            let text = json(extra).replace("qwen2", model_type).replace("hidden_act", "act");
            let config = ModelConfig::parse(Path::new("config.json"), &text)?;
            Ok((config.rope_parameters.rope_theta, config.sliding_rope_parameters.map(|rope| rope.rope_theta)))
        };
        assert_eq!(bases("gemma3_text", "")?, (1e6, Some(1e4)));
        assert_eq!(bases("gemma3_text", r#","rope_theta":5e5,"rope_local_base_freq":2e4"#)?, (5e5, Some(2e4)));
        assert_eq!(bases("olmo3", r#","rope_theta":1e5"#)?, (1e5, Some(5e5)));
        let by_kind =
            r#","rope_parameters":{"full_attention":{"rope_theta":3e5},"sliding_attention":{"rope_theta":7e3}}"#;
        assert_eq!(bases("olmo3", by_kind)?, (3e5, Some(7e3)));
        assert_eq!(bases("olmo2", "")?, (1e4, None));
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

//! The configuration of a LoRA adapter, in PEFT's words: y = W x + (alpha / r) B A dropout(x).
//!
//! Beside the updates, whole tables may be trained (`modules_to_save`). PEFT's other adapters (DoRA, QA-LoRA, trained
//! biases, other saved modules) are refused by name, never ignored.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{ModelError, ModuleToSave, Projection};

/// Which biases are trained; only none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoraBias {
    /// No bias is trained.
    #[default]
    None,
}

/// What the base model does; only causal language modelling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskType {
    /// Predicts the next token.
    #[default]
    #[serde(rename = "CAUSAL_LM")]
    CausalLm,
}

/// The configuration of a LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: usize,
    /// Numerator of the scale alpha / r.
    pub lora_alpha: f64,
    /// Probability that an input element is zeroed on its way into A during training.
    #[serde(default)]
    pub lora_dropout: f64,
    /// The linear layers that get an update: a list of names, or `all-linear` for all seven.
    #[serde(default = "all_projections", deserialize_with = "target_modules")]
    #[schemars(with = "TargetModules")]
    pub target_modules: Vec<Projection>,
    /// The tables of which a whole copy is trained in 32 bits beside the updates: `embed_tokens`, `lm_head`. Over a base
    /// with tied embeddings a copy is separate from the table that it was tied to.
    #[serde(default, deserialize_with = "modules_to_save", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<ModuleToSave>")]
    pub modules_to_save: Vec<ModuleToSave>,
    /// Which biases are trained.
    #[serde(default)]
    pub bias: LoraBias,
    /// What the base model does.
    #[serde(default)]
    pub task_type: TaskType,
    /// Whether the scale is alpha / sqrt(r).
    #[serde(default)]
    pub use_rslora: bool,
}

/// How a config names the layers.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum TargetModules {
    /// By their names.
    Named(Vec<Projection>),
    /// All of them.
    AllLinear(AllLinear),
}

/// PEFT's word for all linear layers of the blocks.
#[derive(Serialize, Deserialize, JsonSchema)]
enum AllLinear {
    #[serde(rename = "all-linear")]
    AllLinear,
}

fn target_modules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Projection>, D::Error> {
    match TargetModules::deserialize(deserializer) {
        Ok(TargetModules::Named(modules)) => Ok(modules),
        Ok(TargetModules::AllLinear(AllLinear::AllLinear)) => Ok(all_projections()),
        Err(_) => {
            let names = Projection::ALL.map(|projection| projection.to_string()).join(", ");
            Err(serde::de::Error::custom(format!("target_modules: expected `all-linear` or a list of {names}")))
        }
    }
}

/// A list, or the null that PEFT writes for none.
fn modules_to_save<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ModuleToSave>, D::Error> {
    let given = serde_json::Value::deserialize(deserializer)?;
    if given.is_null() {
        return Ok(Vec::new());
    }
    Vec::deserialize(&given).map_err(|_| {
        let names = ModuleToSave::ALL.map(|module| module.to_string()).join(", ");
        serde::de::Error::custom(format!("modules_to_save: expected a list of {names}, got {given}"))
    })
}

fn all_projections() -> Vec<Projection> {
    Projection::ALL.to_vec()
}

impl LoraConfig {
    /// The factor of the update: alpha / r, or alpha / sqrt(r) with rsLoRA.
    pub fn scale(&self) -> f32 {
        let rank = self.r as f64;
        (self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }) as f32
    }

    /// Whether a layer gets an update.
    pub fn targets(&self, projection: Projection) -> bool {
        self.target_modules.contains(&projection)
    }

    /// Whether a copy of a table is trained.
    pub fn saves(&self, module: ModuleToSave) -> bool {
        self.modules_to_save.contains(&module)
    }

    /// Every problem of this configuration.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.r == 0 {
            problems.push("lora.r: expected at least 1, got 0".to_owned());
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            problems.push(format!("lora.lora_alpha: expected a positive number, got {}", self.lora_alpha));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            problems.push(format!("lora.lora_dropout: expected 0 <= p < 1, got {}", self.lora_dropout));
        }
        if self.target_modules.is_empty() {
            problems.push("lora.target_modules: expected at least one module, got none".to_owned());
        }
        let unique: BTreeSet<_> = self.target_modules.iter().collect();
        if unique.len() != self.target_modules.len() {
            problems.push("lora.target_modules: a module is named twice".to_owned());
        }
        let unique: BTreeSet<_> = self.modules_to_save.iter().collect();
        if unique.len() != self.modules_to_save.len() {
            problems.push("lora.modules_to_save: a module is named twice".to_owned());
        }
        problems
    }

    /// Reads PEFT's adapter_config.json; refuses by name every kind of adapter that this project does not compute.
    pub(crate) fn from_peft_json(path: &Path, text: &str) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| wrong(format!("not valid JSON: {e}")))?;
        let fields = value.as_object().ok_or_else(|| wrong("expected a JSON object".to_owned()))?;
        if fields.get("peft_type").and_then(|v| v.as_str()) != Some("LORA") {
            let got = fields.get("peft_type").map_or_else(|| "nothing".to_owned(), ToString::to_string);
            return Err(wrong(format!("peft_type: expected \"LORA\", got {got}")));
        }
        const REFUSED: [&str; 17] = [
            "use_dora",
            "use_qalora",
            "use_bdlora",
            "lora_bias",
            "fan_in_fan_out",
            "rank_pattern",
            "alpha_pattern",
            "layers_to_transform",
            "layers_pattern",
            "layer_replication",
            "target_parameters",
            "trainable_token_indices",
            "alora_invocation_tokens",
            "exclude_modules",
            "arrow_config",
            "monteclora_config",
            "velora_config",
        ];
        for name in REFUSED {
            let set = match fields.get(name) {
                None | Some(serde_json::Value::Null | serde_json::Value::Bool(false)) => false,
                Some(serde_json::Value::Object(map)) => !map.is_empty(),
                Some(serde_json::Value::Array(list)) => !list.is_empty(),
                Some(_) => true,
            };
            if set {
                return Err(wrong(format!(
                    "{name}: expected it unset, got {}; only plain LoRA is computed",
                    fields[name]
                )));
            }
        }
        let known: serde_json::Map<_, _> = fields
            .iter()
            .filter(|(name, _)| {
                [
                    "r",
                    "lora_alpha",
                    "lora_dropout",
                    "target_modules",
                    "modules_to_save",
                    "bias",
                    "task_type",
                    "use_rslora",
                ]
                .contains(&name.as_str())
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !known.get("target_modules").is_some_and(serde_json::Value::is_array) {
            return Err(wrong("target_modules: expected a list of module names".to_owned()));
        }
        let mut config: Self = serde_json::from_value(known.into()).map_err(|e| wrong(e.to_string()))?;
        config.target_modules.sort();
        config.modules_to_save.sort();
        let tying = fields.get("ensure_weight_tying").and_then(serde_json::Value::as_bool) == Some(true);
        if tying && !config.modules_to_save.is_empty() {
            return Err(wrong(
                "ensure_weight_tying: expected false beside modules_to_save, got true; a saved copy is separate from the \
                 table that it was tied to"
                    .to_owned(),
            ));
        }
        match config.validate().first() {
            None => Ok(config),
            Some(problem) => Err(wrong(problem.clone())),
        }
    }

    /// PEFT's adapter_config.json.
    pub(crate) fn to_peft_json(&self, base_model: Option<&str>) -> String {
        let mut targets = self.target_modules.clone();
        targets.sort();
        let mut saved = self.modules_to_save.clone();
        saved.sort();
        let value = serde_json::json!({
            "base_model_name_or_path": base_model,
            "bias": self.bias,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "modules_to_save": (!saved.is_empty()).then_some(saved),
            "peft_type": "LORA",
            "r": self.r,
            "target_modules": targets,
            "task_type": self.task_type,
            "use_dora": false,
            "use_rslora": self.use_rslora,
        });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_modules_are_a_list_or_all() -> Result<(), serde_json::Error> {
        let parse = |modules: &str| -> Result<LoraConfig, serde_json::Error> {
            serde_json::from_str(&format!(r#"{{"r":4,"lora_alpha":8,"target_modules":{modules}}}"#))
        };
        assert_eq!(parse("\"all-linear\"")?.target_modules, Projection::ALL);
        assert_eq!(parse("[\"v_proj\"]")?.target_modules, [Projection::VProj]);
        for wrong in ["\"all\"", "[\"lm_head\"]"] {
            let error = parse(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("target_modules: expected `all-linear` or a list of q_proj, k_proj"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn modules_to_save_are_the_tables() -> Result<(), serde_json::Error> {
        let parse = |modules: &str| -> Result<LoraConfig, serde_json::Error> {
            serde_json::from_str(&format!(r#"{{"r":4,"lora_alpha":8,"modules_to_save":{modules}}}"#))
        };
        for none in ["null", "[]"] {
            let config = parse(none)?;
            assert_eq!(config.modules_to_save, []);
            // What names no table is written as it was before tables could be named, and keeps its hash.
            assert!(!serde_json::to_string(&config)?.contains("modules_to_save"));
        }
        let both = parse(r#"["lm_head", "model.embed_tokens"]"#)?;
        assert_eq!(both.modules_to_save, [ModuleToSave::LmHead, ModuleToSave::EmbedTokens]);
        for wrong in [r#"["norm"]"#, r#"["lm_head","q_proj"]"#, r#""lm_head""#] {
            let error = parse(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            let expected = format!("modules_to_save: expected a list of embed_tokens, lm_head, got {wrong}");
            assert!(error.starts_with(&expected), "{error}");
        }
        let twice = parse(r#"["lm_head","lm_head"]"#)?.validate();
        assert_eq!(twice, ["lora.modules_to_save: a module is named twice"]);
        Ok(())
    }

    #[test]
    fn tied_copies_of_peft_are_refused_by_name() {
        let read = |keys: &str| {
            let text = format!(r#"{{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":["q_proj"],{keys}}}"#);
            LoraConfig::from_peft_json(Path::new("adapter_config.json"), &text)
        };
        assert!(read(r#""modules_to_save":["lm_head"],"ensure_weight_tying":false"#).is_ok());
        assert!(read(r#""modules_to_save":null,"ensure_weight_tying":true"#).is_ok());
        let tied = read(r#""modules_to_save":["embed_tokens"],"ensure_weight_tying":true"#);
        let error = tied.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("adapter_config.json: ensure_weight_tying: expected false"), "{error}");
    }
}

//! The configuration of a LoRA adapter, in PEFT's words: y = W x + (alpha / r) B A dropout(x).
//!
//! Which layers get an update, and of which rank, may differ from block to block, and the two tables outside the blocks may
//! have one, too. Beside the updates, whole tables may be trained (`modules_to_save`). PEFT's other adapters (QA-LoRA,
//! PiSSA, trained biases of the base, other saved modules) are refused by name, never ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::base_modules::BaseModules;
use super::module_names::{ModuleNames, ModulePattern, NameMatcher, PatternMatcher, is_end};
use super::{ModelConfig, ModelError, ModuleToSave, Projection};

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
    /// The linear layers that get an update: a list of names or of their ends (`q_proj`, `layers.0.mlp.up_proj`), a regular
    /// expression that matches whole names, or `all-linear` for all of every block. The tables `embed_tokens` and
    /// `lm_head` may be among them.
    #[serde(default = "ModuleNames::all_linear", deserialize_with = "target_modules")]
    #[schemars(with = "TargetModules")]
    pub target_modules: ModuleNames,
    /// Those among them that get none, named in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TargetModules>")]
    pub exclude_modules: Option<ModuleNames>,
    /// The blocks whose layers get an update, counted from 0; all of them if there is none. It goes with a list of
    /// `target_modules`.
    #[serde(default, deserialize_with = "layers", skip_serializing_if = "Vec::is_empty")]
    pub layers_to_transform: Vec<usize>,
    /// Ranks of single layers by the end of their names or an expression; of several that match the first counts.
    #[serde(default, skip_serializing_if = "ModulePattern::is_empty")]
    #[schemars(with = "BTreeMap<String, usize>")]
    pub rank_pattern: ModulePattern<usize>,
    /// Their alphas, likewise.
    #[serde(default, skip_serializing_if = "ModulePattern::is_empty")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub alpha_pattern: ModulePattern<f64>,
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
    /// Whether the magnitude of each row of a layer is trained apart from its direction (DoRA); of the blocks' layers only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_dora: bool,
    /// Whether B has a bias; of the blocks' layers only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lora_bias: bool,
}

/// PEFT's word for all linear layers of the blocks.
const ALL_LINEAR: &str = "all-linear";

fn target_modules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModuleNames, D::Error> {
    let given = serde_json::Value::deserialize(deserializer)?;
    if given.as_str() == Some(ALL_LINEAR) {
        return Ok(ModuleNames::all_linear());
    }
    names(&given).ok_or_else(|| serde::de::Error::custom(format!("target_modules: expected {}", expected_targets())))
}

/// What `target_modules` may be.
fn expected_targets() -> String {
    let names = Projection::ALL.map(|projection| projection.to_string()).join(", ");
    let tables = ModuleToSave::ALL.map(|module| module.to_string()).join(", ");
    format!("`{ALL_LINEAR}`, a regular expression or a list of {names}, {tables}")
}

/// A list of names or an expression.
fn names(value: &serde_json::Value) -> Option<ModuleNames> {
    serde_json::from_value(value.clone()).ok()
}

/// A list or a single number, or the null that PEFT writes for none.
fn layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    let given = serde_json::Value::deserialize(deserializer)?;
    layers_of(&given).ok_or_else(|| {
        serde::de::Error::custom(format!("layers_to_transform: expected a list of whole numbers, got {given}"))
    })
}

fn layers_of(given: &serde_json::Value) -> Option<Vec<usize>> {
    match given {
        serde_json::Value::Null => Some(Vec::new()),
        serde_json::Value::Number(layer) => Some(vec![layer.as_u64()? as usize]),
        list => serde_json::from_value(list.clone()).ok(),
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

/// How a config names modules.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema alone is made of it")]
enum TargetModules {
    /// By their names or the ends of them.
    Named(Vec<String>),
    /// By an expression, or all of them.
    Matching(String),
}

/// The update of one linear layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ModuleShape {
    /// Its rank.
    pub(crate) rank: usize,
    /// Its factor: alpha / r, or alpha / sqrt(r) with rsLoRA.
    pub(crate) scale: f32,
}

/// The updates of one block's layers.
pub(crate) type BlockShape = [Option<ModuleShape>; Projection::ALL.len()];

/// The updates of the tables.
pub(crate) type TableShapes = [Option<ModuleShape>; ModuleToSave::ALL.len()];

/// What says of a module's name whether it has an update, and which.
struct Matchers<'a> {
    config: &'a LoraConfig,
    targets: NameMatcher<'a>,
    excluded: Option<NameMatcher<'a>>,
    ranks: PatternMatcher<usize>,
    alphas: PatternMatcher<f64>,
}

impl<'a> Matchers<'a> {
    fn of(config: &'a LoraConfig) -> Result<Self, String> {
        let of = |field: &'static str| move |problem: String| format!("{field}: {problem}");
        let excluded = config.exclude_modules.as_ref().map(ModuleNames::matcher).transpose();
        Ok(Self {
            config,
            targets: config.target_modules.matcher().map_err(of("target_modules"))?,
            excluded: excluded.map_err(of("exclude_modules"))?,
            ranks: config.rank_pattern.matcher().map_err(of("rank_pattern"))?,
            alphas: config.alpha_pattern.matcher().map_err(of("alpha_pattern"))?,
        })
    }

    /// The update of a module; `is_transformed` says whether its block may have one. A whole name does not ask.
    fn shape(&self, name: &str, is_transformed: bool) -> Option<ModuleShape> {
        let is_excluded = self.excluded.as_ref().is_some_and(|excluded| excluded.matches(name));
        if is_excluded || !self.targets.matches(name) || !(is_transformed || self.targets.names_whole(name)) {
            return None;
        }
        let rank = self.ranks.value(name).unwrap_or(self.config.r);
        let alpha = self.alphas.value(name).unwrap_or(self.config.lora_alpha);
        Some(ModuleShape { rank, scale: self.config.scale_of(rank, alpha) })
    }
}

/// Blocks among whose names a name or an expression of a configuration must match one.
pub(crate) const NAMED_BLOCKS: usize = 256;

/// The names of the layers of as many blocks as may be named.
fn all_names(modules: BaseModules) -> impl Iterator<Item = String> {
    let of_block = move |block| modules.layers.iter().map(move |layer| modules.layer(block, *layer));
    (0..NAMED_BLOCKS).flat_map(of_block).chain(ModuleToSave::ALL.map(|module| modules.table(module)))
}

impl LoraConfig {
    /// The factor of an update for which no pattern says otherwise: alpha / r, or alpha / sqrt(r) with rsLoRA.
    pub fn scale(&self) -> f32 {
        self.scale_of(self.r, self.lora_alpha)
    }

    fn scale_of(&self, rank: usize, alpha: f64) -> f32 {
        let rank = rank as f64;
        (alpha / if self.use_rslora { rank.sqrt() } else { rank }) as f32
    }

    /// The same over the blocks of a base: all linear layers are those that the blocks have.
    pub(crate) fn over(&self, modules: BaseModules) -> Self {
        let target_modules = self.target_modules.over(modules, &self.layers_to_transform);
        // An expression names its blocks itself.
        let layers_to_transform = if modules.wrapped { Vec::new() } else { self.layers_to_transform.clone() };
        Self { target_modules, layers_to_transform, ..self.clone() }
    }

    /// The updates of a base with this many blocks, block by block; an expression that cannot be read is told.
    pub(crate) fn blocks(&self, count: usize, modules: BaseModules) -> Result<Vec<BlockShape>, String> {
        let matchers = Matchers::of(self)?;
        let shape = |layer: usize, projection: Projection| {
            let is_transformed = self.layers_to_transform.is_empty() || self.layers_to_transform.contains(&layer);
            matchers.shape(&modules.layer(layer, projection), is_transformed)
        };
        let shapes = |layer| {
            Projection::ALL
                .map(|projection| modules.layers.contains(&projection).then(|| shape(layer, projection)).flatten())
        };
        Ok((0..count).map(shapes).collect())
    }

    /// Refuses the name of a layer that the base lacks, beside others: of a base with fused layers `q_proj` is none.
    pub(crate) fn check_names(&self, base: &ModelConfig) -> Result<(), String> {
        let own = base.modules();
        let ModuleNames::Named(ends) = &self.target_modules.of_layers(own.layers) else { return Ok(()) };
        let known = |end: &str, modules: BaseModules| all_names(modules).any(|name| is_end(&name, end));
        let every = BaseModules { layers: &Projection::ALL, ..own };
        match ends.iter().find(|end| !known(end, own) && known(end, every)) {
            None => Ok(()),
            Some(end) => {
                let names: Vec<_> = base.projections().iter().map(ToString::to_string).collect();
                Err(format!(
                    "lora.target_modules: expected layers of a {} ({}), got `{end}`",
                    base.model_type,
                    names.join(", ")
                ))
            }
        }
    }

    /// The updates of the tables outside the blocks; one of which a copy is trained has none.
    pub(crate) fn tables(&self, modules: BaseModules) -> Result<TableShapes, String> {
        let matchers = Matchers::of(self)?;
        Ok(ModuleToSave::ALL.map(|module| match self.saves(module) {
            true => None,
            false => matchers.shape(&modules.table(module), self.layers_to_transform.is_empty()),
        }))
    }

    /// The same where nothing says whether the base is the text model of a wrapper.
    fn tables_of_any(&self) -> Result<TableShapes, String> {
        let of = |wrapped: bool| self.tables(BaseModules { layers: &[], wrapped });
        let (own, wrapped) = (of(false)?, of(true)?);
        Ok(ModuleToSave::ALL.map(|module| own[module.index()].or(wrapped[module.index()])))
    }

    /// Whether PEFT writes the base's tables beside their updates: what it looks for are their names in a list; an expression
    /// that leads to an update of one matches it.
    pub(crate) fn saves_base_tables(&self) -> bool {
        match &self.target_modules {
            ModuleNames::Named(names) => {
                names.iter().any(|name| ModuleToSave::ALL.into_iter().any(|module| *name == module.to_string()))
            }
            ModuleNames::Matching(_) => true,
        }
    }

    /// The rank of a table's update.
    pub fn table_rank(&self, module: ModuleToSave) -> Option<usize> {
        self.tables_of_any().ok()?[module.index()].map(|shape| shape.rank)
    }

    /// Whether a copy of a table is trained.
    pub fn saves(&self, module: ModuleToSave) -> bool {
        self.modules_to_save.contains(&module)
    }

    /// Every problem of this configuration.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.problems();
        let of = |wrapped: bool| all_names(BaseModules { layers: &Projection::ALL, wrapped });
        let names: Vec<String> = of(false).chain(of(true)).collect();
        let lists =
            [("target_modules", Some(&self.target_modules)), ("exclude_modules", self.exclude_modules.as_ref())];
        for (field, list) in lists.into_iter().filter_map(|(field, list)| Some((field, list?))) {
            let unknown: Vec<&String> = match list {
                ModuleNames::Named(ends) => {
                    ends.iter().filter(|end| !names.iter().any(|name| is_end(name, end))).collect()
                }
                ModuleNames::Matching(pattern) => {
                    let matches = list.matcher().map(|matcher| names.iter().any(|name| matcher.matches(name)));
                    if matches == Ok(false) { vec![pattern] } else { Vec::new() }
                }
            };
            for unknown in unknown {
                problems.push(format!(
                    "lora.{field}: expected {}, got `{unknown}`, which is none of them",
                    expected_targets()
                ));
            }
        }
        problems
    }

    /// What is wrong whatever the base.
    fn problems(&self) -> Vec<String> {
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
        if let ModuleNames::Named(names) = &self.target_modules {
            let unique: BTreeSet<_> = names.iter().collect();
            if unique.len() != names.len() {
                problems.push("lora.target_modules: a module is named twice".to_owned());
            }
        } else if !self.layers_to_transform.is_empty() {
            let problem = "lora.layers_to_transform: expected it unset beside an expression in target_modules";
            problems.push(problem.to_owned());
        }
        for (key, rank) in self.rank_pattern.entries().filter(|(_, rank)| *rank == 0) {
            problems.push(format!("lora.rank_pattern.{key}: expected at least 1, got {rank}"));
        }
        for (key, alpha) in self.alpha_pattern.entries().filter(|(_, alpha)| !(alpha.is_finite() && *alpha > 0.0)) {
            problems.push(format!("lora.alpha_pattern.{key}: expected a positive number, got {alpha}"));
        }
        match self.tables_of_any() {
            Err(problem) => problems.push(format!("lora.{problem}")),
            Ok(tables) => {
                let kinds = [(self.use_dora, "use_dora"), (self.lora_bias, "lora_bias")];
                let updated = ModuleToSave::ALL.into_iter().filter(|module| tables[module.index()].is_some());
                for table in updated {
                    for (_, kind) in kinds.iter().filter(|(is_one, _)| *is_one) {
                        problems.push(format!(
                            "lora.{kind}: expected false beside an update of {table}, got true; it is computed of the blocks' \
                             layers only"
                        ));
                    }
                }
            }
        }
        if self.use_dora && self.lora_bias {
            problems.push("lora.lora_bias: expected false beside use_dora, got true".to_owned());
        }
        let unique: BTreeSet<_> = self.modules_to_save.iter().collect();
        if unique.len() != self.modules_to_save.len() {
            problems.push("lora.modules_to_save: a module is named twice".to_owned());
        }
        problems
    }

    /// The same with every list in one order.
    pub(crate) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.target_modules = sorted.target_modules.sorted();
        sorted.exclude_modules = sorted.exclude_modules.map(ModuleNames::sorted);
        sorted.modules_to_save.sort();
        sorted.layers_to_transform.sort_unstable();
        sorted
    }

    /// Reads PEFT's adapter_config.json. Every key is honoured, of no consequence for what is computed, or refused by name.
    pub(crate) fn from_peft_json(path: &Path, text: &str) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| wrong(format!("not valid JSON: {e}")))?;
        let fields = value.as_object().ok_or_else(|| wrong("expected a JSON object".to_owned()))?;
        let fields = PeftFields { path, fields };
        if fields.get("peft_type").and_then(|v| v.as_str()) != Some("LORA") {
            return Err(fields.wrong("peft_type", "\"LORA\""));
        }
        fields.refuse_unknown()?;
        fields.check_initialization()?;
        // The type of task decides how the base is wrapped, and without one it is as it is.
        if !matches!(fields.get("task_type").map(|v| v.as_str()), None | Some(Some("CAUSAL_LM"))) {
            return Err(fields.wrong("task_type", "\"CAUSAL_LM\" or null"));
        }
        if !matches!(fields.get("bias").map(|v| v.as_str()), None | Some(Some("none"))) {
            return Err(fields.wrong("bias", "\"none\""));
        }
        let list_of_names = "a list of module names or a regular expression";
        let targets = fields.get("target_modules").ok_or_else(|| fields.wrong("target_modules", list_of_names))?;
        let target_modules = match targets.as_str() {
            Some(ALL_LINEAR) => ModuleNames::all_linear(),
            _ => names(targets).ok_or_else(|| fields.wrong("target_modules", list_of_names))?,
        };
        let excluded = fields.get("exclude_modules");
        let excluded = excluded.map(|list| names(list).ok_or_else(|| fields.wrong("exclude_modules", list_of_names)));
        let layers_to_transform = fields.get("layers_to_transform").map_or(Some(Vec::new()), layers_of);
        let layers_to_transform =
            layers_to_transform.ok_or_else(|| fields.wrong("layers_to_transform", "a list of whole numbers"))?;
        if !layers_to_transform.is_empty() {
            fields.check_layers_pattern()?;
        }
        let saved: Option<Vec<ModuleToSave>> = fields
            .read("modules_to_save", &format!("a list of {}", ModuleToSave::ALL.map(|m| m.to_string()).join(", ")))?;
        // Each value by itself, so that an error names its field; then once more in the order of the file.
        fields.read::<BTreeMap<String, usize>>("rank_pattern", "whole numbers by module")?;
        fields.read::<BTreeMap<String, f64>>("alpha_pattern", "numbers by module")?;
        let patterns: PeftPatterns = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        // PEFT's own defaults, for files that leave them out.
        let config = Self {
            r: fields.read("r", "a whole number")?.unwrap_or(8),
            lora_alpha: fields.read("lora_alpha", "a number")?.unwrap_or(8.0),
            lora_dropout: fields.read("lora_dropout", "a number")?.unwrap_or(0.0),
            target_modules,
            exclude_modules: excluded.transpose()?.filter(|excluded| !excluded.is_empty()),
            layers_to_transform,
            rank_pattern: patterns.rank_pattern,
            alpha_pattern: patterns.alpha_pattern,
            modules_to_save: saved.unwrap_or_default(),
            bias: LoraBias::None,
            task_type: TaskType::CausalLm,
            use_rslora: fields.read("use_rslora", "true or false")?.unwrap_or(false),
            use_dora: fields.read("use_dora", "true or false")?.unwrap_or(false),
            lora_bias: fields.read("lora_bias", "true or false")?.unwrap_or(false),
        }
        .sorted();
        if let Some(problem) = config.problems().first() {
            return Err(wrong(problem.strip_prefix("lora.").unwrap_or(problem).to_owned()));
        }
        let tying = fields.get("ensure_weight_tying").and_then(serde_json::Value::as_bool) == Some(true);
        let of_tables = [
            ("modules_to_save", !config.modules_to_save.is_empty(), "a saved copy"),
            ("an update of a table", config.tables_of_any().map_err(wrong)?.iter().any(Option::is_some), "it"),
        ];
        if let Some((what, _, it)) = of_tables.into_iter().find(|(_, is_there, _)| tying && *is_there) {
            return Err(wrong(format!(
                "ensure_weight_tying: expected false beside {what}, got true; {it} is separate from the table that it was \
                 tied to"
            )));
        }
        Ok(config)
    }

    /// PEFT's adapter_config.json.
    pub(crate) fn to_peft_json(&self, base_model: Option<&str>) -> String {
        let sorted = self.sorted();
        let mut value = serde_json::json!({
            "base_model_name_or_path": base_model,
            "bias": self.bias,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "modules_to_save": (!sorted.modules_to_save.is_empty()).then_some(&sorted.modules_to_save),
            "peft_type": "LORA",
            "r": self.r,
            "target_modules": sorted.target_modules,
            "task_type": self.task_type,
            "use_dora": self.use_dora,
            "use_rslora": self.use_rslora,
        });
        if let Some(excluded) = &sorted.exclude_modules {
            value["exclude_modules"] = serde_json::json!(excluded);
        }
        if self.lora_bias {
            value["lora_bias"] = true.into();
        }
        if !sorted.layers_to_transform.is_empty() {
            value["layers_to_transform"] = serde_json::json!(sorted.layers_to_transform);
        }
        let mut text = format!("{value:#}");
        // These keep their order, of which the first that matches counts.
        for (name, pattern) in
            [("alpha_pattern", pretty(&self.alpha_pattern)), ("rank_pattern", pretty(&self.rank_pattern))]
        {
            if let Some(pattern) = pattern {
                text.insert_str(1, &format!("\n  \"{name}\": {pattern},"));
            }
        }
        text.push('\n');
        text
    }
}

/// A pattern as JSON in its order; `None` if it says nothing.
fn pretty<T: Copy + Serialize>(pattern: &ModulePattern<T>) -> Option<String> {
    if pattern.is_empty() { None } else { serde_json::to_string(pattern).ok() }
}

/// The parts of an adapter_config.json whose order counts.
#[derive(Deserialize)]
struct PeftPatterns {
    #[serde(default)]
    rank_pattern: ModulePattern<usize>,
    #[serde(default)]
    alpha_pattern: ModulePattern<f64>,
}

/// Keys of an adapter_config.json that are read.
const READ: [&str; 17] = [
    "peft_type",
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "bias",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "ensure_weight_tying",
];

/// Keys that change nothing of what an adapter computes: where it comes from, and how its first values were found, which
/// `init_lora_weights` says, too.
const WITHOUT_CONSEQUENCE: [&str; 13] = [
    "init_lora_weights",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "runtime_config",
    "megatron_core",
    "qalora_group_size",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    // Without its counterpart `megatron_config`, which is refused.
];

/// First values of an adapter that leave the base as it is.
const PLAIN_INITIALIZATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// The fields of an adapter_config.json.
struct PeftFields<'a> {
    path: &'a Path,
    fields: &'a serde_json::Map<String, serde_json::Value>,
}

impl PeftFields<'_> {
    /// A field's value; `None` if it is missing or null.
    fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str) -> ModelError {
        let got = self.fields.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string);
        ModelError::config(self.path, format!("{name}: expected {expected}, got {got}"))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, ModelError> {
        let value = self.get(name).map(|value| serde_json::from_value(value.clone()));
        value.transpose().map_err(|_| self.wrong(name, expected))
    }

    /// Refuses every key that is neither read nor without consequence, unless it is set to nothing.
    fn refuse_unknown(&self) -> Result<(), ModelError> {
        for (name, value) in self.fields {
            let is_set = match value {
                serde_json::Value::Null | serde_json::Value::Bool(false) => false,
                serde_json::Value::Object(map) => !map.is_empty(),
                serde_json::Value::Array(list) => !list.is_empty(),
                _ => true,
            };
            if is_set && !READ.contains(&name.as_str()) && !WITHOUT_CONSEQUENCE.contains(&name.as_str()) {
                let message = format!("{name}: expected it unset, got {value}; such an adapter is not computed");
                return Err(ModelError::config(self.path, message));
            }
        }
        Ok(())
    }

    /// Refuses adapters that change the base when they are put on: the update is the difference to another base than the
    /// one in its folder.
    fn check_initialization(&self) -> Result<(), ModelError> {
        let is_plain = match self.get("init_lora_weights") {
            None | Some(serde_json::Value::Bool(_)) => true,
            Some(serde_json::Value::String(name)) => {
                PLAIN_INITIALIZATIONS.contains(&name.to_ascii_lowercase().as_str())
            }
            Some(_) => false,
        };
        if is_plain {
            return Ok(());
        }
        let expected = format!("true, false or one of {}", PLAIN_INITIALIZATIONS.join(", "));
        let got = &self.fields["init_lora_weights"];
        let message = format!(
            "init_lora_weights: expected {expected}, got {got}: such an adapter belongs to a base that is changed when it is \
             put on, or is trained in another way"
        );
        let hint = "save it as plain LoRA with PEFT (`save_pretrained` with \
                    `path_initial_model_for_weight_conversion`), or merge it into its base there";
        Err(ModelError::config_with_hint(self.path, message, hint))
    }

    /// Refuses layers that are counted elsewhere than in the list of blocks.
    fn check_layers_pattern(&self) -> Result<(), ModelError> {
        let Some(pattern) = self.get("layers_pattern") else { return Ok(()) };
        let names = match pattern {
            serde_json::Value::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        let counts_blocks = |name: &serde_json::Value| matches!(name.as_str(), Some("layers" | "model.layers" | ""));
        if names.is_empty() || names.iter().any(|name| counts_blocks(name)) {
            return Ok(());
        }
        Err(self.wrong("layers_pattern", "\"layers\""))
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
        assert_eq!(parse("\"all-linear\"")?.target_modules, ModuleNames::all_linear());
        assert_eq!(parse("[\"v_proj\"]")?.target_modules, vec![Projection::VProj].into());
        let expected = "target_modules: expected `all-linear`, a regular expression or a list of q_proj, k_proj";
        for wrong in ["7", "[7]"] {
            let error = parse(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(expected), "{error}");
        }
        for wrong in ["\"all\"", "[\"norm\"]", "[\"q_proj\",\"proj\"]"] {
            let problems = parse(wrong)?.validate();
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
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

    /// An adapter_config.json with these keys.
    fn read(keys: &str) -> Result<LoraConfig, String> {
        let text = format!(r#"{{"peft_type":"LORA","r":4,"lora_alpha":8,{keys}}}"#);
        LoraConfig::from_peft_json(Path::new("adapter_config.json"), &text).map_err(|error| error.to_string())
    }

    /// Block and layer, rank and scale of every update in a base of four blocks.
    fn shapes(config: &LoraConfig) -> Result<Vec<(String, usize, f32)>, String> {
        let blocks = config.blocks(4, BaseModules { layers: &Projection::SEPARATE, wrapped: false })?;
        let named = blocks.iter().enumerate().flat_map(|(layer, block)| {
            Projection::ALL.into_iter().zip(block).filter_map(move |(projection, shape)| {
                let shape = (*shape)?;
                Some((format!("{layer}.{projection}"), shape.rank, shape.scale))
            })
        });
        Ok(named.collect())
    }

    /// What `get_peft_model` of PEFT 0.21.2 makes of the same configurations over a Llama of four blocks.
    #[test]
    fn which_layers_get_which_update_is_pefts() -> Result<(), String> {
        let names = |keys: &str| -> Result<Vec<String>, String> {
            Ok(shapes(&read(keys)?)?.into_iter().map(|(name, _, _)| name).collect())
        };
        let some = r#""target_modules":["q_proj"],"layers_to_transform":[1,3],"layers_pattern":"layers""#;
        assert_eq!(names(some)?, ["1.q_proj", "3.q_proj"]);
        assert_eq!(names(r#""target_modules":["q_proj"],"layers_to_transform":2"#)?, ["2.q_proj"]);
        let expression = r#""target_modules":".*\\.layers\\.(0|2)\\..*\\.(q|v)_proj""#;
        assert_eq!(names(expression)?, ["0.q_proj", "0.v_proj", "2.q_proj", "2.v_proj"]);
        let full = r#""target_modules":["model.layers.1.mlp.up_proj","layers.3.self_attn.o_proj"]"#;
        assert_eq!(names(full)?, ["1.up_proj", "3.o_proj"]);
        assert_eq!(names(&format!(r#"{full},"layers_to_transform":[0]"#))?, ["1.up_proj"]);
        let excluded =
            r#""target_modules":["q_proj","up_proj"],"exclude_modules":["self_attn.q_proj","3.mlp.up_proj"]"#;
        assert_eq!(names(excluded)?, ["0.up_proj", "1.up_proj", "2.up_proj"]);
        let excluded = r#""target_modules":["q_proj"],"exclude_modules":".*layers\\.[01]\\..*""#;
        assert_eq!(names(excluded)?, ["2.q_proj", "3.q_proj"]);
        let patterns = r#""target_modules":["q_proj"],"rank_pattern":{"layers.1.self_attn.q_proj":16,"^model.layers.[23].*":2},
            "alpha_pattern":{"0.self_attn.q_proj":1,"q_proj":32}"#;
        let expected = [("0.q_proj", 4, 0.25), ("1.q_proj", 16, 2.0), ("2.q_proj", 2, 16.0), ("3.q_proj", 2, 16.0)];
        let config = read(patterns)?;
        assert_eq!(shapes(&config)?, expected.map(|(name, rank, scale)| (name.to_owned(), rank, scale)));
        // What is written is read as the same.
        let again = LoraConfig::from_peft_json(Path::new("again"), &config.to_peft_json(None));
        assert_eq!(again.map_err(|error| error.to_string())?, config);
        Ok(())
    }

    /// What `get_peft_model` of PEFT 0.21.2 makes of the same configurations over a Llama.
    #[test]
    fn which_tables_get_an_update_is_pefts() -> Result<(), String> {
        let ranks = |keys: &str| -> Result<[Option<usize>; 2], String> {
            Ok(read(keys)?.tables_of_any()?.map(|shape| shape.map(|shape| shape.rank)))
        };
        assert_eq!(ranks(r#""target_modules":["q_proj","embed_tokens"]"#)?, [Some(4), None]);
        assert_eq!(ranks(r#""target_modules":["lm_head"],"rank_pattern":{"lm_head":2}"#)?, [None, Some(2)]);
        assert_eq!(ranks(r#""target_modules":"all-linear""#)?, [None, None]);
        assert_eq!(ranks(r#""target_modules":".*(embed_tokens|_proj)""#)?, [Some(4), None]);
        let excluded = r#""target_modules":["q_proj","embed_tokens","lm_head"],"exclude_modules":["lm_head"]"#;
        assert_eq!(ranks(excluded)?, [Some(4), None]);
        // A copy that is trained whole has no update, and only a whole name is no layer of a block that is left out.
        assert_eq!(ranks(r#""target_modules":["q_proj","lm_head"],"modules_to_save":["lm_head"]"#)?, [None, None]);
        let blocks = r#""target_modules":["q_proj","embed_tokens","lm_head"],"layers_to_transform":[0]"#;
        assert_eq!(ranks(blocks)?, [None, Some(4)]);
        for (targets, saves) in [
            (r#"["q_proj","lm_head"]"#, true),
            (r#"["q_proj","model.embed_tokens"]"#, false),
            (r#"".*(embed_tokens|q_proj)""#, true),
        ] {
            assert_eq!(read(&format!(r#""target_modules":{targets}"#))?.saves_base_tables(), saves, "{targets}");
        }
        Ok(())
    }

    #[test]
    fn every_key_of_peft_is_read_without_consequence_or_refused_by_name() {
        let targets = r#""target_modules":["q_proj"]"#;
        let harmless = r#""task_type":null,"auto_mapping":{"base_model_class":"LlamaForCausalLM"},"peft_version":"0.21.2",
            "revision":"main","megatron_core":"megatron.core","megatron_config":null,"qalora_group_size":16,"loftq_config":{},
            "use_dora":false,"kasa_config":null,"key_of_tomorrow":null,"eva_config":{"rho":2.0},"init_lora_weights":"eva""#;
        assert!(read(&format!("{targets},{harmless}")).is_ok());
        for plain in ["true", "false", "null", "\"gaussian\"", "\"orthogonal\""] {
            assert!(read(&format!(r#"{targets},"init_lora_weights":{plain}"#)).is_ok(), "{plain}");
        }
        let refused = [
            r#""init_lora_weights":"pissa""#,
            r#""init_lora_weights":"pissa_niter_16""#,
            r#""init_lora_weights":"OLoRA""#,
            r#""init_lora_weights":"corda""#,
            r#""init_lora_weights":"lora_ga""#,
            r#""init_lora_weights":"loftq""#,
            r#""init_lora_weights":"mica""#,
            r#""bias":"all""#,
            r#""bias":"lora_only""#,
            r#""task_type":"SEQ_CLS""#,
            r#""use_dora":"yes""#,
            r#""velora_config":{"num_groups":32}"#,
            r#""monteclora_config":{"num_samples":8}"#,
            r#""arrow_config":{"top_k":3}"#,
            r#""alora_invocation_tokens":[3,4]"#,
            r#""use_qalora":true"#,
            r#""fan_in_fan_out":true"#,
            r#""use_bdlora":{"nblocks":2}"#,
            r#""kasa_config":{"beta":0.1}"#,
            r#""megatron_config":{"a":1}"#,
            r#""target_parameters":["experts"]"#,
            r#""trainable_token_indices":[1,2]"#,
            r#""layer_replication":[[0,2]]"#,
            r#""key_of_tomorrow":"a value""#,
            r#""r":"eight""#,
            r#""rank_pattern":{"q_proj":"x"}"#,
            r#""rank_pattern":{"q_proj":0}"#,
            r#""alpha_pattern":{"(":1}"#,
            r#""layers_to_transform":["a"]"#,
            r#""exclude_modules":"(""#,
            r#""modules_to_save":["norm"]"#,
        ];
        for keys in refused {
            let field = keys.split('"').nth(1).unwrap_or_default();
            let text = format!(r#"{{"peft_type":"LORA","lora_alpha":8,{targets},{keys}}}"#);
            let error = LoraConfig::from_peft_json(Path::new("adapter_config.json"), &text);
            let error = error.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(&format!("adapter_config.json: {field}")), "{keys}: {error}");
        }
        let elsewhere = r#""layers_to_transform":[0],"layers_pattern":"h""#;
        assert!(read(&format!("{targets},{elsewhere}")).is_err_and(|error| error.contains("layers_pattern: expected")));
        let tables = r#""target_modules":["q_proj","lm_head","embed_tokens"]"#;
        for (keys, expected) in [
            (r#""use_dora":true"#, "use_dora: expected false beside an update of embed_tokens, got true"),
            (r#""lora_bias":true"#, "lora_bias: expected false beside an update of embed_tokens, got true"),
            (r#""use_dora":true,"lora_bias":true"#, "use_dora: expected false beside"),
            (
                r#""ensure_weight_tying":true"#,
                "ensure_weight_tying: expected false beside an update of a table, got true",
            ),
        ] {
            let error = read(&format!("{tables},{keys}")).err().unwrap_or_default();
            assert!(error.starts_with(&format!("adapter_config.json: {expected}")), "{error}");
        }
        let both = read(&format!(r#"{targets},"use_dora":true,"lora_bias":true"#));
        assert!(both.is_err_and(|error| error.contains("lora_bias: expected false beside use_dora")));
        assert!(read(r#""target_modules":["q_proj","lm_head"],"modules_to_save":["lm_head"]"#).is_ok());
    }
}

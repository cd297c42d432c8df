//! A run's configuration: one YAML file is one reproducible run.
//!
//! Each section is the type of the part that uses it; this module only composes them. A file is read strictly (an
//! unknown key is an error, and all of them are named at once), then every section says all that is wrong with it.

use std::path::{Path, PathBuf};

use hilora_contract::fault::{Blame, Fault};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use hilora_enrich::EnrichConfig;
use hilora_evaluator::{EvaluationConfig, GateConfig};
use hilora_model::{ChatTemplateSource, LoraConfig};
use hilora_prepare::DataConfig;
use hilora_trainer::{TrainingConfig, ValidationConfig};

use super::benchmark_names::wrong_names;

mod plugin_limits;
mod pretraining;
mod schema;

pub use plugin_limits::PluginLimitsConfig;
pub use pretraining::PretrainingConfig;
pub use schema::run_config_schema;

/// The file a bare `hilora-host` reads.
pub const DEFAULT_CONFIG: &str = "configs/quickstart.yaml";

/// Everything one run needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The adapter's name in the registry, for example `python-lora`.
    pub adapter_name: String,
    /// The base model: a folder in the Hugging Face layout, or a model of the hub as `owner/name`.
    pub base_model: PathBuf,
    /// The one seed that split, data order, dropout and sampling derive from.
    #[serde(default)]
    pub seed: u64,
    /// What the specialist is called towards the model.
    #[serde(default)]
    pub specialist: SpecialistConfig,
    /// The adapter's shape.
    pub lora: LoraConfig,
    /// How it is trained.
    pub training: TrainingConfig,
    /// What it is trained on.
    pub data: DataConfig,
    /// What is measured while it is trained; without it nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationConfig>,
    /// Which model writes the reasoning of training rows that have none; without it nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrich: Option<EnrichConfig>,
    /// Whose chat template lays out what is learned and asked: `formatter` or `model`.
    #[serde(default)]
    pub chat_template: ChatTemplateSource,
    /// How it is measured.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// What it must reach.
    #[serde(default)]
    pub gate: GateConfig,
    /// What the measurement is held against.
    #[serde(default)]
    pub controls: ControlsConfig,
    /// Which plugins do the work.
    #[serde(default)]
    pub plugins: PluginsConfig,
}

/// What the specialist is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialistConfig {
    /// The formatter's word for it (`python`, `math`, …); by default the adapter's name without `-lora`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Controls: what a sceptic would ask for beside the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlsConfig {
    /// Train a second adapter, with the same recipe, on answers that were shuffled between the problems.
    #[serde(default)]
    pub shuffled_answers: bool,
    /// Score what copying the answer of the most similar training problem would reach.
    #[serde(default)]
    pub nearest_copy: bool,
}

/// The component files of a run. `--plugin FILE` replaces the one of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// The dataset loader; by default the shipped one for `data.source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<PathBuf>,
    /// The domain classifier.
    pub classifier: PathBuf,
    /// The prompt formatter.
    pub formatter: PathBuf,
    /// The solution runner.
    pub runner: PathBuf,
    /// What their calls may take.
    #[serde(skip_serializing_if = "PluginLimitsConfig::is_default")]
    pub limits: PluginLimitsConfig,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            loader: None,
            classifier: "plugins/keyword-classifier.wasm".into(),
            formatter: "plugins/chatml-formatter.wasm".into(),
            runner: "plugins/python-runner.wasm".into(),
            limits: PluginLimitsConfig::default(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: std::io::Error,
    },
    /// The file is not the YAML it must be: syntax, an unknown key, a wrong type.
    #[error("{path} is not a valid config: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        message: String,
    },
    /// Values that cannot be used, all of them.
    #[error("{path} has {count} unusable value(s):\n{list}", path = path.display(), count = problems.len(),
            list = problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
    Values {
        /// The file.
        path: PathBuf,
        /// Each with its key, expected and got.
        problems: Vec<String>,
    },
}

impl Fault for ConfigError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unreadable { error, .. } => Blame::of_reading(error),
            Self::Syntax { .. } | Self::Values { .. } => Blame::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Unreadable { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                "paths are relative to the current folder; `--config FILE` names another config".to_owned()
            }
            Self::Unreadable { .. } => "expected a text file of YAML; configs/quickstart.yaml is one".to_owned(),
            Self::Syntax { .. } | Self::Values { .. } => "configs/quickstart.yaml is a working example".to_owned(),
        }]
    }
}

impl RunConfig {
    /// Reads and checks a run's configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        report(path, schema::wrong_keys(&run_config_schema(), &parse_file(path)?))?;
        let config: Self = parse_file(path)?;
        report(path, config.validate())?;
        Ok(config)
    }

    /// Every value that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.adapter_name.is_empty() || !self.adapter_name.chars().all(plain) {
            problems.push(format!(
                "adapter_name: expected letters, digits, `-` and `_`, got `{}`: it names files",
                self.adapter_name
            ));
        }
        if self.base_model.as_os_str().is_empty() {
            problems.push("base_model: expected a folder or an id of the Hugging Face hub, got nothing".to_owned());
        }
        // Each section names itself in its own messages.
        problems.extend(self.lora.validate());
        problems.extend(self.training.validate());
        problems.extend(self.data.validate());
        problems.extend(self.validation.iter().flat_map(ValidationConfig::validate));
        problems.extend(self.enrich.iter().flat_map(EnrichConfig::validate));
        problems.extend(self.evaluation.validate());
        problems.extend(wrong_names(&self.evaluation.benchmarks));
        problems.extend(self.gate.validate());
        problems.extend(self.plugins.limits.validate());
        if self.evaluation.generator.is_some() && self.controls.shuffled_answers {
            problems.push(
                "controls.shuffled_answers: expected false with evaluation.generator: no endpoint serves that adapter"
                    .to_owned(),
            );
        }
        problems
    }

    /// The name that the run's data files begin with: the adapter's name without `-lora`.
    pub fn specialist_name(&self) -> &str {
        self.adapter_name.strip_suffix("-lora").unwrap_or(&self.adapter_name)
    }

    /// What the formatter calls the specialist.
    pub fn specialist_type(&self) -> &str {
        self.specialist.kind.as_deref().unwrap_or_else(|| self.specialist_name())
    }
}

/// Reads one YAML file into a section type.
fn parse_file<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        // Below its first line the parser shows the place once more, and what is said of its options helps nobody here.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
        let message = message.trim_end_matches(" rejected by the configured policy").to_owned();
        ConfigError::Syntax { path: path.to_owned(), message }
    })
}

/// Turns a list of problems into one error.
fn report(path: &Path, problems: Vec<String>) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Values { path: path.to_owned(), problems }) }
}

//! Stages and their inputs by name, and the key that decides whether a stage must run again.

use std::fmt;

use hilora_contract::artifact::{ContentHash, StageInputs};
use hilora_contract::plugin::PluginKind;
use serde::Serialize;

/// The stages of a run, in the order of the main job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageName {
    /// The data files.
    Prepare,
    /// Reasoning traces for the rows to learn from.
    Enrich,
    /// The adapter.
    Train,
    /// The adapter of the shuffled-answers control.
    Control,
    /// Base, adapter and controls on the held-out problems.
    Evaluate,
    /// The gate, the report and the registry's entry.
    Register,
}

impl StageName {
    /// The name in the ledger, in messages and in a list of what would run.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Enrich => "enrich",
            Self::Train => "train",
            Self::Control => "control",
            Self::Evaluate => "evaluate",
            Self::Register => "register",
        }
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that decides what a stage writes, by its name in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputName {
    /// This program.
    Program,
    /// The sections of the config that matter to the stage.
    Config,
    /// A file of the dataset.
    Source(String),
    /// The loader of one of several sources, by its name.
    SourceLoader(String),
    /// The classifier of one of several sources, by its name.
    SourceClassifier(String),
    /// A file of a set to decontaminate against, by the set's name.
    EvaluationSet(String, String),
    /// The loader of such a set.
    EvaluationSetLoader(String),
    /// A plugin, by its kind.
    Plugin(PluginKind),
    /// Whose template lays out prompts, for which kind of specialist.
    PromptLayout,
    /// The formatter that the adapter was trained with, where it is measured with another.
    TrainedFormatter,
    /// The layout of prompts that the adapter was trained with, where it is measured with another.
    TrainedLayout,
    /// What an endpoint is asked, and how.
    EnrichSettings,
    /// The rows to learn from.
    TrainingData,
    /// The tests of the problems to learn from.
    TrainingTests,
    /// The base model's files.
    BaseModel,
    /// The adapter that training begins with.
    InitialAdapter,
    /// The rows that are held out.
    EvaluationData,
    /// The held-out problems.
    EvaluationProblems,
    /// The trained adapter.
    Adapter,
    /// Where the adapter lies that the user named.
    NamedAdapter,
    /// The adapter that learned shuffled answers.
    ShuffledAdapter,
    /// A benchmark's files and what reads them, by its name.
    Benchmark(String),
    /// How the rows to learn from were checked against the held-out problems.
    TrainingDataCheck,
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "program",
            Self::Config => "config",
            Self::Source(file) => return write!(f, "source {file}"),
            Self::SourceLoader(name) => return write!(f, "source {name} loader"),
            Self::SourceClassifier(name) => return write!(f, "source {name} classifier"),
            Self::EvaluationSet(name, file) => return write!(f, "evaluation set {name} {file}"),
            Self::EvaluationSetLoader(name) => return write!(f, "evaluation set {name} loader"),
            Self::Plugin(kind) => return write!(f, "{kind}"),
            Self::PromptLayout => "prompt layout",
            Self::TrainedFormatter => "prompt-formatter of the training, which is another",
            Self::TrainedLayout => "prompt layout of the training, which is another",
            Self::EnrichSettings => "enrich settings",
            Self::TrainingData => "training data",
            Self::TrainingTests => "training problems' tests",
            Self::BaseModel => "base model",
            Self::InitialAdapter => "initial adapter",
            Self::EvaluationData => "evaluation data",
            Self::EvaluationProblems => "evaluation problems",
            Self::Adapter => "adapter",
            Self::NamedAdapter => "adapter named by the user",
            Self::ShuffledAdapter => "shuffled adapter",
            Self::Benchmark(name) => return write!(f, "benchmark {name}"),
            Self::TrainingDataCheck => "training data check",
        })
    }
}

/// The hashes of everything that decides what a stage writes: with the same key it need not run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageKey(StageInputs);

impl StageKey {
    /// The key of a stage that this program runs.
    pub fn of(program: ContentHash) -> Self {
        let mut key = Self::default();
        key.insert(&InputName::Program, program);
        key
    }

    /// Adds an input.
    pub fn insert(&mut self, name: &InputName, hash: ContentHash) {
        self.0.insert(name.to_string(), hash);
    }

    /// The hash of an input.
    pub fn get(&self, name: &InputName) -> Option<ContentHash> {
        self.0.get(&name.to_string()).copied()
    }

    /// The inputs as the ledger keeps them.
    pub fn inputs(&self) -> &StageInputs {
        &self.0
    }
}

//! A plugin's identity: what messages and manifests call it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::artifact::ContentHash;

/// The five kinds of plugin. A component's kind is read from the interface it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Reads a dataset format.
    DatasetLoader,
    /// Sorts problems into domains.
    DomainClassifier,
    /// Lays out prompts and training sequences.
    PromptFormatter,
    /// Judges answers to problems with several right ones.
    OutputChecker,
    /// Runs untrusted programs.
    SolutionRunner,
}

impl PluginKind {
    /// Every kind, in the order of the data path.
    pub const ALL: [Self; 5] =
        [Self::DatasetLoader, Self::DomainClassifier, Self::PromptFormatter, Self::OutputChecker, Self::SolutionRunner];
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DatasetLoader => "dataset-loader",
            Self::DomainClassifier => "domain-classifier",
            Self::PromptFormatter => "prompt-formatter",
            Self::OutputChecker => "output-checker",
            Self::SolutionRunner => "solution-runner",
        })
    }
}

/// Which plugin, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginIdentity {
    /// The manifest's name.
    pub name: String,
    /// The manifest's version.
    pub version: String,
    /// What it does.
    pub kind: PluginKind,
    /// The hash of the component's bytes.
    pub content: ContentHash,
}

impl fmt::Display for PluginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.name, self.version)
    }
}

//! A capability: something outside its sandbox that a plugin asks for in its manifest and a user grants.
//!
//! A plugin gets a capability only where both agree. The files named for a loader's run are not a capability: the
//! host opens them itself and hands over each as a readable value.

use serde::{Deserialize, Serialize};

/// What a plugin can ask for. The list grows only with an interface that a component must import to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Read the source files of the run (interface `hilora:plugin/source`). Granted to the dataset loader of a run.
    ReadSource,
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReadSource => "read-source",
        })
    }
}

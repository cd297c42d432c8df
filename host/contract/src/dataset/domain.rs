//! A domain: an open vocabulary of names, each a classifier's word for what a problem is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A domain's name in snake case, for example `data_structures`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Domain(pub String);

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

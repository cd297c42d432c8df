//! Which optimizer takes the steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The optimizer, by the names that transformers gives bitsandbytes' optimizers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// AdamW with states in 32 bits, as torch computes it.
    #[default]
    Adamw,
    /// AdamW with states in 8 bits, as bitsandbytes computes it.
    #[serde(rename = "adamw_8bit")]
    Adamw8bit,
    /// The same: states in 8 bits are always in host memory.
    #[serde(rename = "paged_adamw_8bit")]
    PagedAdamw8bit,
    /// AdamW with states in 32 bits, as bitsandbytes computes it; they are beside what they belong to.
    #[serde(rename = "paged_adamw_32bit")]
    PagedAdamw32bit,
}

impl OptimizerKind {
    /// Whether states are in 8 bits.
    pub(crate) fn is_8bit(self) -> bool {
        matches!(self, Self::Adamw8bit | Self::PagedAdamw8bit)
    }
}

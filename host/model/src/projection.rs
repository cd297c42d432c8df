//! The linear layers of a decoder block: seven, or four where queries, keys and values are the outputs of one layer, and
//! the halves of the feed-forward network of another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tensor_names::layer_key;

/// A linear layer of a decoder block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// The attention's output.
    OProj,
    /// The gate of the feed-forward network.
    GateProj,
    /// Its other half.
    UpProj,
    /// Its output.
    DownProj,
    /// Queries, keys and values in one.
    QkvProj,
    /// The gate of the feed-forward network and its other half in one.
    GateUpProj,
}

impl Projection {
    /// All that some family has.
    pub const ALL: [Self; 9] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
        Self::QkvProj,
        Self::GateUpProj,
    ];
    /// The layers of a block that are separate, in the order of the forward pass.
    pub const SEPARATE: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];
    /// Those of a block with fused ones.
    pub const FUSED: [Self; 4] = [Self::QkvProj, Self::OProj, Self::GateUpProj, Self::DownProj];

    /// Its name within a block in a Hugging Face checkpoint.
    pub fn path(self) -> &'static str {
        match self {
            Self::QProj => "self_attn.q_proj",
            Self::KProj => "self_attn.k_proj",
            Self::VProj => "self_attn.v_proj",
            Self::OProj => "self_attn.o_proj",
            Self::GateProj => "mlp.gate_proj",
            Self::UpProj => "mlp.up_proj",
            Self::DownProj => "mlp.down_proj",
            Self::QkvProj => "self_attn.qkv_proj",
            Self::GateUpProj => "mlp.gate_up_proj",
        }
    }

    /// Its index in `ALL`, which keys dropout and arrays.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Its weight's name in a checkpoint.
    pub(crate) fn weight_key(self, layer: usize) -> String {
        layer_key(layer, &format!("{}.weight", self.path()))
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        f.write_str(path.rsplit('.').next().unwrap_or(path))
    }
}

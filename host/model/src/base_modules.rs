//! What an adapter may update in a base, and what transformers' model calls it.

use super::tensor_names::layer_key;
use super::{ModuleToSave, Projection};

/// The modules of a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BaseModules {
    /// The linear layers of a block.
    pub(crate) layers: &'static [Projection],
    /// Whether the base is the text model of a wrapper.
    pub(crate) wrapped: bool,
}

/// Where a wrapper has its text model.
const TEXT_MODEL: &str = "language_model";

impl BaseModules {
    fn renamed(self, name: String) -> String {
        match name.strip_prefix("model.") {
            Some(rest) if self.wrapped => format!("model.{TEXT_MODEL}.{rest}"),
            _ => name,
        }
    }

    /// The name of a linear layer.
    pub(crate) fn layer(self, layer: usize, projection: Projection) -> String {
        self.renamed(layer_key(layer, projection.path()))
    }

    /// The name of a table.
    pub(crate) fn table(self, module: ModuleToSave) -> String {
        self.renamed(module.module_name().to_owned())
    }

    /// The block that a name of PEFT's is of.
    pub(crate) fn block_of(self, key: &str) -> Option<usize> {
        let start = format!("base_model.model.{}", self.renamed("model.layers.".to_owned()));
        key.strip_prefix(&start)?.split('.').next()?.parse().ok()
    }

    /// The modules of the base that tensors of these names of PEFT's belong to, as far as they say it.
    pub(crate) fn of_adapter<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let (mut fused, mut wrapped) = (false, false);
        for name in names {
            let is_of = |projection: Projection| name.contains(&format!(".{}.", projection.path()));
            fused |= is_of(Projection::QkvProj) || is_of(Projection::GateUpProj);
            wrapped |= name.starts_with(&format!("base_model.model.model.{TEXT_MODEL}."));
        }
        Self { layers: if fused { &Projection::FUSED } else { &Projection::SEPARATE }, wrapped }
    }

    /// An expression for what another means within the text model, or within some of its blocks.
    pub(crate) fn within(self, expression: &str, blocks: &[usize]) -> String {
        let numbers: Vec<String> = blocks.iter().map(ToString::to_string).collect();
        let of_blocks = if blocks.is_empty() { String::new() } else { format!(r"layers\.(?:{})\.", numbers.join("|")) };
        format!(r"(?=.*{TEXT_MODEL}\.{of_blocks})(?:{expression})")
    }
}

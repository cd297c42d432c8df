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

    /// The modules of the base that tensors of these names of PEFT's belong to, as far as they or the expression of what is
    /// updated, if it is one, say it: an output layer has one name in all bases.
    pub(crate) fn of_adapter<'n>(expression: Option<&str>, names: impl Iterator<Item = &'n str>) -> Self {
        let mut separate = false;
        let mut wrapped = expression.is_some_and(|expression| expression.contains(TEXT_MODEL));
        for name in names {
            // What both kinds of blocks have says nothing.
            let is_of = |projection: &Projection| name.contains(&format!(".{}.", projection.path()));
            separate |= Projection::SEPARATE.iter().filter(|layer| !Projection::FUSED.contains(layer)).any(is_of);
            wrapped |= name.starts_with(&format!("base_model.model.model.{TEXT_MODEL}."));
        }
        Self { layers: if separate { &Projection::SEPARATE } else { &Projection::FUSED }, wrapped }
    }

    /// An expression for what another means within the text model, or within some of its blocks; the output layer, if that
    /// is meant, stands outside of it. An expression that says so already stays as it is.
    pub(crate) fn within(self, expression: &str, blocks: &[usize], means_head: bool) -> String {
        let begin = format!(r"(?=.*{TEXT_MODEL}\.");
        if expression.starts_with(&begin) {
            return expression.to_owned();
        }
        let numbers: Vec<String> = blocks.iter().map(ToString::to_string).collect();
        let rest = match (blocks.is_empty(), means_head) {
            (true, true) => format!("|{}$", self.table(ModuleToSave::LmHead)),
            (true, false) => String::new(),
            (false, _) => format!(r"layers\.(?:{})\.", numbers.join("|")),
        };
        format!("{begin}{rest})(?:{expression})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_base_as_far_as_they_do() {
        let of = |names: &[&str]| BaseModules::of_adapter(None, names.iter().copied());
        let block = "base_model.model.model.layers.0";
        let separate = of(&[&format!("{block}.self_attn.q_proj.lora_A.weight")]);
        assert_eq!(separate, BaseModules { layers: &Projection::SEPARATE, wrapped: false });
        // Of the seven names over a base with fused layers these two are left.
        let fused =
            of(&[&format!("{block}.self_attn.o_proj.lora_A.weight"), &format!("{block}.mlp.down_proj.lora_A.weight")]);
        assert_eq!(fused, BaseModules { layers: &Projection::FUSED, wrapped: false });
    }
}

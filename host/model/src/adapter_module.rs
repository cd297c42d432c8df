//! One update of an adapter: the module of the base that it belongs to, its tensors and PEFT's names for them.
//!
//! A linear layer has A [r, in], B [out, r], and where the configuration says so the bias of B [out] (`lora_bias`) or the
//! magnitudes [out] (`use_dora`). The embedding has A [r, vocabulary] and B [width, r], whose product is its transpose.

use candle_core::Tensor;

use super::base_modules::BaseModules;
use super::{ModelConfig, ModelError, ModuleToSave, Projection};
use hilora_kernels::lora::Factors;

/// The module of a base that an update belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A linear layer of a block.
    Layer(usize, Projection),
    /// A table outside the blocks.
    Table(ModuleToSave),
}

/// A tensor of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A.
    A,
    /// B.
    B,
    /// The bias of B.
    Bias,
    /// The magnitudes of a DoRA.
    Magnitude,
}

impl Target {
    /// Its name in transformers' model.
    pub(crate) fn module_name(self, modules: BaseModules) -> String {
        match self {
            Self::Layer(layer, projection) => modules.layer(layer, projection),
            Self::Table(module) => modules.table(module),
        }
    }

    /// (out, in) as PEFT counts them: what goes into an embedding is a token of the vocabulary.
    pub(crate) fn dims(self, base: &ModelConfig) -> (usize, usize) {
        match self {
            Self::Layer(_, projection) => base.projection_dims(projection),
            Self::Table(ModuleToSave::EmbedTokens) => (base.hidden_size, base.vocab_size),
            Self::Table(ModuleToSave::LmHead) => (base.vocab_size, base.hidden_size),
        }
    }

    /// PEFT's name of a tensor of its update.
    pub(crate) fn key(self, modules: BaseModules, part: Part) -> String {
        let is_embedding = self == Self::Table(ModuleToSave::EmbedTokens);
        let suffix = match part {
            Part::A if is_embedding => "lora_embedding_A",
            Part::B if is_embedding => "lora_embedding_B",
            Part::A => "lora_A.weight",
            Part::B => "lora_B.weight",
            Part::Bias => "lora_B.bias",
            Part::Magnitude => "lora_magnitude_vector",
        };
        format!("base_model.model.{}.{suffix}", self.module_name(modules))
    }

    /// The shape of a tensor of its update.
    pub(crate) fn shape(self, part: Part, rank: usize, base: &ModelConfig) -> Vec<usize> {
        let (outputs, inputs) = self.dims(base);
        match part {
            Part::A => vec![rank, inputs],
            Part::B => vec![outputs, rank],
            Part::Bias | Part::Magnitude => vec![outputs],
        }
    }
}

/// The tensors of one update.
#[derive(Debug, Clone)]
pub struct AdapterModule {
    /// A [r, in].
    pub(crate) a: Tensor,
    /// B [out, r].
    pub(crate) b: Tensor,
    /// What multiplies B A.
    pub(crate) scale: f32,
    /// The bias of B [out].
    pub(crate) bias: Option<Tensor>,
    /// The magnitudes of a DoRA [out].
    pub(crate) magnitude: Option<Tensor>,
}

impl AdapterModule {
    /// Its tensors.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, &Tensor)> {
        let others = [(Part::Bias, self.bias.as_ref()), (Part::Magnitude, self.magnitude.as_ref())];
        let others = others.into_iter().filter_map(|(part, tensor)| Some((part, tensor?)));
        [(Part::A, &self.a), (Part::B, &self.b)].into_iter().chain(others)
    }

    /// An update of the same shape with other tensors.
    pub(crate) fn mapped(&self, map: &dyn Fn(&Tensor) -> Result<Tensor, ModelError>) -> Result<Self, ModelError> {
        Ok(Self {
            a: map(&self.a)?,
            b: map(&self.b)?,
            scale: self.scale,
            bias: self.bias.as_ref().map(map).transpose()?,
            magnitude: self.magnitude.as_ref().map(map).transpose()?,
        })
    }

    /// Its two factors.
    pub(crate) fn factors(&self) -> Factors<'_> {
        Factors { a: &self.a, b: &self.b, scale: self.scale }
    }
}

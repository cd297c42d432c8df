//! The loss of documents without gradients: what evaluation during training measures.

use super::causal_lm::PackedDocuments;
use super::{Adapter, Model, ModelError};
use crate::kernels::{cross_entropy, embedding, in_pool, rms_norm};

impl Model {
    /// The summed cross-entropy of all targets, in nats, with the operations of a training step: the same documents
    /// give the same number. Blocks are not kept.
    pub(crate) fn loss(&self, documents: &PackedDocuments, adapter: Option<&Adapter>) -> Result<f64, ModelError> {
        in_pool(|| {
            let hidden = self.hidden(documents, adapter)?;
            let last = embedding::gather(&hidden, &documents.predicting)?;
            let (h, _) = rms_norm::forward(&last, &self.weights.norm, self.config().rms_norm_eps)?;
            let (loss, _) = cross_entropy::forward_backward(&h, self.weights.output(), &documents.targets, 1.0, None)?;
            Ok(loss)
        })
    }
}

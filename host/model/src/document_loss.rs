//! The loss of documents without gradients: what evaluation during training measures.

use half::bf16;

use super::packed_documents::PackedDocuments;
use super::{Adapter, ComputeType, Model, ModelError};
use hilora_kernels::element::Element;
use hilora_kernels::{cross_entropy, embedding, in_pool, rms_norm, scratch};

impl Model {
    /// The summed cross-entropy of all targets, in nats, with the operations of a training step: the same documents
    /// give the same number. Blocks are not kept.
    pub fn loss(&self, documents: &PackedDocuments, adapter: Option<&Adapter>) -> Result<f64, ModelError> {
        in_pool(|| match self.compute_type() {
            ComputeType::F32 => self.loss_in::<f32>(documents, adapter),
            ComputeType::Bf16 => self.loss_in::<bf16>(documents, adapter),
        })
    }

    fn loss_in<T: Element>(&self, documents: &PackedDocuments, adapter: Option<&Adapter>) -> Result<f64, ModelError> {
        scratch::begin_pass(documents.tokens.len(), documents.predicting.len());
        let hidden = self.hidden(documents, adapter)?;
        let last = embedding::gather(&hidden, &documents.predicting)?;
        let (h, _) = rms_norm::forward::<f32, T>(&last, &self.output_norm()?, self.config().rms_norm_eps)?;
        let update = adapter.and_then(|adapter| adapter.head_update(None));
        let t = update.map(|update| update.inner_product::<T>(&h)).transpose()?;
        let inner = update.zip(t.as_deref()).map(|(update, t)| update.inner(t));
        Ok(cross_entropy::forward::<T>(&h, self.output(adapter), inner.as_ref(), &documents.targets)?)
    }
}

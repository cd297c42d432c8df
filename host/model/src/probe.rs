//! A probe: logits, loss and gradients of one padded batch, to be held against a reference.
//!
//! Here rows are padded on the right, as references have them. Padding sees the row before it but is seen by nobody, as
//! in transformers with an attention mask: so even the logits at padded places, on which nothing depends, compare.

use std::path::Path;

use safetensors::Dtype;

use super::checkpoint_files::{CheckpointFiles, NamedFloats, write_floats};
use super::packed_documents::PackedDocuments;
use super::training_pass::{Gradients, TrainingPass};
use super::{Adapter, Model, ModelError};

/// A padded batch: [rows, length] each.
#[derive(Debug, Clone)]
pub struct ProbeBatch {
    /// Number of rows.
    pub rows: usize,
    /// Length of a row.
    pub length: usize,
    /// Token ids.
    pub input_ids: Vec<i64>,
    /// The token itself if it is a target, -100 elsewhere.
    pub labels: Vec<i64>,
    /// 1 for a token, 0 for padding.
    pub attention_mask: Vec<i64>,
}

/// What a probe measured.
#[derive(Debug, Clone)]
pub struct ProbeNumbers {
    /// Mean cross-entropy per target, in nats.
    pub loss: f32,
    /// [rows, length, vocabulary].
    pub logits: Vec<f32>,
    /// PEFT's name, shape and gradient of every tensor of the adapter.
    pub gradients: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl ProbeBatch {
    /// Reads `input_ids`, `labels` and `attention_mask`, each [rows, length] i64.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let files = CheckpointFiles::open_file(path)?;
        let shape = files.shape("input_ids")?;
        let [rows, length] = shape[..] else {
            return Err(ModelError::input(format!(
                "{}: input_ids: expected [rows, length], got {shape:?}",
                path.display()
            )));
        };
        for name in ["labels", "attention_mask"] {
            let got = files.shape(name)?;
            if got != shape {
                let hint = "labels and attention_mask have the shape of input_ids";
                return Err(ModelError::Shape {
                    path: path.to_owned(),
                    tensor: name.to_owned(),
                    expected: shape,
                    got,
                    hint,
                });
            }
        }
        Ok(Self {
            rows,
            length,
            input_ids: files.integers("input_ids")?,
            labels: files.integers("labels")?,
            attention_mask: files.integers("attention_mask")?,
        })
    }

    /// The length of each row without its padding.
    fn lengths(&self) -> Result<Vec<usize>, ModelError> {
        self.attention_mask
            .chunks(self.length.max(1))
            .enumerate()
            .map(|(row, mask)| {
                let length = mask.iter().take_while(|mask| **mask != 0).count();
                match mask[length..].iter().all(|mask| *mask == 0) {
                    true => Ok(length),
                    false => {
                        Err(ModelError::input(format!("row {row}: attention_mask: expected padding on the right only")))
                    }
                }
            })
            .collect()
    }

    /// The rows, packed one behind the other.
    pub(crate) fn documents(&self) -> Result<PackedDocuments, ModelError> {
        let lengths = self.lengths()?;
        let mut documents = PackedDocuments::default();
        for (row, length) in lengths.iter().enumerate() {
            let start = row * self.length;
            let tokens = self.input_ids[start..start + self.length]
                .iter()
                .map(|id| {
                    u32::try_from(*id).map_err(|_| ModelError::input(format!("row {row}: input_ids: negative id {id}")))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let labels = &self.labels[start..start + self.length];
            let wrong = |i: &usize| labels[*i] != -100 && (labels[*i] != self.input_ids[start + i] || i >= length);
            if let Some(at) = (0..self.length).find(wrong) {
                return Err(ModelError::input(format!(
                    "row {row}, position {at}: labels: expected -100 or the token {} where attention_mask is 1, got {}",
                    self.input_ids[start + at],
                    labels[at]
                )));
            }
            documents.push_padded(&tokens, *length, |i| labels[i] != -100);
        }
        if documents.targets.is_empty() {
            return Err(ModelError::input("labels: expected at least one target, got none".to_owned()));
        }
        Ok(documents)
    }
}

/// Runs one batch through a model with an adapter.
pub fn probe(model: &Model, adapter: &Adapter, batch: &ProbeBatch) -> Result<ProbeNumbers, ModelError> {
    adapter.check_against(model.config())?;
    let documents = batch.documents()?;
    let hidden = model.hidden(&documents, Some(adapter))?;
    let rows: Vec<usize> = (0..documents.tokens.len()).collect();
    let logits = model.logits(&hidden, &rows, Some(adapter))?;

    let gradients = Gradients::Adapter(Box::new(adapter.zeros_like()?));
    let targets = documents.targets.len() as f64;
    let how = TrainingPass { scale: (1.0 / targets) as f32, dropout: None, noise: None, checkpointing: None };
    let loss = model.forward_backward(&documents, Some(adapter), how, &gradients)? / targets;
    let gradients = match &gradients {
        Gradients::Adapter(adapter) => adapter
            .tensors()
            .map(|(name, tensor)| Ok((name, tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1()?)))
            .collect::<Result<_, ModelError>>()?,
        Gradients::Full(_) => Vec::new(),
    };
    Ok(ProbeNumbers { loss: loss as f32, logits, gradients })
}

impl ProbeNumbers {
    /// Writes `logits` [rows, length, vocabulary], `loss` [1] and `grad.<PEFT key>`, all in f32.
    pub fn save(self, path: &Path, batch: &ProbeBatch) -> Result<(), ModelError> {
        let vocabulary = self.logits.len() / (batch.rows * batch.length).max(1);
        let mut tensors = vec![
            NamedFloats {
                name: "logits".to_owned(),
                shape: vec![batch.rows, batch.length, vocabulary],
                values: self.logits,
            },
            NamedFloats { name: "loss".to_owned(), shape: vec![1], values: vec![self.loss] },
        ];
        for (name, shape, values) in self.gradients {
            tensors.push(NamedFloats { name: format!("grad.{name}"), shape, values });
        }
        write_floats(path, &tensors, Dtype::F32)
    }
}

//! A decode session.

use super::{Adapter, Model, ModelError};

/// A key-value cache over a batch of sequences, with the model that fills it.
pub struct DecodeSession<'a> {
    model: &'a Model,
    adapter: Option<&'a Adapter>,
}

impl<'a> DecodeSession<'a> {
    /// An empty session. The adapter's shapes are checked against the model.
    pub fn new(model: &'a Model, adapter: Option<&'a Adapter>) -> Result<Self, ModelError> {
        Ok(Self { model, adapter })
    }

    /// Adds one sequence per prompt; returns the logits after each prompt's last token, row by row.
    pub fn prefill(&mut self, _prompts: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let _ = (self.model, self.adapter);
        unimplemented!()
    }

    /// Appends one token to every sequence; returns the next logits, row by row.
    pub fn step(&mut self, _tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        unimplemented!()
    }

    /// Drops the sequences whose entry is false.
    pub fn retain(&mut self, _keep: &[bool]) {}
}

//! A decode session: a batch of sequences that grow token by token, each with blocks of its own in one cache.
//!
//! On the CPU a sequence's numbers do not depend on the others in the batch: they are the bits of the trainer's forward
//! pass (`inference_pass`).

use super::{Adapter, InferencePass, KeyValueBlocks, LogitRows, Model, ModelError, Span};
use hilora_kernels::scratch;

/// A batch of sequences that grow token by token.
pub struct DecodeSession<'a> {
    pass: InferencePass<'a>,
    adapter: Option<usize>,
    cache: KeyValueBlocks,
    sequences: Vec<Sequence>,
    free_blocks: Vec<u32>,
}

#[derive(Default)]
struct Sequence {
    blocks: Vec<u32>,
    length: usize,
}

impl<'a> DecodeSession<'a> {
    /// An empty session. The adapter's shapes are checked against the model.
    pub fn new(model: &'a Model, adapter: Option<&'a Adapter>) -> Result<Self, ModelError> {
        // What a training before it has left free is of no use here.
        scratch::let_go();
        Ok(Self {
            pass: InferencePass::new(model, adapter.as_slice())?,
            adapter: adapter.map(|_| 0),
            cache: KeyValueBlocks::new(model, 0)?,
            sequences: Vec::new(),
            free_blocks: Vec::new(),
        })
    }

    /// Number of sequences.
    pub fn rows(&self) -> usize {
        self.sequences.len()
    }

    /// Adds one sequence per prompt behind those already there; returns the logits after each new prompt's last token,
    /// row by row.
    pub fn prefill(&mut self, prompts: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        if prompts.iter().any(|prompt| prompt.is_empty()) {
            return Err(ModelError::input("a prompt: expected at least one token, got none".to_owned()));
        }
        let first = self.sequences.len();
        self.sequences.resize_with(first + prompts.len(), Sequence::default);
        let logits = self.extend(first, prompts);
        if logits.is_err() {
            self.sequences.drain(first..).for_each(|sequence| self.free_blocks.extend(sequence.blocks));
        }
        logits
    }

    /// Appends one token to every sequence; returns the next logits, row by row.
    pub fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        if tokens.len() != self.sequences.len() {
            let message = format!("expected one token for each of {} sequences, got {}", self.rows(), tokens.len());
            return Err(ModelError::input(message));
        }
        let tokens: Vec<&[u32]> = tokens.chunks(1).collect();
        self.extend(0, &tokens)
    }

    /// Drops the sequences whose entry is false; the others keep their order.
    pub fn retain(&mut self, keep: &[bool]) {
        let sequences = std::mem::take(&mut self.sequences);
        for (row, sequence) in sequences.into_iter().enumerate() {
            if keep.get(row).copied().unwrap_or(false) {
                self.sequences.push(sequence);
            } else {
                self.free_blocks.extend(sequence.blocks);
            }
        }
    }

    /// Appends tokens to the sequences from one on; returns the logits after each one's last.
    fn extend(&mut self, first: usize, tokens: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        for (sequence, tokens) in self.sequences[first..].iter_mut().zip(tokens) {
            let blocks = (sequence.length + tokens.len()).div_ceil(KeyValueBlocks::BLOCK_TOKENS);
            while sequence.blocks.len() < blocks {
                if self.free_blocks.is_empty() {
                    let had = self.cache.blocks();
                    self.cache.reserve((2 * had).max(16))?;
                    self.free_blocks.extend((had as u32..self.cache.blocks() as u32).rev());
                }
                sequence.blocks.extend(self.free_blocks.pop());
            }
        }
        let spans: Vec<Span<'_>> = self.sequences[first..]
            .iter()
            .zip(tokens)
            .map(|(sequence, tokens)| Span {
                tokens,
                start: sequence.length,
                blocks: &sequence.blocks,
                adapter: self.adapter,
                logits: LogitRows::Last,
            })
            .collect();
        let logits = self.pass.forward(&mut self.cache, &spans)?;
        for (sequence, tokens) in self.sequences[first..].iter_mut().zip(tokens) {
            sequence.length += tokens.len();
        }
        Ok(logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::{perturbed, perturbed_adapter, small_lora, small_model};
    use crate::{LoraConfig, ModuleNames, ModuleToSave, PackedDocuments};

    #[test]
    fn prefill_and_decode_equal_the_trainers_forward() -> Result<(), ModelError> {
        let model = small_model(1)?;
        decoding_equals_the_trainers_forward(&model, perturbed_adapter(&model)?)
    }

    #[test]
    fn decoding_takes_updates_of_tables_and_of_every_kind() -> Result<(), ModelError> {
        let model = small_model(1)?;
        let tables = ModuleNames::Named(vec!["q_proj".to_owned(), "embed_tokens".to_owned(), "lm_head".to_owned()]);
        for lora in [
            LoraConfig { target_modules: tables, ..small_lora() },
            LoraConfig { use_dora: true, ..small_lora() },
            LoraConfig { lora_bias: true, ..small_lora() },
        ] {
            decoding_equals_the_trainers_forward(&model, perturbed(&model, &lora)?)?;
        }
        Ok(())
    }

    #[test]
    fn decoding_takes_the_adapters_own_tables() -> Result<(), ModelError> {
        let model = small_model(1)?;
        for module in ModuleToSave::ALL {
            let lora = LoraConfig { modules_to_save: vec![module], ..small_lora() };
            decoding_equals_the_trainers_forward(&model, perturbed(&model, &lora)?)?;
        }
        Ok(())
    }

    fn decoding_equals_the_trainers_forward(model: &Model, adapter: Adapter) -> Result<(), ModelError> {
        let tokens: Vec<u32> = (0..70).map(|i| (i * i * 5 + 3) % 90).collect();
        let mut documents = PackedDocuments::default();
        documents.push(&tokens[..20], |_| true);
        documents.push(&tokens, |_| true);
        let hidden = model.hidden(&documents, Some(&adapter))?;
        let rows: Vec<usize> = (20..90).collect();
        let expected = model.logits(&hidden, &rows, Some(&adapter))?;
        let mut session = DecodeSession::new(model, Some(&adapter))?;
        let mut got = session.prefill(&[&tokens[..30], &tokens[..5]])?;
        session.retain(&[true, false]);
        got.truncate(96);
        for token in &tokens[30..] {
            got.extend(session.step(&[*token])?);
        }
        let expected = &expected[29 * 96..];
        assert!(got == expected, "decoding gives other bits");
        Ok(())
    }

    #[test]
    fn what_is_out_of_range_is_refused() -> Result<(), ModelError> {
        let model = small_model(3)?;
        let mut session = DecodeSession::new(&model, None)?;
        let message = |result: Result<Vec<f32>, ModelError>| result.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message(session.prefill(&[&[96]])).starts_with("token id 96: expected an id below"));
        assert!(message(session.prefill(&[&[]])).starts_with("a prompt: expected at least one token"));
        assert!(message(session.prefill(&[&[1; 129]])).starts_with("a sequence of 129 tokens"));
        assert!(message(session.step(&[1])).starts_with("expected one token for each of 0 sequences"));
        Ok(())
    }
}

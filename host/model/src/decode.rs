//! A decode session: a batch of sequences with their cached keys and values. The weights of a small model are widened once
//! (4 bytes a parameter for as long as the session lives) and, on the CPU, packed; those of a large one are widened for
//! each product, with the same numbers.
//!
//! On the CPU a sequence's numbers do not depend on the others in the batch. They equal those of the trainer's forward
//! pass in f32 up to the order of the sums in attention.

use candle_core::{DType, Tensor};

use super::linear::PreparedLinear;
use super::packed_documents::PackedDocuments;
use super::{Adapter, Model, ModelConfig, ModelError, ModuleToSave, Projection};
use hilora_kernels::attention::{self, Document};
use hilora_kernels::linear::{self, Onto, Prepared};
use hilora_kernels::lora::PreparedFactors;
use hilora_kernels::scratch::{self, Scratch};
use hilora_kernels::{embedding, in_pool, residual, rms_norm, swiglu};

/// What widened weights may take. Those of a large model would crowd out everything else.
const WIDENED_BYTES_MAX: usize = 4 << 30;

/// A batch of sequences that grow token by token.
pub struct DecodeSession<'a> {
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    layers: Vec<Layer<'a>>,
    output: Prepared<'a>,
    output_update: Option<PreparedFactors<'a>>,
    sequences: Vec<Sequence>,
    free_slots: Vec<usize>,
    slots: usize,
    capacity: usize,
}

/// A block's packed layers and its cache, [slots, capacity, key heads · d] each.
struct Layer<'a> {
    linears: Vec<PreparedLinear<'a>>,
    keys: Tensor,
    values: Tensor,
}

#[derive(Clone, Copy)]
struct Sequence {
    slot: usize,
    length: usize,
}

/// What the queries of a pass look at.
enum Attention<'d> {
    /// Whole documents, which nothing precedes.
    Documents(&'d [Document]),
    /// One query per sequence: (slot, keys seen).
    Cache(Vec<(usize, usize)>),
}

impl<'a> DecodeSession<'a> {
    /// What the widened weights of a session take, in bytes; 0 if a model's are not widened for good.
    pub fn widened_bytes(config: &ModelConfig) -> usize {
        let bytes = config.linear_parameters() * size_of::<f32>();
        if bytes <= WIDENED_BYTES_MAX { bytes } else { 0 }
    }

    /// An empty session. The adapter's shapes are checked against the model.
    pub fn new(model: &'a Model, adapter: Option<&'a Adapter>) -> Result<Self, ModelError> {
        Self::widening(model, adapter, WIDENED_BYTES_MAX)
    }

    /// A session that widens the weights for good if they take no more than `bytes_max`.
    fn widening(model: &'a Model, adapter: Option<&'a Adapter>, bytes_max: usize) -> Result<Self, ModelError> {
        // What a training before it has left free is of no use here.
        scratch::let_go();
        let widen = model.config().linear_parameters() * size_of::<f32>() <= bytes_max;
        if let Some(adapter) = adapter {
            adapter.check_against(model.config())?;
        }
        let layers = model
            .weights
            .blocks
            .iter()
            .enumerate()
            .map(|(layer, block)| {
                let linears = Projection::ALL
                    .into_iter()
                    .map(|projection| {
                        let update = adapter.and_then(|adapter| adapter.update(layer, projection));
                        block.linear(projection).prepare(update, widen)
                    })
                    .collect::<Result<_, _>>()?;
                // One place, which no sequence has yet: a device lends no memory of no bytes.
                let cache = || Tensor::zeros((1, 1, model.config().key_value_width()), DType::F32, model.device());
                Ok(Layer { linears, keys: cache()?, values: cache()? })
            })
            .collect::<Result<_, ModelError>>()?;
        let head = adapter.and_then(|adapter| adapter.table_update(ModuleToSave::LmHead));
        Ok(Self {
            model,
            adapter,
            layers,
            output: model.output(adapter).prepared(widen)?,
            output_update: head.map(|module| PreparedFactors::new(module.factors())).transpose()?,
            sequences: Vec::new(),
            free_slots: Vec::new(),
            slots: 0,
            capacity: 0,
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
        let mut documents = PackedDocuments::default();
        prompts.iter().for_each(|prompt| documents.push(prompt, |_| false));
        self.model.check(&documents)?;
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        self.reserve(self.sequences.len() + prompts.len(), longest)?;
        let mut places = Vec::with_capacity(documents.tokens.len());
        let mut last_rows = Vec::with_capacity(prompts.len());
        for document in &documents.documents {
            // `reserve` made sure that there is a slot for every sequence.
            let Some(slot) = self.free_slots.pop() else { break };
            self.sequences.push(Sequence { slot, length: document.rows.len() });
            places.extend((0..document.rows.len()).map(|position| (slot, position)));
            last_rows.push(document.rows.end - 1);
        }
        let attention = Attention::Documents(&documents.documents);
        in_pool(|| {
            let hidden = self.blocks(&documents.tokens, &documents.positions, &places, &attention)?;
            self.logits(&*embedding::gather(&hidden, &last_rows)?)
        })
    }

    /// Appends one token to every sequence; returns the next logits, row by row.
    pub fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        if tokens.len() != self.sequences.len() {
            let message = format!("expected one token for each of {} sequences, got {}", self.rows(), tokens.len());
            return Err(ModelError::input(message));
        }
        let mut documents = PackedDocuments { tokens: tokens.to_vec(), ..Default::default() };
        self.model.check(&documents)?;
        let longest = self.sequences.iter().map(|sequence| sequence.length + 1).max().unwrap_or(0);
        let limit = self.model.config().max_position_embeddings;
        if longest > limit {
            return Err(ModelError::input(format!(
                "a sequence of {longest} tokens: {} is {limit}",
                self.model.config().length_limit
            )));
        }
        self.reserve(self.sequences.len(), longest)?;
        documents.positions = self.sequences.iter().map(|sequence| sequence.length as u32).collect();
        let places: Vec<_> = self.sequences.iter().map(|sequence| (sequence.slot, sequence.length)).collect();
        let attention =
            Attention::Cache(self.sequences.iter().map(|sequence| (sequence.slot, sequence.length + 1)).collect());
        let logits = in_pool(|| {
            let hidden = self.blocks(tokens, &documents.positions, &places, &attention)?;
            self.logits(&hidden)
        })?;
        self.sequences.iter_mut().for_each(|sequence| sequence.length += 1);
        Ok(logits)
    }

    /// Drops the sequences whose entry is false; the others keep their order.
    pub fn retain(&mut self, keep: &[bool]) {
        let sequences = std::mem::take(&mut self.sequences);
        for (row, sequence) in sequences.into_iter().enumerate() {
            if keep.get(row).copied().unwrap_or(false) {
                self.sequences.push(sequence);
            } else {
                self.free_slots.push(sequence.slot);
            }
        }
    }

    fn blocks(
        &self,
        tokens: &[u32],
        positions: &[u32],
        places: &[(usize, usize)],
        attention: &Attention<'_>,
    ) -> Result<Scratch, ModelError> {
        let (config, weights) = (self.model.config(), &self.model.weights);
        let heads = config.heads();
        let mut x = self.model.embedded(tokens, self.adapter)?;
        let factor = config.multipliers.residual as f32;
        for (index, (block, layer)) in weights.blocks.iter().zip(&self.layers).enumerate() {
            let project = |projection: Projection, x: &Tensor, onto: Option<Scratch>| {
                let linear = &layer.linears[projection.index()];
                match onto {
                    Some(y) if factor != 1.0 || !linear.is_added() => {
                        residual::forward::<f32>(&*linear.forward(x, None)?, factor, &y)?;
                        candle_core::Result::Ok(y)
                    }
                    onto => linear.forward(x, onto),
                }
            };
            let (n1, _) = rms_norm::forward::<f32, f32>(&x, &block.input_norm, config.rms_norm_eps)?;
            let q = project(Projection::QProj, &n1, None)?;
            let k = project(Projection::KProj, &n1, None)?;
            let v = project(Projection::VProj, &n1, None)?;
            let (q, k) = match &block.head_norms {
                Some(norms) => (
                    rms_norm::forward::<f32, f32>(&q, &norms.query, config.rms_norm_eps)?.0,
                    rms_norm::forward::<f32, f32>(&k, &norms.key, config.rms_norm_eps)?.0,
                ),
                None => (q, k),
            };
            if !config.no_rope_layers.contains(&index) {
                self.model.rope.forward::<f32>(&q, positions)?;
                self.model.rope.forward::<f32>(&k, positions)?;
            }
            attention::store(&k, places, &layer.keys)?;
            attention::store(&v, places, &layer.values)?;
            let o = match attention {
                Attention::Documents(documents) => attention::forward::<f32>(&q, &k, &v, documents, heads)?.0,
                Attention::Cache(sequences) => attention::decode(&q, &layer.keys, &layer.values, sequences, heads)?,
            };
            x = project(Projection::OProj, &o, Some(x))?;
            let (n2, _) = rms_norm::forward::<f32, f32>(&x, &block.post_attention_norm, config.rms_norm_eps)?;
            let gate = project(Projection::GateProj, &n2, None)?;
            let up = project(Projection::UpProj, &n2, None)?;
            let product = swiglu::forward::<f32>(&gate, &up)?;
            x = project(Projection::DownProj, &product, Some(x))?;
        }
        Ok(x)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Vec<f32>, ModelError> {
        let config = self.model.config();
        let (h, _) = rms_norm::forward::<f32, f32>(hidden, &self.model.output_norm()?, config.rms_norm_eps)?;
        let logits = Scratch::arbitrary((h.dims2()?.0, config.vocab_size), h.device())?;
        linear::forward_prepared(&h, &self.output, Onto::Nothing, &logits)?;
        if let Some(update) = &self.output_update {
            update.forward(&h, &logits)?;
        }
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// Makes room for `sequences` sequences of `length` tokens.
    fn reserve(&mut self, sequences: usize, length: usize) -> Result<(), ModelError> {
        if sequences <= self.slots && length <= self.capacity {
            return Ok(());
        }
        let limit = self.model.config().max_position_embeddings;
        let capacity =
            if length <= self.capacity { self.capacity } else { length.next_power_of_two().max(64).min(limit) };
        let slots = sequences.max(self.slots);
        let width = self.model.config().key_value_width();
        for layer in &mut self.layers {
            for cache in [&mut layer.keys, &mut layer.values] {
                let larger = Tensor::zeros((slots, capacity, width), DType::F32, self.model.device())?;
                attention::move_cache(cache, &larger)?;
                *cache = larger;
            }
        }
        self.free_slots.extend((self.slots..slots).rev());
        (self.slots, self.capacity) = (slots, capacity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::{perturbed, perturbed_adapter, small_lora, small_model};
    use crate::{
        Generation, GenerationOptions, GenerationRequest, GenerationSink, LoraConfig, ModuleNames, ModuleToSave,
        generate,
    };

    fn prompts() -> Vec<Vec<u32>> {
        (0..40u32).map(|i| (0..3 + i % 17).map(|j| (i * 31 + j * j * 7 + 1) % 90).collect()).collect()
    }

    #[test]
    fn prefill_and_decode_equal_the_trainers_forward() -> Result<(), ModelError> {
        let model = small_model(1)?;
        decoding_equals_the_trainers_forward(&model, perturbed_adapter(&model)?)
    }

    #[test]
    fn weights_widened_for_each_product_give_the_same_bits() -> Result<(), ModelError> {
        let model = small_model(1)?;
        let adapter = perturbed_adapter(&model)?;
        let decoded = |bytes_max| -> Result<Vec<Vec<f32>>, ModelError> {
            let mut session = DecodeSession::widening(&model, Some(&adapter), bytes_max)?;
            Ok(vec![session.prefill(&[&[5, 6, 7], &[8, 9]])?, session.step(&[1, 2])?])
        };
        assert_eq!(decoded(0)?, decoded(usize::MAX)?);
        Ok(())
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
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let error = norm(&mut got.iter().zip(expected).map(|(got, expected)| got - expected));
        let relative = error / norm(&mut expected.iter().copied());
        assert_eq!(got.len(), expected.len());
        assert!(relative < 2e-5, "{relative:e}");
        Ok(())
    }

    /// Keeps completions in the requests' order, up to a number.
    struct Collected {
        wanted: usize,
        generations: Vec<Option<Generation>>,
    }

    impl GenerationSink for Collected {
        fn accept(&mut self, request: usize, generation: Generation) {
            self.generations[request] = Some(generation);
        }

        fn wants_more(&mut self) -> bool {
            self.generations.iter().flatten().count() < self.wanted
        }
    }

    #[test]
    fn the_batch_changes_no_token() -> Result<(), ModelError> {
        let model = small_model(2)?;
        let adapter = perturbed_adapter(&model)?;
        let requests: Vec<_> = prompts()
            .into_iter()
            .enumerate()
            .map(|(i, prompt)| GenerationRequest { prompt, stream: i as u64 % 7 })
            .collect();
        let options = GenerationOptions { max_new_tokens: 24, temperature: 0.9, top_p: 0.95, seed: 5 };
        let run = |requests: &[GenerationRequest], rows, wanted| {
            let mut sink = Collected { wanted, generations: vec![None; requests.len()] };
            generate(&model, Some(&adapter), requests, &options, &[3, 4], rows, &mut sink)?;
            Ok::<Vec<Generation>, ModelError>(sink.generations.into_iter().flatten().collect())
        };
        let alone = run(&requests, 1, requests.len())?;
        assert_eq!(alone.len(), requests.len());
        let some = run(&requests, 1, 2)?;
        assert_eq!(some, alone[..2], "nothing is decoded after the sink wants no more");
        assert!(alone.iter().any(|completion| completion.finished));
        assert!(alone.iter().any(|completion| completion.tokens.len() == 24 && !completion.finished));
        for rows in [3, 32] {
            assert_eq!(run(&requests, rows, requests.len())?, alone, "{rows} rows");
        }
        let reversed: Vec<_> = requests.iter().rev().cloned().collect();
        let mut reordered = run(&reversed, 5, requests.len())?;
        reordered.reverse();
        assert_eq!(reordered, alone);
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

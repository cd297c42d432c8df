//! One forward pass over parts of many sequences, whose earlier keys and values lie in blocks.
//!
//! On the CPU a row's numbers are the bits of the trainer's forward pass over its whole sequence, however that is cut into
//! parts, whatever else is in the pass and whatever adapters the other sequences have. The weights stay as they are
//! stored. Rows of one adapter stand side by side: the product of the base is one, and each adapter's update is added to
//! its rows before anything is rounded.

use std::collections::HashSet;
use std::ops::Range;

use candle_core::Tensor;
use half::bf16;

use super::block::{Block, effective};
use super::linear::{PreparedUpdate, UpdatedRows, add_updates};
use super::{
    Adapter, BlockNorm, ComputeType, KeyValueBlocks, Model, ModelConfig, ModelError, ModuleToSave, Projection,
};
use hilora_kernels::attention::CachedSpan;
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Onto};
use hilora_kernels::lora::PreparedFactors;
use hilora_kernels::scratch::{self, Scratch};
use hilora_kernels::{columns, embedding, in_pool, residual, rms_norm};

/// A pass of at most so many tokens is taken for one that decodes.
const DECODED_ROWS: usize = 64;

/// For which tokens of a span logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// None: a part of a prompt that goes on.
    None,
    /// The last.
    Last,
    /// All.
    All,
}

/// A part of one sequence in a pass.
#[derive(Debug, Clone, Copy)]
pub struct Span<'s> {
    /// Its tokens.
    pub tokens: &'s [u32],
    /// Tokens of the sequence that the cache holds already.
    pub start: usize,
    /// The sequence's blocks in the cache, in order, with room for the new tokens.
    pub blocks: &'s [u32],
    /// Which of the pass's adapters; `None` is the base.
    pub adapter: Option<usize>,
    /// For which of the tokens logits are wanted.
    pub logits: LogitRows,
}

/// A model and adapters, ready for passes.
pub struct InferencePass<'a> {
    model: &'a Model,
    adapters: Vec<&'a Adapter>,
    updates: Updates<'a>,
}

/// The adapters' updates in the model's compute type.
enum Updates<'a> {
    F32(Vec<PreparedAdapter<'a, f32>>),
    Bf16(Vec<PreparedAdapter<'a, bf16>>),
}

/// The updates of one adapter.
struct PreparedAdapter<'a, T> {
    layers: Vec<[Option<PreparedUpdate<'a, T>>; Projection::ALL.len()]>,
    head: Option<PreparedFactors<'a, T>>,
}

impl<'a, T: Element> PreparedAdapter<'a, T> {
    fn new(model: &Model, adapter: &'a Adapter) -> Result<Self, ModelError> {
        let layers = model.weights.blocks.iter().enumerate().map(|(layer, block)| {
            let mut updates = [const { None }; Projection::ALL.len()];
            for &projection in model.config().projections() {
                if let Some(update) = adapter.update(layer, projection) {
                    updates[projection.index()] = Some(block.linear(projection)?.prepare(update)?);
                }
            }
            Ok(updates)
        });
        let head = adapter.table_update(ModuleToSave::LmHead);
        Ok(Self {
            layers: layers.collect::<Result<_, ModelError>>()?,
            head: head.map(|module| PreparedFactors::new(module.factors())).transpose()?,
        })
    }
}

/// Rows that follow one another and have the same adapter.
#[derive(Debug, Clone)]
struct Group {
    rows: Range<usize>,
    adapter: Option<usize>,
}

/// The spans of a pass, those of one adapter side by side.
struct Rows<'s> {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    spans: Vec<CachedSpan<'s>>,
    groups: Vec<Group>,
    /// The rows whose logits are wanted, in the order of rows, and the place of each in the result.
    wanted: Vec<(usize, usize)>,
}

impl<'s> Rows<'s> {
    fn new(spans: &[Span<'s>]) -> Self {
        let rows = |span: &Span<'_>| match span.logits {
            LogitRows::None => 0..0,
            LogitRows::Last => span.tokens.len() - 1..span.tokens.len(),
            LogitRows::All => 0..span.tokens.len(),
        };
        let mut places = Vec::with_capacity(spans.len());
        let mut place = 0;
        for span in spans {
            places.push(place);
            place += rows(span).len();
        }
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|index| spans[*index].adapter);
        let mut sorted = Self {
            tokens: Vec::new(),
            positions: Vec::new(),
            spans: Vec::with_capacity(spans.len()),
            groups: Vec::new(),
            wanted: Vec::with_capacity(place),
        };
        for index in order {
            let (span, first) = (&spans[index], sorted.tokens.len());
            sorted.tokens.extend_from_slice(span.tokens);
            sorted.positions.extend((span.start..).take(span.tokens.len()).map(|position| position as u32));
            let end = sorted.tokens.len();
            sorted.spans.push(CachedSpan { rows: first..end, start: span.start, blocks: span.blocks });
            match sorted.groups.last_mut() {
                Some(group) if group.adapter == span.adapter => group.rows.end = end,
                _ => sorted.groups.push(Group { rows: first..end, adapter: span.adapter }),
            }
            sorted.wanted.extend(rows(span).zip(places[index]..).map(|(row, place)| (first + row, place)));
        }
        sorted
    }

    /// Of the rows whose logits are wanted, those of each adapter.
    fn wanted_groups(&self) -> Vec<Group> {
        let count = |end: usize| self.wanted.partition_point(|(row, _)| *row < end);
        let groups = self
            .groups
            .iter()
            .map(|group| Group { rows: count(group.rows.start)..count(group.rows.end), adapter: group.adapter });
        groups.filter(|group| !group.rows.is_empty()).collect()
    }
}

/// Some rows of a tensor.
fn part(tensor: &Tensor, rows: &Range<usize>) -> candle_core::Result<Tensor> {
    tensor.narrow(0, rows.start, rows.len())
}

impl<'a> InferencePass<'a> {
    /// Makes a model and adapters ready; the shapes of the adapters are checked against the model.
    pub fn new(model: &'a Model, adapters: &[&'a Adapter]) -> Result<Self, ModelError> {
        for adapter in adapters {
            adapter.check_against(model.config())?;
        }
        let updates = match model.compute_type() {
            ComputeType::F32 => Updates::F32(prepared(model, adapters)?),
            ComputeType::Bf16 => Updates::Bf16(prepared(model, adapters)?),
        };
        Ok(Self { model, adapters: adapters.to_vec(), updates })
    }

    /// Runs spans and keeps their keys and values in their blocks. Returns the logits that are wanted, [rows, vocabulary] row
    /// by row, in the order of the spans.
    ///
    /// All spans' keys are in their blocks before any of them is attended to: a span may read what another writes. No two
    /// may write the same block.
    pub fn forward(&self, cache: &mut KeyValueBlocks, spans: &[Span<'_>]) -> Result<Vec<f32>, ModelError> {
        self.check(cache, spans)?;
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let rows = Rows::new(spans);
        // Rows that decode come and go one by one, and their results are small; those of a prompt are not kept for others.
        let tokens = rows.tokens.len();
        scratch::begin_pass(if tokens <= DECODED_ROWS { tokens.next_power_of_two() } else { tokens }, 0);
        in_pool(|| match &self.updates {
            Updates::F32(adapters) => self.run(adapters, cache, &rows),
            Updates::Bf16(adapters) => self.run(adapters, cache, &rows),
        })
    }

    fn check(&self, cache: &KeyValueBlocks, spans: &[Span<'_>]) -> Result<(), ModelError> {
        let config = self.model.config();
        let wrong = |message: String| Err(ModelError::input(message));
        cache.check_model(self.model)?;
        let mut written = HashSet::new();
        for span in spans {
            let (length, end) = (span.tokens.len(), span.start + span.tokens.len());
            if length == 0 {
                return wrong("a span: expected at least one token, got none".to_owned());
            }
            self.model.check_tokens(span.tokens)?;
            self.model.check_length(end)?;
            let room = span.blocks.len() * KeyValueBlocks::BLOCK_TOKENS;
            if room < end {
                let blocks = end.div_ceil(KeyValueBlocks::BLOCK_TOKENS);
                return wrong(format!(
                    "a sequence of {end} tokens: expected {blocks} blocks, got {}",
                    span.blocks.len()
                ));
            }
            span.blocks.iter().try_for_each(|block| cache.check_block(*block))?;
            if let Some(adapter) = span.adapter.filter(|adapter| *adapter >= self.adapters.len()) {
                return wrong(format!("adapter {adapter}: the pass has {}", self.adapters.len()));
            }
            let first = span.start / KeyValueBlocks::BLOCK_TOKENS;
            let last = end.div_ceil(KeyValueBlocks::BLOCK_TOKENS);
            if let Some(block) = span.blocks[first..last].iter().find(|block| !written.insert(**block)) {
                return wrong(format!(
                    "block {block}: two spans of a pass write it; expected a block of its own for each"
                ));
            }
        }
        debug_assert_eq!(config.num_hidden_layers, cache.layers.len());
        Ok(())
    }

    fn adapter(&self, group: &Group) -> Option<&'a Adapter> {
        group.adapter.map(|adapter| self.adapters[adapter])
    }

    fn run<T: Element>(
        &self,
        adapters: &[PreparedAdapter<'a, T>],
        cache: &KeyValueBlocks,
        rows: &Rows<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let mut x = self.embedded(rows)?;
        for (index, block) in self.model.weights.blocks.iter().enumerate() {
            let layer = LayerPass { model: self.model, block, index, adapters, groups: &rows.groups };
            x = layer.forward(x, cache, rows)?;
        }
        if rows.wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.logits(adapters, &x, rows)
    }

    /// The beginning of the residual stream.
    fn embedded(&self, rows: &Rows<'_>) -> Result<Scratch, ModelError> {
        if let [group] = &rows.groups[..] {
            return self.model.embedded(&rows.tokens, self.adapter(group));
        }
        let config = self.model.config();
        let x = Scratch::arbitrary((rows.tokens.len(), config.hidden_size), self.model.device())?;
        for group in &rows.groups {
            let part = self.model.embedded(&rows.tokens[group.rows.clone()], self.adapter(group))?;
            x.slice_set(&part, 0, group.rows.start)?;
        }
        Ok(x)
    }

    fn logits<T: Element>(
        &self,
        adapters: &[PreparedAdapter<'a, T>],
        x: &Tensor,
        rows: &Rows<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let config = self.model.config();
        let wanted: Vec<usize> = rows.wanted.iter().map(|(row, _)| *row).collect();
        let x = embedding::gather(x, &wanted)?;
        let (h, _) = rms_norm::forward::<f32, T>(&x, &self.model.output_norm()?, config.rms_norm_eps)?;
        let logits = Scratch::arbitrary((wanted.len(), config.vocab_size), h.device())?;
        let groups = rows.wanted_groups();
        // Groups that have the same table, the base's or their own, are one product.
        let output = |group: &Group| self.model.output(self.adapter(group));
        for groups in groups.chunk_by(|a, b| std::ptr::eq(output(a), output(b))) {
            let (first, last) = (&groups[0], &groups[groups.len() - 1]);
            let rows = first.rows.start..last.rows.end;
            let (h, logits) = (part(&h, &rows)?, part(&logits, &rows)?);
            linear::forward::<T, f32>(&h, output(first), None, Onto::Nothing, &logits)?;
        }
        for group in &groups {
            if let Some(head) = group.adapter.and_then(|adapter| adapters[adapter].head.as_ref()) {
                head.forward(&part(&h, &group.rows)?, &part(&logits, &group.rows)?)?;
            }
        }
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        if rows.wanted.iter().enumerate().all(|(index, (_, place))| index == *place) {
            return Ok(logits);
        }
        let mut ordered = vec![0.0; logits.len()];
        for (row, (_, place)) in logits.chunks_exact(config.vocab_size).zip(&rows.wanted) {
            ordered[place * config.vocab_size..(place + 1) * config.vocab_size].copy_from_slice(row);
        }
        Ok(ordered)
    }
}

fn prepared<'a, T: Element>(
    model: &Model,
    adapters: &[&'a Adapter],
) -> Result<Vec<PreparedAdapter<'a, T>>, ModelError> {
    adapters.iter().map(|adapter| PreparedAdapter::new(model, adapter)).collect()
}

/// A block in a pass.
struct LayerPass<'p, 'a, T> {
    model: &'p Model,
    block: &'p Block,
    index: usize,
    adapters: &'p [PreparedAdapter<'a, T>],
    groups: &'p [Group],
}

impl<T: Element> LayerPass<'_, '_, T> {
    fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    fn update(&self, projection: Projection, group: &Group) -> Option<&PreparedUpdate<'_, T>> {
        self.adapters[group.adapter?].layers[self.index][projection.index()].as_ref()
    }

    /// The block's output; its input is taken.
    fn forward(&self, x: Scratch, cache: &KeyValueBlocks, rows: &Rows<'_>) -> Result<Scratch, ModelError> {
        let (config, block, heads) = (self.config(), self.block, self.config().heads_of(self.index));
        let (n1, _) = block.input::<T>(BlockNorm::AttentionInput, &x, config)?;
        let [q, k, v] = if block.has(Projection::QkvProj) {
            columns::split::<T, 3>(&*self.project(Projection::QkvProj, &n1)?, heads.widths())?
        } else {
            let [q, k, v] = [Projection::QProj, Projection::KProj, Projection::VProj];
            [self.project(q, &n1)?, self.project(k, &n1)?, self.project(v, &n1)?]
        };
        let (q, k) = match &block.head_norms {
            Some(norms) => (self.normed(&q, &norms.query)?, self.normed(&k, &norms.key)?),
            None => (q, k),
        };
        if let Some(rope) = self.model.ropes.of(self.index) {
            rope.forward::<T>(&q, &rows.positions)?;
            rope.forward::<T>(&k, &rows.positions)?;
        }
        let cache = &cache.layers[self.index];
        cache.store::<T>(&k, &v, &rows.spans, heads)?;
        let o = cache.attend::<T>(&q, &rows.spans, heads)?;
        self.add(Projection::OProj, &o, &x, self.groups)?;
        let (n2, _) = block.input::<T>(BlockNorm::MlpInput, &x, config)?;
        let [gate, up] = if block.has(Projection::GateUpProj) {
            let both = self.project(Projection::GateUpProj, &n2)?;
            columns::split::<T, 2>(&both, [both.dims2()?.1 / 2; 2])?
        } else {
            [self.project(Projection::GateProj, &n2)?, self.project(Projection::UpProj, &n2)?]
        };
        let product = config.model_type.activation().forward::<T>(&gate, &up)?;
        self.add(Projection::DownProj, &product, &x, self.groups)?;
        Ok(x)
    }

    fn normed(&self, x: &Tensor, weight: &Tensor) -> candle_core::Result<Scratch> {
        let weight = effective(weight, self.config().model_type.norm_offset())?;
        Ok(rms_norm::forward::<T, T>(x, &weight, self.config().rms_norm_eps)?.0)
    }

    /// A layer's result in T.
    fn project(&self, projection: Projection, x: &Tensor) -> candle_core::Result<Scratch> {
        self.project_groups(projection, x, self.groups)
    }

    fn project_groups(&self, projection: Projection, x: &Tensor, groups: &[Group]) -> candle_core::Result<Scratch> {
        self.block.linear(projection)?.forward_groups(x, &self.updates(projection, groups))
    }

    /// The rows of each group, counted from the first group's, with their update.
    fn updates(&self, projection: Projection, groups: &[Group]) -> Vec<UpdatedRows<'_, T>> {
        let first = groups[0].rows.start;
        let rows = |group: &Group| group.rows.start - first..group.rows.end - first;
        groups.iter().map(|group| (rows(group), self.update(projection, group))).collect()
    }

    /// Adds a layer's result to the residual stream x₂ as a training step does (`Block::add`).
    fn add(&self, projection: Projection, x: &Tensor, y: &Tensor, groups: &[Group]) -> candle_core::Result<()> {
        let (config, linear) = (self.config(), self.block.linear(projection)?);
        let (norm, factor) = (self.block.output_norm(projection), config.multipliers.residual as f32);
        let updates = self.updates(projection, groups);
        let is_added =
            |(_, update): &UpdatedRows<'_, T>| norm.is_none() && factor == 1.0 && linear.is_added_with(*update);
        if updates.iter().all(is_added) {
            linear::forward::<T, f32>(x, &linear.weight, None, Onto::Existing, y)?;
            return add_updates(x, y, &updates);
        }
        if updates.iter().any(is_added) {
            // What is rounded before it is added and what is not are different sums.
            return groups.iter().zip(&updates).try_for_each(|(group, (rows, _))| {
                self.add(projection, &part(x, rows)?, &part(y, rows)?, std::slice::from_ref(group))
            });
        }
        let mut addition = self.project_groups(projection, x, groups)?;
        if let Some((_, weight)) = norm {
            addition = self.normed(&addition, weight)?;
        }
        residual::forward::<T>(&addition, factor, y)
    }
}

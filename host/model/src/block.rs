//! The decoder block: x₂ = x + o(attention(rope(q(n₁)), rope(k(n₁)), v(n₁))), y = x₂ + down(silu(gate(n₂)) · up(n₂)),
//! with n₁ = norm(x) and n₂ = norm(x₂); all of them [tokens, width]. In Qwen3 each head of q and k is normalized before
//! rope. Some blocks have no rope, and some families multiply what is added to x and x₂ by a factor.
//!
//! Forward names what it saves; backward consumes it. A checkpointed block saves only x and runs forward again, up to
//! but not including `down`: every operation is deterministic, so the gradients are the same bits.

use candle_core::{DType, Result, Tensor};

use super::linear::{InputGradient, Linear, LinearGradients, Linears, Saved, Update};
use super::{Adapter, Projection};
use hilora_kernels::attention::{self, Document, Heads};
use hilora_kernels::element::Element;
use hilora_kernels::lora::Dropout;
use hilora_kernels::rope::RopeTable;
use hilora_kernels::scratch::Scratch;
use hilora_kernels::{columns, residual, rms_norm, swiglu};

/// The weights of a block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) input_norm: Tensor,
    pub(crate) linears: Linears,
    /// Where the architecture has them.
    pub(crate) head_norms: Option<HeadNorms>,
    pub(crate) post_attention_norm: Tensor,
}

/// The norms of a head of queries and of keys, [head width] each.
#[derive(Debug, Clone)]
pub(crate) struct HeadNorms {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
}

/// What decides the dropout masks of one micro-batch.
#[derive(Debug, Clone, Copy)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// The number of the micro-batch, counted over the whole run.
    pub micro_batch: u32,
}

/// What a pass over packed documents needs beside the weights.
pub(crate) struct Pass<'a> {
    pub(crate) documents: &'a [Document],
    pub(crate) positions: &'a [u32],
    pub(crate) rope: &'a RopeTable,
    /// Blocks that do not turn queries and keys.
    pub(crate) no_rope_layers: &'a [usize],
    /// What a block's additions to the residual stream are multiplied with.
    pub(crate) residual: f32,
    pub(crate) heads: Heads,
    pub(crate) epsilon: f64,
    pub(crate) adapter: Option<&'a Adapter>,
    /// Given in training only.
    pub(crate) dropout: Option<DropoutKey>,
}

/// Where a block's gradients go.
pub(crate) struct BlockGradients<'a> {
    pub(crate) trained: TrainedGradients<'a>,
    /// Whether somebody below needs the gradient of the block's input.
    pub(crate) input: bool,
}

/// Where gradients are added: tensors of the shape of what is trained.
pub(crate) enum TrainedGradients<'a> {
    /// The adapter's.
    Adapter(&'a Adapter),
    /// The block's.
    Block(&'a Block),
}

/// What forward leaves for backward.
pub(crate) struct BlockSaved {
    n1: Scratch,
    rstd1: Scratch,
    /// Queries and keys before their norms.
    unnormed: Option<[Unnormed; 2]>,
    q: Scratch,
    k: Scratch,
    v: Scratch,
    o: Scratch,
    lse: Scratch,
    x2: Scratch,
    n2: Scratch,
    rstd2: Scratch,
    gate: Scratch,
    up: Scratch,
    /// The input of `down`, which is cheaper to compute again than to keep.
    product: Option<Scratch>,
    updates: [Saved; Projection::ALL.len()],
}

/// The input of a head norm and its 1 / root mean square.
struct Unnormed {
    x: Scratch,
    rstd: Scratch,
}

impl BlockSaved {
    /// The input of `down`.
    fn take_product<T: Element>(&mut self) -> Result<Scratch> {
        self.product.take().map_or_else(|| swiglu::forward::<T>(&self.gate, &self.up), Ok)
    }
}

impl HeadNorms {
    /// Normalizes queries and keys; returns what they were too.
    fn forward<T: Element>(&self, q: Scratch, k: Scratch, epsilon: f64) -> Result<(Scratch, Scratch, [Unnormed; 2])> {
        let (q_normed, q_rstd) = rms_norm::forward::<T, T>(&q, &self.query, epsilon)?;
        let (k_normed, k_rstd) = rms_norm::forward::<T, T>(&k, &self.key, epsilon)?;
        Ok((q_normed, k_normed, [Unnormed { x: q, rstd: q_rstd }, Unnormed { x: k, rstd: k_rstd }]))
    }

    /// Turns the gradients of normalized queries and keys into those of their inputs; adds those of the norms to
    /// `into`.
    fn backward<T: Element>(
        &self,
        gradients: [Scratch; 2],
        unnormed: &[Unnormed; 2],
        into: Option<&Self>,
    ) -> Result<[Scratch; 2]> {
        let one = |dy: Scratch, saved: &Unnormed, weight: &Tensor, dw: Option<&Tensor>| {
            if let Some(dw) = dw {
                rms_norm::backward_weight::<T>(&dy, &saved.x, &saved.rstd, dw)?;
            }
            let dx = Scratch::zeros::<T>(saved.x.shape(), saved.x.device())?;
            rms_norm::backward::<T>(&dy, &saved.x, weight, &saved.rstd, &dx)?;
            Result::Ok(dx)
        };
        let [dq, dk] = gradients;
        let [q, k] = unnormed;
        Ok([one(dq, q, &self.query, into.map(|into| &into.query))?, one(dk, k, &self.key, into.map(|into| &into.key))?])
    }
}

impl Adapter {
    /// The update of a layer, without dropout.
    pub(crate) fn update(&self, layer: usize, projection: Projection) -> Option<Update<'_>> {
        let module = self.module(layer, projection)?;
        Some(Update { module, dropout: None })
    }
}

impl<'a> Pass<'a> {
    /// The turn of a block's queries and keys.
    fn rope_of(&self, layer: usize) -> Option<&'a RopeTable> {
        (!self.no_rope_layers.contains(&layer)).then_some(self.rope)
    }

    fn update(&self, layer: usize, projection: Projection) -> Option<Update<'a>> {
        let update = self.adapter?.update(layer, projection)?;
        let probability = self.adapter?.config().lora_dropout;
        let dropout = self.dropout.filter(|_| probability > 0.0).map(|key| Dropout {
            probability,
            seed: key.seed,
            step: key.micro_batch,
            layer: layer as u32,
            module: projection.index() as u32,
        });
        Some(Update { dropout, ..update })
    }
}

impl Block {
    /// Its layers.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.linears.iter().flatten()
    }

    pub(crate) fn linear(&self, projection: Projection) -> Result<&Linear> {
        match &self.linears[projection.index()] {
            Some(linear) => Ok(linear),
            None => candle_core::bail!("a block without {projection}"),
        }
    }

    /// Whether it has a layer.
    pub(crate) fn has(&self, projection: Projection) -> bool {
        self.linears[projection.index()].is_some()
    }

    /// Everything up to the input of `down`; x is in f32, and activations are kept in T.
    pub(crate) fn forward_saved<T: Element>(&self, layer: usize, x: &Tensor, pass: &Pass<'_>) -> Result<BlockSaved> {
        let mut updates: [Saved; Projection::ALL.len()] = Default::default();
        let mut project = |projection: Projection, x: &Tensor| {
            let (y, saved) = self.linear(projection)?.forward::<T>(x, pass.update(layer, projection))?;
            updates[projection.index()] = saved;
            Result::Ok(y)
        };
        let (n1, rstd1) = rms_norm::forward::<f32, T>(x, &self.input_norm, pass.epsilon)?;
        let [q, k, v] = if self.has(Projection::QkvProj) {
            columns::split::<T, 3>(&*project(Projection::QkvProj, &n1)?, pass.heads.widths())?
        } else {
            [project(Projection::QProj, &n1)?, project(Projection::KProj, &n1)?, project(Projection::VProj, &n1)?]
        };
        let (q, k, unnormed) = match &self.head_norms {
            Some(norms) => {
                let (q, k, unnormed) = norms.forward::<T>(q, k, pass.epsilon)?;
                (q, k, Some(unnormed))
            }
            None => (q, k, None),
        };
        if let Some(rope) = pass.rope_of(layer) {
            rope.forward::<T>(&q, pass.positions)?;
            rope.forward::<T>(&k, pass.positions)?;
        }
        let (o, lse) = attention::forward::<T>(&q, &k, &v, pass.documents, pass.heads)?;
        let x2 = Scratch::copy_of(x)?;
        let output = Projection::OProj;
        updates[output.index()] = self.add::<T>(output, &o, pass.update(layer, output), pass.residual, &x2)?;
        let (n2, rstd2) = rms_norm::forward::<f32, T>(&x2, &self.post_attention_norm, pass.epsilon)?;
        let mut project = |projection: Projection, x: &Tensor| {
            let (y, saved) = self.linear(projection)?.forward::<T>(x, pass.update(layer, projection))?;
            updates[projection.index()] = saved;
            Result::Ok(y)
        };
        let [gate, up] = if self.has(Projection::GateUpProj) {
            let both = project(Projection::GateUpProj, &n2)?;
            columns::split::<T, 2>(&both, [both.dims2()?.1 / 2; 2])?
        } else {
            [project(Projection::GateProj, &n2)?, project(Projection::UpProj, &n2)?]
        };
        let product = Some(swiglu::forward::<T>(&gate, &up)?);
        Ok(BlockSaved { n1, rstd1, unnormed, q, k, v, o, lse, x2, n2, rstd2, gate, up, product, updates })
    }

    /// Adds a layer's result, times a factor, to the residual stream.
    fn add<T: Element>(
        &self,
        projection: Projection,
        x: &Tensor,
        update: Option<Update<'_>>,
        factor: f32,
        y: &Tensor,
    ) -> Result<Saved> {
        let linear = self.linear(projection)?;
        if factor == 1.0 && linear.bias.is_none() {
            return linear.forward_onto::<T>(x, update, y);
        }
        let (addition, saved) = linear.forward::<T>(x, update)?;
        residual::forward::<T>(&addition, factor, y)?;
        Ok(saved)
    }

    /// The block's output from what `forward_saved` left; of that the input of `down` is given back.
    pub(crate) fn output<T: Element>(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<Scratch> {
        let down = Projection::DownProj;
        let y = Scratch::copy_of(&saved.x2)?;
        let product = saved.take_product::<T>()?;
        let update = self.add::<T>(down, &product, pass.update(layer, down), pass.residual, &y)?;
        saved.updates[down.index()] = update;
        Ok(y)
    }

    /// t of `down`'s adapter, which a checkpointed block needs although it skips `down` itself.
    pub(crate) fn restore_down<T: Element>(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<()> {
        let down = Projection::DownProj;
        if let Some(update) = pass.update(layer, down) {
            let product = saved.take_product::<T>()?;
            saved.updates[down.index()] = Some(update.inner_product::<T>(&product)?);
            saved.product = Some(product);
        }
        Ok(())
    }

    /// Turns the gradient of the output into that of the input; `None` if nobody needs it.
    pub(crate) fn backward<T: Element>(
        &self,
        layer: usize,
        dy: Scratch,
        x: &Tensor,
        mut saved: BlockSaved,
        pass: &Pass<'_>,
        into: &BlockGradients<'_>,
    ) -> Result<Option<Scratch>> {
        let product = saved.take_product::<T>()?;
        let saved = saved;
        let tokens = x.dims2()?.0;
        let like = |tensor: &Tensor| Scratch::of::<T>((tokens, tensor.dims2()?.1), tensor.device());
        let propagate = |projection: Projection, dy: &Tensor, x: &Tensor, dx: Option<InputGradient<'_>>| {
            let into = match &into.trained {
                TrainedGradients::Block(block) => LinearGradients::Weight(block.linear(projection)?),
                TrainedGradients::Adapter(adapter) => {
                    match (pass.update(layer, projection), adapter.module(layer, projection)) {
                        (Some(update), Some(module)) => LinearGradients::Update(update, module),
                        _ => LinearGradients::None,
                    }
                }
            };
            self.linear(projection)?.backward::<T>(dy, x, &saved.updates[projection.index()], into, dx)
        };

        // Where activations are f32 the gradient of the output is one already.
        let rounded = |dy: &Tensor| match T::DTYPE {
            _ if pass.residual != 1.0 => residual::backward::<T>(dy, pass.residual).map(Some),
            DType::F32 => Result::Ok(None),
            _ => Scratch::converted::<f32, T>(dy).map(Some),
        };
        let d_down = rounded(&dy)?;
        // The gradient of `down`'s input takes that input's place: it is written when the other has been read.
        let d_product = &product;
        propagate(
            Projection::DownProj,
            d_down.as_deref().unwrap_or(&dy),
            &product,
            Some(InputGradient::Written(d_product)),
        )?;
        drop(d_down);
        swiglu::backward::<T>(d_product, &saved.gate, &saved.up)?;
        drop(product);
        let d_n2 = Scratch::arbitrary(x.shape(), x.device())?;
        let target = |accumulate: bool| Some(InputGradient::Summed { dx: &d_n2, accumulate });
        if self.has(Projection::GateUpProj) {
            let both = columns::join::<T, 2>([&saved.gate, &saved.up])?;
            propagate(Projection::GateUpProj, &both, &saved.n2, target(false))?;
        } else {
            propagate(Projection::GateProj, &saved.gate, &saved.n2, target(false))?;
            propagate(Projection::UpProj, &saved.up, &saved.n2, target(true))?;
        }
        if let TrainedGradients::Block(into) = &into.trained {
            rms_norm::backward_weight::<f32>(&d_n2, &saved.x2, &saved.rstd2, &into.post_attention_norm)?;
        }
        let dx2 = dy;
        rms_norm::backward::<f32>(&d_n2, &saved.x2, &self.post_attention_norm, &saved.rstd2, &dx2)?;

        let d_o = like(&saved.o)?;
        let d_output = rounded(&dx2)?;
        propagate(
            Projection::OProj,
            d_output.as_deref().unwrap_or(&dx2),
            &saved.o,
            Some(InputGradient::Written(&d_o)),
        )?;
        drop(d_output);
        let forward =
            attention::Backward { q: &saved.q, k: &saved.k, v: &saved.v, o: &saved.o, lse: &saved.lse, d_o: &d_o };
        let (dq, dk, dv) = attention::backward::<T>(&forward, pass.documents, pass.heads)?;
        if let Some(rope) = pass.rope_of(layer) {
            rope.backward::<T>(&dq, pass.positions)?;
            rope.backward::<T>(&dk, pass.positions)?;
        }
        let [dq, dk] = match (&self.head_norms, &saved.unnormed) {
            (Some(norms), Some(unnormed)) => {
                let into = match &into.trained {
                    TrainedGradients::Block(block) => block.head_norms.as_ref(),
                    TrainedGradients::Adapter(_) => None,
                };
                norms.backward::<T>([dq, dk], unnormed, into)?
            }
            _ => [dq, dk],
        };
        let d_n1 = d_n2;
        let target = |accumulate: bool| into.input.then_some(InputGradient::Summed { dx: &d_n1, accumulate });
        if self.has(Projection::QkvProj) {
            let all = columns::join::<T, 3>([&dq, &dk, &dv])?;
            propagate(Projection::QkvProj, &all, &saved.n1, target(false))?;
        } else {
            propagate(Projection::QProj, &dq, &saved.n1, target(false))?;
            propagate(Projection::KProj, &dk, &saved.n1, target(true))?;
            propagate(Projection::VProj, &dv, &saved.n1, target(true))?;
        }
        if !into.input {
            return Ok(None);
        }
        if let TrainedGradients::Block(into) = &into.trained {
            rms_norm::backward_weight::<f32>(&d_n1, x, &saved.rstd1, &into.input_norm)?;
        }
        let dx = dx2;
        rms_norm::backward::<f32>(&d_n1, x, &self.input_norm, &saved.rstd1, &dx)?;
        Ok(Some(dx))
    }
}

//! The decoder block: x₂ = x + o(attention(rope(q(n₁)), rope(k(n₁)), v(n₁))), y = x₂ + down(silu(gate(n₂)) · up(n₂)),
//! with n₁ = norm(x) and n₂ = norm(x₂); all of them [tokens, width]. In Qwen3 each head of q and k is normalized before
//! rope.
//!
//! Forward names what it saves; backward consumes it. A checkpointed block saves only x and runs forward again, up to
//! but not including `down`: every operation is deterministic, so the gradients are the same bits.

use candle_core::{Result, Tensor};

use super::linear::{Linear, LinearGradients, Linears, Saved, Update};
use super::{Adapter, Projection};
use crate::kernels::attention::{self, Document, Heads};
use crate::kernels::lora::Dropout;
use crate::kernels::rope::RopeTable;
use crate::kernels::scratch::Scratch;
use crate::kernels::{rms_norm, swiglu};

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
pub(crate) struct DropoutKey {
    pub(crate) seed: u64,
    pub(crate) micro_batch: u32,
}

/// What a pass over packed documents needs beside the weights.
pub(crate) struct Pass<'a> {
    pub(crate) documents: &'a [Document],
    pub(crate) positions: &'a [u32],
    pub(crate) rope: &'a RopeTable,
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
    product: Scratch,
    updates: [Saved; Projection::ALL.len()],
}

/// The input of a head norm and its 1 / root mean square.
struct Unnormed {
    x: Scratch,
    rstd: Scratch,
}

impl HeadNorms {
    /// Normalizes queries and keys; returns what they were too.
    fn forward(&self, q: Scratch, k: Scratch, epsilon: f64) -> Result<(Scratch, Scratch, [Unnormed; 2])> {
        let (q_normed, q_rstd) = rms_norm::forward(&q, &self.query, epsilon)?;
        let (k_normed, k_rstd) = rms_norm::forward(&k, &self.key, epsilon)?;
        Ok((q_normed, k_normed, [Unnormed { x: q, rstd: q_rstd }, Unnormed { x: k, rstd: k_rstd }]))
    }

    /// Turns the gradients of normalized queries and keys into those of their inputs; adds those of the norms to
    /// `into`.
    fn backward(&self, gradients: [Scratch; 2], unnormed: &[Unnormed; 2], into: Option<&Self>) -> Result<[Scratch; 2]> {
        let one = |dy: Scratch, saved: &Unnormed, weight: &Tensor, dw: Option<&Tensor>| {
            if let Some(dw) = dw {
                rms_norm::backward_weight(&dy, &saved.x, &saved.rstd, dw)?;
            }
            let dx = Scratch::zeros(saved.x.shape(), saved.x.device())?;
            rms_norm::backward(&dy, &saved.x, weight, &saved.rstd, &dx)?;
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
        Some(Update { module, scale: self.config().scale(), dropout: None })
    }
}

impl<'a> Pass<'a> {
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
    pub(crate) fn linear(&self, projection: Projection) -> &Linear {
        &self.linears[projection.index()]
    }

    /// Everything up to the input of `down`.
    pub(crate) fn forward_saved(&self, layer: usize, x: &Tensor, pass: &Pass<'_>) -> Result<BlockSaved> {
        let mut updates: [Saved; Projection::ALL.len()] = Default::default();
        let mut project = |projection: Projection, x: &Tensor, onto: Option<Scratch>| {
            let (y, saved) = self.linear(projection).forward(x, pass.update(layer, projection), onto)?;
            updates[projection.index()] = saved;
            Result::Ok(y)
        };
        let (n1, rstd1) = rms_norm::forward(x, &self.input_norm, pass.epsilon)?;
        let q = project(Projection::QProj, &n1, None)?;
        let k = project(Projection::KProj, &n1, None)?;
        let v = project(Projection::VProj, &n1, None)?;
        let (q, k, unnormed) = match &self.head_norms {
            Some(norms) => {
                let (q, k, unnormed) = norms.forward(q, k, pass.epsilon)?;
                (q, k, Some(unnormed))
            }
            None => (q, k, None),
        };
        pass.rope.forward(&q, pass.positions)?;
        pass.rope.forward(&k, pass.positions)?;
        let (o, lse) = attention::forward(&q, &k, &v, pass.documents, pass.heads)?;
        let x2 = project(Projection::OProj, &o, Some(Scratch::copy_of(x)?))?;
        let (n2, rstd2) = rms_norm::forward(&x2, &self.post_attention_norm, pass.epsilon)?;
        let gate = project(Projection::GateProj, &n2, None)?;
        let up = project(Projection::UpProj, &n2, None)?;
        let product = swiglu::forward(&gate, &up)?;
        Ok(BlockSaved { n1, rstd1, unnormed, q, k, v, o, lse, x2, n2, rstd2, gate, up, product, updates })
    }

    /// The block's output from what `forward_saved` left.
    pub(crate) fn output(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<Scratch> {
        let down = Projection::DownProj;
        let residual = Scratch::copy_of(&saved.x2)?;
        let (y, update) = self.linear(down).forward(&saved.product, pass.update(layer, down), Some(residual))?;
        saved.updates[down.index()] = update;
        Ok(y)
    }

    /// t of `down`'s adapter, which a checkpointed block needs although it skips `down` itself.
    pub(crate) fn restore_down(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<()> {
        let down = Projection::DownProj;
        if let Some(update) = pass.update(layer, down) {
            saved.updates[down.index()] = Some(update.inner_product(&saved.product)?);
        }
        Ok(())
    }

    /// Turns the gradient of the output into that of the input; `None` where nobody needs it.
    pub(crate) fn backward(
        &self,
        layer: usize,
        dy: Scratch,
        x: &Tensor,
        saved: BlockSaved,
        pass: &Pass<'_>,
        into: &BlockGradients<'_>,
    ) -> Result<Option<Scratch>> {
        let tokens = x.dims2()?.0;
        let like = |tensor: &Tensor| Scratch::arbitrary((tokens, tensor.dims2()?.1), tensor.device());
        let propagate = |projection: Projection, dy: &Tensor, x: &Tensor, dx: Option<(&Tensor, bool)>| {
            let into = match &into.trained {
                TrainedGradients::Block(block) => LinearGradients::Weight(block.linear(projection)),
                TrainedGradients::Adapter(adapter) => {
                    match (pass.update(layer, projection), adapter.module(layer, projection)) {
                        (Some(update), Some(module)) => LinearGradients::Update(update, module),
                        _ => LinearGradients::None,
                    }
                }
            };
            self.linear(projection).backward(dy, x, &saved.updates[projection.index()], into, dx)
        };

        let d_product = like(&saved.product)?;
        propagate(Projection::DownProj, &dy, &saved.product, Some((&d_product, false)))?;
        swiglu::backward(&d_product, &saved.gate, &saved.up)?;
        drop(d_product);
        let d_n2 = like(&saved.n2)?;
        propagate(Projection::GateProj, &saved.gate, &saved.n2, Some((&d_n2, false)))?;
        propagate(Projection::UpProj, &saved.up, &saved.n2, Some((&d_n2, true)))?;
        if let TrainedGradients::Block(into) = &into.trained {
            rms_norm::backward_weight(&d_n2, &saved.x2, &saved.rstd2, &into.post_attention_norm)?;
        }
        let dx2 = dy;
        rms_norm::backward(&d_n2, &saved.x2, &self.post_attention_norm, &saved.rstd2, &dx2)?;

        let d_o = like(&saved.o)?;
        propagate(Projection::OProj, &dx2, &saved.o, Some((&d_o, false)))?;
        let forward =
            attention::Backward { q: &saved.q, k: &saved.k, v: &saved.v, o: &saved.o, lse: &saved.lse, d_o: &d_o };
        let (dq, dk, dv) = attention::backward(&forward, pass.documents, pass.heads)?;
        pass.rope.backward(&dq, pass.positions)?;
        pass.rope.backward(&dk, pass.positions)?;
        let [dq, dk] = match (&self.head_norms, &saved.unnormed) {
            (Some(norms), Some(unnormed)) => {
                let into = match &into.trained {
                    TrainedGradients::Block(block) => block.head_norms.as_ref(),
                    TrainedGradients::Adapter(_) => None,
                };
                norms.backward([dq, dk], unnormed, into)?
            }
            _ => [dq, dk],
        };
        let d_n1 = d_n2;
        let target = |accumulate: bool| into.input.then_some((&*d_n1, accumulate));
        propagate(Projection::QProj, &dq, &saved.n1, target(false))?;
        propagate(Projection::KProj, &dk, &saved.n1, target(true))?;
        propagate(Projection::VProj, &dv, &saved.n1, target(true))?;
        if !into.input {
            return Ok(None);
        }
        if let TrainedGradients::Block(into) = &into.trained {
            rms_norm::backward_weight(&d_n1, x, &saved.rstd1, &into.input_norm)?;
        }
        let dx = dx2;
        rms_norm::backward(&d_n1, x, &self.input_norm, &saved.rstd1, &dx)?;
        Ok(Some(dx))
    }
}

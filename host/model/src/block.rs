//! The decoder block: x₂ = x + o(attention(rope(q(n₁)), rope(k(n₁)), v(n₁))), y = x₂ + down(f(gate(n₂)) · up(n₂)),
//! with n₁ = norm(x) and n₂ = norm(x₂); all of them [tokens, width]; f is SiLU or GELU. In some families q and k are
//! normalized before rope. Some blocks have no rope, and some families multiply what is added to x and x₂ by a factor or
//! normalize it, in the place of x and x₂ or beside them.
//!
//! Forward names what it saves; backward consumes it. A checkpointed block saves only x and runs forward again, up to
//! but not including `down`: every operation is deterministic, so the gradients are the same bits.

use candle_core::{DType, Result, Tensor};

use super::linear::{InputGradient, Linear, LinearGradients, Linears, Saved, Update};
use super::rope_tables::RopeTables;
use super::{Adapter, BlockNorm, ModelConfig, ModuleToSave, Projection};
use hilora_kernels::attention::{self, Document};
use hilora_kernels::element::Element;
use hilora_kernels::glu::Activation;
use hilora_kernels::lora::Dropout;
use hilora_kernels::scratch::Scratch;
use hilora_kernels::{columns, residual, rms_norm};

/// The weights of a block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Those that the architecture has, [hidden] each.
    pub(crate) norms: [Option<Tensor>; BlockNorm::ALL.len()],
    pub(crate) linears: Linears,
    /// Where the architecture has them.
    pub(crate) head_norms: Option<HeadNorms>,
}

/// The norms of queries and of keys, [head width] or the width of all heads.
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
    pub(crate) ropes: &'a RopeTables,
    pub(crate) config: &'a ModelConfig,
    /// What a block's additions to the residual stream are multiplied with.
    pub(crate) residual: f32,
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
    rstd1: Option<Scratch>,
    /// Queries and keys before their norms.
    unnormed: Option<[Unnormed; 2]>,
    q: Scratch,
    k: Scratch,
    v: Scratch,
    o: Scratch,
    lse: Scratch,
    /// What attention adds before its norm, and what the feed-forward network does.
    attention_output: Option<Unnormed>,
    mlp_output: Option<Unnormed>,
    x2: Scratch,
    n2: Scratch,
    rstd2: Option<Scratch>,
    gate: Scratch,
    up: Scratch,
    /// The input of `down`, which is cheaper to compute again than to keep.
    product: Option<Scratch>,
    updates: [Saved; Projection::ALL.len()],
}

/// The input of a norm and its 1 / root mean square.
struct Unnormed {
    x: Scratch,
    rstd: Scratch,
}

impl Unnormed {
    /// Turns the gradient of the norm's result into that of its input; adds that of the weight to `dw`.
    fn backward<T: Element>(&self, dy: &Tensor, weight: &Tensor, dw: Option<&Tensor>) -> Result<Scratch> {
        if let Some(dw) = dw {
            rms_norm::backward_weight::<T>(dy, &self.x, &self.rstd, dw)?;
        }
        let dx = Scratch::zeros::<T>(self.x.shape(), self.x.device())?;
        rms_norm::backward::<T>(dy, &self.x, weight, &self.rstd, &dx)?;
        Ok(dx)
    }
}

impl BlockSaved {
    /// The input of `down`.
    fn take_product<T: Element>(&mut self, activation: Activation) -> Result<Scratch> {
        self.product.take().map_or_else(|| activation.forward::<T>(&self.gate, &self.up), Ok)
    }
}

/// The weight of a norm with what a family adds to it.
pub(crate) fn effective(weight: &Tensor, offset: f64) -> Result<Tensor> {
    if offset == 0.0 { Ok(weight.clone()) } else { weight + offset }
}

impl HeadNorms {
    /// Normalizes queries and keys; returns what they were too.
    fn forward<T: Element>(
        &self,
        q: Scratch,
        k: Scratch,
        config: &ModelConfig,
    ) -> Result<(Scratch, Scratch, [Unnormed; 2])> {
        let one = |x: &Tensor, weight: &Tensor| {
            let weight = effective(weight, config.model_type.norm_offset())?;
            rms_norm::forward::<T, T>(x, &weight, config.rms_norm_eps)
        };
        let ((q_normed, q_rstd), (k_normed, k_rstd)) = (one(&q, &self.query)?, one(&k, &self.key)?);
        Ok((q_normed, k_normed, [Unnormed { x: q, rstd: q_rstd }, Unnormed { x: k, rstd: k_rstd }]))
    }

    /// Turns the gradients of normalized queries and keys into those of their inputs; adds those of the norms to
    /// `into`.
    fn backward<T: Element>(
        &self,
        gradients: [Scratch; 2],
        unnormed: &[Unnormed; 2],
        offset: f64,
        into: Option<&Self>,
    ) -> Result<[Scratch; 2]> {
        let one = |dy: Scratch, saved: &Unnormed, weight: &Tensor, dw: Option<&Tensor>| {
            saved.backward::<T>(&dy, &effective(weight, offset)?, dw)
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

    /// The update of the output layer; its mask is that of a module behind the last block's.
    pub(crate) fn head_update(&self, dropout: Option<DropoutKey>) -> Option<Update<'_>> {
        let module = self.table_update(ModuleToSave::LmHead)?;
        Some(Update { module, dropout: self.dropout(dropout, self.layer_count(), Projection::SEPARATE.len()) })
    }

    /// What decides the mask of a module.
    fn dropout(&self, key: Option<DropoutKey>, layer: usize, module: usize) -> Option<Dropout> {
        let probability = self.config().lora_dropout;
        key.filter(|_| probability > 0.0).map(|key| Dropout {
            probability,
            seed: key.seed,
            step: key.micro_batch,
            layer: layer as u32,
            module: module as u32,
        })
    }
}

impl<'a> Pass<'a> {
    fn activation(&self) -> Activation {
        self.config.model_type.activation()
    }

    fn update(&self, layer: usize, projection: Projection) -> Option<Update<'a>> {
        let adapter = self.adapter?;
        let dropout = adapter.dropout(self.dropout, layer, projection.index());
        Some(Update { dropout, ..adapter.update(layer, projection)? })
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
        let heads = pass.config.heads_of(layer);
        let (n1, rstd1) = self.input::<T>(BlockNorm::AttentionInput, x, pass.config)?;
        let [q, k, v] = if self.has(Projection::QkvProj) {
            columns::split::<T, 3>(&*project(Projection::QkvProj, &n1)?, heads.widths())?
        } else {
            [project(Projection::QProj, &n1)?, project(Projection::KProj, &n1)?, project(Projection::VProj, &n1)?]
        };
        let (q, k, unnormed) = match &self.head_norms {
            Some(norms) => {
                let (q, k, unnormed) = norms.forward::<T>(q, k, pass.config)?;
                (q, k, Some(unnormed))
            }
            None => (q, k, None),
        };
        if let Some(rope) = pass.ropes.of(layer) {
            rope.forward::<T>(&q, pass.positions)?;
            rope.forward::<T>(&k, pass.positions)?;
        }
        let (o, lse) = attention::forward::<T>(&q, &k, &v, pass.documents, heads)?;
        let x2 = Scratch::copy_of(x)?;
        let (attention_output, update) = self.add::<T>(layer, Projection::OProj, &o, pass, &x2)?;
        updates[Projection::OProj.index()] = update;
        let (n2, rstd2) = self.input::<T>(BlockNorm::MlpInput, &x2, pass.config)?;
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
        let product = Some(pass.activation().forward::<T>(&gate, &up)?);
        Ok(BlockSaved {
            n1,
            rstd1,
            unnormed,
            q,
            k,
            v,
            o,
            lse,
            attention_output,
            mlp_output: None,
            x2,
            n2,
            rstd2,
            gate,
            up,
            product,
            updates,
        })
    }

    /// What attention or the feed-forward network reads of the residual stream, with 1 / root mean square if it is
    /// normalized.
    pub(crate) fn input<T: Element>(
        &self,
        norm: BlockNorm,
        x: &Tensor,
        config: &ModelConfig,
    ) -> Result<(Scratch, Option<Scratch>)> {
        let Some(weight) = &self.norms[norm.index()] else { return Ok((Scratch::converted::<f32, T>(x)?, None)) };
        let weight = effective(weight, config.model_type.norm_offset())?;
        let (n, rstd) = rms_norm::forward::<f32, T>(x, &weight, config.rms_norm_eps)?;
        Ok((n, Some(rstd)))
    }

    /// The norm of what a layer adds to the residual stream.
    pub(crate) fn output_norm(&self, projection: Projection) -> Option<(BlockNorm, &Tensor)> {
        let norm = if projection == Projection::OProj { BlockNorm::AttentionOutput } else { BlockNorm::MlpOutput };
        self.norms[norm.index()].as_ref().map(|weight| (norm, weight))
    }

    /// Adds a layer's result, normalized if the architecture does so, times a factor, to the residual stream.
    fn add<T: Element>(
        &self,
        layer: usize,
        projection: Projection,
        x: &Tensor,
        pass: &Pass<'_>,
        y: &Tensor,
    ) -> Result<(Option<Unnormed>, Saved)> {
        let (linear, update) = (self.linear(projection)?, pass.update(layer, projection));
        let norm = self.output_norm(projection);
        if norm.is_none() && pass.residual == 1.0 && linear.is_added(update.as_ref()) {
            return Ok((None, linear.forward_onto::<T>(x, update, y)?));
        }
        let (addition, saved) = linear.forward::<T>(x, update)?;
        let Some((_, weight)) = norm else {
            residual::forward::<T>(&addition, pass.residual, y)?;
            return Ok((None, saved));
        };
        let weight = effective(weight, pass.config.model_type.norm_offset())?;
        let (normed, rstd) = rms_norm::forward::<T, T>(&addition, &weight, pass.epsilon)?;
        residual::forward::<T>(&normed, pass.residual, y)?;
        Ok((Some(Unnormed { x: addition, rstd }), saved))
    }

    /// The block's output from what `forward_saved` left; of that the input of `down` is given back.
    pub(crate) fn output<T: Element>(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<Scratch> {
        let down = Projection::DownProj;
        let y = Scratch::copy_of(&saved.x2)?;
        let product = saved.take_product::<T>(pass.activation())?;
        let (mlp_output, update) = self.add::<T>(layer, down, &product, pass, &y)?;
        saved.mlp_output = mlp_output;
        saved.updates[down.index()] = update;
        Ok(y)
    }

    /// What `down` leaves for backward, which a checkpointed block needs although it skips `down` itself where it can.
    pub(crate) fn restore_down<T: Element>(&self, layer: usize, saved: &mut BlockSaved, pass: &Pass<'_>) -> Result<()> {
        let down = Projection::DownProj;
        if self.output_norm(down).is_some() {
            // The norm's input is `down`'s result.
            self.output::<T>(layer, saved, pass)?;
        } else if let Some(update) = pass.update(layer, down) {
            let product = saved.take_product::<T>(pass.activation())?;
            saved.updates[down.index()] = self.linear(down)?.saved_of::<T>(&product, update)?;
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
        let product = saved.take_product::<T>(pass.activation())?;
        let saved = saved;
        let offset = pass.config.model_type.norm_offset();
        let norm_gradient = |norm: BlockNorm| match &into.trained {
            TrainedGradients::Block(block) => block.norms[norm.index()].as_ref(),
            TrainedGradients::Adapter(_) => None,
        };
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
        // The gradient of what a layer added, before its norm; `None` if it is that of the output as it is.
        let added = |dy: &Tensor, projection: Projection, unnormed: &Option<Unnormed>| {
            let rounded = rounded(dy)?;
            let (Some((norm, weight)), Some(unnormed)) = (self.output_norm(projection), unnormed) else {
                return Result::Ok(rounded);
            };
            let dy = rounded.as_deref().unwrap_or(dy);
            unnormed.backward::<T>(dy, &effective(weight, offset)?, norm_gradient(norm)).map(Some)
        };
        // The gradient of a part's input on its way to the residual stream.
        let through_input_norm = |norm: BlockNorm, d_n: &Tensor, x: &Tensor, rstd: &Option<Scratch>, dx: &Tensor| {
            let (Some(weight), Some(rstd)) = (&self.norms[norm.index()], rstd) else {
                return residual::forward::<f32>(d_n, 1.0, dx);
            };
            if let Some(dw) = norm_gradient(norm) {
                rms_norm::backward_weight::<f32>(d_n, x, rstd, dw)?;
            }
            rms_norm::backward::<f32>(d_n, x, &effective(weight, offset)?, rstd, dx)
        };
        let d_down = added(&dy, Projection::DownProj, &saved.mlp_output)?;
        // The gradient of `down`'s input takes that input's place: it is written when the other has been read.
        let d_product = &product;
        propagate(
            Projection::DownProj,
            d_down.as_deref().unwrap_or(&dy),
            &product,
            Some(InputGradient::Written(d_product)),
        )?;
        drop(d_down);
        pass.activation().backward::<T>(d_product, &saved.gate, &saved.up)?;
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
        let dx2 = dy;
        through_input_norm(BlockNorm::MlpInput, &d_n2, &saved.x2, &saved.rstd2, &dx2)?;

        let d_o = like(&saved.o)?;
        let d_output = added(&dx2, Projection::OProj, &saved.attention_output)?;
        propagate(
            Projection::OProj,
            d_output.as_deref().unwrap_or(&dx2),
            &saved.o,
            Some(InputGradient::Written(&d_o)),
        )?;
        drop(d_output);
        let forward =
            attention::Backward { q: &saved.q, k: &saved.k, v: &saved.v, o: &saved.o, lse: &saved.lse, d_o: &d_o };
        let (dq, dk, dv) = attention::backward::<T>(&forward, pass.documents, pass.config.heads_of(layer))?;
        if let Some(rope) = pass.ropes.of(layer) {
            rope.backward::<T>(&dq, pass.positions)?;
            rope.backward::<T>(&dk, pass.positions)?;
        }
        let [dq, dk] = match (&self.head_norms, &saved.unnormed) {
            (Some(norms), Some(unnormed)) => {
                let into = match &into.trained {
                    TrainedGradients::Block(block) => block.head_norms.as_ref(),
                    TrainedGradients::Adapter(_) => None,
                };
                norms.backward::<T>([dq, dk], unnormed, offset, into)?
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
        let dx = dx2;
        through_input_norm(BlockNorm::AttentionInput, &d_n1, x, &saved.rstd1, &dx)?;
        Ok(Some(dx))
    }
}

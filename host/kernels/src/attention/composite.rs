//! Causal attention as a composite, document by document.
//!
//! All query heads of some rows are one product: [key heads, group · rows, d] times [key heads, d, keys]. The rows are so
//! few that their scores have a bounded size, whatever the document's length. Scores and their gradients are products in
//! f32, because the exponential magnifies what a rounding costs; all others are in T.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::key_values::{BLOCK_TOKENS, CachedSpan, KeyValues};
use super::shape::{Backward, Document, Heads};
use crate::composite::{indices, per_column, widened};
use crate::element::Element;
use crate::scratch::Scratch;

/// Scores that are in memory at once, per tensor of them.
const SCORES: usize = 1 << 25;

/// One document's rows of a tensor, by key head.
struct ByHead {
    /// [key heads, group, rows, d]; the group of keys and values is 1.
    values: Tensor,
}

impl ByHead {
    fn new(values: &Tensor, document: &Document, heads: Heads) -> Result<Self> {
        let rows = document.rows.len();
        let values = values.narrow(0, document.rows.start, rows)?.reshape((rows, heads.keys, (), heads.dim))?;
        Ok(Self { values: values.permute((1, 2, 0, 3))?.contiguous()? })
    }

    /// Some rows, [key heads, group · rows, d].
    fn rows(&self, first: usize, count: usize) -> Result<Tensor> {
        let (keys, _, _, dim) = self.values.dims4()?;
        self.values.narrow(2, first, count)?.contiguous()?.reshape((keys, (), dim))
    }
}

/// [key heads, group · rows, d] as [rows, heads · d].
fn by_row(values: &Tensor, count: usize, heads: Heads) -> Result<Tensor> {
    let values = values.reshape((heads.keys, (), count, heads.dim))?.permute((2, 0, 1, 3))?.contiguous()?;
    values.reshape((count, ()))
}

/// [rows, heads] of some rows as [key heads, group · rows, 1].
fn per_row(values: &Tensor, document: &Document, first: usize, count: usize, heads: Heads) -> Result<Tensor> {
    let values = values.narrow(0, document.rows.start + first, count)?.reshape((count, heads.keys, ()))?;
    values.permute((1, 2, 0))?.contiguous()?.reshape((heads.keys, (), 1))
}

/// S of some rows, [key heads, group · rows, seen], with −∞ where a row does not see.
fn scores(q: &Tensor, k: &Tensor, sees: &[Range<usize>], heads: Heads) -> Result<Tensor> {
    let scores = (widened(q)?.matmul(&widened(k)?.transpose(1, 2)?)? * f64::from(heads.scale))?;
    let (keys, _, seen) = scores.dims3()?;
    let count = sees.len();
    let columns = Tensor::arange(0u32, seen as u32, q.device())?.reshape((1, seen))?;
    let ends = indices(sees.iter().map(|sees| sees.end), q)?.reshape((count, 1))?;
    let mut visible = columns.broadcast_lt(&ends)?;
    if heads.window.is_some() {
        let starts = indices(sees.iter().map(|sees| sees.start), q)?.reshape((count, 1))?;
        visible = (visible * columns.broadcast_ge(&starts)?)?;
    }
    let scores = scores.reshape((keys, (), count, seen))?;
    let hidden = Tensor::full(f32::NEG_INFINITY, (), q.device())?.broadcast_as(scores.shape())?;
    let scores = visible.broadcast_as(scores.shape())?.where_cond(&scores, &hidden)?;
    scores.reshape((keys, (), seen))
}

/// exp(S − max S), its sum and the maximum, each over the last axis, which stays.
fn exponentials(scores: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let greatest = scores.max_keepdim(2)?;
    let exponentials = scores.broadcast_sub(&greatest)?.exp()?;
    let totals = exponentials.sum_keepdim(2)?;
    Ok((exponentials, totals, greatest))
}

/// The chunks of a document that sees so many keys: (first row, rows).
fn chunks(document: &Document, keys: usize, heads: Heads) -> impl Iterator<Item = (usize, usize)> {
    let length = document.rows.len();
    let rows = (SCORES / (heads.queries * keys).max(1)).clamp(16, length.max(16));
    (0..length).step_by(rows).map(move |first| (first, rows.min(length - first)))
}

/// The rows that each row of a chunk sees.
fn sees(document: &Document, first: usize, count: usize, heads: Heads) -> Vec<Range<usize>> {
    (first..first + count).map(|row| document.sees(row, heads.window)).collect()
}

/// Returns (o, lse).
pub(super) fn forward<T: Element>(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch)> {
    let o = Scratch::of::<T>(q.shape(), q.device())?;
    let lse = Scratch::arbitrary((q.dims2()?.0, heads.queries), q.device())?;
    for document in documents {
        let [q, k, v] = [q, k, v].map(|values| ByHead::new(values, document, heads));
        let (q, k, v) = (q?, k?, v?);
        for (first, count) in chunks(document, document.rows.len(), heads) {
            let seen = first + count;
            let scores =
                scores(&q.rows(first, count)?, &k.rows(0, seen)?, &sees(document, first, count, heads), heads)?;
            let (exponentials, totals, greatest) = exponentials(&scores)?;
            let probabilities = exponentials.broadcast_div(&totals)?.to_dtype(T::DTYPE)?;
            let at = document.rows.start + first;
            o.slice_set(&by_row(&probabilities.matmul(&v.rows(0, seen)?)?, count, heads)?, 0, at)?;
            let chunk_lse = (greatest + totals.log()?)?.reshape((heads.queries, count))?;
            lse.slice_set(&chunk_lse.t()?.contiguous()?, 0, at)?;
        }
    }
    Ok((o, lse))
}

/// Returns (dq, dk, dv).
pub(super) fn backward<T: Element>(
    saved: &Backward<'_>,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch, Scratch)> {
    let Backward { q, k, v, o, lse, d_o } = *saved;
    let like = |tensor: &Tensor| Scratch::of::<T>(tensor.shape(), tensor.device());
    let (dq, dk, dv) = (like(q)?, like(k)?, like(v)?);
    let tokens = q.dims2()?.0;
    // Σ dO · O of every row and head.
    let deltas = (widened(d_o)? * widened(o)?)?.reshape((tokens, heads.queries, heads.dim))?.sum(2)?;
    for document in documents {
        let [q, k, v, d_o] = [q, k, v, d_o].map(|values| ByHead::new(values, document, heads));
        let (q, k, v, d_o) = (q?, k?, v?, d_o?);
        let length = document.rows.len();
        let sums = || Tensor::zeros((heads.keys, length, heads.dim), candle_core::DType::F32, lse.device());
        let (mut dk_sum, mut dv_sum) = (sums()?, sums()?);
        for (first, count) in chunks(document, document.rows.len(), heads) {
            let seen = first + count;
            let (q, d_o) = (q.rows(first, count)?, d_o.rows(first, count)?);
            let (k, v) = (k.rows(0, seen)?, v.rows(0, seen)?);
            let scores = scores(&q, &k, &sees(document, first, count, heads), heads)?;
            let p = scores.broadcast_sub(&per_row(lse, document, first, count, heads)?)?.exp()?;
            let dp = widened(&d_o)?.matmul(&widened(&v)?.transpose(1, 2)?)?;
            let delta = per_row(&deltas, document, first, count, heads)?;
            let ds = ((&p * dp.broadcast_sub(&delta)?)? * f64::from(heads.scale))?.to_dtype(T::DTYPE)?;
            dq.slice_set(&by_row(&ds.matmul(&k)?, count, heads)?, 0, document.rows.start + first)?;
            let p = p.to_dtype(T::DTYPE)?;
            dk_sum = added_to_first(&dk_sum, &ds.transpose(1, 2)?.matmul(&q)?)?;
            dv_sum = added_to_first(&dv_sum, &p.transpose(1, 2)?.matmul(&d_o)?)?;
        }
        for (sum, target) in [(dk_sum, &dk), (dv_sum, &dv)] {
            target.slice_set(&by_row(&sum, length, heads)?.to_dtype(T::DTYPE)?, 0, document.rows.start)?;
        }
    }
    Ok((dq, dk, dv))
}

/// sum [key heads, rows, d] plus a part that has its first rows.
fn added_to_first(sum: &Tensor, part: &Tensor) -> Result<Tensor> {
    let missing = sum.dims3()?.1 - part.dims3()?.1;
    sum + widened(part)?.pad_with_zeros(1, 0, missing)?
}

/// Writes rows of keys and values into blocks [blocks, tokens · key heads · d].
pub(super) fn store(cache: &KeyValues, k: &Tensor, v: &Tensor, spans: &[CachedSpan<'_>]) -> Result<()> {
    let width = k.dims2()?.1;
    let places = || spans.iter().flat_map(CachedSpan::places);
    let stored = indices(places().map(|(row, _, _)| row), k)?;
    let places = indices(places().map(|(_, block, token)| block * BLOCK_TOKENS + token), k)?;
    let places = per_column(&places, width)?;
    for (rows, cache) in [(k, &cache.keys), (v, &cache.values)] {
        let cache = cache.reshape((cache.dims()[0] * BLOCK_TOKENS, width))?;
        cache.scatter_set(&places, &rows.index_select(&stored, 0)?, 0)?;
    }
    Ok(())
}

/// Attention of spans over what is cached of their sequences.
pub(super) fn attend<T: Element>(
    cache: &KeyValues,
    q: &Tensor,
    spans: &[CachedSpan<'_>],
    heads: Heads,
) -> Result<Scratch> {
    let o = Scratch::of::<T>(q.shape(), q.device())?;
    for span in spans {
        let end = span.end();
        let blocks = &span.blocks[..end.div_ceil(BLOCK_TOKENS)];
        let blocks = indices(blocks.iter().map(|block| *block as usize), q)?;
        let whole = Document { rows: 0..end, seen: end };
        let cached = |cache: &Tensor| {
            let rows = cache.index_select(&blocks, 0)?.reshape(((), heads.keys * heads.dim))?;
            ByHead::new(&rows, &whole, heads)
        };
        let (k, v) = (cached(&cache.keys)?, cached(&cache.values)?);
        let rows = Document { rows: span.rows.clone(), seen: span.rows.len() };
        let queries = ByHead::new(q, &rows, heads)?;
        for (first, count) in chunks(&rows, end, heads) {
            let seen = span.start + first + count;
            let sees = sees(&whole, span.start + first, count, heads);
            let scores = scores(&queries.rows(first, count)?, &k.rows(0, seen)?, &sees, heads)?;
            let (exponentials, totals, _) = exponentials(&scores)?;
            let probabilities = exponentials.broadcast_div(&totals)?.to_dtype(T::DTYPE)?;
            let rows = by_row(&probabilities.matmul(&v.rows(0, seen)?)?, count, heads)?;
            o.slice_set(&rows, 0, span.rows.start + first)?;
        }
    }
    Ok(o)
}

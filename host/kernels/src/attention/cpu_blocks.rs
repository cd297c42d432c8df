//! Attention over blocks on the CPU: a thread takes a span and a key head, lays the head's panels of all blocks side by
//! side and does with them what `cpu` does with a document.
//!
//! A row's scores do not depend on what stands beside it. Its result is a sum over the document's rows in blocks of the
//! matrix product's depth, counted from the document's first, in which unseen rows are multiplied by zero; so keys before a
//! window are left out in whole blocks of that depth, and nothing else is.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::cpu::{BLOCK, Room, Seen, attend_queries, place};
use super::key_values::{BLOCK_TOKENS, CachedSpan, KeyValues};
use super::shape::{Document, Heads};
use crate::element::Element;
use crate::launch::{launch, view};
use crate::matmul::{DEPTH_BLOCK, Operand, PANEL, Packed};
use crate::scratch::Scratch;

const NAME: &str = "attention over blocks";

/// Columns of a head's panel of values, and where the panel begins in a block's values of the head.
fn value_panel(panel: usize, dim: usize) -> (usize, usize) {
    (PANEL.min(dim - panel * PANEL), panel * PANEL * BLOCK_TOKENS)
}

/// Writes the keys and values of spans.
pub(super) fn store<T: Element>(
    cache: &KeyValues,
    k: &Tensor,
    v: &Tensor,
    spans: &[CachedSpan<'_>],
    heads: Heads,
) -> Result<()> {
    let (width, dim) = (heads.keys * heads.dim, heads.dim);
    let (block_elements, head_elements) = (BLOCK_TOKENS * width, BLOCK_TOKENS * dim);
    let (k, v) = (view::<T>(NAME, k)?, view::<T>(NAME, v)?);
    launch::<T, 2, _>(NAME, [&cache.keys, &cache.values], |[keys, values]| {
        for (row, block, token) in spans.iter().flat_map(CachedSpan::places) {
            for head in 0..heads.keys {
                let from = row * width + head * dim..row * width + (head + 1) * dim;
                let at = block * block_elements + head * head_elements;
                let (keys, values) = (&mut keys[at..at + head_elements], &mut values[at..at + head_elements]);
                for (steps, k) in
                    keys.chunks_exact_mut(BLOCK_TOKENS * T::TOGETHER).zip(k[from.clone()].chunks(T::TOGETHER))
                {
                    steps[token * T::TOGETHER..][..k.len()].copy_from_slice(k);
                }
                for (panel, v) in v[from].chunks(PANEL).enumerate() {
                    let (columns, first) = value_panel(panel, dim);
                    let mut write = |token: usize, column: usize, value: T| {
                        values[first
                            + token / T::TOGETHER * columns * T::TOGETHER
                            + column * T::TOGETHER
                            + token % T::TOGETHER] = value;
                    };
                    for (column, v) in v.iter().enumerate() {
                        write(token, column, *v);
                        // The depth of a product is even. What an earlier sequence left there may be no number.
                        if token % 2 == 0 {
                            write(token + 1, column, T::zero());
                        }
                    }
                }
            }
        }
    })
}

/// Attention of spans over what is cached of their sequences.
pub(super) fn attend<T: Element>(
    cache: &KeyValues,
    q: &Tensor,
    spans: &[CachedSpan<'_>],
    heads: Heads,
) -> Result<Scratch> {
    let o = Scratch::of::<T>(q.shape(), q.device())?;
    let (q, keys, values) = (view::<T>(NAME, q)?, view::<T>(NAME, &cache.keys)?, view::<T>(NAME, &cache.values)?);
    let (q, keys, values) = (&*q, &*keys, &*values);
    let jobs: Vec<_> = spans.iter().flat_map(|span| (0..heads.keys).map(move |head| (span, head))).collect();
    let results: Vec<_> =
        jobs.into_par_iter().map(|(span, head)| (span, head, job(q, keys, values, span, head, heads))).collect();
    let (width, stride) = (heads.group() * heads.dim, heads.queries * heads.dim);
    launch::<T, 1, _>(NAME, [&o], |[o]| {
        for (span, head, job_o) in &results {
            place(job_o, width, o, stride, span.rows.start, head * width);
        }
    })?;
    Ok(o)
}

/// The result of one span and one key head, [rows, group · d].
fn job<T: Element>(
    q: &[T],
    keys: &[T],
    values: &[T],
    span: &CachedSpan<'_>,
    key_head: usize,
    heads: Heads,
) -> Vec<f32> {
    let (rows, dim, group) = (span.rows.len(), heads.dim, heads.group());
    let whole = Document { rows: 0..span.end(), seen: span.end() };
    let sees = |row: usize| whole.sees(span.start + row, heads.window);
    // Unseen by the first row, and so by all.
    let first_key = sees(0).start / DEPTH_BLOCK * DEPTH_BLOCK;
    let count = span.end() - first_key;
    let blocks = &span.blocks[first_key / BLOCK_TOKENS..span.end().div_ceil(BLOCK_TOKENS)];
    let at = |block: u32| (block as usize * heads.keys + key_head) * BLOCK_TOKENS * dim;
    let packed_keys = Packed::<T>::of_panels(dim, count, |index, panel| {
        panel.put(0, &keys[at(blocks[index])..][..BLOCK_TOKENS * dim], BLOCK_TOKENS);
    });
    let depth = count.next_multiple_of(2);
    let packed_values = Packed::<T>::of_panels(depth, dim, |index, panel| {
        let (columns, first) = value_panel(index, dim);
        for (index, block) in blocks.iter().enumerate() {
            let tokens = BLOCK_TOKENS.min(depth - index * BLOCK_TOKENS);
            let rows = &values[at(*block) + first..][..tokens * columns];
            panel.put(index * BLOCK_TOKENS / T::TOGETHER, rows, columns);
        }
    });
    let mut o = vec![0.0; rows * group * dim];
    let stride = heads.queries * dim;
    let queries = Operand::rows_of(&q[span.rows.start * stride + key_head * group * dim..], stride);
    let mut room = Room::new(BLOCK.min(rows.max(group)), depth);
    let seen = |row: usize| {
        let sees = sees(row);
        sees.start - first_key..sees.end - first_key
    };
    let scale = heads.scale;
    if rows == 1 {
        // All query heads of the key head at once.
        let queries = Operand::rows_of(&q[span.rows.start * stride + key_head * group * dim..], dim);
        for first in (0..group).step_by(BLOCK) {
            let block =
                Seen { keys: &packed_keys, values: &packed_values, count: BLOCK.min(group - first), seen: count };
            let target = (&mut o[first * dim..], dim);
            attend_queries(queries.skip_rows(first), &block, |_| seen(0), scale, &mut room, target, |_, _| ());
        }
        return o;
    }
    for member in 0..group {
        for first in (0..rows).step_by(BLOCK) {
            let block_rows = BLOCK.min(rows - first);
            let last = span.start + first + block_rows - first_key;
            let block = Seen { keys: &packed_keys, values: &packed_values, count: block_rows, seen: last };
            let target = (&mut o[first * group * dim + member * dim..], group * dim);
            let queries = queries.skip_elements(member * dim).skip_rows(first);
            attend_queries(queries, &block, |row| seen(first + row), scale, &mut room, target, |_, _| ());
        }
    }
    o
}

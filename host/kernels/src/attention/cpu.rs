//! Causal attention on the CPU: a thread takes a document and a key head, and of those a block of queries after the other.

use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::shape::{Backward, Document, Heads};
use crate::element::{Element, convert};
use crate::launch::{launch, view};
use crate::matmul::{
    Columns, Dense, Factor, Operand, Packed, PackedView, Product, Shape, Start, ZeroExtended, multiply_here,
};
use crate::scratch::Scratch;
use crate::simd::{dot, exp, vectorized};
use crate::softmax::softmax;

/// Queries of a block.
pub(super) const BLOCK: usize = 64;

/// The columns of one head of one document.
fn rows<'a, T: Element>(values: &'a [T], document: &Document, head: usize, heads: usize, dim: usize) -> Dense<'a, T> {
    let stride = heads * dim;
    let start = document.rows.start * stride + head * dim;
    Dense { values: &values[start..], rows: document.rows.len(), columns: dim, stride }
}

fn operand<'a, T: Element>(matrix: &Dense<'a, T>, first_row: usize) -> Operand<'a, T> {
    Operand::rows_of(matrix.values, matrix.stride).skip_rows(first_row)
}

/// Some rows of a head as B, an even number of them.
fn block<T: Element>(matrix: &Dense<'_, T>, first: usize, count: usize) -> Packed<T> {
    let block = Dense { values: &matrix.values[first * matrix.stride..], rows: count, ..*matrix };
    Packed::of(&ZeroExtended::to_even(&block))
}

/// C = start + alpha · A B.
fn product<T: Element>(
    a: Operand<'_, T>,
    b: PackedView<'_, T>,
    shape: Shape,
    c: &mut [f32],
    alpha: f32,
    start: Start<'_>,
) {
    multiply_here(&[Product { a, b: Factor::Packed(b) }], shape, c, alpha, start);
}

/// Copies [rows, width] into the columns from `column` on of [_, stride], from `row` on.
pub(super) fn place<F: Element, T: Element>(
    from: &[F],
    width: usize,
    to: &mut [T],
    stride: usize,
    row: usize,
    column: usize,
) {
    for (i, from) in from.chunks_exact(width).enumerate() {
        let start = (row + i) * stride + column;
        convert(from, &mut to[start..start + width]);
    }
}

vectorized! {
    /// Turns a row of scores into probabilities, and their gradients dP into dS.
    fn score_gradients<T: Element>(p: &mut [f32], ds: &mut [f32], lse: f32, d_o: &[T], o: &[T], scale: f32) {
        let delta = dot(d_o, o);
        for (p, ds) in p.iter_mut().zip(ds) {
            *p = exp(*p - lse);
            *ds = *p * (*ds - delta) * scale;
        }
    }
}

vectorized! {
    fn rounded<T: Element>(from: &[f32], to: &mut [T]) {
        convert(from, to);
    }
}

/// Pairs of a document and a key head: what one thread does at a time.
fn jobs(documents: &[Document], heads: Heads) -> Vec<(&Document, usize)> {
    documents.iter().flat_map(|document| (0..heads.keys).map(move |head| (document, head))).collect()
}

/// Returns (o, lse).
pub(super) fn forward<T: Element>(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch)> {
    const NAME: &str = "attention";
    let tokens = q.dims2()?.0;
    let o = Scratch::of::<T>(q.shape(), q.device())?;
    let lse = Scratch::arbitrary((tokens, heads.queries), q.device())?;
    let (q, k, v) = (view::<T>(NAME, q)?, view::<T>(NAME, k)?, view::<T>(NAME, v)?);
    let (q, k, v) = (&*q, &*k, &*v);
    let results: Vec<_> = jobs(documents, heads)
        .into_par_iter()
        .map(|(document, key_head)| (document, key_head, forward_job(q, k, v, document, key_head, heads)))
        .collect();
    let group = heads.group();
    launch::<T, 1, _>(NAME, [&o], |[o]| {
        for (document, key_head, (job_o, _)) in &results {
            let (width, column) = (group * heads.dim, key_head * group * heads.dim);
            place(job_o, width, o, heads.queries * heads.dim, document.rows.start, column);
        }
    })?;
    launch::<f32, 1, _>(NAME, [&lse], |[lse]| {
        for (document, key_head, (_, job_lse)) in &results {
            place(job_lse, group, lse, heads.queries, document.rows.start, key_head * group);
        }
    })?;
    Ok((o, lse))
}

fn forward_job<T: Element>(
    q: &[T],
    k: &[T],
    v: &[T],
    document: &Document,
    key_head: usize,
    heads: Heads,
) -> (Vec<f32>, Vec<f32>) {
    let (length, dim, group) = (document.rows.len(), heads.dim, heads.group());
    let keys = Packed::<T>::of_transposed(&rows(k, document, key_head, heads.keys, dim));
    let values = block(&rows(v, document, key_head, heads.keys, dim), 0, length);
    let (mut o, mut lse) = (vec![0.0; length * group * dim], vec![0.0; length * group]);
    let mut room = Room::new(BLOCK.min(length), length);
    for member in 0..group {
        let queries = rows(q, document, key_head * group + member, heads.queries, dim);
        for first in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - first);
            let block = Seen { keys: &keys, values: &values, count, seen: first + count };
            let target = (&mut o[first * group * dim + member * dim..], group * dim);
            let sees = |i: usize| document.sees(first + i, heads.window);
            let lse = |i: usize, value: f32| lse[(first + i) * group + member] = value;
            attend_queries(operand(&queries, first), &block, sees, heads.scale, &mut room, target, lse);
        }
    }
    (o, lse)
}

/// The keys and values of one head, and which of them a block of queries sees.
pub(super) struct Seen<'a, T> {
    pub(super) keys: &'a Packed<T>,
    pub(super) values: &'a Packed<T>,
    /// Queries of the block.
    pub(super) count: usize,
    /// The first keys, which the last of them sees.
    pub(super) seen: usize,
}

/// Scores and probabilities of a block of queries.
pub(super) struct Room<T> {
    scores: Vec<f32>,
    probabilities: Vec<T>,
}

impl<T: Element> Room<T> {
    /// For so many queries that see at most so many keys.
    pub(super) fn new(queries: usize, keys: usize) -> Self {
        let room = queries * keys.next_multiple_of(2);
        Self { scores: vec![0.0; room], probabilities: vec![T::zero(); room] }
    }
}

/// The result of a block of queries of one head, row by row into the target with its stride. Query i sees the keys
/// `sees(i)`, and `lse(i, …)` is told its log-sum-exp.
pub(super) fn attend_queries<T: Element>(
    queries: Operand<'_, T>,
    block: &Seen<'_, T>,
    sees: impl Fn(usize) -> Range<usize>,
    scale: f32,
    room: &mut Room<T>,
    (target, target_stride): (&mut [f32], usize),
    mut lse: impl FnMut(usize, f32),
) {
    let Seen { keys, values, count, seen } = *block;
    // A row of probabilities is a sum's factors, an even number of them.
    let stride = seen.next_multiple_of(2);
    let (scores, probabilities) = (&mut room.scores[..count * stride], &mut room.probabilities[..count * stride]);
    let shape = Shape { rows: count, columns: seen, stride };
    product(queries, keys.first_columns(seen), shape, scores, scale, Start::Zero);
    for (i, row) in scores.chunks_exact_mut(stride).enumerate() {
        let sees = sees(i);
        row[..sees.start].fill(0.0);
        row[sees.end..].fill(0.0);
        lse(i, softmax(&mut row[sees]));
    }
    rounded(scores, probabilities);
    let values = values.first_rows(stride);
    let shape = Shape { rows: count, columns: values.columns(), stride: target_stride };
    product(Operand::rows_of(probabilities, stride), values, shape, target, 1.0, Start::Zero);
}

/// Returns (dq, dk, dv).
pub(super) fn backward<T: Element>(
    saved: &Backward<'_>,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch, Scratch)> {
    const NAME: &str = "attention backward";
    let Backward { q, k, v, o, lse, d_o } = *saved;
    let like = |tensor: &Tensor| Scratch::of::<T>(tensor.shape(), tensor.device());
    let (dq, dk, dv) = (like(q)?, like(k)?, like(v)?);
    let open = |tensor| view::<T>(NAME, tensor);
    let (q, k, v, o, d_o, lse) = (open(q)?, open(k)?, open(v)?, open(o)?, open(d_o)?, view::<f32>(NAME, lse)?);
    let (activations, lse) = ([&*q, &*k, &*v, &*o, &*d_o], &*lse);
    let results: Vec<_> = jobs(documents, heads)
        .into_par_iter()
        .map(|(document, key_head)| (document, key_head, backward_job(activations, lse, document, key_head, heads)))
        .collect();
    let (dim, group) = (heads.dim, heads.group());
    launch::<T, 3, _>(NAME, [&dq, &dk, &dv], |[dq, dk, dv]| {
        for (document, key_head, [job_dq, job_dk, job_dv]) in results {
            place(&job_dq, group * dim, dq, heads.queries * dim, document.rows.start, key_head * group * dim);
            place(&job_dk, dim, dk, heads.keys * dim, document.rows.start, key_head * dim);
            place(&job_dv, dim, dv, heads.keys * dim, document.rows.start, key_head * dim);
        }
    })?;
    Ok((dq, dk, dv))
}

fn backward_job<T: Element>(
    [q, k, v, o, d_o]: [&[T]; 5],
    lse: &[f32],
    document: &Document,
    key_head: usize,
    heads: Heads,
) -> [Vec<f32>; 3] {
    let (length, dim, group) = (document.rows.len(), heads.dim, heads.group());
    let k_rows = rows(k, document, key_head, heads.keys, dim);
    let keys_transposed = Packed::<T>::of_transposed(&k_rows);
    let keys = block(&k_rows, 0, length);
    let values_transposed = Packed::<T>::of_transposed(&rows(v, document, key_head, heads.keys, dim));
    let mut dq = vec![0.0; length * group * dim];
    let (mut dk, mut dv) = (vec![0.0; length * dim], vec![0.0; length * dim]);
    let room = BLOCK.min(length) * length.next_multiple_of(2);
    let (mut p, mut ds, mut ds_rounded) = (vec![0.0; room], vec![0.0; room], vec![T::zero(); room]);
    for member in 0..group {
        let query_head = key_head * group + member;
        let q_rows = rows(q, document, query_head, heads.queries, dim);
        let o_rows = rows(o, document, query_head, heads.queries, dim);
        let do_rows = rows(d_o, document, query_head, heads.queries, dim);
        for first in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - first);
            let seen = first + count;
            let stride = seen.next_multiple_of(2);
            let shape = Shape { rows: count, columns: seen, stride };
            let (p, ds) = (&mut p[..count * stride], &mut ds[..count * stride]);
            let (q_block, do_block) = (operand(&q_rows, first), operand(&do_rows, first));
            product(q_block, keys_transposed.first_columns(seen), shape, p, heads.scale, Start::Zero);
            product(do_block, values_transposed.first_columns(seen), shape, ds, 1.0, Start::Zero);
            for (i, (p, ds)) in p.chunks_exact_mut(stride).zip(ds.chunks_exact_mut(stride)).enumerate() {
                let row = first + i;
                let at = row * q_rows.stride;
                let lse = lse[(document.rows.start + row) * heads.queries + query_head];
                let sees = document.sees(row, heads.window);
                for unseen in [0..sees.start, sees.end..stride] {
                    p[unseen.clone()].fill(0.0);
                    ds[unseen].fill(0.0);
                }
                let (p, ds) = (&mut p[sees.clone()], &mut ds[sees]);
                score_gradients(p, ds, lse, &do_rows.values[at..at + dim], &o_rows.values[at..at + dim], heads.scale);
            }
            let ds_rounded = &mut ds_rounded[..count * stride];
            rounded(ds, ds_rounded);
            let target = &mut dq[first * group * dim + member * dim..];
            let shape = Shape { rows: count, columns: dim, stride: group * dim };
            product(Operand::rows_of(ds_rounded, stride), keys.first_rows(stride), shape, target, 1.0, Start::Zero);
            let shape = Shape::new(seen, dim);
            let (ds, p) = (Columns::<T>::of(ds, count, seen, stride), Columns::<T>::of(p, count, seen, stride));
            product(ds.operand(), block(&q_rows, first, count).all(), shape, &mut dk, 1.0, Start::Existing);
            product(p.operand(), block(&do_rows, first, count).all(), shape, &mut dv, 1.0, Start::Existing);
        }
    }
    [dq, dk, dv]
}

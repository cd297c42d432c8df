//! The keys and values of a layer in blocks: a sequence has a list of blocks, of which each holds a number of its tokens.
//! Any sequence may read a block, so that a common beginning is kept once.
//!
//! A block of keys and one of values are a row of a tensor each, [blocks, tokens · key heads · d], in the type of
//! activations. A device's composite keeps them [tokens, key heads · d]. The CPU's body keeps them as the product reads
//! them, so that a token costs no transposition later: keys [key heads, d / s, tokens, s] and values [key heads, panels,
//! tokens / s, columns of the panel, s], where s elements along the depth of a product stand side by side
//! (`Element::TOGETHER`) and a panel has 32 columns of a head.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use super::shape::Heads;
use crate::element::Element;
use crate::matmul::PANEL;

/// Tokens of a block: the keys of one are a panel of a product.
pub const BLOCK_TOKENS: usize = PANEL;

/// Keys and values of one layer.
pub struct KeyValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Rows of a pass that follow one another in one sequence.
#[derive(Debug, Clone)]
pub struct CachedSpan<'b> {
    /// The rows.
    pub rows: Range<usize>,
    /// The place of the first of them in its sequence.
    pub start: usize,
    /// The blocks of the sequence, in order.
    pub blocks: &'b [u32],
}

impl CachedSpan<'_> {
    /// Tokens of the sequence up to the last row.
    pub(super) fn end(&self) -> usize {
        self.start + self.rows.len()
    }

    /// (row, block, place in it) of every row.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.rows
            .clone()
            .zip(self.start..)
            .map(|(row, position)| (row, self.blocks[position / BLOCK_TOKENS] as usize, position % BLOCK_TOKENS))
    }
}

impl KeyValues {
    /// Blocks of zeros.
    pub fn new<T: Element>(blocks: usize, heads: Heads, device: &Device) -> Result<Self> {
        let zeros = || Tensor::zeros((blocks, BLOCK_TOKENS * heads.keys * heads.dim), T::DTYPE, device);
        Ok(Self { keys: zeros()?, values: zeros()? })
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.keys.dims()[0]
    }

    /// Makes room for this many blocks; those that are there stay.
    pub fn reserve(&mut self, blocks: usize) -> Result<()> {
        for tensor in [&mut self.keys, &mut self.values] {
            let (had, width) = tensor.dims2()?;
            if had < blocks {
                let larger = Tensor::zeros((blocks, width), tensor.dtype(), tensor.device())?;
                larger.slice_set(tensor, 0, 0)?;
                *tensor = larger;
            }
        }
        Ok(())
    }

    /// Copies one block over another.
    pub fn copy_block(&mut self, from: usize, to: usize) -> Result<()> {
        for tensor in [&self.keys, &self.values] {
            // A copy of the block's own: a tensor is never read while it is written, and `copy` would take all blocks.
            tensor.slice_set(&tensor.narrow(0, from, 1)?.force_contiguous()?, 0, to)?;
        }
        Ok(())
    }
}

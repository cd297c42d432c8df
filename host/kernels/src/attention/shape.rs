//! The shape of an attention: its heads, the documents that bound what a row sees, and what backward reads.

use std::ops::Range;

use candle_core::Tensor;

/// The heads of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads; as many or fewer.
    pub keys: usize,
    /// The width of a head.
    pub dim: usize,
    /// What multiplies the scores.
    pub scale: f32,
}

impl Heads {
    /// Heads whose scores are divided by the root of their width.
    pub fn new(queries: usize, keys: usize, dim: usize) -> Self {
        Self { queries, keys, dim, scale: 1.0 / (dim as f32).sqrt() }
    }

    /// The widths of all queries, keys and values of a row.
    pub fn widths(self) -> [usize; 3] {
        [self.queries * self.dim, self.keys * self.dim, self.keys * self.dim]
    }

    /// Query heads that share a key head.
    #[inline]
    pub(crate) fn group(self) -> usize {
        self.queries / self.keys
    }
}

/// Rows that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its rows in the pass.
    pub rows: Range<usize>,
    /// How many of its first rows are seen by those after them; the others are padding, which sees but is not seen.
    pub seen: usize,
}

impl Document {
    /// How many rows a row sees.
    #[inline]
    pub(crate) fn sees(&self, row: usize) -> usize {
        self.seen.min(row + 1)
    }
}

/// What forward saved and the gradient of its result.
pub struct Backward<'a> {
    /// Queries, [rows, query heads · dim].
    pub q: &'a Tensor,
    /// Keys, [rows, key heads · dim].
    pub k: &'a Tensor,
    /// Values, as keys.
    pub v: &'a Tensor,
    /// The result, as queries.
    pub o: &'a Tensor,
    /// The log-sum-exp of each row's scores in each query head.
    pub lse: &'a Tensor,
    /// The gradient of the result.
    pub d_o: &'a Tensor,
}

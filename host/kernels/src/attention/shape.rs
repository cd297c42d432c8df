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
    /// How many of the last rows a row sees, itself among them; `None` if all.
    pub window: Option<usize>,
}

impl Heads {
    /// Heads whose scores are divided by the root of their width.
    pub fn new(queries: usize, keys: usize, dim: usize) -> Self {
        Self { queries, keys, dim, scale: 1.0 / (dim as f32).sqrt(), window: None }
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
    /// The rows that a row sees. Of a window that lies in the padding, the last row before it.
    #[inline]
    pub(crate) fn sees(&self, row: usize, window: Option<usize>) -> Range<usize> {
        let end = self.seen.min(row + 1);
        let first = window.map_or(0, |window| (row + 1).saturating_sub(window));
        first.min(end.saturating_sub(1))..end
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

//! Weights as integers: w[o, i] = (q[o, i] − z[o, g(i)]) · s[o, g(i)], with o an output, i an input and g(i) the group of
//! inputs that share a scale s and a zero point z. AutoAWQ, GPTQ and compressed-tensors store such matrices, each in words
//! of its own order; here all have one layout, into which they are brought while they are loaded.
//!
//! q is flattened row by row, two codes a byte with the first in the high nibble, or one a byte; z likewise, [out, groups];
//! s is [out, groups] in the checkpoint's type. Groups are of one size, or a map names the group of each input. Products
//! are in f32, where the formats' own programs round to 16 bits. Nothing here is trained, and nothing is made.

mod codes;
mod matrix;

pub use self::codes::{CodeWidth, IntegerCodes};
pub use self::matrix::{Groups, IntegerMatrix, Zeros};

//! Weights of 8 bits that are floats: w[o, i] = f(code[o, i]) · s[o / R, i / C], with f the number that a float8 stands for
//! and one scale s for a block of R outputs by C inputs: the whole matrix, a row, a group of a row, or a square.
//!
//! `e4m3` has 4 bits of exponent, 3 of mantissa and no infinity (`float8_e4m3fn`); `e5m2` is the upper half of an f16. The
//! codes stay as they are stored and may be those of a mapped file. Nothing here is trained, and nothing is made.

mod format;
mod matrix;

pub use self::format::Float8;
pub use self::matrix::Float8Matrix;

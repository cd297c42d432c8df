//! Kernels: the operations that training and decoding are made of, each in a file that opens with its equation.
//!
//! An operation takes candle tensors and launches its body where they are in the CPU's memory (`launch`); on every other
//! device it is a composite of candle's operations (`composite`). Its gradient is a second operation beside it, called by
//! name. Nothing here builds a graph, and candle's autograd is never used. The results of the bodies depend on the inputs
//! alone: not on the number of threads, the batch, or the processor's vector width. (The products of a processor that
//! multiplies bf16 are its own: `matmul::tile`.)

pub(crate) mod adamw;
pub(crate) mod adamw_8bit;
pub(crate) mod attention;
pub(crate) mod awq;
pub(crate) mod composite;
pub(crate) mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod element;
pub(crate) mod embedding;
mod launch;
pub(crate) mod linear;
pub(crate) mod lora;
pub(crate) mod matmul;
pub(crate) mod neftune;
pub(crate) mod nf4;
pub(crate) mod philox;
pub(crate) mod rms_norm;
pub(crate) mod rope;
pub(crate) mod scratch;
mod simd;
pub(crate) mod softmax;
pub(crate) mod swiglu;

/// Runs a whole pass on a thread of the pool, where each operation's parallel loops begin without waking another
/// thread: a pass has hundreds of them, and from outside the pool each would wait for a thread to wake up.
pub(crate) fn in_pool<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| pass())
}

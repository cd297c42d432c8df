//! Kernels: the operations that training and decoding are made of, each in a file that opens with its equation.
//!
//! An operation takes candle tensors and launches its body where they are in the CPU's memory (`launch`); on every other
//! device it is a composite of candle's operations (`composite`). Its gradient is a second operation beside it, called by
//! name. Nothing here builds a graph, and candle's autograd is never used. The results of the bodies depend on the inputs
//! alone: not on the number of threads, the batch, or the processor's vector width. (The products of a processor that
//! multiplies bf16 are its own: `matmul::tile`.)

pub mod adamw;
pub mod adamw_8bit;
pub mod attention;
pub mod awq;
pub mod composite;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
pub mod element;
pub mod embedding;
mod launch;
pub mod linear;
pub mod lora;
pub mod matmul;
pub mod neftune;
pub mod nf4;
pub mod philox;
pub mod place;
pub mod rms_norm;
pub mod rope;
pub mod scratch;
mod simd;
pub mod softmax;
pub mod swiglu;

/// Runs a whole pass on a thread of the pool, where each operation's parallel loops begin without waking another
/// thread: a pass has hundreds of them, and from outside the pool each would wait for a thread to wake up.
pub fn in_pool<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| pass())
}

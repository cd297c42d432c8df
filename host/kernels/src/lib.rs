//! Kernels: the operations that training and decoding are made of, a folder for each, which opens with its equation.
//!
//! An operation takes candle tensors, and the device they are on decides what computes it (`place`): our own code in the
//! CPU's memory (`cpu.rs` of its folder), else a composite of candle's operations (`composite.rs`) or a kernel of ours for
//! CUDA (`cuda.rs`). Its gradient is a second operation beside it, called by name. Nothing here builds a graph, and candle's
//! autograd is never used. The results of the CPU's code depend on the inputs alone: not on the number of threads, the
//! batch, or the processor's vector width. (The products of a processor that multiplies bf16 are its own: `matmul::tile`.)

pub mod place;

pub mod element;
pub mod processor;
mod simd;

mod launch;
pub mod scratch;

mod composite;
pub mod matmul;

pub mod dynamic_map;
mod look_up;
pub mod scales;

pub mod float8;
pub mod integer;
pub mod nf4;

pub mod dora;
pub mod linear;
pub mod lora;

pub mod attention;
pub mod columns;
pub mod embedding;
pub mod glu;
pub mod residual;
pub mod rms_norm;
pub mod rope;
pub mod softmax;

pub mod cross_entropy;

pub mod neftune;
pub mod philox;

pub mod adamw;
pub mod adamw_8bit;

/// Runs a whole pass on a thread of the pool, where each operation's parallel loops begin without waking another
/// thread: a pass has hundreds of them, and from outside the pool each would wait for a thread to wake up.
pub fn in_pool<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| pass())
}

//! Worker processes: runs of untrusted programs outside the process that counts them. The engine is trusted to contain a
//! program, not to be free of faults: where it takes its process down, one run is lost and the batch goes on.
//!
//! A worker is a program that serves one runner: it gets one run at a time over its standard input, and answers on its
//! standard output. Expected outputs never reach it. hilora-host starts itself with other arguments.

mod command;
mod confine;
mod pool;
mod process_time;
mod serve;
mod wire;
mod worker;

pub use command::WorkerCommand;
pub use confine::{Confinement, confine};
pub use pool::WorkerPool;
pub use serve::{end_with_host, serve};

//! Metrics: what a person watches while a run goes on, and what stays on disk of it.
//!
//! Progress goes to standard error, never to standard output, which belongs to results. This module counts nothing
//! itself and knows no model and no data; it shows and keeps what it is told.

mod jsonl;
mod progress;
mod resident_memory;
mod tensorboard;

pub use jsonl::{MetricsError, MetricsFile};
pub use progress::{LateStage, Progress, ProgressStyle, Stage, StderrAroundBars};
pub use resident_memory::resident_bytes;
pub use tensorboard::TensorBoardFile;

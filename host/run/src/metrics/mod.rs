//! Metrics: what stays on disk of how a training went. This module counts nothing itself and knows no model and no data; it
//! keeps what it is told, and gives it back as curves.

mod curves;
mod jsonl;
mod resident_memory;
mod tensorboard;

pub use curves::training_curves;
pub use jsonl::{MetricsError, MetricsFile};
pub use resident_memory::resident_bytes;
pub use tensorboard::TensorBoardFile;

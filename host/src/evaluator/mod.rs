//! The evaluator.

mod interval;
mod pass_at_k;
mod seeded_stream;

pub use interval::Estimate;
pub use pass_at_k::pass_at_k;

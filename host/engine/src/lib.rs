//! The engine: continuous batching over a paged cache of keys and values.
//!
//! Requests are admitted at any time. Each step is one pass of the model over all that is under way: a token of every
//! sample that decodes, and pieces of prompts that are read. The samples of a request read their prompt once, common
//! beginnings of prompts are found in the cache, and where blocks run out the youngest sequence gives its own back. A sample
//! that cannot go on ends by itself. None of this changes a token on the CPU; on a device the sums of a product may depend
//! on the rows beside it.
//!
//! It knows tokens and models, and nothing of problems, prompts' layouts, HTTP or files.

mod error;
mod sample_error;

mod sampling_options;

mod request;

mod sampler;
mod stop_strings;

mod event;

mod block_allocator;
mod prefix_index;

mod block_pool;

mod sequence;
mod usage;

mod scheduler;

mod forward;

mod engine;

pub use engine::Engine;
pub use error::EngineError;
pub use event::{Completion, CompletionEnd, Event};
pub use forward::{Forward, ModelForward};
pub use request::{Request, RequestId};
pub use sample_error::SampleError;
pub use sampler::LogProbabilities;
pub use sampling_options::SamplingOptions;
pub use scheduler::Limits;
pub use stop_strings::TokenText;
pub use usage::Usage;

#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

#[cfg(test)]
mod fake_model;
#[cfg(test)]
mod model_schedules;
#[cfg(test)]
mod schedules;

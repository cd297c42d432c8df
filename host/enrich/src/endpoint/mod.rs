//! An OpenAI-compatible endpoint: one call over HTTP, again if it failed in passing, and the answer as a value. It knows
//! no rows and no traces.

mod client;
mod config;
mod error;
mod retry;

pub(crate) use client::{CallEnd, Completion, Endpoint, REFUSAL};
pub(crate) use config::{EndpointConfig, completions_url, is_variable_name, shown_url};
pub use error::EndpointError;

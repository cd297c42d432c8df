//! An OpenAI-compatible endpoint: one call over HTTP, again if it failed in passing, and the answer as a value.
//!
//! This is the only crate that knows OpenAI's JSON as a client, and the only one that names `reqwest`; it knows no rows, no
//! traces and no problems, and keeps nothing.

mod client;
mod config;
mod error;
mod retry;

pub use client::{CallEnd, Completion, Endpoint, REFUSAL};
pub use config::{EndpointConfig, completions_url, is_variable_name, shown_url};
pub use error::EndpointError;

//! An OpenAI-compatible endpoint: calls over HTTP, again where they failed in passing, and the answers as values.
//!
//! This is the only crate that knows OpenAI's JSON as a client, and the only one that names `reqwest`; it knows no rows, no
//! traces and no problems, and keeps nothing.

mod config;

mod answer;
mod client;
mod retry;

mod call;

mod error;

pub use answer::{Answer, Choice, Demand, LENGTH, REFUSAL};
pub use call::{Call, Caller};
pub use client::{CallEnd, Endpoint};
pub use config::{Api, EndpointConfig, EndpointKeys};
pub use error::EndpointError;

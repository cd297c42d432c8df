//! Enriching: how one gets from a problem to its verified solution (a reasoning trace), written by a model behind any
//! OpenAI-compatible endpoint.
//!
//! Every answer that arrived is recorded before anything else happens with it, so a kill repeats no call whose answer was
//! recorded. What the record holds is judged anew at each run: a better rule for what is a trace costs no call. It knows
//! no plugin, no tokenizer and no config but its own section; `hilora_endpoint` makes the calls.

mod config;

mod request;

mod record;

mod hidden_tests;
mod screening;

mod enrich;
mod error;

pub use config::EnrichConfig;
pub use enrich::{EnrichFiles, EnrichProgress, EnrichReport, enrich, plan};
pub use error::EnrichError;
pub use hidden_tests::HiddenTests;
pub use record::{TraceRecord, TracedAnswer};
pub use screening::Rejection;

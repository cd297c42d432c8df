//! Reasoning traces: how one gets from a problem to its verified solution, written by a model behind any
//! OpenAI-compatible endpoint.
//!
//! Every answer that arrived is written to a ledger before anything else happens with it, so a kill repeats no call
//! whose answer was recorded. What the ledger holds is judged anew at each run: a better rule for what is a trace costs
//! no call. This is the only module that knows OpenAI's JSON as a client, and the only one that names `reqwest`; it
//! knows no plugin, no tokenizer and no config but its own section.

mod config;
mod endpoint;
mod enrich;
mod error;
mod hidden_tests;
mod ledger;
mod request;
mod retry;
mod screening;

pub use config::EnrichConfig;
pub use enrich::{EnrichFiles, EnrichProgress, EnrichReport, enrich, plan};
pub use error::TracesError;
pub use hidden_tests::HiddenTests;
pub use ledger::{TraceLedger, TracedAnswer};
pub use screening::Rejection;

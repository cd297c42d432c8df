//! The registry: which adapters were proven, in order, and their files. One row is one version of one adapter, with the
//! hashes of all that made it, its measurements and the gate's words.
//!
//! Rows are only ever added, each in one transaction; an adapter that the gate rejected is refused. A version's files are
//! copied into the registry's own store before its row is added, so that nothing that happens to a run's folder hurts
//! it. Every row has a hash of its contents, which is checked whenever it is read, and the file is checked when it is opened.
//! The registry knows no model, no plugin and no evaluator.

mod version;

mod adapter_store;
mod store;
mod verification;

mod stored_row;

mod database;
mod schema;
mod sqlite_thread;

mod error;

pub use error::RegistryError;
pub use store::{Registration, Registry};
pub use verification::{DamagedRow, Verification, VerifiedVersion};
pub use version::{AdapterFiles, Version, VersionContent};

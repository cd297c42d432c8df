//! The registry: which adapters were proven, in order. One row is one version of one adapter, with the hashes of all
//! that made it, its measurements and the gate's words.
//!
//! Rows are only ever added, each in one transaction; an adapter that the gate rejected is refused. The registry keeps
//! no weights (an adapter stays in its run's folder, named by its hash) and knows no model, no plugin and no evaluator.

mod error;
mod store;
mod version;

pub use error::RegistryError;
pub use store::{Registration, Registry};
pub use version::{Version, VersionContent};

//! Plugins as the rest of the host sees them: one trait per kind, an identity, a manifest, capabilities and errors.
//!
//! Nothing here knows WebAssembly. `wasm` implements these traits over components; tests implement them natively.

mod capability;
mod checker;
mod classifier;
mod error;
mod formatter;
mod identity;
mod loader;
mod manifest;
mod runner;
mod second_look;

pub use capability::Capability;
pub use checker::{CheckerOptions, Decision, OutputChecker, OutputCheckers};
pub use classifier::{Classification, DomainClassifier, DomainInfo, Score};
pub use error::{LimitKind, PluginError};
pub use formatter::{FormatterExample, FormatterLesson, PromptFormatter, Sequence};
pub use identity::{PluginIdentity, PluginKind};
pub use loader::{Column, DatasetInfo, DatasetLoader, DatasetReader, LoadedRow, LoaderOptions};
pub use manifest::{Manifest, ManifestError};
pub use runner::{FUEL_PER_SECOND, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination};
pub use second_look::second_look;

//! Artefacts: the files a run leaves. Each is named by the hash of its content and written atomically, so that a
//! kill at any moment leaves either the old file or the new one.
//!
//! This module knows bytes, paths and hashes only. Every other module may import it.

mod atomic_file;
mod content_hash;
mod hashed_file;
mod stage;

pub use atomic_file::{AtomicFile, remove_partial_files, write_atomic};
pub use content_hash::{ContentHash, ContentHasher};
pub use hashed_file::HashedFile;
pub use stage::{StageInputs, StageLedger, hash_of_artifact};

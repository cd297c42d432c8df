//! Artefacts: the files a run leaves. Each is named by the hash of its content and written atomically, so that a
//! kill at any moment leaves either the old file or the new one.
//!
//! This module knows bytes, paths and hashes only. Every other module may import it.

mod atomic_file;
mod atomic_folder;
mod content_hash;
mod hashed_file;
mod mapped_file;
mod stage;

pub use atomic_file::{AtomicFile, remove_partial_files, write_atomic};
pub use atomic_folder::AtomicFolder;
pub use content_hash::{ContentHash, ContentHasher};
pub use hashed_file::HashedFile;
pub use mapped_file::map_file;
pub use stage::{StageInputs, StageLedger, hash_of_artifact};

//! Artefacts: the files a run leaves. Each is named by the hash of its content and written atomically, so that a
//! kill at any moment leaves either the old file or the new one.
//!
//! This module knows bytes, paths and hashes only. Every other module may import it.

mod atomic_file;
mod atomic_folder;
mod content_hash;
mod file_error;
mod file_in_place;
mod file_stamp;
mod free_space;
mod hashed_file;
mod json_lines;
mod made_folders;
mod mapped_file;
mod output;
mod output_claim;
mod partial;
mod record_file;
mod sealed_line;
mod stage;

pub use atomic_file::{AtomicFile, write_atomic};
pub use atomic_folder::AtomicFolder;
pub use content_hash::{ContentHash, ContentHasher};
pub use file_error::{FileAction, FileError};
pub use file_in_place::open_in_place;
pub use file_stamp::{FileChange, FileStamp};
pub use free_space::{require_free_space, usable_bytes};
pub use hashed_file::HashedFile;
pub use json_lines::{
    JsonLines, JsonLinesError, JsonRow, Line, Lines, Row, WrongRow, read_json_lines, read_json_lines_watched,
    read_strictly,
};
pub use mapped_file::map_file;
pub use output::{Output, OutputError, is_closed_output, write_standard_output};
pub use output_claim::OutputClaim;
pub use partial::remove_partial_files;
pub use record_file::{RecordFile, RecordRows};
pub use sealed_line::{SealedLine, Unsealed, read_sealed, write_sealed};
pub use stage::{ForgottenStage, StageInputs, StageLedger, hash_of_artifact};

//! This program itself, as the inputs of a stage name it: another build may compute other bits.

use std::path::Path;

use hilora_contract::artifact::ContentHash;

use super::error::RunError;

/// The hash of the program that runs, whatever has become of its file: an upgrade puts another one in its place.
pub fn program_hash() -> Result<ContentHash, RunError> {
    ContentHash::of_file(Path::new("/proc/self/exe")).map_err(RunError::Program)
}

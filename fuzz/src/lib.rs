//! What every fuzz target does: the input is a file, the loader reads it to its end and must keep its contract.
//!
//! libFuzzer finds what panics, what takes too long and what takes too much memory; whether a row is right is for the
//! loaders' own tests.

use hilora_plugin_sdk::loader::{DatasetLoader, SourceFile};
use hilora_plugin_sdk::loader_contract::read_each;

/// How many rows a batch may have; small, so that inputs of few rows have several batches.
const ROWS_MAX: u32 = 3;

/// Reads the bytes as one file of a loader without options.
pub fn read_file<L: DatasetLoader>(bytes: &[u8]) {
    // That a damaged file is refused is as good as that it is read.
    let _ = read_each::<L>(vec![SourceFile::from_bytes("input", bytes.to_vec())], "{}", ROWS_MAX, drop);
}

/// Reads the bytes as the options in the first line and the file in the rest, beside a file that a policy may be.
pub fn read_file_with_options<L: DatasetLoader>(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (options, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let files = vec![
        SourceFile::from_bytes("rules.md", b"# Rules\n\nCancel pending orders only.\n".to_vec()),
        SourceFile::from_bytes("input.jsonl", rest.to_vec()),
    ];
    let _ = read_each::<L>(files, &String::from_utf8_lossy(options), ROWS_MAX, drop);
}

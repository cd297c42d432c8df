//! The dataset loaders on damaged files. An input is a file; the loader reads it to its end and must keep its contract.
//!
//! The tests replay the corpora in `tests/fuzz` with every change; `cargo xtask fuzz` looks for new inputs with libFuzzer,
//! by the same functions. What is found is what panics, what takes too long and what takes too much memory; whether a row
//! is right is for the loaders' own tests.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use hilora_plugin_sdk::loader::{DatasetLoader, SourceFile};
use hilora_plugin_sdk::loader_contract::read_each;

#[cfg(test)]
mod replay;

/// How many rows a batch may have; small, so that inputs of few rows have several batches.
const ROWS_MAX: u32 = 3;

/// Reads an input with the loader of APPS.
pub fn apps(bytes: &[u8]) {
    read_file::<apps::Apps>(bytes);
}

/// Reads an input with the loader of CodeContests.
pub fn codecontests(bytes: &[u8]) {
    read_file::<codecontests::CodeContests>(bytes);
}

/// Reads an input with the loader of JSON lines: the options in the first line, the file in the rest.
pub fn jsonl(bytes: &[u8]) {
    read_file_with_options::<jsonl::Jsonl>(bytes);
}

/// Reads an input with the loader of LiveCodeBench.
pub fn livecodebench(bytes: &[u8]) {
    read_file::<livecodebench::LiveCodeBench>(bytes);
}

/// Reads an input with the loader of TACO.
pub fn taco(bytes: &[u8]) {
    read_file::<taco::Taco>(bytes);
}

/// Reads the bytes as one file of a loader without options.
fn read_file<L: DatasetLoader>(bytes: &[u8]) {
    // That a damaged file is refused is as good as that it is read.
    let _ = read_each::<L>(vec![SourceFile::from_bytes("input", bytes.to_vec())], "{}", ROWS_MAX, drop);
}

/// Reads the bytes as the options in the first line and the file in the rest, beside a file that a policy may be. What the
/// file is called may stand before the options.
fn read_file_with_options<L: DatasetLoader>(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (options, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let options = String::from_utf8_lossy(options);
    let (name, options) = match options.split_once(' ') {
        Some((name, options)) if !name.starts_with('{') => (name, options),
        _ => ("input.jsonl", &*options),
    };
    let files = vec![
        SourceFile::from_bytes("rules.md", b"# Rules\n\nCancel pending orders only.\n".to_vec()),
        SourceFile::from_bytes(name, rest.to_vec()),
    ];
    let _ = read_each::<L>(files, options, ROWS_MAX, drop);
}

/// Reads the files that a target without libFuzzer was given: an input that libFuzzer kept, in a debugger.
pub fn read_arguments(files: impl Iterator<Item = OsString>, read: fn(&[u8])) -> ExitCode {
    for file in files {
        match fs::read(&file) {
            Ok(bytes) => read(&bytes),
            Err(error) => {
                eprintln!("error: cannot read {}: {error}", file.display());
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

/// The program of a target: libFuzzer's where that is built in, else one that reads the files it is given.
#[macro_export]
macro_rules! target {
    ($read:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $read(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::read_arguments(std::env::args_os().skip(1), $read)
        }
    };
}

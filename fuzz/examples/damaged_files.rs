//! The dataset loaders on damaged files, natively: `damaged_files SEED INPUTS`. `cargo xtask attack` runs it.

#[path = "../../tests/support/mutator.rs"]
mod mutator;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

type Read = fn(&[u8]);

const LOADERS: [(&str, Read); 5] = [
    ("apps", hilora_fuzz::apps),
    ("codecontests", hilora_fuzz::codecontests),
    ("jsonl", hilora_fuzz::jsonl),
    ("livecodebench", hilora_fuzz::livecodebench),
    ("taco", hilora_fuzz::taco),
];

fn main() -> ExitCode {
    let Some((seed, inputs)) = mutator::arguments() else { return ExitCode::from(2) };
    for (loader, read) in LOADERS {
        let corpus = Path::new("tests/fuzz").join(loader);
        let files = fs::read_dir(&corpus).into_iter().flatten().flatten();
        let mut whole: Vec<Vec<u8>> = files.filter_map(|file| fs::read(file.path()).ok()).collect();
        // The order in which a folder lists its files is nobody's.
        whole.sort();
        mutator::feed(&format!("loader {loader}"), seed, inputs, &whole, &mut |bytes| {
            // Whether a file is refused or read, the loader kept its contract.
            read(bytes);
            true
        });
    }
    ExitCode::SUCCESS
}

//! Row files: which files hold rows, by their names.

use std::path::Path;

/// How the names of files of rows end, behind what they are compressed with.
pub(crate) const ROW_ENDINGS: [&str; 9] =
    ["jsonl", "json", "ndjson", "jsonlines", "csv", "tsv", "parquet", "arrow", "feather"];

/// Files that Hugging Face's `datasets` puts beside the rows, and passes over where it looks for them.
const BESIDE: [&str; 5] = ["config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"];

/// How compressed files end.
const COMPRESSED_ENDINGS: [&str; 4] = ["gz", "zst", "bz2", "xz"];

/// Whether a file is one of rows, by its name.
pub(crate) fn is_of_rows(path: &Path) -> bool {
    if path.file_name().is_some_and(|name| BESIDE.iter().any(|beside| name == *beside)) {
        return false;
    }
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let is_in = |known: &[&str], ending: Option<String>| ending.is_some_and(|ending| known.contains(&ending.as_str()));
    match is_in(&COMPRESSED_ENDINGS, ending(path)) {
        true => path.file_stem().is_some_and(|stem| is_in(&ROW_ENDINGS, ending(Path::new(stem)))),
        false => is_in(&ROW_ENDINGS, ending(path)),
    }
}

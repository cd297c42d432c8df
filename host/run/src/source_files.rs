//! Source files: what `data.files` names. A path is a file, a folder, which stands for the files of rows in and below it,
//! or a pattern with `*`, `**`, `?` and `[…]`; `hf://datasets/OWNER/NAME` names files of the hub (`hub_files`). Names that
//! begin with a dot are left out of folders and patterns, and below a folder or `**` links to folders are not followed. The
//! files come in the order of the list, those of one entry by name, so that the same folder is the same rows everywhere.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use hilora_contract::fault::BadInput;
use serde_json::{Map, Value};

use super::error::RunError;
use super::hub_files::{hub_files, is_of_the_hub};
use super::row_files::{ROW_ENDINGS, is_of_rows};

/// Fields of rows that people train on, none of which a prepared row has without a domain.
const RAW_FIELDS: [&str; 9] =
    ["messages", "conversations", "prompt", "completion", "question", "instruction", "output", "chosen", "text"];

/// The longest first line that is looked at, in bytes.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 20;

/// How deep folders may lie within each other.
const FOLDERS_MAX: usize = 32;

/// The most files that one entry may stand for.
const FILES_MAX: usize = 100_000;

/// How names are held against a pattern.
const MATCHED: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that these entries stand for. An entry that stands for none is an error; a path that is neither file nor folder
/// nor pattern stays as it is, for whoever reads it to say what is wrong. With `is_kept` the cache of the hub is told what
/// its addresses stand for.
pub fn source_files(entries: &[PathBuf], is_kept: bool) -> Result<Vec<PathBuf>, RunError> {
    let mut files = Vec::new();
    for entry in entries {
        files.extend(match is_of_the_hub(entry) {
            true => hub_files(entry, is_kept)?,
            false => files_of(entry)?,
        });
    }
    Ok(files)
}

/// Whether a path under `train_file` names what a source reads, and no rows that `prepare` wrote: a folder, a pattern, a
/// table, columns, an archive, a list, or lines of rows without a domain.
pub(crate) fn is_source(path: &Path) -> bool {
    if is_of_the_hub(path) {
        return true;
    }
    let Ok(metadata) = fs::metadata(path) else { return matching(path).is_ok_and(|found| found != [path]) };
    if metadata.is_dir() {
        return true;
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let is_plain = ["jsonl", "json", "ndjson", "jsonlines"].contains(&ending.as_str());
    if !is_plain {
        return is_of_rows(path);
    }
    first_line(path).is_ok_and(|line| match line.trim_start_matches('\u{feff}').trim_start().starts_with('[') {
        true => true,
        false => match serde_json::from_str::<Map<String, Value>>(&line) {
            Ok(row) => !row.contains_key("domain") && RAW_FIELDS.iter().any(|field| row.contains_key(*field)),
            Err(_) => false,
        },
    })
}

/// The first line that is not blank.
fn first_line(path: &Path) -> io::Result<String> {
    let mut reader = BufReader::new(fs::File::open(path)?.take(FIRST_LINE_BYTES_MAX));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || !line.trim().is_empty() {
            return Ok(line);
        }
    }
}

fn files_of(entry: &Path) -> Result<Vec<PathBuf>, RunError> {
    let hint = "the config's paths are relative to the current folder";
    match fs::metadata(entry) {
        Ok(metadata) if metadata.is_dir() => {
            let mut files = Vec::new();
            below(entry, FOLDERS_MAX, &is_of_rows, &mut files)
                .map_err(|error| RunError::reading_what_is_made(entry, error, hint))?;
            files.sort();
            match files.is_empty() {
                false => Ok(files),
                true => {
                    let message = format!("the folder {} holds no file of rows", entry.display());
                    let hint = format!("files of rows end in {}, perhaps compressed", ROW_ENDINGS.join(", "));
                    Err(BadInput::with_hint(message, hint).into())
                }
            }
        }
        Ok(_) => Ok(vec![entry.to_owned()]),
        Err(_) => matching(entry),
    }
}

/// The files in a folder and below it that are wanted.
fn below(folder: &Path, depth: usize, is_wanted: &dyn Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if depth == 0 {
                let what = format!("folders lie more than {FOLDERS_MAX} deep");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            below(&path, depth - 1, is_wanted, files)?;
        } else if is_wanted(&path) && path.is_file() {
            if files.len() == FILES_MAX {
                let what = format!("more than {FILES_MAX} files");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            files.push(path);
        }
    }
    Ok(())
}

/// The files that a pattern matches; the path itself, if it is none.
fn matching(entry: &Path) -> Result<Vec<PathBuf>, RunError> {
    let Some(pattern) = entry.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(vec![entry.to_owned()]);
    };
    let wrong = |why: String| RunError::from(BadInput::new(format!("`{pattern}` is no pattern of files: {why}")));
    // From the first `**` on, the folders are gone through here: glob follows links, which may lead round in a circle.
    let (begin, deep) = match pattern.find("**/").filter(|at| *at == 0 || pattern[..*at].ends_with('/')) {
        Some(at) => (&pattern[..at], Some(Pattern::new(&pattern[at..]).map_err(|error| wrong(error.to_string()))?)),
        None => (pattern, None),
    };
    let begin = if begin.is_empty() { "." } else { begin };
    let mut files = Vec::new();
    for path in glob::glob_with(begin, MATCHED).map_err(|error| wrong(error.to_string()))? {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if let Some(deep) = deep.as_ref().filter(|_| path.is_dir()) {
            let is_wanted =
                |file: &Path| file.strip_prefix(&path).is_ok_and(|file| deep.matches_path_with(file, MATCHED));
            below(&path, FOLDERS_MAX, &is_wanted, &mut files).map_err(|error| wrong(error.to_string()))?;
        } else if deep.is_none() && path.is_file() {
            if files.len() == FILES_MAX {
                return Err(wrong(format!("it matches more than {FILES_MAX} files")));
            }
            files.push(path);
        }
    }
    let mut files: Vec<PathBuf> = files.iter().map(|file| file.strip_prefix(".").unwrap_or(file).to_owned()).collect();
    files.sort();
    match files.is_empty() {
        false => Ok(files),
        true => {
            let message = format!("no file matches {pattern}");
            Err(BadInput::with_hint(message, "the config's paths are relative to the current folder").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_among_folders_lead_nowhere() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        for name in ["a", "b"] {
            fs::create_dir(root.join(name))?;
            symlink("..", root.join(name).join("up"))?;
            symlink("../a", root.join(name).join("over"))?;
        }
        fs::write(root.join("a/1.jsonl"), "")?;
        symlink("../a/1.jsonl", root.join("b/2.jsonl"))?;
        let expected = [root.join("a/1.jsonl"), root.join("b/2.jsonl")];
        for entry in ["", "**/*.jsonl", "*/**/*.jsonl"] {
            assert_eq!(source_files(&[root.join(entry)], false)?, expected, "{entry}");
        }
        assert!(source_files(&[root.join("**/*.csv")], false).is_err());
        Ok(())
    }

    #[test]
    fn folders_and_patterns_are_their_files_by_name() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        fs::create_dir_all(root.join("b/.hidden"))?;
        fs::create_dir(root.join("empty"))?;
        for name in [
            "b/2.jsonl",
            "b/1.csv.gz",
            "a.parquet",
            "b/state.json",
            "dataset_info.json",
            "README.md",
            ".a.jsonl",
            "b/.hidden/x.jsonl",
            "b/odd[1].json",
        ] {
            fs::write(root.join(name), "")?;
        }
        let found = |entry: &str| -> Result<Vec<String>, RunError> {
            let files = source_files(&[root.join(entry)], false)?;
            let name = |file: &PathBuf| file.strip_prefix(root).unwrap_or(file).display().to_string();
            Ok(files.iter().map(name).collect())
        };
        assert_eq!(found("")?, ["a.parquet", "b/1.csv.gz", "b/2.jsonl", "b/odd[1].json"]);
        assert_eq!(found("b/*.jsonl")?, ["b/2.jsonl"]);
        assert_eq!(found("**/*.jsonl")?, ["b/2.jsonl"], "what begins with a dot is hidden");
        assert_eq!(found("**/b/*.csv.*")?, ["b/1.csv.gz"]);
        assert_eq!(found("[b]/**/*.jsonl")?, ["b/2.jsonl"]);
        assert_eq!(found("?.parquet")?, ["a.parquet"]);
        assert_eq!(found("b/odd[1].json")?, ["b/odd[1].json"], "a file goes before a pattern");
        assert_eq!(found("README.md")?, ["README.md"], "what is named is read, whatever it is called");
        assert_eq!(found("missing.jsonl")?, ["missing.jsonl"]);
        for (entry, words) in
            [("empty", "holds no file of rows"), ("*.tsv", "no file matches"), ("a[", "is no pattern")]
        {
            let error = found(entry).expect_err("nothing is there").to_string();
            assert!(error.contains(words), "{error}");
        }
        let raw = |name: &str, text: &str| fs::write(root.join(name), text).map(|()| is_source(&root.join(name)));
        assert!(raw("raw.jsonl", "\n{\"messages\": []}\n")? && raw("list.json", "[\n{\"prompt\": 1}]")?);
        assert!(
            raw("a.csv", "prompt,completion\n")? && is_source(&root.join("b")) && is_source(&root.join("b/*.jsonl"))
        );
        let prepared = "{\"messages\": [], \"domain\": \"math\", \"difficulty\": null}";
        assert!(
            !raw("prepared.jsonl", prepared)?
                && !raw("rows", "{\"prompt\": 1}")?
                && !raw("damaged.jsonl", "{\"prompt\"")?
        );
        assert!(!is_source(&root.join("missing.jsonl")) && !is_source(&root.join("*.none")));
        let both = source_files(&[root.join("b/2.jsonl"), root.join("a.parquet")], false)?;
        assert_eq!(both, [root.join("b/2.jsonl"), root.join("a.parquet")], "the list's own order stays");
        Ok(())
    }
}

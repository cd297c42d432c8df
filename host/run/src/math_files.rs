//! The files of MATH as its authors publish them: a folder for each subject, and in it a file for each problem, one JSON
//! object over several lines. No loader reads such files, and their names alone tell problems apart, so they are made lines
//! of one file first. Problems are called by folder and file: `algebra/1`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::TempDir;

use hilora_contract::artifact::FileError;

use super::error::RunError;

/// The lines, as long as they are read.
pub(crate) struct MathFiles {
    _folder: TempDir,
    pub(crate) file: PathBuf,
}

impl MathFiles {
    /// Makes lines of these files; `None` if they are not of this kind.
    pub(crate) fn of(files: &[PathBuf]) -> Result<Option<Self>, RunError> {
        let is_json = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "json");
        let Some(first) = files.first().filter(|_| files.iter().all(is_json)) else { return Ok(None) };
        if problem(first)?.is_none() {
            return Ok(None);
        }
        let mut named: Vec<(String, u64, String, &PathBuf)> = files.iter().map(place).collect();
        // `10.json` comes after `9.json`.
        named.sort();
        let folder = TempDir::new().map_err(|error| RunError::writing(&std::env::temp_dir(), error))?;
        let file = folder.path().join("math.jsonl");
        let unwritten = |error| RunError::writing(&file, error);
        let mut lines = std::io::BufWriter::new(fs::File::create(&file).map_err(unwritten)?);
        for (subject, _, stem, path) in named {
            // What is no problem stays a row, which the loader skips by a reason.
            let mut row = problem(path)?.unwrap_or_default();
            row.insert("unique_id".to_owned(), Value::String(format!("{subject}/{stem}")));
            writeln!(lines, "{}", Value::Object(row)).map_err(unwritten)?;
        }
        lines.flush().map_err(unwritten)?;
        drop(lines);
        Ok(Some(Self { _folder: folder, file }))
    }
}

/// A file's folder, its number, its name without ending, and itself.
fn place(file: &PathBuf) -> (String, u64, String, &PathBuf) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (subject, stem) = (text(file.parent().and_then(Path::file_name)), text(file.file_stem()));
    (subject, stem.parse().unwrap_or(u64::MAX), stem, file)
}

/// The one object that a file holds, if that is a problem.
fn problem(file: &Path) -> Result<Option<Map<String, Value>>, RunError> {
    let text = fs::read(file).map_err(|error| FileError::reading(file, error))?;
    let row = serde_json::from_slice::<Map<String, Value>>(&text).ok();
    Ok(row.filter(|row| ["problem", "solution"].iter().all(|field| row.get(*field).is_some_and(Value::is_string))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_subjects_become_lines_in_the_order_of_their_numbers() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut files = Vec::new();
        for (name, problem) in [("algebra/10", "ten"), ("algebra/9", "nine"), ("geometry/9", "angles")] {
            let file = folder.path().join(format!("{name}.json"));
            fs::create_dir_all(file.parent().ok_or("it has one")?)?;
            let (level, solution) = ("Level 5", "$\\boxed{1}$");
            let row = serde_json::json!({"problem": problem, "level": level, "type": "Algebra", "solution": solution});
            fs::write(&file, serde_json::to_string_pretty(&row)?)?;
            files.push(file);
        }
        let made = MathFiles::of(&files)?.ok_or("they are MATH's")?;
        let text = fs::read_to_string(&made.file)?;
        let ids: Vec<String> = text
            .lines()
            .map(|line| Ok(serde_json::from_str::<Value>(line)?["unique_id"].as_str().unwrap_or_default().to_owned()))
            .collect::<Result<_, serde_json::Error>>()?;
        assert_eq!(ids, ["algebra/9", "algebra/10", "geometry/9"]);
        let list = folder.path().join("list.json");
        fs::write(&list, "[{\"problem\": \"1\", \"solution\": \"2\"}]")?;
        assert!(MathFiles::of(&[list])?.is_none() && MathFiles::of(&[])?.is_none());
        Ok(())
    }
}

//! The tests of the training problems: `data/<specialist>_train_tests.jsonl`, one row a problem, named by the hash of
//! its statement. They serve to see whether a trace gives a test away and enter nothing else.
//!
//! Tests may be large, so the file is indexed once and a problem's tests are read when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TracesError;
use hilora_contract::artifact::{ContentHash, FileError};
use hilora_contract::dataset::{ProblemTests, TestCase};

/// The row's name alone; the tests are skipped over.
#[derive(Deserialize)]
struct RowName {
    problem: ContentHash,
}

/// The file, indexed.
pub struct HiddenTests {
    path: PathBuf,
    file: File,
    /// Where each problem's line begins, and its length in bytes. Two problems with one statement are one problem.
    lines: HashMap<ContentHash, Vec<(u64, usize)>>,
}

impl HiddenTests {
    /// Indexes the file. Memory holds one line at a time.
    pub fn open(path: &Path) -> Result<Self, TracesError> {
        let failed = |error| FileError::reading(path, error);
        let file = File::open(path).map_err(failed)?;
        let mut reader = BufReader::new(&file);
        let mut lines: HashMap<ContentHash, Vec<(u64, usize)>> = HashMap::new();
        let mut line = Vec::new();
        let mut begin = 0;
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 {
                break;
            }
            let name: RowName = serde_json::from_slice(&line).map_err(|error| bad_line(path, number, &error))?;
            lines.entry(name.problem).or_default().push((begin, length));
            begin += length as u64;
        }
        Ok(Self { path: path.to_owned(), file, lines })
    }

    /// The tests of the problem with this statement; `None` where the file does not know it.
    pub fn of(&self, statement: &str) -> Result<Option<Vec<TestCase>>, TracesError> {
        let Some(places) = self.lines.get(&ContentHash::of(statement.as_bytes())) else { return Ok(None) };
        let mut tests = Vec::new();
        for (begin, length) in places {
            let mut line = vec![0; *length];
            let failed = |error| FileError::reading(&self.path, error);
            self.file.read_exact_at(&mut line, *begin).map_err(failed)?;
            let row: ProblemTests = serde_json::from_slice(&line).map_err(|error| {
                failed(io::Error::new(io::ErrorKind::InvalidData, format!("at byte {begin}: {error}")))
            })?;
            tests.extend_from_slice(&row.tests);
        }
        Ok(Some(tests))
    }

    /// Whether the file knows the problem with this statement.
    pub fn knows(&self, statement: &str) -> bool {
        self.lines.contains_key(&ContentHash::of(statement.as_bytes()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn bad_line(path: &Path, line: usize, error: &serde_json::Error) -> TracesError {
    let expected = "the tests of a problem";
    TracesError::BadLine { path: path.to_owned(), line, expected, got: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_problems_tests_by_its_statement() -> Result<(), TracesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tests.jsonl");
        let row = |statement: &str, input: &str| {
            let tests = [TestCase { input: input.to_owned(), output: "ü\n".to_owned() }].into();
            let row = ProblemTests { problem: ContentHash::of(statement.as_bytes()), tests };
            serde_json::to_string(&row).expect("it serializes") + "\n"
        };
        std::fs::write(&path, row("a", "1") + &row("b", "2") + &row("a", "3")).expect("it can be written");
        let tests = HiddenTests::open(&path)?;
        let inputs = |statement: &str| -> Result<Option<Vec<String>>, TracesError> {
            Ok(tests.of(statement)?.map(|tests| tests.into_iter().map(|test| test.input).collect()))
        };
        assert_eq!(inputs("a")?, Some(vec!["1".to_owned(), "3".to_owned()]));
        assert_eq!(inputs("b")?, Some(vec!["2".to_owned()]));
        assert_eq!(inputs("c")?, None);

        std::fs::write(&path, row("a", "1") + "{}\n").expect("it can be written");
        let message = HiddenTests::open(&path).err().expect("it is refused").to_string();
        assert!(message.contains("line 2: expected the tests of a problem"), "{message}");
        Ok(())
    }
}

//! The tests of the training problems: `data/<specialist>_train_tests.jsonl`, one row a problem, named by the hash of
//! its statement. They serve to see whether a trace gives a test away and enter nothing else.
//!
//! Tests may be large, so the file is indexed once and a problem's tests are read when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::EnrichError;
use hilora_contract::artifact::{ContentHash, FileError, JsonRow, Line, Lines};
use hilora_contract::dataset::{ProblemTests, TestCase};

/// The row's name alone; the tests are skipped over.
#[derive(Deserialize)]
struct RowName {
    problem: ContentHash,
}

impl JsonRow for RowName {
    const EXPECTED: &'static str = ProblemTests::EXPECTED;
    const HINT: Option<&'static str> = ProblemTests::HINT;
    const ALLOWS_OTHER_KEYS: bool = true;
}

/// Where a row is in the file.
struct Place {
    line: u64,
    begin: u64,
    bytes: usize,
}

/// The file, indexed.
pub struct HiddenTests {
    path: PathBuf,
    file: File,
    /// Where each problem's rows are. Two problems with one statement are one problem.
    rows: HashMap<ContentHash, Vec<Place>>,
}

impl HiddenTests {
    /// Indexes the file. Memory holds one line at a time.
    pub fn open(path: &Path) -> Result<Self, EnrichError> {
        let file = File::open(path).map_err(|error| FileError::reading(path, error))?;
        let mut rows: HashMap<ContentHash, Vec<Place>> = HashMap::new();
        for line in Lines::open(path)? {
            let line = line?;
            let name: RowName = line.read(path)?;
            let place = Place { line: line.number, begin: line.begin, bytes: line.text.len() };
            rows.entry(name.problem).or_default().push(place);
        }
        Ok(Self { path: path.to_owned(), file, rows })
    }

    /// The tests of the problem with this statement; `None` if the file does not know it.
    pub fn of(&self, statement: &str) -> Result<Option<Vec<TestCase>>, EnrichError> {
        let Some(places) = self.rows.get(&ContentHash::of(statement.as_bytes())) else { return Ok(None) };
        let mut tests = Vec::new();
        for Place { line, begin, bytes } in places {
            let failed = |error| FileError::reading(&self.path, error);
            let mut text = vec![0; *bytes];
            self.file.read_exact_at(&mut text, *begin).map_err(failed)?;
            let text =
                String::from_utf8(text).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            let row: ProblemTests = Line { number: *line, begin: *begin, text }.read(&self.path)?;
            tests.extend(row.tests.iter().cloned());
        }
        Ok(Some(tests))
    }

    /// Whether the file knows the problem with this statement.
    pub fn knows(&self, statement: &str) -> bool {
        self.rows.contains_key(&ContentHash::of(statement.as_bytes()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_problems_tests_by_its_statement() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tests.jsonl");
        let row = |statement: &str, input: &str| {
            let tests = [TestCase { input: input.to_owned(), output: "ü\n".to_owned() }].into();
            let row = ProblemTests { problem: ContentHash::of(statement.as_bytes()), tests };
            serde_json::to_string(&row).expect("it serializes") + "\n"
        };
        std::fs::write(&path, row("a", "1") + &row("b", "2") + &row("a", "3")).expect("it can be written");
        let tests = HiddenTests::open(&path)?;
        let inputs = |statement: &str| -> Result<Option<Vec<String>>, EnrichError> {
            Ok(tests.of(statement)?.map(|tests| tests.into_iter().map(|test| test.input).collect()))
        };
        assert_eq!(inputs("a")?, Some(vec!["1".to_owned(), "3".to_owned()]));
        assert_eq!(inputs("b")?, Some(vec!["2".to_owned()]));
        assert_eq!(inputs("c")?, None);

        std::fs::write(&path, row("a", "1") + "{}\n").expect("it can be written");
        let message = HiddenTests::open(&path).err().expect("it is refused").to_string();
        assert!(message.contains("line 2: expected the key `problem` of the tests of a problem"), "{message}");
        Ok(())
    }
}

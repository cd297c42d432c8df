//! A loader: problems in CSV, with the columns `id`, `title`, `statement`, `solution` and `tests`, the last a JSON list of
//! `[input, expected output]`.

mod csv;

use hilora_plugin_sdk::loader::{
    Column, ColumnMismatch, DatasetInfo, DatasetLoader, DatasetReader, LoadError, LoadedRow, MalformedFile, SourceFile,
    options,
};
use hilora_plugin_sdk::types::{Problem, SkippedRow, Solution, TestCase};
use serde::Deserialize;

use csv::CsvFile;

/// The columns, and whether a file must have them.
const COLUMNS: [(&str, bool); 5] =
    [("id", true), ("title", false), ("statement", true), ("solution", true), ("tests", true)];

/// `data.options` of a run's config.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What stands between two cells.
    #[serde(default = "comma")]
    separator: char,
}

fn comma() -> char {
    ','
}

/// The plugin.
pub struct CsvLoader;

/// Reads the files one after another.
pub struct Reader {
    files: std::vec::IntoIter<CsvFile>,
    current: Option<CsvFile>,
}

impl DatasetLoader for CsvLoader {
    type Reader = Reader;

    // Fill in here: what the loader reads. `source` is the value of `data.source` that it serves.
    fn describe() -> DatasetInfo {
        let column =
            |(name, required): (&str, bool)| Column { name: name.to_owned(), expected: "text".to_owned(), required };
        DatasetInfo { source: "csv".to_owned(), licence: "my own".to_owned(), columns: COLUMNS.map(column).to_vec() }
    }

    fn open(files: Vec<SourceFile>, text: &str) -> Result<Reader, LoadError> {
        let Options { separator } = options(text)?;
        let mut opened = Vec::new();
        for file in files {
            let name = file.name().to_owned();
            let file = CsvFile::open(file, separator).map_err(|why| malformed(&name, None, why))?;
            if let Some((column, _)) = COLUMNS.iter().find(|(name, required)| *required && !file.has(name)) {
                return Err(LoadError::Column(ColumnMismatch {
                    file: name,
                    column: (*column).to_owned(),
                    expected: "text".to_owned(),
                    found: None,
                }));
            }
            opened.push(file);
        }
        Ok(Reader { files: opened.into_iter(), current: None })
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        let mut rows = Vec::new();
        while rows.len() < rows_max as usize {
            let Some(file) = &mut self.current else {
                self.current = self.files.next();
                if self.current.is_none() {
                    break;
                }
                continue;
            };
            let name = file.name().to_owned();
            match file.next_row() {
                Ok(Some(cells)) => rows.push(row(|column| file.cell(&cells, column))),
                Ok(None) => self.current = None,
                Err(why) => return Err(malformed(&name, Some(file.rows()), why)),
            }
        }
        Ok(rows)
    }

    fn rows_total(&self) -> Option<u64> {
        None
    }
}

hilora_plugin_sdk::export_loader!(CsvLoader);
hilora_plugin_sdk::manifest!("plugin.toml");

// Fill in here: what becomes of a row, whose cells `cell` gives by their column's name. A row that cannot be used is skipped
// with a short reason, and counted by it.
fn row(cell: impl Fn(&str) -> String) -> LoadedRow {
    let id = cell("id");
    let skipped = |reason: &str, detail: String| {
        let id = Some(id.clone()).filter(|id| !id.is_empty());
        LoadedRow::Skipped(SkippedRow { id, reason: reason.to_owned(), detail })
    };
    if id.is_empty() {
        return skipped("no-id", "the cell `id` is empty".to_owned());
    }
    let tests: Vec<(String, String)> = match serde_json::from_str(&cell("tests")) {
        Ok(tests) => tests,
        Err(error) => return skipped("malformed-tests", error.to_string()),
    };
    let tests = tests.into_iter().map(|(input, expected)| TestCase { input, expected }).collect();
    let mut problem = Problem::new(&id, cell("statement"), vec![Solution::python3(cell("solution"))], tests);
    problem.text.title = cell("title");
    LoadedRow::Problem(problem)
}

fn malformed(file: &str, row: Option<u64>, detail: String) -> LoadError {
    LoadError::Malformed(MalformedFile { file: file.to_owned(), row, detail })
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::harness;

    use super::*;

    #[test]
    fn answers_the_golden_cases() {
        harness::golden::loader::<CsvLoader>("golden.jsonl");
    }

    #[test]
    fn damage_is_an_error_or_a_row_and_never_a_panic() {
        let whole = include_bytes!("../golden.csv");
        for damaged in harness::damaged(whole, 200) {
            // Whatever it is, it was told.
            let _ = harness::read_to_end::<CsvLoader>(vec![SourceFile::from_bytes("a.csv", damaged)], "{}", 7);
        }
    }
}

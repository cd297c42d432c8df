//! A loader for the host's tests: it does what its file's content says, and most of what it can do is wrong.

use hilora_plugin_sdk::loader::{
    Batch, ColumnMismatch, DatasetInfo, DatasetLoader, DatasetReader, LoadError, MalformedFile, SourceFile,
};
use hilora_plugin_sdk::types::{Problem, ProblemText, SkippedRow};

/// The plugin.
pub struct HostileLoader;

/// Does what was asked, batch after batch.
pub struct Reader {
    asked: String,
    batches: u64,
}

impl DatasetLoader for HostileLoader {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        DatasetInfo { source: "hostile".to_owned(), licence: "none".to_owned(), columns: Vec::new() }
    }

    fn open(files: Vec<SourceFile>) -> Result<Reader, LoadError> {
        let Some(file) = files.first() else { return Ok(Reader { asked: String::new(), batches: 0 }) };
        let length = usize::try_from(file.size()).expect("the file is short");
        let bytes = file.read_at(0, length).map_err(|error| LoadError::Unreadable(error.to_string()))?;
        let asked = String::from_utf8_lossy(&bytes).trim().to_owned();
        match asked.as_str() {
            "missing column" => Err(LoadError::Column(ColumnMismatch {
                file: file.name().to_owned(),
                column: "tests".to_owned(),
                expected: "list".to_owned(),
                found: None,
            })),
            "malformed" => Err(LoadError::Malformed(MalformedFile {
                file: file.name().to_owned(),
                row: Some(3),
                detail: "not a row".to_owned(),
            })),
            "read past the end" => {
                let beyond = file.read_at(1 << 40, 16).map_err(|error| LoadError::Unreadable(error.to_string()))?;
                Err(LoadError::Unreadable(format!("{} bytes past the end", beyond.len())))
            }
            "open another file" => {
                let opened = std::fs::read("/etc/passwd").map(|bytes| bytes.len());
                Err(LoadError::Unreadable(format!("{opened:?}")))
            }
            _ => Ok(Reader { asked, batches: 0 }),
        }
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Option<Batch>, LoadError> {
        self.batches += 1;
        let skipped =
            |row, reason: &str| SkippedRow { row, id: None, reason: reason.to_owned(), detail: String::new() };
        let batch = |problems, skipped| Ok(Some(Batch { problems, skipped }));
        match (self.asked.as_str(), self.batches) {
            ("empty batches", _) => batch(vec![], vec![]),
            ("too many rows", _) => batch((0..=rows_max).map(|i| problem(&i.to_string())).collect(), vec![]),
            ("wrong row", _) => batch(vec![], vec![skipped(7, "nothing")]),
            ("row twice", _) => batch(vec![], vec![skipped(0, "nothing"), skipped(0, "nothing")]),
            ("wrong reason", _) => batch(vec![], vec![skipped(0, "No Solution!")]),
            ("no identifier", _) => batch(vec![problem("")], vec![]),
            ("large batch", 1) => {
                let mut large = problem("a");
                large.text.statement = "x".repeat(160 << 20);
                batch(vec![large], vec![])
            }
            ("panic at the second batch", 2) => panic!("the file asked for it"),
            (_, 1) => batch(vec![problem("a")], vec![skipped(1, "no-tests")]),
            (_, 2) => batch(vec![problem("b")], vec![]),
            _ => Ok(None),
        }
    }

    fn rows_total(&self) -> Option<u64> {
        None
    }
}

fn problem(id: &str) -> Problem {
    Problem {
        text: ProblemText {
            id: id.to_owned(),
            title: String::new(),
            statement: "Print 1.".to_owned(),
            tags: Vec::new(),
            difficulty: None,
        },
        source: String::new(),
        solutions: Vec::new(),
        tests: Vec::new(),
        entry_point: None,
        time_limit_ms: None,
        memory_limit_bytes: None,
    }
}

hilora_plugin_sdk::export_loader!(HostileLoader);
hilora_plugin_sdk::manifest!("plugin.toml");

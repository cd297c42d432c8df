//! A loader for the host's tests: it does what its file's content says, and most of what it can do is wrong.

use std::io::{self, Write};

use hilora_plugin_sdk::loader::{
    ColumnMismatch, DatasetInfo, DatasetLoader, DatasetReader, LoadError, LoadedRow, MalformedFile, SourceFile,
};
use hilora_plugin_sdk::types::{Conversation, Message, Problem, ProblemText, Role, SkippedRow};

/// The plugin.
pub struct HostileLoader;

/// Does what was asked, batch after batch.
pub struct Reader {
    asked: String,
    batches: u64,
    rows_read: u64,
}

/// Clears a screen, rings, goes back to the line's beginning and turns the line around.
const TERMINAL_COMMANDS: &str = "\u{1b}[2J\u{9b}2J\u{7}\rnothing wrong\u{202e}";

impl DatasetLoader for HostileLoader {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        writeln!(io::stdout(), "asked what it reads{TERMINAL_COMMANDS}").expect("it is a short line");
        DatasetInfo { source: "hostile".to_owned(), licence: "none".to_owned(), columns: Vec::new() }
    }

    fn open(files: Vec<SourceFile>, options: &str) -> Result<Reader, LoadError> {
        let Some(file) = files.first() else { return Ok(Reader { asked: String::new(), batches: 0, rows_read: 0 }) };
        let length = usize::try_from(file.size()).expect("the file is short");
        let bytes = file.read_at(0, length).map_err(|error| LoadError::Unreadable(error.to_string()))?;
        let asked = String::from_utf8_lossy(&bytes).trim().to_owned();
        match asked.as_str() {
            "tell the options" => Err(LoadError::Options(options.to_owned())),
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
            _ => Ok(Reader { asked, batches: 0, rows_read: 0 }),
        }
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        self.batches += 1;
        Ok(match (self.asked.as_str(), self.batches) {
            ("too many rows", _) => (0..=rows_max).map(|i| problem(&i.to_string())).collect(),
            ("wrong reason", _) => vec![skipped("No Solution!")],
            ("no identifier", _) => vec![problem("")],
            ("nobody answers", _) => vec![conversation(&[Role::System, Role::User])],
            ("user speaks last", _) => vec![conversation(&[Role::User, Role::Assistant, Role::User])],
            ("large batch", 1) => vec![large_problem(160)],
            ("long identifier", _) => vec![problem(&"x".repeat(5_000))],
            ("too large a batch", _) => vec![large_problem(513)],
            ("commands to a terminal", _) => panic!("{TERMINAL_COMMANDS}"),
            ("print in each batch", 1..=3) => {
                eprintln!("{}", "x".repeat(3_000));
                vec![problem(&self.batches.to_string())]
            }
            ("print in each batch", _) => Vec::new(),
            ("panic long after a refusal", 1) => {
                assert!(Vec::<u8>::new().try_reserve_exact(2_000_000_000).is_err(), "so much is refused");
                vec![problem("a")]
            }
            ("panic long after a refusal", _) => panic!("the real reason"),
            ("panic at row 7", _) => {
                let rows = self.rows_read..self.rows_read + u64::from(rows_max);
                assert!(!rows.contains(&7), "row 7 is not liked");
                self.rows_read = rows.end;
                rows.map(|row| problem(&row.to_string())).collect()
            }
            ("panic at the second batch", 2) => panic!("the file asked for it"),
            (_, 1) => vec![problem("a"), skipped("no-tests")],
            (_, 2) => vec![problem("b")],
            _ => Vec::new(),
        })
    }

    fn rows_total(&self) -> Option<u64> {
        None
    }
}

fn skipped(reason: &str) -> LoadedRow {
    LoadedRow::Skipped(SkippedRow { id: None, reason: reason.to_owned(), detail: String::new() })
}

fn conversation(roles: &[Role]) -> LoadedRow {
    let message = |role: &Role| Message::new(role.clone(), "text");
    LoadedRow::Conversation(Conversation {
        id: "c".to_owned(),
        messages: roles.iter().map(message).collect(),
        tools: Vec::new(),
        tags: Vec::new(),
        difficulty: None,
    })
}

fn problem(id: &str) -> LoadedRow {
    problem_with(id, "Print 1.".to_owned())
}

fn large_problem(mebibytes: usize) -> LoadedRow {
    problem_with("a", "x".repeat(mebibytes << 20))
}

fn problem_with(id: &str, statement: String) -> LoadedRow {
    LoadedRow::Problem(Problem {
        text: ProblemText { id: id.to_owned(), title: String::new(), statement, tags: Vec::new(), difficulty: None },
        source: String::new(),
        solutions: Vec::new(),
        incorrect_solutions: Vec::new(),
        tests: Vec::new(),
        entry_point: None,
        test_code: None,
        checker: None,
        time_limit_ms: None,
        memory_limit_bytes: None,
        attributes: Vec::new(),
    })
}

hilora_plugin_sdk::export_loader!(HostileLoader);
hilora_plugin_sdk::manifest!("plugin.toml");

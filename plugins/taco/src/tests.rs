//! The loader over files that these tests write themselves, in every format.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::loader_contract::{damaged, read_to_end};
use hilora_plugin_sdk::types::{Problem, SkippedRow};
use parquet::arrow::ArrowWriter;

use super::*;

/// A row: its columns by name. A column that is not named is null.
type TestRow = Vec<(&'static str, &'static str)>;

const TESTS: &str = r#"{"inputs": ["1 2\n", "5 5\n"], "outputs": ["3\n", "10\n"]}"#;
const CALLS: &str = r#"{"fn_name": "odd", "inputs": [[1], [2]], "outputs": [[true], [false]]}"#;
const PROSE: &str = r#"{"inputs": ["n = 5\nk = 3\narr[] = {5,10}"], "outputs": ["35"]}"#;

/// The base row with these columns replaced.
fn row(replaced: &[(&'static str, &'static str)]) -> TestRow {
    let base = [("question", "Add."), ("solutions", r#"["print(3)"]"#), ("input_output", TESTS), ("starter_code", "")];
    let mut row: TestRow =
        base.into_iter().filter(|(name, _)| replaced.iter().all(|(other, _)| name != other)).collect();
    row.extend(replaced);
    row
}

fn batch(rows: &[TestRow]) -> RecordBatch {
    let value = |row: &TestRow, column: &str| row.iter().find(|(name, _)| *name == column).map(|(_, value)| *value);
    let columns = COLUMNS.iter().map(|column| {
        let texts: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| value(row, column.name))));
        (column.name, texts, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns are of one length")
}

fn parquet_file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("the schema is plain");
    writer.write(batch).expect("memory can be written");
    writer.into_inner().expect("memory can be written")
}

fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("the schema is plain");
    writer.write(batch).expect("memory can be written");
    writer.into_inner().expect("memory can be written")
}

fn arrow_file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).expect("the schema is plain");
    writer.write(batch).expect("memory can be written");
    writer.into_inner().expect("memory can be written")
}

fn json_lines(rows: &[TestRow]) -> Vec<u8> {
    let quoted = |text: &str| {
        let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        format!("\"{escaped}\"")
    };
    let line = |row: &TestRow| {
        let fields: Vec<String> =
            row.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value))).collect();
        format!("{{{}, \"url\": null}}\n", fields.join(", "))
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

/// The file in every format.
fn formats(rows: &[TestRow]) -> [Vec<u8>; 4] {
    let batch = batch(rows);
    [parquet_file(&batch), arrow_stream(&batch), arrow_file(&batch), json_lines(rows)]
}

fn read(bytes: Vec<u8>) -> Result<Vec<LoadedRow>, LoadError> {
    // The name says nothing: the content does.
    read_to_end::<Taco>(vec![SourceFile::from_bytes("train-00000", bytes)], "{}", 2)
}

fn problem(row: TestRow) -> Problem {
    match read(json_lines(&[row])).expect("the file is whole").remove(0) {
        LoadedRow::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_format_gives_the_same_rows() {
    let rows = [
        row(&[("raw_tags", "['dp', \"Kruskal's\"]"), ("tags", "['Sorting', 'dp']"), ("difficulty", "MEDIUM_HARD")]),
        row(&[("input_output", CALLS), ("starter_code", "def odd(n):\n    pass"), ("solutions", "")]),
        row(&[("name", "Sum"), ("time_limit", "2.0 seconds"), ("memory_limit", "256.0 megabytes")]),
    ];
    let expected = read(json_lines(&rows)).expect("the file is whole");
    assert!(expected.iter().all(|row| matches!(row, LoadedRow::Problem(_))), "{expected:?}");
    for bytes in formats(&rows) {
        assert_eq!(read(bytes), Ok(expected.clone()));
    }
}

/// Two times the rows of the corpus, as Polars writes them.
#[test]
fn what_polars_writes_are_the_same_rows() {
    let corpus = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/taco").join(name);
        std::fs::read(path).expect("the corpus is there")
    };
    let whole = read(corpus("arrow-stream")).expect("pyarrow wrote it");
    let named = |mut rows: Vec<LoadedRow>| {
        for (index, row) in rows.iter_mut().enumerate() {
            match row {
                LoadedRow::Problem(problem) => problem.text.id = index.to_string(),
                LoadedRow::Skipped(skipped) => skipped.id = Some(index.to_string()),
                other => panic!("{other:?}"),
            }
        }
        rows
    };
    let twice = named(whole.iter().chain(&whole).cloned().collect());
    for name in ["polars-file", "polars-file-zstd", "polars-stream-lz4"] {
        assert_eq!(named(read(corpus(name)).expect("Polars wrote it")), twice, "{name}");
    }
}

#[test]
fn reads_every_column() {
    let found = problem(row(&[
        ("name", "Sum"),
        ("source", "codeforces"),
        ("difficulty", "MEDIUM_HARD"),
        ("raw_tags", "['math', '']"),
        ("tags", "['Mathematics', 'math']"),
        ("skill_types", "['Sorting']"),
        ("time_limit", "2.0 seconds"),
        ("memory_limit", "256.0 megabytes"),
        ("date", "2020-01-31"),
        ("picture_num", "0"),
        ("Expected Auxiliary Space", "O(1)"),
        ("Expected Time Complexity", "O(n)"),
    ]));
    assert_eq!(
        (found.text.id.as_str(), found.text.title.as_str(), found.text.statement.as_str()),
        ("taco-0", "Sum", "Add.")
    );
    assert_eq!(found.text.tags, ["math", "Mathematics", "Sorting"]);
    assert_eq!((found.text.difficulty.as_deref(), found.source.as_str()), (Some("MEDIUM_HARD"), "codeforces"));
    assert_eq!((found.time_limit_ms, found.memory_limit_bytes), (Some(2000), Some(256_000_000)));
    assert_eq!((found.solutions.len(), found.tests.len(), found.entry_point), (1, 2, None));
    let attributes: Vec<(&str, &str)> = found.attributes.iter().map(|a| (a.name.as_str(), a.value.as_str())).collect();
    let complexity = [("expected-auxiliary-space", "O(1)"), ("expected-time-complexity", "O(n)")];
    assert_eq!(attributes[..2], [("date", "2020-01-31"), ("picture-num", "0")]);
    assert_eq!(attributes[2..], complexity);
}

#[test]
fn a_function_shows_its_starter_code_and_an_unknown_difficulty_is_none() {
    let starter = ("starter_code", "def odd(n):\n    pass");
    let found = problem(row(&[("input_output", CALLS), starter, ("difficulty", "UNKNOWN_DIFFICULTY")]));
    assert_eq!(found.entry_point.as_deref(), Some("odd"));
    assert_eq!(found.text.statement, "Add.\n\nStarter code:\n```python\ndef odd(n):\n    pass\n```\n");
    assert_eq!((found.tests[0].input.as_str(), found.tests[0].expected.as_str()), ("1", "true"));
    assert_eq!(found.text.difficulty, None);
}

#[test]
fn names_why_a_row_is_skipped_in_every_format() {
    let stub = ("starter_code", "class Solution:\n    def minTime(self, arr, n, k):\n");
    for (replaced, reason) in [
        (vec![("question", " \n")], "empty-description"),
        (vec![("input_output", "")], "no-tests"),
        (vec![("input_output", "null")], "no-tests"),
        (vec![("input_output", "{'inputs': []}")], "malformed-json"),
        (vec![("input_output", r#"{"inputs": ["1"], "outputs": []}"#)], "unequal-test-lists"),
        (vec![("input_output", PROSE), stub], "prose-input"),
        (vec![("input_output", PROSE), ("source", "geeksforgeeks")], "prose-input"),
        (vec![("solutions", "{}")], "wrong-type"),
        (vec![("tags", "__import__('os')")], "malformed-list"),
        (vec![("time_limit", "soon")], "malformed-time-limit"),
        (vec![("memory_limit", "much")], "malformed-memory-limit"),
    ] {
        for bytes in formats(&[row(&[]), row(&replaced)]) {
            let rows = read(bytes).expect("the file is whole");
            assert!(matches!(rows[0], LoadedRow::Problem(_)));
            match &rows[1] {
                LoadedRow::Skipped(SkippedRow { id, reason: found, .. }) => {
                    assert_eq!((id.as_deref(), found.as_str()), (Some("taco-1"), reason));
                }
                other => panic!("expected {reason}, got {other:?}"),
            }
        }
    }
}

#[test]
fn an_assignment_without_a_stub_is_input_like_any_other() {
    assert_eq!(problem(row(&[("input_output", PROSE)])).tests.len(), 1);
}

#[test]
fn files_of_different_formats_are_one_sequence_of_rows() {
    let [parquet, stream, file, lines] = formats(&[row(&[]), row(&[("question", "")])]);
    let files = [lines, parquet, stream, file].map(|bytes| SourceFile::from_bytes("x", bytes)).to_vec();
    let mut reader = Taco::open(files.clone(), "{}").expect("the files are whole");
    assert_eq!(hilora_plugin_sdk::loader::DatasetReader::rows_total(&reader), None, "lines are not counted before");
    assert_eq!(hilora_plugin_sdk::loader::DatasetReader::next_batch(&mut reader, 0), Ok(vec![]));
    let rows = read_to_end::<Taco>(files, "{}", 64).expect("the files are whole");
    let id = |row: &LoadedRow| match row {
        LoadedRow::Problem(problem) => problem.text.id.clone(),
        LoadedRow::Skipped(skipped) => format!("skipped {}", skipped.id.clone().unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let ids: Vec<String> = rows.iter().map(id).collect();
    assert_eq!(ids[..4], ["taco-0", "skipped taco-1", "taco-2", "skipped taco-3"]);
    assert_eq!(ids[4..], ["taco-4", "skipped taco-5", "taco-6", "skipped taco-7"]);
}

#[test]
fn text_that_is_not_utf8_costs_its_row_only() {
    let whole = batch(&[row(&[]), row(&[])]);
    let mut columns = whole.columns().to_vec();
    columns[0] = Arc::new(BinaryArray::from_vec(vec![b"Add.", b"Add\xFF"]));
    let names = COLUMNS.iter().map(|column| column.name);
    let damaged = RecordBatch::try_from_iter(names.zip(columns)).expect("the columns are of one length");
    for bytes in [parquet_file(&damaged), arrow_stream(&damaged)] {
        let rows = read(bytes).expect("the file is whole");
        assert!(matches!(&rows[0], LoadedRow::Problem(_)));
        assert!(matches!(&rows[1], LoadedRow::Skipped(skipped) if skipped.reason == "invalid-utf8"), "{rows:?}");
    }
}

#[test]
fn a_missing_column_is_named() {
    let whole = batch(&[row(&[])]);
    let positions: Vec<usize> = (1..COLUMNS.len()).collect();
    let lacking = whole.project(&positions).expect("the positions are there");
    for bytes in [parquet_file(&lacking), arrow_stream(&lacking)] {
        match read(bytes) {
            Err(LoadError::Column(error)) => assert_eq!((error.column.as_str(), error.found), ("question", None)),
            other => panic!("expected a column error, got {other:?}"),
        }
    }
}

#[test]
fn damage_is_an_error_or_costs_rows_and_is_never_a_panic() {
    for bytes in formats(&[row(&[("raw_tags", "['dp']")]), row(&[("input_output", CALLS)])]) {
        for damaged in damaged(&bytes, 3000) {
            let _ = read(damaged);
        }
    }
    for empty in [Vec::new(), b"\n\n".to_vec()] {
        assert_eq!(read(empty), Ok(vec![]));
    }
}

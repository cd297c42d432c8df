//! The loader over rows that these tests write themselves, private tests packed as the dataset packs them.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hilora_plugin_sdk::loader_contract::{damaged, read_to_end};
use hilora_plugin_sdk::types::SkippedRow;

use super::*;

const STDIN: &str = r#"[{\"input\": \"1 2\\n\", \"output\": \"3\\n\", \"testtype\": \"stdin\"}]"#;
const FUNCTIONAL: &str =
    r#"[{\"input\": \"[1, 2]\\n\\\"a b\\\"\", \"output\": \"[ 3 ]\", \"testtype\": \"functional\"}]"#;

fn row(public: &str, private: &str, metadata: &str) -> String {
    format!(
        r#"{{"question_title": "Sum", "question_content": "Add.", "platform": "atcoder", "question_id": "abc1_a", "contest_id": "abc1", "contest_date": "2023-05-13T00:00:00", "starter_code": "class Solution:\n    def add(self, a: List[int]) -> int:\n        ", "difficulty": "easy", "public_test_cases": "{public}", "private_test_cases": "{private}", "metadata": "{metadata}"}}"#
    )
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// The pickle of one string as Python writes it today.
fn pickled(text: &str) -> Vec<u8> {
    let mut pickle = b"\x80\x04X".to_vec();
    pickle.extend_from_slice(&u32::try_from(text.len()).expect("it is short").to_le_bytes());
    pickle.extend_from_slice(text.as_bytes());
    pickle.extend_from_slice(b"\x94.");
    pickle
}

fn packed(text: &str) -> String {
    STANDARD.encode(zlib(&pickled(text)))
}

fn read(bytes: Vec<u8>) -> Result<Vec<LoadedRow>, LoadError> {
    read_to_end::<LiveCodeBench>(vec![SourceFile::from_bytes("a.jsonl", bytes)], "{}", 4)
}

fn problem(row: String) -> Problem {
    match read(row.into_bytes()).expect("the file is whole").remove(0) {
        LoadedRow::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn tests(problem: &Problem) -> Vec<(&str, &str)> {
    problem.tests.iter().map(|test| (test.input.as_str(), test.expected.as_str())).collect()
}

#[test]
fn public_tests_come_before_private_ones_however_those_are_packed() {
    let private = r#"[{"input": "5 5\n", "output": "10\n", "testtype": "stdin"}]"#;
    for private in [private.replace('\\', "\\\\").replace('"', "\\\""), packed(private)] {
        let problem = problem(row(STDIN, &private, "{}"));
        assert_eq!(tests(&problem), [("1 2\n", "3\n"), ("5 5\n", "10\n")]);
        assert_eq!((problem.text.id.as_str(), problem.text.title.as_str()), ("livecodebench-abc1_a", "Sum"));
        assert_eq!((problem.text.statement.as_str(), problem.entry_point), ("Add.", None));
        assert_eq!((problem.source.as_str(), problem.text.difficulty.as_deref()), ("atcoder", Some("easy")));
        let attributes: Vec<String> = problem.attributes.iter().map(|a| format!("{}={}", a.name, a.value)).collect();
        assert_eq!(attributes, ["contest-date=2023-05-13T00:00:00", "platform=atcoder", "contest-id=abc1"]);
        assert_eq!(problem.solutions, []);
    }
    assert_eq!(problem(row(STDIN, "", "")).tests.len(), 1, "private tests may be left out");
    assert_eq!(problem(row("", &packed(private), "null")).tests.len(), 1);
}

#[test]
fn no_field_of_tests_is_required_because_either_will_do() {
    for field in ["public_test_cases", "private_test_cases"] {
        let renamed = row(STDIN, STDIN, "{}").replace(field, "unread");
        assert_eq!(problem(renamed).tests.len(), 1, "without `{field}`");
        let described = LiveCodeBench::describe().columns.into_iter().find(|column| column.name == field);
        assert_eq!(described.map(|column| column.required), Some(false), "{field}");
    }
}

#[test]
fn functional_tests_are_json_values_and_show_their_starter_code() {
    let problem = problem(row(FUNCTIONAL, "null", r#"{\"func_name\": \"add\"}"#));
    assert_eq!(problem.entry_point.as_deref(), Some("add"));
    assert_eq!(tests(&problem), [("[1,2]\n\"a b\"", "[3]")]);
    let statement =
        "Add.\n\nStarter code:\n```python\nclass Solution:\n    def add(self, a: List[int]) -> int:\n        \n```\n";
    assert_eq!(problem.text.statement, statement);
}

#[test]
fn names_why_a_row_is_skipped() {
    let add = r#"{\"func_name\": \"add\"}"#;
    let bomb = STANDARD.encode(zlib(&vec![b' '; (128 << 20) + 1]));
    let forbidden = STANDARD.encode(zlib(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R."));
    for (row, reason) in [
        (row("", "", "{}"), "no-tests"),
        (row("[]", "[]", "{}"), "no-tests"),
        (row(STDIN, FUNCTIONAL, add), "mixed-test-types"),
        (row(FUNCTIONAL, "", "{}"), "missing-function-name"),
        (row(FUNCTIONAL, "", ""), "missing-function-name"),
        (row(FUNCTIONAL, "", r#"{\"func_name\": 3}"#), "wrong-type"),
        (row(FUNCTIONAL, "", "{"), "malformed-json"),
        (row(&FUNCTIONAL.replace("[ 3 ]", "[ 3"), "", add), "malformed-json"),
        (row(&STDIN.replace("stdin", "socket"), "", "{}"), "unknown-test-type"),
        (row(&STDIN.replace("testtype", "type"), "", "{}"), "missing-field"),
        (row(&STDIN.replace("output", "out"), "", "{}"), "null-test"),
        (row("{}", "", "{}"), "wrong-type"),
        (row(STDIN, "!!!!", "{}"), "malformed-base64"),
        (row(STDIN, "eJ", "{}"), "malformed-base64"),
        (row(STDIN, "abcd", "{}"), "malformed-zlib"),
        (row(STDIN, &packed("[]")[..20], "{}"), "malformed-zlib"),
        (row(STDIN, &STANDARD.encode(zlib(b"\x80\x04")), "{}"), "malformed-pickle"),
        (row(STDIN, &packed("[1"), "{}"), "malformed-json"),
        (row(STDIN, &forbidden, "{}"), "forbidden-pickle-opcode"),
        (row(STDIN, &bomb, "{}"), "tests-too-large"),
        (row(STDIN, "", "{}").replace("Add.", ""), "empty-description"),
    ] {
        match read(row.clone().into_bytes()).expect("the file is whole").remove(0) {
            LoadedRow::Skipped(SkippedRow { id, reason: found, detail }) => {
                assert_eq!((id.as_deref(), found.as_str()), (Some("livecodebench-abc1_a"), reason), "{detail}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[test]
fn damage_costs_rows_and_never_more() {
    let private = r#"[{"input": "5 5\n", "output": "10\n", "testtype": "stdin"}]"#;
    let whole = [row(STDIN, &packed(private), "{}"), row(FUNCTIONAL, "", r#"{\"func_name\": \"add\"}"#)].join("\n");
    for bytes in damaged(whole.as_bytes(), 4000) {
        assert!(read(bytes).expect("plain lines have nothing to damage but rows").len() <= 3);
    }
    for bytes in damaged(&zlib(&pickled(private)), 1000) {
        let rows = read(row(STDIN, &STANDARD.encode(bytes), "{}").into_bytes()).expect("the line is whole");
        assert_eq!(rows.len(), 1);
    }
}

#[test]
fn a_line_of_100_mb_costs_that_row_only_and_an_empty_file_has_none() {
    let whole = row(STDIN, "", "{}");
    let long = whole.replace("Add.", &"a".repeat(100_000_000));
    let rows = read([whole.as_str(), &long, &whole].join("\n").into_bytes()).expect("the file is whole");
    assert!(matches!(&rows[1], LoadedRow::Skipped(skipped) if skipped.reason == "line-too-long"));
    assert!(matches!((&rows[0], &rows[2]), (LoadedRow::Problem(_), LoadedRow::Problem(_))));
    assert_eq!(read(vec![]), Ok(vec![]));
}

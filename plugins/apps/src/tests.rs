//! The loader over rows that these tests write themselves.

use hilora_plugin_sdk::loader_contract::{damaged, read_to_end};
use hilora_plugin_sdk::types::SkippedRow;

use super::*;

const STREAMS: &str = r#"{"problem_id": 7, "question": "Add.", "solutions": "[\"print(3)\"]", "input_output": "{\"inputs\": [\"1 2\\n\"], \"outputs\": [\"3\\n\"]}", "difficulty": "interview", "url": "https://www.codeforces.com/problemset/problem/1/A", "starter_code": ""}"#;
const CALLS: &str = r#"{"problem_id": 8, "question": "Is it odd?", "solutions": "", "input_output": "{\"fn_name\": \"odd\", \"inputs\": [[1], [2]], \"outputs\": [[true], [false]]}", "difficulty": "introductory", "url": "", "starter_code": "def odd(n):\n\t"}"#;

fn read(lines: &[&str]) -> Result<Vec<LoadedRow>, LoadError> {
    read_to_end::<Apps>(vec![SourceFile::from_bytes("a.jsonl", lines.join("\n").into_bytes())], "{}", 4)
}

fn problem(line: &str) -> Problem {
    match read(&[line]).expect("the file is whole").remove(0) {
        LoadedRow::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn skip(line: &str) -> (Option<String>, String) {
    match read(&[line]).expect("the file is whole").remove(0) {
        LoadedRow::Skipped(SkippedRow { id, reason, .. }) => (id, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_a_program_on_standard_streams() {
    let problem = problem(STREAMS);
    assert_eq!((problem.text.id.as_str(), problem.text.statement.as_str()), ("apps-7", "Add."));
    assert_eq!((problem.text.difficulty.as_deref(), problem.source.as_str()), (Some("interview"), "codeforces"));
    assert_eq!((problem.tests.len(), problem.tests[0].expected.as_str()), (1, "3\n"));
    assert_eq!((problem.solutions.len(), problem.entry_point), (1, None));
    assert_eq!((problem.attributes[0].name.as_str(), problem.attributes.len()), ("url", 1));
}

#[test]
fn reads_a_function_and_shows_its_starter_code() {
    let problem = problem(CALLS);
    assert_eq!(problem.entry_point.as_deref(), Some("odd"));
    assert_eq!(problem.text.statement, "Is it odd?\n\nStarter code:\n```python\ndef odd(n):\n\t\n```\n");
    let tests: Vec<(&str, &str)> = problem.tests.iter().map(|t| (t.input.as_str(), t.expected.as_str())).collect();
    assert_eq!(tests, [("1", "true"), ("2", "false")]);
    assert_eq!(problem.solutions, [], "tests alone make a problem");
    assert_eq!((problem.attributes, problem.source.as_str()), (vec![], ""));
}

#[test]
fn names_why_a_row_is_skipped() {
    let with = |from: &str, to: &str| {
        assert!(STREAMS.contains(from), "{from}");
        STREAMS.replace(from, to)
    };
    let tests = r#""{\"inputs\": [\"1 2\\n\"], \"outputs\": [\"3\\n\"]}""#;
    for (line, reason) in [
        (with(tests, "\"\""), "no-tests"),
        (with(tests, "null"), "no-tests"),
        (with(tests, "\"null\""), "no-tests"),
        (with(tests, "3"), "wrong-type"),
        (with(tests, "\"{'inputs': []}\""), "malformed-json"),
        (with("\\\"3\\\\n\\\"", ""), "unequal-test-lists"),
        (with("Add.", " "), "empty-description"),
        (with("\"Add.\"", "null"), "empty-description"),
        (with("\"Add.\"", "[]"), "wrong-type"),
        (with("\"[\\\"print(3)\\\"]\"", "\"{}\""), "wrong-type"),
    ] {
        assert_eq!(skip(&line), (Some("apps-7".to_owned()), reason.to_owned()), "{line}");
    }
    assert_eq!(skip(&with("\"problem_id\": 7", "\"problem_id\": null")), (None, "missing-field".to_owned()));
}

#[test]
fn sites_are_read_from_addresses() {
    for (url, expected) in [
        ("https://codeforces.com/problemset/problem/1036/B", "codeforces"),
        ("https://www.codewars.com/kata/5", "codewars"),
        ("https://open.kattis.com", "kattis"),
        ("codeforces.com", ""),
        ("", ""),
        ("https://", ""),
        ("https://localhost:80/x", ""),
    ] {
        assert_eq!(site(url), expected, "{url}");
    }
}

#[test]
fn damage_costs_rows_and_never_more() {
    let whole = [STREAMS, CALLS].join("\n").into_bytes();
    for bytes in damaged(&whole, 4000) {
        let rows = read_to_end::<Apps>(vec![SourceFile::from_bytes("a.jsonl", bytes)], "{}", 1);
        assert!(rows.expect("plain lines have nothing to damage but rows").len() <= 3);
    }
}

#[test]
fn a_line_of_100_mb_costs_that_row_only_and_an_empty_file_has_none() {
    let long = STREAMS.replace("Add.", &"a".repeat(100_000_000));
    let rows = read(&[CALLS, &long, STREAMS]).expect("the file is whole");
    assert!(matches!(&rows[1], LoadedRow::Skipped(skipped) if skipped.reason == "line-too-long"));
    assert!(matches!((&rows[0], &rows[2]), (LoadedRow::Problem(_), LoadedRow::Problem(_))));
    assert_eq!(read(&[""]), Ok(vec![]));
}

#[test]
fn options_are_refused() {
    let file = SourceFile::from_bytes("a.jsonl", vec![]);
    assert!(matches!(read_to_end::<Apps>(vec![file], r#"{"split": "x"}"#, 1), Err(LoadError::Options(_))));
}

//! Golden cases: what a plugin is asked and what it must answer, one JSON object a line. `docs/plugins.md` says what a case
//! of each kind holds. Each function panics with the line of the first case that is answered otherwise.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::lay_out;
use crate::checker::{CheckError, Decision, OutputChecker};
use crate::classifier::DomainClassifier;
use crate::formatter::PromptFormatter;
use crate::loader::{DatasetLoader, LoadedRow, SourceFile};
use crate::types::ProblemText;

/// A problem's text as a case has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseProblem {
    #[serde(default)]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    statement: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    difficulty: Option<String>,
}

impl From<CaseProblem> for ProblemText {
    fn from(case: CaseProblem) -> Self {
        let CaseProblem { id, title, statement, tags, difficulty } = case;
        Self { id, title, statement, tags, difficulty }
    }
}

/// The cases of a file, each with what messages call it.
fn cases<T: DeserializeOwned>(path: &Path) -> Vec<(String, T)> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let cases: Vec<(String, T)> = lines
        .map(|(index, line)| {
            let place = format!("{}, line {}", path.display(), index + 1);
            let case = serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
            (place, case)
        })
        .collect();
    assert!(!cases.is_empty(), "{}: no case", path.display());
    cases
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassifierCase {
    problem: CaseProblem,
    domain: String,
}

/// Holds a classifier against the cases of a file.
pub fn classifier<C: DomainClassifier>(path: impl AsRef<Path>) {
    let (places, cases): (Vec<_>, Vec<ClassifierCase>) = cases(path.as_ref()).into_iter().unzip();
    let (problems, domains): (Vec<ProblemText>, Vec<String>) =
        cases.into_iter().map(|case| (case.problem.into(), case.domain)).unzip();
    for ((place, domain), answer) in places.iter().zip(domains).zip(super::classify::<C>(&problems)) {
        assert_eq!(answer.domain, domain, "{place}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckerCase {
    input: String,
    expected: String,
    actual: String,
    #[serde(default)]
    options: Map<String, Value>,
    decision: String,
}

/// Holds a checker against the cases of a file.
pub fn checker<C: OutputChecker>(path: impl AsRef<Path>) {
    for (place, case) in cases::<CheckerCase>(path.as_ref()) {
        let options = Value::Object(case.options).to_string();
        let decision = match super::check::<C>(&case.input, &case.expected, case.actual.as_bytes(), &options) {
            Ok(Decision::Accepted) => "accepted",
            Ok(Decision::Rejected(_)) => "rejected",
            Err(CheckError::BadTest(_)) => "bad-test",
            Err(CheckError::Options(_)) => "options",
        };
        assert_eq!(decision, case.decision, "{place}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum FormatterCase {
    LaidOut { specialist: String, problem: CaseProblem, program: String, prompt: String, answer: String },
    Extracted { completion: String, solution: Option<String> },
}

/// Holds a formatter against the cases of a file.
pub fn formatter<F: PromptFormatter>(path: impl AsRef<Path>) {
    for (place, case) in cases::<FormatterCase>(path.as_ref()) {
        match case {
            FormatterCase::LaidOut { specialist, problem, program, prompt, answer } => {
                let laid_out = lay_out::<F>(&specialist, &problem.into(), &program);
                assert_eq!((laid_out.prompt, laid_out.answer), (prompt, answer), "{place}");
            }
            FormatterCase::Extracted { completion, solution } => {
                assert_eq!(F::extract_solution(completion), solution, "{place}");
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoaderCase {
    files: Vec<String>,
    #[serde(default)]
    options: Map<String, Value>,
    rows: Vec<Value>,
}

/// Holds a loader against the cases of a file; the files that a case names lie beside it. A row of a case need not name
/// every field, but those that it names must be so.
pub fn loader<L: DatasetLoader>(path: impl AsRef<Path>) {
    let path = path.as_ref();
    for (place, case) in cases::<LoaderCase>(path) {
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = |name: &String| {
            let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{place}: {name}: {error}"));
            SourceFile::from_bytes(name, bytes)
        };
        let options = Value::Object(case.options).to_string();
        let read = |rows_max| {
            let files = case.files.iter().map(open).collect();
            let rows = super::read_to_end::<L>(files, &options, rows_max);
            rows.unwrap_or_else(|why| panic!("{place}: the files were refused: {why:?}"))
        };
        let rows = read(1);
        assert_eq!(rows, read(1_000), "{place}: one row at a time and many");
        assert_eq!(rows.len(), case.rows.len(), "{place}: how many rows there are");
        for (index, (row, expected)) in rows.iter().zip(&case.rows).enumerate() {
            let row = row_json(row);
            assert!(holds(expected, &row), "{place}: row {index}: expected {expected}, got {row}");
        }
    }
}

/// A row as a case has it.
fn row_json(row: &LoadedRow) -> Value {
    match row {
        LoadedRow::Problem(problem) => {
            let text = &problem.text;
            let tests = problem.tests.iter().map(|test| json!({"input": test.input, "expected": test.expected}));
            let programs = problem.solutions.iter().map(|it| json!({"language": it.language, "code": it.code}));
            json!({"problem": {
                "id": text.id, "title": text.title, "statement": text.statement, "tags": text.tags,
                "difficulty": text.difficulty, "source": problem.source, "entry_point": problem.entry_point,
                "solutions": programs.collect::<Vec<_>>(), "tests": tests.collect::<Vec<_>>(),
            }})
        }
        LoadedRow::Conversation(conversation) => {
            let message = |message: &crate::types::Message| json!({"role": message.role.as_str(), "content": message.content, "trained": message.trained});
            let messages: Vec<Value> = conversation.messages.iter().map(message).collect();
            json!({"conversation": {"id": conversation.id, "messages": messages, "tags": conversation.tags}})
        }
        LoadedRow::Policy(example) => json!({"policy": {
            "id": example.id, "instruction": example.instruction, "policy": example.policy, "tags": example.tags,
        }}),
        LoadedRow::Skipped(row) => json!({"skipped": {"id": row.id, "reason": row.reason}}),
    }
}

/// Whether everything that is expected is there: of an object the fields that are named, of everything else all.
fn holds(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.iter().all(|(key, expected)| got.get(key).is_some_and(|got| holds(expected, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| holds(expected, got))
        }
        _ => expected == got,
    }
}

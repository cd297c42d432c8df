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
use crate::types::{Message, ProblemText};

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

/// A case of a file, and what messages call it.
struct Case {
    place: String,
    value: Map<String, Value>,
}

/// The cases of a file.
fn cases(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let cases: Vec<Case> = lines
        .map(|(index, line)| {
            let place = format!("{}, line {}", path.display(), index + 1);
            let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
            Case { place, value }
        })
        .collect();
    assert!(!cases.is_empty(), "{}: no case", path.display());
    cases
}

impl Case {
    /// The question: all that is not of the answer, none of which may be unknown.
    fn question<T: DeserializeOwned>(&self, answer: &[&str]) -> T {
        let asked = self.value.iter().filter(|(key, _)| !answer.contains(&key.as_str()));
        let asked: Map<String, Value> = asked.map(|(key, value)| (key.clone(), value.clone())).collect();
        serde_json::from_value(Value::Object(asked)).unwrap_or_else(|error| panic!("{}: {error}", self.place))
    }

    /// Panics where the answer is not what the case says.
    fn hold(&self, answer: &[&str], got: &Value) {
        let expected = self.value.iter().filter(|(key, _)| answer.contains(&key.as_str()));
        let mut named = 0;
        for (key, expected) in expected {
            named += 1;
            let got = got.get(key).unwrap_or(&Value::Null);
            assert!(holds(expected, got), "{}: expected {key} {expected}, got {got}", self.place);
        }
        assert!(named > 0, "{}: the case names no answer", self.place);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassifierQuestion {
    problem: CaseProblem,
}

/// Holds a classifier against the cases of a file.
pub fn classifier<C: DomainClassifier>(path: impl AsRef<Path>) {
    const ANSWER: [&str; 2] = ["domain", "scores"];
    let cases = cases(path.as_ref());
    let problem = |case: &Case| case.question::<ClassifierQuestion>(&ANSWER).problem.into();
    let problems: Vec<ProblemText> = cases.iter().map(problem).collect();
    for (case, answer) in cases.iter().zip(super::classify::<C>(&problems)) {
        let scores = answer
            .scores
            .iter()
            .map(|score| json!({"domain": score.domain, "score": f64::from(score.score), "signals": score.signals}));
        case.hold(&ANSWER, &json!({"domain": answer.domain, "scores": scores.collect::<Vec<_>>()}));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckerQuestion {
    input: String,
    expected: String,
    actual: String,
    #[serde(default)]
    options: Map<String, Value>,
}

/// Holds a checker against the cases of a file.
pub fn checker<C: OutputChecker>(path: impl AsRef<Path>) {
    const ANSWER: [&str; 2] = ["decision", "why"];
    for case in cases(path.as_ref()) {
        let CheckerQuestion { input, expected, actual, options } = case.question(&ANSWER);
        let options = Value::Object(options).to_string();
        let answer = match super::check::<C>(&input, &expected, actual.as_bytes(), &options) {
            Ok(Decision::Accepted) => json!({"decision": "accepted"}),
            Ok(Decision::Rejected(why)) => json!({"decision": "rejected", "why": why}),
            Err(CheckError::BadTest(why)) => json!({"decision": "bad-test", "why": why}),
            Err(CheckError::Options(why)) => json!({"decision": "options", "why": why}),
        };
        case.hold(&ANSWER, &answer);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatterQuestion {
    completion: Option<String>,
    specialist: Option<String>,
    problem: Option<CaseProblem>,
    program: Option<String>,
}

/// Holds a formatter against the cases of a file.
pub fn formatter<F: PromptFormatter>(path: impl AsRef<Path>) {
    const ANSWER: [&str; 3] = ["prompt", "answer", "solution"];
    for case in cases(path.as_ref()) {
        let answer = match case.question::<FormatterQuestion>(&ANSWER) {
            FormatterQuestion { completion: Some(completion), .. } => {
                json!({"solution": F::extract_solution(completion)})
            }
            FormatterQuestion { specialist: Some(specialist), problem: Some(problem), program, .. } => {
                let laid_out = lay_out::<F>(&specialist, &problem.into(), program.as_deref().unwrap_or("?"));
                json!({"prompt": laid_out.prompt, "answer": laid_out.answer})
            }
            _ => panic!("{}: expected either `completion`, or `specialist` and `problem`", case.place),
        };
        case.hold(&ANSWER, &answer);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoaderQuestion {
    files: Vec<String>,
    #[serde(default)]
    options: Map<String, Value>,
}

/// Holds a loader against the cases of a file; the files that a case names lie beside it.
pub fn loader<L: DatasetLoader>(path: impl AsRef<Path>) {
    const ANSWER: [&str; 1] = ["rows"];
    let path = path.as_ref();
    for case in cases(path) {
        let LoaderQuestion { files, options } = case.question(&ANSWER);
        let place = &case.place;
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = |name: &String| {
            let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{place}: {name}: {error}"));
            SourceFile::from_bytes(name, bytes)
        };
        let options = Value::Object(options).to_string();
        let read = |rows_max| {
            let rows = super::read_to_end::<L>(files.iter().map(open).collect(), &options, rows_max);
            rows.unwrap_or_else(|why| panic!("{place}: the files were refused: {why:?}"))
        };
        let rows = read(1);
        assert_eq!(rows, read(1_000), "{place}: one row at a time and many");
        case.hold(&ANSWER, &json!({"rows": rows.iter().map(row_json).collect::<Vec<_>>()}));
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
            let message = |it: &Message| {
                let role = it.role.as_str();
                json!({"role": role, "content": it.content, "trained": it.trained})
            };
            let messages: Vec<Value> = conversation.messages.iter().map(message).collect();
            json!({"conversation": {"id": conversation.id, "messages": messages, "tags": conversation.tags}})
        }
        LoadedRow::Policy(example) => json!({"policy": {
            "id": example.id, "instruction": example.instruction, "policy": example.policy, "tags": example.tags,
        }}),
        LoadedRow::Skipped(row) => {
            json!({"skipped": {"id": row.id, "reason": row.reason, "detail": row.detail}})
        }
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
        // A whole number is the same with and without a fraction of zero.
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}

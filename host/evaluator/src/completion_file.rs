//! A completion file: what somebody's model answered, in one of four layouts, which the fields of its first row tell:
//!
//! | layout | fields |
//! |---|---|
//! | plain | `id`, and `completion` (a model's words) or `code` (a program) |
//! | LiveCodeBench | `question_id`, and `code_list` (programs) or `output_list` (a model's words) |
//! | EvalPlus, human-eval | `task_id`, and `solution` (a program) or `completion` (what goes on after the prompt's code) |
//! | lm-evaluation-harness | `doc_id`, `doc`, `resps` (a model's words), `filtered_resps` (programs, or what a filter found) |
//!
//! It is JSON lines, or one JSON list. Every row must be of the first one's layout; keys that mean nothing here are passed
//! over. Nothing is judged here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::EvaluatorError;
use super::identifier::Identifier;
use hilora_contract::artifact::{JsonRow, Lines, WrongRow};

/// What every layout has, for messages.
const LAYOUTS: &str = "`id` with `completion` or `code`, `question_id` with `code_list`, `task_id` with `solution` or \
                       `completion`, or `doc_id` with `resps`";

/// Where lm-evaluation-harness' documents have a name, in the order in which they are looked at.
const DOCUMENT_NAMES: [&str; 6] = ["task_id", "question_id", "unique_id", "problem_id", "id", "name"];
/// Where they have what is asked.
const DOCUMENT_QUESTIONS: [&str; 5] = ["question", "problem", "prompt", "text", "question_content"];

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionLayout {
    /// The plain one.
    Plain,
    /// What LiveCodeBench's custom evaluator takes.
    LiveCodeBench,
    /// What EvalPlus and human-eval take.
    EvalPlus,
    /// What lm-evaluation-harness writes with `--log_samples`.
    Harness,
}

impl fmt::Display for CompletionLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::LiveCodeBench => "LiveCodeBench's custom evaluator",
            Self::EvalPlus => "EvalPlus",
            Self::Harness => "lm-evaluation-harness' samples",
        })
    }
}

/// One answer of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenAnswer {
    /// What its problem may be called, the likeliest name first.
    pub names: Vec<String>,
    /// What its problem asks, where the file says it.
    pub question: Option<String>,
    /// The model's words.
    pub completion: Option<String>,
    /// The program, where the file has it apart.
    pub program: Option<String>,
    /// Whether the completion goes on after the code that the problem's prompt ends with.
    pub goes_on: bool,
}

/// The answers of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionFile {
    /// How it is laid out.
    pub layout: CompletionLayout,
    /// Its answers.
    pub answers: Vec<GivenAnswer>,
    /// Rows that repeat the responses of others, because a harness had several filters.
    pub of_other_filters: u64,
}

impl CompletionFile {
    /// Reads a file, or standard input if the path is `-`.
    pub fn read(path: &Path) -> Result<Self, EvaluatorError> {
        let mut reading = Reading::default();
        let mut lines = Lines::open(path)?;
        let name = lines.name().to_owned();
        let wrong = |place: String, wrong| EvaluatorError::Completions { path: name.clone(), place, wrong };
        let mut is_first = true;
        while let Some(line) = lines.next().transpose()? {
            if is_first && line.text.trim_start().starts_with('[') {
                let text: Vec<String> = std::iter::once(Ok(line))
                    .chain(lines)
                    .map(|line| line.map(|line| line.text))
                    .collect::<Result<_, _>>()?;
                let items: Vec<Value> = serde_json::from_str(&text.join("\n")).map_err(|error| {
                    let expected = "a JSON list, or a JSON object a line".to_owned();
                    wrong("the list".to_owned(), WrongRow { field: String::new(), expected, got: error.to_string() })
                })?;
                for (index, item) in items.iter().enumerate() {
                    reading.row(&item.to_string()).map_err(|error| wrong(format!("item {}", index + 1), error))?;
                }
                return reading.finish(&name);
            }
            is_first = false;
            reading.row(&line.text).map_err(|error| wrong(format!("line {}", line.number), error))?;
        }
        reading.finish(&name)
    }
}

/// A file on its way.
#[derive(Default)]
struct Reading {
    layout: Option<CompletionLayout>,
    answers: Vec<GivenAnswer>,
    /// LiveCodeBench's questions that came.
    questions: BTreeSet<String>,
    /// The harness' first filter, and its documents that came.
    filter: Option<Option<String>>,
    documents: BTreeSet<String>,
    of_other_filters: u64,
}

impl Reading {
    fn row(&mut self, text: &str) -> Result<(), WrongRow> {
        let layout = match self.layout {
            Some(layout) => layout,
            None => *self.layout.insert(layout_of(text)?),
        };
        match layout {
            CompletionLayout::Plain => {
                let PlainRow { id, completion, code } = PlainRow::read(text)?;
                if completion.is_some() == code.is_some() {
                    return Err(one_of("completion", "code", completion.is_some()));
                }
                let names = vec![id.to_string()];
                self.answers.push(GivenAnswer { names, completion, program: code, ..GivenAnswer::default() });
            }
            CompletionLayout::EvalPlus => {
                let EvalPlusRow { task_id, solution, completion } = EvalPlusRow::read(text)?;
                let program = solution;
                if program.is_none() && completion.is_none() {
                    return Err(one_of("solution", "completion", false));
                }
                // `Mbpp/2` is the problem 2 of MBPP.
                let id = task_id.to_string();
                let number = id.strip_prefix("Mbpp/").map(str::to_owned);
                let names = std::iter::once(id).chain(number).collect();
                let goes_on = program.is_none();
                self.answers.push(GivenAnswer { names, completion, program, goes_on, question: None });
            }
            CompletionLayout::LiveCodeBench => {
                let LiveCodeBenchRow { question_id, code_list, output_list } = LiveCodeBenchRow::read(text)?;
                let id = question_id.to_string();
                if !self.questions.insert(id.clone()) {
                    return Err(twice("question_id", "one row for each question", &id));
                }
                let answer = |completion, program| GivenAnswer {
                    names: vec![id.clone()],
                    completion,
                    program,
                    ..GivenAnswer::default()
                };
                match (code_list, output_list) {
                    (Some(codes), _) => self.answers.extend(codes.into_iter().map(|code| answer(None, Some(code)))),
                    (None, Some(outputs)) => {
                        self.answers.extend(outputs.into_iter().map(|output| answer(Some(output), None)));
                    }
                    (None, None) => return Err(one_of("code_list", "output_list", false)),
                }
            }
            CompletionLayout::Harness => self.harness(HarnessRow::read(text)?)?,
        }
        Ok(())
    }

    fn harness(&mut self, row: HarnessRow) -> Result<(), WrongRow> {
        let HarnessRow { doc_id, doc, resps, filtered_resps, filter } = row;
        if *self.filter.get_or_insert_with(|| filter.clone()) != filter {
            self.of_other_filters += 1;
            return Ok(());
        }
        let id = doc_id.to_string();
        if !self.documents.insert(id.clone()) {
            return Err(twice("doc_id", "one row for each document and filter", &id));
        }
        let responses = resps.as_ref().map(|list| texts(list)).transpose()?.unwrap_or_default();
        let filtered = filtered_resps.as_ref().map(|list| texts(list)).transpose()?.unwrap_or_default();
        let count = responses.len().max(filtered.len());
        if count == 0 || (!filtered.is_empty() && !responses.is_empty() && filtered.len() != responses.len()) {
            let expected = "the texts of responses, as many as in `filtered_resps` if that is there".to_owned();
            let got = format!("{} and {} texts", responses.len(), filtered.len());
            return Err(WrongRow { field: "resps".to_owned(), expected, got });
        }
        let named = DOCUMENT_NAMES.iter().filter_map(|key| identifier(doc.get(*key)?));
        let names: Vec<String> = named.collect();
        let question = DOCUMENT_QUESTIONS.iter().find_map(|key| Some(doc.get(*key)?.as_str()?.to_owned()));
        for place in 0..count {
            self.answers.push(GivenAnswer {
                names: if names.is_empty() && question.is_none() { vec![id.clone()] } else { names.clone() },
                question: question.clone(),
                completion: responses.get(place).cloned(),
                // Without a filter it is what the model said.
                program: filtered.get(place).filter(|program| responses.get(place) != Some(*program)).cloned(),
                goes_on: false,
            });
        }
        Ok(())
    }

    fn finish(self, name: &Path) -> Result<CompletionFile, EvaluatorError> {
        match self.layout {
            Some(layout) if !self.answers.is_empty() => {
                Ok(CompletionFile { layout, answers: self.answers, of_other_filters: self.of_other_filters })
            }
            _ => Err(EvaluatorError::NoCompletions { path: name.to_owned() }),
        }
    }
}

/// At most so many characters of what came stand in a message.
const GOT_MAX: usize = 60;

/// The layout that the fields of a row tell.
fn layout_of(text: &str) -> Result<CompletionLayout, WrongRow> {
    let row = AnyRow::read(text)?.0;
    let has = |name: &str| row.contains_key(name);
    if has("doc_id") && (has("resps") || has("filtered_resps")) {
        Ok(CompletionLayout::Harness)
    } else if has("question_id") && (has("code_list") || has("output_list")) {
        Ok(CompletionLayout::LiveCodeBench)
    } else if has("task_id") && (has("solution") || has("completion")) {
        Ok(CompletionLayout::EvalPlus)
    } else if has("id") && (has("completion") || has("code")) {
        Ok(CompletionLayout::Plain)
    } else {
        let fields: Vec<String> = row.keys().take(8).map(|key| format!("`{key}`")).collect();
        let got = if fields.is_empty() { "no fields".to_owned() } else { format!("the fields {}", fields.join(", ")) };
        Err(WrongRow { field: String::new(), expected: LAYOUTS.to_owned(), got })
    }
}

fn one_of(first: &str, second: &str, has_both: bool) -> WrongRow {
    let got = if has_both { "both" } else { "neither" }.to_owned();
    WrongRow { field: String::new(), expected: format!("`{first}` or `{second}`"), got }
}

fn twice(field: &str, expected: &str, id: &str) -> WrongRow {
    WrongRow { field: field.to_owned(), expected: expected.to_owned(), got: format!("`{id}` a second time") }
}

/// The texts of a list of texts and of lists of texts.
fn texts(list: &[Value]) -> Result<Vec<String>, WrongRow> {
    let flat = list.iter().flat_map(|item| match item {
        Value::Array(inner) => inner.iter().collect(),
        other => vec![other],
    });
    flat.map(|value| match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let (field, expected) = ("resps".to_owned(), "texts of responses".to_owned());
            Err(WrongRow { field, expected, got: value.to_string().chars().take(GOT_MAX).collect() })
        }
    })
    .collect()
}

fn identifier(value: &Value) -> Option<String> {
    serde_json::from_value::<Identifier>(value.clone()).ok().map(|id| id.to_string())
}

#[derive(Deserialize)]
#[serde(transparent)]
struct AnyRow(Map<String, Value>);

#[derive(Deserialize)]
struct PlainRow {
    id: Identifier,
    completion: Option<String>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct EvalPlusRow {
    task_id: Identifier,
    solution: Option<String>,
    completion: Option<String>,
}

#[derive(Deserialize)]
struct LiveCodeBenchRow {
    question_id: Identifier,
    code_list: Option<Vec<String>>,
    output_list: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct HarnessRow {
    doc_id: Identifier,
    #[serde(default)]
    doc: Map<String, Value>,
    resps: Option<Vec<Value>>,
    filtered_resps: Option<Vec<Value>>,
    filter: Option<String>,
}

/// Rows of other people's files have keys that mean nothing here.
macro_rules! rows_of_others {
    ($($row:ident: $expected:literal),*) => {
        $(impl JsonRow for $row {
            const EXPECTED: &'static str = $expected;
            const ALLOWS_OTHER_KEYS: bool = true;
        })*
    };
}

rows_of_others!(
    AnyRow: "a row of completions",
    PlainRow: "an id with a completion or code",
    EvalPlusRow: "a sample of EvalPlus",
    LiveCodeBenchRow: "a question of LiveCodeBench with its programs",
    HarnessRow: "a sample of lm-evaluation-harness"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CompletionFile, EvaluatorError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("in.jsonl");
        std::fs::write(&path, text).expect("it can be written");
        CompletionFile::read(&path)
    }

    fn shown(file: &CompletionFile) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let line = |answer: &GivenAnswer| {
            let (completion, program) = (text(&answer.completion), text(&answer.program));
            format!("{} {completion} {program}{}", answer.names.join("|"), if answer.goes_on { " +" } else { "" })
        };
        file.answers.iter().map(line).collect()
    }

    #[test]
    fn four_layouts_are_told_by_their_fields() -> Result<(), EvaluatorError> {
        for (text, layout, answers) in [
            (
                "{\"id\": \"a\", \"completion\": \"x\", \"model\": \"m\"}\n\n{\"id\": 7, \"code\": \"y\"}\n",
                CompletionLayout::Plain,
                &["a x -", "7 - y"][..],
            ),
            (
                "[\n {\"question_id\": \"abc_a\", \"code_list\": [\"x\", \"y\"]},\n {\"question_id\": \"b\", \"code_list\": []}]",
                CompletionLayout::LiveCodeBench,
                &["abc_a - x", "abc_a - y"],
            ),
            (
                "{\"task_id\": \"HumanEval/0\", \"solution\": \"x\"}\n{\"task_id\": \"Mbpp/2\", \"completion\": \"y\"}",
                CompletionLayout::EvalPlus,
                &["HumanEval/0 - x", "Mbpp/2|2 y - +"],
            ),
            (
                "{\"doc_id\": 0, \"doc\": {\"question\": \"q\"}, \"resps\": [[\"so\\n#### 1\"]], \"filtered_resps\": [\"1\"], \"filter\": \"strict\"}\n\
                 {\"doc_id\": 0, \"doc\": {\"question\": \"q\"}, \"resps\": [[\"so\\n#### 1\"]], \"filtered_resps\": [\"1\"], \"filter\": \"flexible\"}\n\
                 {\"doc_id\": 1, \"doc\": {\"task_id\": \"HumanEval/1\"}, \"resps\": [[\"a\", \"b\"]], \"filtered_resps\": [[\"pa\", \"pb\"]], \"filter\": \"strict\"}",
                CompletionLayout::Harness,
                &[" so\n#### 1 1", "HumanEval/1 a pa", "HumanEval/1 b pb"],
            ),
        ] {
            let file = read(text)?;
            assert_eq!((file.layout, shown(&file)), (layout, answers.iter().map(|a| (*a).to_owned()).collect()));
            assert_eq!(file.of_other_filters, u64::from(layout == CompletionLayout::Harness));
        }
        Ok(())
    }

    #[test]
    fn what_is_no_row_is_told_with_its_place() {
        for (text, expected) in [
            ("", "there are no completions in"),
            ("[]", "there are no completions in"),
            ("{\"id\": \"a\"}", "line 1: expected `id` with `completion` or `code`, `question_id`"),
            ("{\"name\": \"a\", \"text\": \"b\"}", "got the fields `name`, `text`"),
            (
                "{\"id\": \"a\", \"code\": \"x\"}\n\n{\"id\": \"b\"}",
                "line 3: expected `completion` or `code`, got neither",
            ),
            (
                "{\"id\": \"a\", \"code\": \"x\", \"completion\": \"y\"}",
                "line 1: expected `completion` or `code`, got both",
            ),
            ("{\"id\": \"a\", \"code\": \"x\"}\n{\"id\": \"b\", \"code\": 3}", "line 2, code: expected a string"),
            ("{\"id\": \"a\", \"code\": \"x\"}\nx", "line 2: expected an id with a completion or code"),
            ("[{\"id\": \"a\", \"code\": \"x\"}, 5]", "item 2: expected an id with a completion or code"),
            ("[{\"id\": \"a\"", "the list: expected a JSON list"),
            (
                "[{\"question_id\": 1, \"code_list\": [\"x\"]}, {\"question_id\": \"1\", \"code_list\": [\"x\"]}]",
                "item 2, question_id: expected one row for each question, got `1` a second time",
            ),
            (
                "{\"doc_id\": 0, \"resps\": [[\"a\"]]}\n{\"doc_id\": 0, \"resps\": [[\"a\"]]}",
                "line 2, doc_id: expected one row for each document and filter, got `0` a second time",
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

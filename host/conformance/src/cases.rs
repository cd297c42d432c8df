//! Cases: what a plugin is asked, and what it must answer, one JSON object each. `docs/plugins.md` says what a case of each
//! kind holds. Some of its keys are the question, the others the answer; of an answer, what a case does not name may be
//! anything.

use std::io;
use std::path::{Path, PathBuf};

use hilora_contract::dataset::{Domain, ProblemText, SegmentKind, TestCase};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{
    Decision, FormatterExample, FormatterLesson, LoadedRow, PluginError, PluginKind, Sequence, Termination,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Plugin, runner};

/// A case of a file.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file and the line, for messages.
    pub place: String,
    /// The folder that files of the case are in.
    pub folder: PathBuf,
    /// The case.
    pub value: Map<String, Value>,
}

/// What cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file of cases cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// A case is not one.
    #[error("{place}: {message}")]
    Malformed {
        /// The file and the line.
        place: String,
        /// Expected and got.
        message: String,
    },
    /// There is no case.
    #[error("{path}: expected at least one case, got none", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The kit's own files cannot be written.
    #[error("cannot write {path}: {error}", path = path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// The plugin gave no answer.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl Fault for CaseError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unreadable { error, .. } => Blame::of_reading(error),
            Self::Malformed { .. } | Self::Empty { .. } => Blame::User,
            Self::Folder { .. } => Blame::Machine,
            Self::Plugin(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Malformed { .. } => vec!["docs/plugins.md says what a case of each kind holds".to_owned()],
            Self::Plugin(error) => error.hints(),
            Self::Unreadable { .. } | Self::Empty { .. } | Self::Folder { .. } => Vec::new(),
        }
    }
}

/// The keys of a case's question and of its answer.
fn keys(kind: PluginKind) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        PluginKind::DatasetLoader => (&["files", "options"], &["rows"]),
        PluginKind::DomainClassifier => (&["problem"], &["domain", "scores"]),
        PluginKind::PromptFormatter => (
            &["specialist", "problem", "program", "reasoning", "completion"],
            &["prompt", "answer", "solution", "messages"],
        ),
        PluginKind::OutputChecker => (&["input", "expected", "actual", "options"], &["decision", "why"]),
        PluginKind::SolutionRunner => {
            (&["code", "stdin", "entry_point"], &["stdout", "stderr", "exit", "raised", "unsupported", "ended"])
        }
    }
}

/// The cases of a file of JSON lines.
pub fn read_cases(path: &Path) -> Result<Vec<Case>, CaseError> {
    let unreadable = |error| CaseError::Unreadable { path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut cases = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}, line {}", path.display(), index + 1);
        match serde_json::from_str(line) {
            Ok(value) => cases.push(Case { place, folder: folder.clone(), value }),
            Err(error) => {
                return Err(CaseError::Malformed { place, message: format!("expected a JSON object, got {error}") });
            }
        }
    }
    if cases.is_empty() { Err(CaseError::Empty { path: path.to_owned() }) } else { Ok(cases) }
}

impl Case {
    fn malformed(&self, message: impl Into<String>) -> CaseError {
        CaseError::Malformed { place: self.place.clone(), message: message.into() }
    }

    /// The question, as its kind has it.
    fn question<T: DeserializeOwned>(&self, kind: PluginKind) -> Result<T, CaseError> {
        let (question, answer) = keys(kind);
        if let Some(unknown) =
            self.value.keys().find(|key| !question.contains(&key.as_str()) && !answer.contains(&key.as_str()))
        {
            let known = [question, answer].concat().join(", ");
            return Err(self.malformed(format!("expected the keys of a {kind}'s case ({known}), got `{unknown}`")));
        }
        let asked = self.value.iter().filter(|(key, _)| question.contains(&key.as_str()));
        let asked: Map<String, Value> = asked.map(|(key, value)| (key.clone(), value.clone())).collect();
        serde_json::from_value(Value::Object(asked)).map_err(|error| self.malformed(error.to_string()))
    }

    /// Whether a plugin's answer is what the case says.
    pub(crate) fn compare(&self, kind: PluginKind, got: &Value) -> Result<(), String> {
        let (_, answer) = keys(kind);
        let expected: Vec<_> = self.value.iter().filter(|(key, _)| answer.contains(&key.as_str())).collect();
        if expected.is_empty() {
            return Err(format!("the case names no answer: expected one of {}", answer.join(", ")));
        }
        for (key, expected) in expected {
            let got = got.get(key).unwrap_or(&Value::Null);
            if !holds(expected, got) {
                return Err(format!("expected {key} {expected}, got {got}"));
            }
        }
        Ok(())
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

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CaseProblem {
    id: String,
    title: String,
    statement: String,
    tags: Vec<String>,
    difficulty: Option<String>,
}

impl From<CaseProblem> for ProblemText {
    fn from(case: CaseProblem) -> Self {
        let CaseProblem { id, title, statement, tags, difficulty } = case;
        Self { id, title, statement, tags, difficulty }
    }
}

#[derive(Deserialize)]
struct ClassifierQuestion {
    problem: CaseProblem,
}

#[derive(Deserialize)]
pub(crate) struct CheckerQuestion {
    pub(crate) input: String,
    pub(crate) expected: String,
    pub(crate) actual: String,
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
}

#[derive(Deserialize)]
pub(crate) struct LoaderQuestion {
    pub(crate) files: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
}

#[derive(Deserialize)]
struct RunnerQuestion {
    code: String,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    entry_point: Option<String>,
}

#[derive(Deserialize)]
struct FormatterQuestion {
    completion: Option<String>,
    specialist: Option<String>,
    problem: Option<CaseProblem>,
    program: Option<String>,
    reasoning: Option<String>,
}

impl Case {
    /// What a checker is asked.
    pub(crate) fn checker(&self) -> Result<CheckerQuestion, CaseError> {
        self.question(PluginKind::OutputChecker)
    }

    /// What a loader is asked; the files beside the case.
    pub(crate) fn loader(&self) -> Result<LoaderQuestion, CaseError> {
        let mut question: LoaderQuestion = self.question(PluginKind::DatasetLoader)?;
        for file in &mut question.files {
            *file = self.folder.join(&file);
        }
        Ok(question)
    }
}

/// What the plugin answers to a case, whatever the case says of it: an object with the keys of its kind's answers.
pub fn answer(plugin: &Plugin, case: &Case) -> Result<Value, CaseError> {
    let kind = plugin.identity().kind;
    Ok(match plugin {
        Plugin::Classifier(classifier) => {
            let question: ClassifierQuestion = case.question(kind)?;
            let mut answers = classifier.classify(&[question.problem.into()])?;
            let Some(answer) = answers.pop() else { return Err(case.malformed("expected an answer, got none")) };
            let scores = answer.scores.iter().map(
                |score| json!({"domain": score.domain.0, "score": f64::from(score.score), "signals": score.signals}),
            );
            json!({"domain": answer.domain.0, "scores": scores.collect::<Vec<_>>()})
        }
        Plugin::Checker(checker) => {
            let CheckerQuestion { input, expected, actual, options } = case.checker()?;
            let test = TestCase { input, output: expected };
            match checker.check(&test, actual.as_bytes(), &options) {
                Ok(Decision::Accepted) => json!({"decision": "accepted"}),
                Ok(Decision::Rejected(why)) => json!({"decision": "rejected", "why": why}),
                Err(PluginError::Options { message, .. }) => json!({"decision": "options", "why": message}),
                Err(PluginError::Refused { message, .. }) => {
                    // The host's words tell the two apart; an interface of one error has no other place for it.
                    let decision = if message.starts_with("the checker's options") { "options" } else { "bad-test" };
                    json!({"decision": decision, "why": message})
                }
                Err(error) => return Err(error.into()),
            }
        }
        Plugin::Formatter(formatter) => {
            let question: FormatterQuestion = case.question(kind)?;
            match question {
                FormatterQuestion {
                    completion: Some(completion),
                    specialist: None,
                    problem: None,
                    program: None,
                    reasoning: None,
                } => {
                    json!({"solution": formatter.extract_solution(&completion)?})
                }
                FormatterQuestion {
                    completion: None,
                    specialist: Some(specialist),
                    problem: Some(problem),
                    program,
                    reasoning,
                } => {
                    let problem = ProblemText::from(problem);
                    let mut prompts = formatter.format_prompts(&specialist, std::slice::from_ref(&problem))?;
                    let Some(prompt) = prompts.pop() else { return Err(case.malformed("expected a prompt, got none")) };
                    let mut answer = json!({"prompt": text(&prompt), "messages": prompt.messages});
                    if let Some(solution) = program {
                        let domain = Domain(specialist.clone());
                        let example = FormatterExample { problem, reasoning, solution, domain };
                        let lesson = formatter.format_lessons(&specialist, &[FormatterLesson::Solved(example)])?;
                        let rest =
                            lesson.iter().flat_map(|it| it.segments.iter().skip_while(|segment| !segment.trained));
                        answer["answer"] = rest.map(|segment| segment.text.as_str()).collect::<String>().into();
                    }
                    answer
                }
                _ => {
                    return Err(case.malformed(
                        "expected either `completion`, or `specialist` and `problem` (and `program` for its lesson)",
                    ));
                }
            }
        }
        Plugin::Loader(loader) => {
            let question = case.loader()?;
            let mut reader = loader.open(&question.files, &question.options)?;
            let mut rows = Vec::new();
            loop {
                let batch = reader.next_batch(64)?;
                if batch.is_empty() {
                    break;
                }
                rows.extend(batch.iter().map(row));
            }
            json!({"rows": rows})
        }
        Plugin::Runner(solution_runner) => {
            let RunnerQuestion { code, stdin, entry_point } = case.question(kind)?;
            let report = solution_runner.run(&code, entry_point.as_deref(), stdin.as_bytes(), &runner::LIMITS)?;
            let mut answer = json!({
                "stdout": String::from_utf8_lossy(&report.stdout),
                "stderr": String::from_utf8_lossy(&report.stderr),
            });
            match report.termination {
                Termination::Exited(code) => answer["exit"] = code.into(),
                Termination::Raised { exception, message } => {
                    answer["raised"] = exception.into();
                    answer["ended"] = message.into();
                }
                Termination::Unsupported { module } => answer["unsupported"] = module.into(),
                Termination::LimitExceeded(limit) => answer["ended"] = format!("the {limit} limit").into(),
                Termination::OutputLimitExceeded => answer["ended"] = "the output limit".into(),
                Termination::Trapped { message } | Termination::Unfinished { message } => {
                    answer["ended"] = message.into()
                }
            }
            answer
        }
    })
}

/// A sequence as one text.
pub(crate) fn text(sequence: &Sequence) -> String {
    sequence.segments.iter().map(|segment| segment.text.as_str()).collect()
}

/// A sequence as pieces of one kind and purpose each, however it was cut.
pub(crate) fn pieces(sequence: &Sequence) -> Vec<(SegmentKind, bool, String)> {
    let mut pieces: Vec<(SegmentKind, bool, String)> = Vec::new();
    for segment in sequence.segments.iter().filter(|segment| !segment.text.is_empty()) {
        match pieces.last_mut() {
            Some((kind, trained, text)) if (*kind, *trained) == (segment.kind, segment.trained) => {
                text.push_str(&segment.text);
            }
            _ => pieces.push((segment.kind, segment.trained, segment.text.clone())),
        }
    }
    pieces
}

/// A loaded row as a case has it.
fn row(row: &LoadedRow) -> Value {
    match row {
        LoadedRow::Problem(problem) => {
            let text = &problem.text;
            let tests = problem.tests.iter().map(|test| json!({"input": test.input, "expected": test.output}));
            json!({"problem": {
                "id": text.id, "title": text.title, "statement": text.statement, "tags": text.tags,
                "difficulty": text.difficulty, "source": problem.source, "entry_point": problem.entry_point,
                "solutions": problem.solutions, "tests": tests.collect::<Vec<_>>(),
            }})
        }
        LoadedRow::Conversation(conversation) => {
            let messages = conversation
                .messages
                .iter()
                .map(|message| json!({"role": message.role, "content": message.content, "trained": message.trained}));
            let messages: Vec<Value> = messages.collect();
            json!({"conversation": {"id": conversation.id, "messages": messages, "tags": conversation.tags}})
        }
        LoadedRow::Policy(example) => json!({"policy": {
            "id": example.id, "instruction": example.instruction, "policy": example.policy, "tags": example.tags,
        }}),
        LoadedRow::Skipped(skipped) => {
            json!({"skipped": {"id": skipped.id, "reason": skipped.reason, "detail": skipped.detail}})
        }
    }
}

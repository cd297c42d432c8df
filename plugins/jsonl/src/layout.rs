//! Layouts: how well-known datasets lay their rows out, told by the fields of a file's first rows. A layout is a mapping
//! like any other, which the options could have named; nothing is guessed from what stands in a text.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::records::beginning;
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::{LoadError, SourceFile};

use crate::field::with_embedded;
use crate::options::{refusal, refusal_with_hint};

/// How many rows of a file are looked at.
const ROWS_LOOKED_AT: usize = 16;
/// How many rows that cannot be read a message names.
const UNREAD_SHOWN_MAX: usize = 3;
/// How many fields a message names.
const FIELDS_SHOWN_MAX: usize = 12;

/// Where a conversation may stand.
const CHAT_FIELDS: [&str; 7] = ["messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns"];
/// Who speaks, in a message.
const ROLE_FIELDS: [&str; 3] = ["role", "from", "speaker"];
/// What is said, in a message.
const CONTENT_FIELDS: [&str; 3] = ["content", "value", "text"];
/// What the speakers of ShareGPT are called.
const SHARE_GPT_ROLES: &str = r#"{"human":"user","user":"user","gpt":"assistant","chatgpt":"assistant","bing":"assistant","bard":"assistant","model":"assistant","assistant":"assistant","system":"system","observation":"tool","function_response":"tool","tool_response":"tool","tool":"tool","function_call":"tool_call","tool_call":"tool_call"}"#;
/// What is asked, and what may be answered under which name.
const QUESTIONS: [(&str, &[&str]); 6] = [
    ("instruction", &["output", "response", "completion", "answer"]),
    ("prompt", &["completion", "response", "answer", "output"]),
    ("question", &["answer", "response", "completion"]),
    ("query", &["response", "answer", "output"]),
    ("problem", &["solution", "answer"]),
    ("input", &["output", "response", "target"]),
];
/// What belongs to an instruction.
const INPUTS: [&str; 2] = ["input", "context"];

/// A layout that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The source that reads it, if it is not this one.
    pub(crate) source: Option<&'static str>,
    /// Its name and what is read from where.
    pub(crate) words: String,
    /// The options that it stands for: one JSON object.
    pub(crate) options: String,
}

impl Layout {
    fn new(name: &str, mapping: &str, options: String) -> Self {
        Self { source: None, words: format!("{name}: {mapping}"), options }
    }

    fn of_source(source: &'static str) -> Self {
        let words = format!("rows of `{source}`, which `data.source: {source}` reads");
        Self { source: Some(source), words, options: "{}".to_owned() }
    }
}

/// What the beginning of a file tells.
pub(crate) struct Told {
    /// What it is written in, in words.
    pub(crate) format: String,
    /// Its layout; nothing of a file without rows, and of one whose rows have no known layout their fields.
    pub(crate) layout: Result<Option<Layout>, String>,
    /// Why its first rows that cannot be read cannot, each with its place.
    pub(crate) unread: Vec<String>,
}

/// What a file is written in and the layout of its rows.
pub(crate) fn of_file(file: &SourceFile) -> Result<Told, LoadError> {
    let beginning = beginning(file, ROWS_LOOKED_AT)?;
    let rows: Vec<Fields<'_>> =
        beginning.rows.iter().filter_map(|row| Json::parse(row).ok()?.fields("row").ok()).collect();
    let found = if rows.is_empty() { Ok(None) } else { Rows(&rows).layout().map(Some) };
    Ok(Told { format: beginning.format, layout: found, unread: beginning.unread })
}

/// The layout that all files have.
pub(crate) fn of_files(files: &[SourceFile]) -> Result<Layout, LoadError> {
    let mut common: Option<(&str, Layout)> = None;
    let mut all_unread = Vec::new();
    for file in files {
        let name = file.name();
        let Told { layout, unread, .. } = of_file(file)?;
        let layout = match layout {
            Ok(Some(layout)) => layout,
            // A file without rows says nothing.
            Ok(None) => {
                all_unread.extend(unread);
                continue;
            }
            Err(fields) => {
                // Nothing is asked there that it would be the answer to.
                let text = if fields.contains("`text`") { "; a text alone is no answer to anything" } else { "" };
                return Err(refusal_with_hint(
                    format!(
                        "`kind`: expected one of chat, completion, problem, policy, got nothing; the rows of {name} have {fields}, which is no known layout"
                    ),
                    &format!(
                        "name `kind` and the fields, as in plugins/jsonl/README.md; known without a name are OpenAI's \
                         (messages), ShareGPT's (conversations), Alpaca's (instruction, input, output), prompt and \
                         completion, question and answer, and preferences (chosen, rejected){text}"
                    ),
                ));
            }
        };
        match &common {
            Some((other, first)) if *first != layout => {
                return Err(refusal(format!(
                    "`kind`: {other} and {name} have different layouts ({}; {}), so that no mapping fits both",
                    first.words, layout.words
                )));
            }
            Some(_) => {}
            None => common = Some((name, layout)),
        }
    }
    let Some((_, layout)) = common else {
        let mut message =
            "`kind`: expected one of chat, completion, problem, policy, got nothing, and no row tells it".to_owned();
        all_unread.truncate(UNREAD_SHOWN_MAX);
        message.extend(all_unread.iter().map(|why| format!("\n  - {why}")));
        return Err(refusal(message));
    };
    match layout.source {
        None => Ok(layout),
        Some(source) => Err(refusal_with_hint(
            format!(
                "`kind`: expected one of chat, completion, problem, policy, got nothing; these are {}",
                layout.words
            ),
            &format!("set `data.source: {source}`"),
        )),
    }
}

/// The first rows of a file.
struct Rows<'r, 'a>(&'r [Fields<'a>]);

impl<'a> Rows<'_, 'a> {
    /// The field's value in the first row that has it.
    fn value(&self, name: &str) -> Option<Json<'a>> {
        self.0.iter().find_map(|row| row.get(name))
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// The layout, or the fields that no layout has.
    fn layout(&self) -> Result<Layout, String> {
        let layout = self.of_another_source().or_else(|| self.policy()).or_else(|| self.preference());
        let layout = layout.or_else(|| self.chat()).or_else(|| self.problem()).or_else(|| self.question());
        layout.ok_or_else(|| self.fields_in_words())
    }

    fn fields_in_words(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for name in self.0.iter().flat_map(Fields::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return "no fields".to_owned();
        }
        let some = names.iter().take(FIELDS_SHOWN_MAX).map(|name| format!("`{}`", shown(name)));
        let mut some: Vec<String> = some.collect();
        if names.len() > FIELDS_SHOWN_MAX {
            some.push(format!("{} more", names.len() - FIELDS_SHOWN_MAX));
        }
        format!("the fields {}", some.join(", "))
    }

    fn of_another_source(&self) -> Option<Layout> {
        let all = |names: &[&str]| names.iter().all(|name| self.has(name));
        if all(&["public_tests", "solutions", "generated_tests"]) {
            Some(Layout::of_source("codecontests"))
        } else if all(&["question_content", "public_test_cases"]) {
            Some(Layout::of_source("livecodebench"))
        } else if all(&["question", "input_output"]) {
            Some(Layout::of_source(if self.has("problem_id") { "apps" } else { "taco" }))
        } else {
            None
        }
    }

    fn policy(&self) -> Option<Layout> {
        let fields = ["instruction", "policy", "actions"];
        fields
            .iter()
            .all(|name| self.has(name))
            .then(|| Layout::new("policy examples", "instruction, policy, actions", r#"{"kind":"policy"}"#.to_owned()))
    }

    /// Preferences: what was chosen is learned, and what was rejected is left out.
    fn preference(&self) -> Option<Layout> {
        let (chosen, _) = (self.value("chosen")?, self.value("rejected")?);
        let left_out = "`rejected` is not trained on";
        let prompt = self.first_of(&["prompt", "question", "instruction"]);
        let whole = first_role(chosen).is_some_and(|role| role != "assistant");
        match prompt {
            _ if whole => Some(Layout::new(
                "preferences",
                &format!("messages = chosen; {left_out}"),
                r#"{"kind":"chat","messages":"chosen","ignore":["rejected"]}"#.to_owned(),
            )),
            Some(prompt) => Some(Layout::new(
                "preferences",
                &format!("prompt = {prompt}, completion = chosen; {left_out}"),
                format!(r#"{{"kind":"completion","prompt":"{prompt}","completion":"chosen","ignore":["rejected"]}}"#),
            )),
            None => None,
        }
    }

    fn chat(&self) -> Option<Layout> {
        let messages =
            CHAT_FIELDS.into_iter().find(|name| self.value(name).is_some_and(|value| first_fields(value).is_some()))?;
        let names = first_fields(self.value(messages)?)?;
        let find =
            |fields: &[&'static str]| fields.iter().copied().find(|field| names.iter().any(|name| name == field));
        let (role, content) = (find(&ROLE_FIELDS)?, find(&CONTENT_FIELDS).unwrap_or("content"));
        let mapping = format!("messages = {messages}, role = {role}, content = {content}");
        Some(match role {
            "role" => Layout::new(
                "OpenAI",
                &mapping,
                format!(r#"{{"kind":"chat","messages":"{messages}","content":"{content}"}}"#),
            ),
            _ => Layout::new(
                "ShareGPT",
                &mapping,
                format!(
                    r#"{{"kind":"chat","messages":"{messages}","role":"{role}","content":"{content}","roles":{SHARE_GPT_ROLES}}}"#
                ),
            ),
        })
    }

    fn problem(&self) -> Option<Layout> {
        let _ = self.value("tests")?;
        let statement = self.first_of(&["problem", "statement", "description", "question"])?;
        let options = format!(r#"{{"kind":"problem","statement":"{statement}"}}"#);
        Some(Layout::new("problems", &format!("statement = {statement}, with tests"), options))
    }

    fn question(&self) -> Option<Layout> {
        let asked = |(question, answers): &(&'static str, &[&'static str])| {
            Some((*question, self.first_of(answers).filter(|_| self.has(question))?))
        };
        let (question, answer) = QUESTIONS.iter().find_map(asked)?;
        let input = if question == "instruction" { self.first_of(&INPUTS) } else { None };
        let name = match (question, answer) {
            ("instruction", "output") => "Alpaca",
            ("prompt", "completion") if self.has("label") => "KTO",
            ("prompt", "completion") => "prompt and completion",
            _ => "question and answer",
        };
        Some(match input {
            Some(input) => Layout::new(
                name,
                &format!("prompt = {question} + {input}, completion = {answer}"),
                format!(r#"{{"kind":"completion","prompt":["{question}","{input}"],"completion":"{answer}"}}"#),
            ),
            None => Layout::new(
                name,
                &format!("prompt = {question}, completion = {answer}"),
                format!(r#"{{"kind":"completion","prompt":"{question}","completion":"{answer}"}}"#),
            ),
        })
    }
}

/// The names of the fields of a list's first object. The list may stand in a text.
fn first_fields(list: Json<'_>) -> Option<Vec<String>> {
    first_object(list, |fields| Some(fields.names().map(str::to_owned).collect()))
}

/// The role of a list's first message.
fn first_role(list: Json<'_>) -> Option<String> {
    first_object(list, |fields| Some(fields.get("role")?.text("role").ok()?.into_owned()))
}

fn first_object<T>(list: Json<'_>, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Option<T> {
    let found = with_embedded(list, "list", |list| {
        let first = list.items("list")?.into_iter().next();
        let fields = first.ok_or_else(|| Skip::new("no-messages", "empty"))?.fields("list[0]")?;
        Ok(read(&fields))
    });
    found.ok().flatten()
}

//! A dataset loader: files of one format in, problems, conversations, policy examples and skipped rows out.

use std::path::PathBuf;

use super::{PluginError, PluginIdentity};
use crate::dataset::{Conversation, Message, PolicyExample, Problem, SkippedRow};

/// A column that a loader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// The type it must have.
    pub expected: String,
    /// Whether the loader can work without it.
    pub required: bool,
}

/// What a loader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInfo {
    /// The value of `data.source` that it serves.
    pub source: String,
    /// The dataset's licence.
    pub licence: String,
    /// The columns it reads.
    pub columns: Vec<Column>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadedRow {
    /// A problem with tests and solutions.
    Problem(Problem),
    /// A conversation to learn from.
    Conversation(Conversation),
    /// A case under a policy.
    Policy(PolicyExample),
    /// Nothing, and why.
    Skipped(SkippedRow),
}

/// What a text takes beside its own bytes, in memory and in a file of rows.
const BYTES_PER_TEXT: u64 = 32;

impl LoadedRow {
    /// How much text it holds, in bytes; each text counts some more, because a million empty ones are not nothing.
    pub fn text_bytes(&self) -> u64 {
        let sum = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text.len() as u64 + BYTES_PER_TEXT).sum::<u64>()
        };
        match self {
            Self::Problem(problem) => {
                let text = &problem.text;
                let programs = problem.solutions.iter().chain(&problem.incorrect_solutions);
                sum(&mut [&text.id, &text.title, &text.statement, &problem.source].into_iter().chain(&text.tags))
                    + sum(&mut problem.test_code.iter())
                    + sum(&mut programs.map(|program| &program.code))
                    + sum(&mut problem.tests.iter().flat_map(|test| [&test.input, &test.output]))
                    + sum(&mut problem.attributes.iter().flat_map(|fact| [&fact.name, &fact.value]))
            }
            Self::Conversation(conversation) => {
                let said = |message: &Message| {
                    let calls = message.tool_calls.iter().flat_map(|call| [&call.name, &call.arguments]);
                    sum(&mut [&message.content].into_iter().chain(&message.reasoning).chain(calls))
                };
                sum(&mut [&conversation.id].into_iter().chain(&conversation.tools).chain(&conversation.tags))
                    + conversation.messages.iter().map(said).sum::<u64>()
            }
            Self::Policy(example) => {
                let actions = example.actions.iter().flat_map(|action| [&action.name, &action.arguments]);
                let texts = [&example.id, &example.instruction, &example.policy].into_iter();
                sum(&mut texts.chain(&example.outputs).chain(&example.tags).chain(actions))
            }
            Self::Skipped(row) => sum(&mut [&row.reason, &row.detail].into_iter().chain(&row.id)),
        }
    }
}

/// What a loader is told beside its files: the config's `data.options`.
pub type LoaderOptions = serde_json::Map<String, serde_json::Value>;

/// Reads one dataset format.
pub trait DatasetLoader: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// What it reads.
    fn describe(&self) -> Result<DatasetInfo, PluginError>;

    /// Checks options and the files' headers and begins to read them, in this order.
    fn open(&self, files: &[PathBuf], options: &LoaderOptions) -> Result<Box<dyn DatasetReader>, PluginError>;
}

/// Reads opened files once. Memory stays flat however many rows they hold.
pub trait DatasetReader: Send {
    /// The next rows in file order, one answer for each row consumed, at most `rows_max`; empty at the end.
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError>;

    /// How many rows there are in all, where the format tells.
    fn rows_total(&mut self) -> Result<Option<u64>, PluginError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{ProblemText, TestCase};

    #[test]
    fn every_text_of_a_row_counts_and_an_empty_one_too() {
        let tests = |count| vec![TestCase { input: String::new(), output: "1".to_owned() }; count].into();
        let problem = |count| {
            LoadedRow::Problem(Problem {
                text: ProblemText {
                    id: "a".to_owned(),
                    title: String::new(),
                    statement: "1234".to_owned(),
                    tags: Vec::new(),
                    difficulty: None,
                },
                source: String::new(),
                solutions: Vec::new(),
                incorrect_solutions: Vec::new(),
                tests: tests(count),
                entry_point: None,
                test_code: None,
                checker: None,
                time_limit_ms: None,
                memory_limit_bytes: None,
                attributes: Vec::new(),
            })
        };
        assert_eq!(problem(0).text_bytes(), 5 + 4 * BYTES_PER_TEXT);
        assert_eq!(problem(1_000_000).text_bytes() - problem(0).text_bytes(), 1_000_000 * (1 + 2 * BYTES_PER_TEXT));
    }
}

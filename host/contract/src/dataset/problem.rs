//! A problem: a statement, the tests that define a right answer, and programs that claim to give it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Language, ProblemChecker};

/// A program that claims to solve a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solution {
    /// The language of `code`.
    pub language: Language,
    /// The whole program, or the definitions that the problem's entry point names.
    pub code: String,
}

/// One input and the output it must produce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    /// What the program reads on standard input.
    pub input: String,
    /// What it must write to standard output. It never enters the guest that runs the program.
    pub output: String,
}

/// The part of a problem that a model may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemText {
    /// Unique within its dataset.
    pub id: String,
    /// A short name; may be empty.
    pub title: String,
    /// The statement.
    pub statement: String,
    /// The dataset's own tags.
    pub tags: Vec<String>,
    /// The dataset's own word for how hard it is.
    pub difficulty: Option<String>,
}

/// A problem with everything its dataset tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What a model may see.
    pub text: ProblemText,
    /// Where it came from within the dataset; may be empty.
    pub source: String,
    /// Programs that claim to solve it.
    pub solutions: Vec<Solution>,
    /// Programs that the dataset says do not solve it; they show which tests are weak.
    pub incorrect_solutions: Vec<Solution>,
    /// Its tests; every program that is run on them shares them.
    pub tests: Arc<[TestCase]>,
    /// The function that the tests call, or the method of a class `Solution`; `None` for a whole program on standard
    /// input and output. A test's input then has one JSON value a line for each argument, its output is one JSON value.
    pub entry_point: Option<String>,
    /// Code that is put behind every program and brings the entry point, as asserts need it.
    pub test_code: Option<String>,
    /// When an output is a right answer; `None` if the dataset does not say. What a called function returns is compared as
    /// a JSON value instead.
    pub checker: Option<ProblemChecker>,
    /// The dataset's own time limit, in milliseconds.
    pub time_limit_ms: Option<u64>,
    /// The dataset's own memory limit, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// What else the dataset tells; shown to people, never to a model.
    pub attributes: Vec<Attribute>,
}

/// A fact of a row that has no field of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name in kebab case, for example `contest-date`.
    pub name: String,
    /// Its value as the dataset writes it.
    pub value: String,
}

/// A row that yielded nothing, counted by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRow {
    /// The row's identifier where it could be read.
    pub id: Option<String>,
    /// A short kebab-case word that can be counted.
    pub reason: String,
    /// What exactly was found.
    pub detail: String,
}

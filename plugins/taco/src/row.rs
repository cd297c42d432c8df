//! One row of TACO as a problem, or the reason why it is none.

use std::borrow::Cow;

use hilora_dataset_formats::cell::Row;
use hilora_dataset_formats::function_calls;
use hilora_dataset_formats::input_output::{self, Tests};
use hilora_dataset_formats::json::is_missing;
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::types::{Attribute, Problem, ProblemText};

use crate::limits::{memory_limit_bytes, time_limit_ms};
use crate::python_list;

/// A row's texts by name, whatever format the file has.
pub(crate) trait Texts {
    /// The text; `None` where it is missing or null.
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Skip>;

    /// The text of a JSON document; `None` also where it is blank or `null`.
    fn document(&self, name: &str) -> Result<Option<Cow<'_, str>>, Skip>;

    /// The text; `None` also where it is blank.
    fn word(&self, name: &str) -> Result<Option<Cow<'_, str>>, Skip> {
        Ok(self.text(name)?.filter(|text| !text.trim().is_empty()))
    }
}

impl Texts for Row<'_> {
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Skip> {
        let text = Row::text(self, name).map_err(|error| error.skip(name))?;
        Ok(text.map(Cow::Borrowed))
    }

    fn document(&self, name: &str) -> Result<Option<Cow<'_, str>>, Skip> {
        Ok(Texts::text(self, name)?.filter(|text| !is_missing(text)))
    }
}

/// The dataset's word for a difficulty that it does not know.
const UNKNOWN_DIFFICULTY: &str = "UNKNOWN_DIFFICULTY";

/// Columns that hold tags, the site's own first.
const TAG_COLUMNS: [&str; 3] = ["raw_tags", "tags", "skill_types"];

/// Columns that are shown to people only, and their names as attributes.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("url", "url"),
    ("date", "date"),
    ("picture_num", "picture-num"),
    ("Expected Auxiliary Space", "expected-auxiliary-space"),
    ("Expected Time Complexity", "expected-time-complexity"),
];

/// Reads the row. Its identifier is left empty: the dataset has none.
pub(crate) fn load(row: &impl Texts) -> Result<LoadedRow, Skip> {
    let Some(question) = row.word("question")? else {
        return Err(Skip::new("empty-description", "`question` is empty"));
    };
    let starter_code = row.text("starter_code")?.unwrap_or_default();
    let tests = input_output::read_tests(row.document("input_output")?.as_deref(), &starter_code)?;
    refuse_prose(row, &tests, &starter_code)?;
    let statement = function_calls::statement(question, tests.entry_point.as_deref(), &starter_code);
    let difficulty = row.word("difficulty")?.filter(|word| word.trim() != UNKNOWN_DIFFICULTY);
    let text = ProblemText {
        id: String::new(),
        title: row.word("name")?.unwrap_or_default().into_owned(),
        statement,
        tags: tags(row)?,
        difficulty: difficulty.map(Cow::into_owned),
    };
    Ok(LoadedRow::Problem(Problem {
        text,
        source: row.word("source")?.unwrap_or_default().into_owned(),
        solutions: input_output::read_solutions(row.document("solutions")?.as_deref())?,
        incorrect_solutions: Vec::new(),
        tests: tests.cases,
        entry_point: tests.entry_point,
        test_code: None,
        checker: None,
        time_limit_ms: row.word("time_limit")?.map_or(Ok(None), |text| time_limit_ms(&text))?,
        memory_limit_bytes: row.word("memory_limit")?.map_or(Ok(None), |text| memory_limit_bytes(&text))?,
        attributes: attributes(row)?,
    }))
}

/// Refuses tests whose inputs describe arguments ("n = 5") of a stub: no program reads those from standard input.
fn refuse_prose(row: &impl Texts, tests: &Tests, starter_code: &str) -> Result<(), Skip> {
    if tests.entry_point.is_some() {
        return Ok(());
    }
    let site = [row.text("source")?, row.text("url")?];
    let of_geeksforgeeks = site.into_iter().flatten().any(|site| site.to_ascii_lowercase().contains("geeksforgeeks"));
    let first = tests.cases.first().and_then(|case| case.input.lines().find(|line| !line.trim().is_empty()));
    let is_prose = first.is_some_and(is_assignment) && starter_code.contains("class ");
    if of_geeksforgeeks || is_prose {
        let found = shown(first.unwrap_or_default());
        return Err(Skip::new(
            "prose-input",
            format!("the inputs describe arguments of a stub, the first is `{found}`"),
        ));
    }
    Ok(())
}

/// Whether a line is like `arr[] = {5, 10}`.
fn is_assignment(line: &str) -> bool {
    let name = line.split_once('=').map_or("", |(name, _)| name.trim()).trim_end_matches("[]");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_name)
}

/// The tags of all columns, each once.
fn tags(row: &impl Texts) -> Result<Vec<String>, Skip> {
    let mut tags: Vec<String> = Vec::new();
    for column in TAG_COLUMNS {
        let Some(literal) = row.document(column)? else { continue };
        for tag in
            python_list::parse(&literal).map_err(|why| Skip::new("malformed-list", format!("`{column}`: {why}")))?
        {
            if !tag.trim().is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    Ok(tags)
}

fn attributes(row: &impl Texts) -> Result<Vec<Attribute>, Skip> {
    let mut attributes = Vec::new();
    for (column, name) in ATTRIBUTES {
        if let Some(value) = row.word(column)? {
            attributes.push(Attribute { name: name.to_owned(), value: value.into_owned() });
        }
    }
    Ok(attributes)
}

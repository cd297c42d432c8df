//! One row of CodeContests as a problem, or the reason why it is none.
//!
//! The dataset writes missing values as zeros and empty strings as well as nulls: all three mean "missing" here.

use std::collections::BTreeMap;

use hilora_dataset_formats::cell::{Cell, InvalidUtf8, Row};
use hilora_dataset_formats::identifier;
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::types::{Attribute, Problem, ProblemText, Solution, TestCase};

use crate::difficulty::{difficulty, title};

/// The dataset's number for Python 3.
const PYTHON3: i64 = 3;

/// How many languages a detail names; a row may have any numbers for them.
const LANGUAGES_SHOWN: usize = 8;

/// Columns that hold tests, in the order in which they are taken.
const TEST_COLUMNS: [&str; 3] = ["public_tests", "private_tests", "generated_tests"];

/// Reads the row; `number` is its index over all files.
pub(crate) fn load(row: &Row<'_>, number: u64) -> LoadedRow {
    let name = row.text("name").ok().flatten().unwrap_or_default();
    // A name that cannot be an identifier cannot be shown as one either.
    if let Err(skip) = identifier::check("name", name) {
        return skip.into_row(None);
    }
    let id = if name.is_empty() { format!("row-{number}") } else { name.to_owned() };
    match read(row, id) {
        Ok(problem) => LoadedRow::Problem(problem),
        Err(skip) => skip.into_row((!name.is_empty()).then(|| name.to_owned())),
    }
}

fn read(row: &Row<'_>, id: String) -> Result<Problem, Skip> {
    let name = text(row, "name")?;
    let description = match text(row, "description")? {
        translated if !translated.trim().is_empty() => translated,
        _ => text(row, "untranslated_description")?,
    };
    if description.trim().is_empty() {
        return Err(Skip::new("empty-description", "the description is empty".to_owned()));
    }
    check_standard_streams(row)?;
    let tests = tests(row)?;
    if tests.is_empty() {
        return Err(Skip::new("no-tests", "public, private and generated tests are empty".to_owned()));
    }
    let solutions = Programs::of(row, "solutions")?;
    if solutions.python3.is_empty() {
        return Err(Skip::new("no-python3-solution", format!("found {}", solutions.found_in_words())));
    }
    let cf_index = text(row, "cf_index")?;
    let (level, cf_rating) = (integer(row, "difficulty"), integer(row, "cf_rating"));
    let text = ProblemText {
        id,
        title: title(name).to_owned(),
        statement: description.to_owned(),
        tags: tags(row)?,
        difficulty: difficulty(cf_index, name, level, cf_rating),
    };
    Ok(Problem {
        text,
        source: source_word(integer(row, "source")).to_owned(),
        solutions: solutions.python3,
        incorrect_solutions: Programs::of(row, "incorrect_solutions")?.python3,
        tests,
        entry_point: None,
        test_code: None,
        checker: None,
        time_limit_ms: time_limit_ms(row)?,
        memory_limit_bytes: u64::try_from(integer(row, "memory_limit_bytes")).ok().filter(|&bytes| bytes > 0),
        attributes: attributes(row, cf_index),
    })
}

/// The row's text; empty where it is missing.
fn text<'a>(row: &Row<'a>, column: &str) -> Result<&'a str, Skip> {
    Ok(row.text(column).map_err(|error| error.skip(column))?.unwrap_or_default())
}

/// The row's integer; 0 where it is missing, as the dataset itself writes it.
fn integer(row: &Row<'_>, column: &str) -> i64 {
    row.integer(column).unwrap_or(0)
}

/// Refuses programs that read or write named files.
fn check_standard_streams(row: &Row<'_>) -> Result<(), Skip> {
    for (column, standard) in
        [("input_file", ["stdin", "standard input"]), ("output_file", ["stdout", "standard output"])]
    {
        let file = text(row, column)?.trim();
        if !file.is_empty() && !standard.contains(&file.to_ascii_lowercase().as_str()) {
            return Err(Skip::new(
                "file-input-output",
                format!("`{column}` is `{}`, expected standard streams", shown(file)),
            ));
        }
    }
    Ok(())
}

fn tests(row: &Row<'_>) -> Result<Vec<TestCase>, Skip> {
    let mut tests = Vec::new();
    for column in TEST_COLUMNS {
        let Some(lists) = row.cell(column) else { continue };
        let (inputs, outputs) = (texts(lists, column, "input")?, texts(lists, column, "output")?);
        if inputs.len() != outputs.len() {
            let detail = format!("`{column}` has {} inputs and {} outputs", inputs.len(), outputs.len());
            return Err(Skip::new("unequal-test-lists", detail));
        }
        for (index, pair) in inputs.into_iter().zip(outputs).enumerate() {
            let (Some(input), Some(expected)) = pair else {
                return Err(Skip::new("null-test", format!("test {index} of `{column}` has a null in it")));
            };
            tests.push(TestCase { input: input.to_owned(), expected: expected.to_owned() });
        }
    }
    Ok(tests)
}

/// The texts of a list in a struct.
fn texts<'a>(lists: Cell<'a>, column: &str, field: &str) -> Result<Vec<Option<&'a str>>, Skip> {
    let Some(list) = lists.field(field) else { return Ok(Vec::new()) };
    let invalid = |error: InvalidUtf8| error.skip(&format!("{column}.{field}"));
    list.items().map(|item| item.map_or(Ok(None), Cell::text).map_err(invalid)).collect()
}

/// The programs of a column.
struct Programs {
    python3: Vec<Solution>,
    /// How many there are by language.
    found: BTreeMap<i64, usize>,
}

impl Programs {
    fn of(row: &Row<'_>, column: &str) -> Result<Self, Skip> {
        let mut programs = Self { python3: Vec::new(), found: BTreeMap::new() };
        let Some(lists) = row.cell(column) else { return Ok(programs) };
        let Some(codes) = lists.field("solution") else { return Ok(programs) };
        let Some(languages) = lists.field("language") else { return Ok(programs) };
        let (languages, codes) = (languages.items(), codes.items());
        if languages.len() != codes.len() {
            let detail = format!("`{column}` has {} languages and {} programs", languages.len(), codes.len());
            return Err(Skip::new("unequal-solution-lists", detail));
        }
        for (language, code) in languages.zip(codes) {
            let language = language.and_then(Cell::integer).unwrap_or(0);
            // A program in another language is counted and never looked at.
            if language != PYTHON3 {
                *programs.found.entry(language).or_default() += usize::from(code.is_some());
                continue;
            }
            let invalid = |error: InvalidUtf8| error.skip(&format!("{column}.solution"));
            let code = code.map_or(Ok(None), Cell::text).map_err(invalid)?.unwrap_or_default();
            if !code.trim().is_empty() {
                programs.python3.push(Solution::python3(code));
            }
        }
        Ok(programs)
    }

    fn found_in_words(&self) -> String {
        let counted = self.found.iter().filter(|(_, count)| **count > 0);
        let mut words: Vec<String> = counted
            .clone()
            .take(LANGUAGES_SHOWN)
            .map(|(language, count)| format!("{count} in {}", in_words(*language)))
            .collect();
        match counted.skip(LANGUAGES_SHOWN).map(|(_, count)| count).sum::<usize>() {
            0 => {}
            others => words.push(format!("and {others} in others")),
        }
        if words.is_empty() { "no solution".to_owned() } else { words.join(", ") }
    }
}

fn in_words(language: i64) -> String {
    match language {
        0 => "an unknown language".to_owned(),
        1 => "Python 2".to_owned(),
        2 => "C++".to_owned(),
        PYTHON3 => "Python 3".to_owned(),
        4 => "Java".to_owned(),
        other => format!("language {other}"),
    }
}

/// The source's name. The dataset's definition and its card disagree on 6.
fn source_word(source: i64) -> &'static str {
    match source {
        1 => "codechef",
        2 => "codeforces",
        3 => "hackerearth",
        4 => "codejam",
        5 => "atcoder",
        6 => "atcoder-or-aizu",
        7 => "aizu",
        _ => "",
    }
}

/// The time limit in milliseconds, rounded up; `None` where it is null or zero.
fn time_limit_ms(row: &Row<'_>) -> Result<Option<u64>, Skip> {
    let Some(limit) = row.cell("time_limit") else { return Ok(None) };
    let part = |field: &str| {
        let Some(cell) = limit.field(field) else { return Ok(0) };
        let name = format!("time_limit.{field}");
        match cell.text().map_err(|error| error.skip(&name))?.map(str::trim) {
            None => Ok(cell.integer().unwrap_or(0)),
            Some("") => Ok(0),
            Some(digits) => digits.parse::<i64>().map_err(|_| {
                Skip::new("malformed-time-limit", format!("`{name}` is `{}`, expected an integer", shown(digits)))
            }),
        }
    };
    let (seconds, nanos) = (part("seconds")?, part("nanos")?);
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u64::try_from(nanos)) else {
        return Err(Skip::new("malformed-time-limit", format!("the time limit {seconds} s {nanos} ns is negative")));
    };
    let limit_ms = seconds.saturating_mul(1000).saturating_add(nanos.div_ceil(1_000_000));
    Ok((limit_ms > 0).then_some(limit_ms))
}

/// Tags without the empty ones.
fn tags(row: &Row<'_>) -> Result<Vec<String>, Skip> {
    let Some(list) = row.cell("cf_tags") else { return Ok(Vec::new()) };
    let mut tags = Vec::new();
    for tag in list.items().flatten() {
        let tag = tag.text().map_err(|error| error.skip("cf_tags"))?.unwrap_or_default();
        if !tag.trim().is_empty() {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

/// What else the row tells, without what is missing.
fn attributes(row: &Row<'_>, cf_index: &str) -> Vec<Attribute> {
    let integer = |column: &str| Some(integer(row, column)).filter(|&value| value != 0).map(|value| value.to_string());
    let points = row.cell("cf_points").and_then(Cell::number).filter(|&points| points != 0.0);
    let translated = row.cell("is_description_translated").and_then(Cell::boolean).filter(|&translated| translated);
    let values = [
        ("cf-contest-id", integer("cf_contest_id")),
        ("cf-index", (!cf_index.is_empty()).then(|| cf_index.to_owned())),
        ("cf-points", points.map(|points| points.to_string())),
        ("cf-rating", integer("cf_rating")),
        ("is-description-translated", translated.map(|translated| translated.to_string())),
    ];
    let attribute = |(name, value): (&str, Option<String>)| Some(Attribute { name: name.to_owned(), value: value? });
    values.into_iter().filter_map(attribute).collect()
}

//! One row of CodeContests as a problem, or the reason why it is none.
//!
//! The dataset writes missing values as zeros and empty strings as well as nulls: all three mean "missing" here.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::types::{Language, Problem, ProblemText, SkippedRow, Solution, TestCase};

use crate::difficulty::{difficulty, title};
use crate::parquet_file::Row;

/// The dataset's number for Python 3.
const PYTHON3: i64 = 3;

/// Columns that hold tests, in the order in which they are taken.
const TEST_COLUMNS: [&str; 3] = ["public_tests", "private_tests", "generated_tests"];

/// Why a row is skipped: a word to count by and what was found.
struct Skip(&'static str, String);

/// Reads the row; `number` is its index over all files.
pub(crate) fn load(row: &Row<'_>, number: u64) -> LoadedRow {
    let name = row.text("name").unwrap_or_default();
    let skipped = |Skip(reason, detail): Skip| SkippedRow {
        id: (!name.is_empty()).then(|| name.to_owned()),
        reason: reason.to_owned(),
        detail,
    };
    let id = if name.is_empty() { format!("row-{number}") } else { name.to_owned() };
    match read(row, id) {
        Ok(problem) => LoadedRow::Problem(problem),
        Err(skip) => LoadedRow::Skipped(skipped(skip)),
    }
}

fn read(row: &Row<'_>, id: String) -> Result<Problem, Skip> {
    let name = row.text("name").unwrap_or_default();
    let description = row.text("description").unwrap_or_default();
    if description.trim().is_empty() {
        return Err(Skip("empty-description", "the description is empty".to_owned()));
    }
    check_standard_streams(row)?;
    let tests = tests(row)?;
    if tests.is_empty() {
        return Err(Skip("no-tests", "public, private and generated tests are empty".to_owned()));
    }
    let solutions = python3_solutions(row)?;
    let cf_index = row.text("cf_index").unwrap_or_default();
    let text = ProblemText {
        id,
        title: title(name).to_owned(),
        statement: description.to_owned(),
        tags: row.tags(),
        difficulty: difficulty(cf_index, name, row.integer("difficulty"), row.integer("cf_rating")),
    };
    Ok(Problem {
        text,
        source: source_word(row.integer("source")).to_owned(),
        solutions,
        incorrect_solutions: Vec::new(),
        tests,
        entry_point: None,
        time_limit_ms: time_limit_ms(row)?,
        memory_limit_bytes: u64::try_from(row.integer("memory_limit_bytes")).ok().filter(|&bytes| bytes > 0),
        attributes: Vec::new(),
    })
}

/// Refuses programs that read or write named files.
fn check_standard_streams(row: &Row<'_>) -> Result<(), Skip> {
    for (column, standard) in
        [("input_file", ["stdin", "standard input"]), ("output_file", ["stdout", "standard output"])]
    {
        let file = row.text(column).unwrap_or_default().trim();
        if !file.is_empty() && !standard.contains(&file.to_ascii_lowercase().as_str()) {
            return Err(Skip("file-input-output", format!("`{column}` is `{file}`, expected standard streams")));
        }
    }
    Ok(())
}

fn tests(row: &Row<'_>) -> Result<Vec<TestCase>, Skip> {
    let mut tests = Vec::new();
    for column in TEST_COLUMNS {
        let inputs = row.list_in(column, "input").map(|list| texts(&list)).unwrap_or_default();
        let outputs = row.list_in(column, "output").map(|list| texts(&list)).unwrap_or_default();
        if inputs.len() != outputs.len() {
            let detail = format!("`{column}` has {} inputs and {} outputs", inputs.len(), outputs.len());
            return Err(Skip("unequal-test-lists", detail));
        }
        for (index, pair) in inputs.into_iter().zip(outputs).enumerate() {
            let (Some(input), Some(expected)) = pair else {
                return Err(Skip("null-test", format!("test {index} of `{column}` has a null in it")));
            };
            tests.push(TestCase { input, expected });
        }
    }
    Ok(tests)
}

fn python3_solutions(row: &Row<'_>) -> Result<Vec<Solution>, Skip> {
    let languages = row.list_in("solutions", "language").map(|list| integers(&list)).unwrap_or_default();
    let programs = row.list_in("solutions", "solution").map(|list| texts(&list)).unwrap_or_default();
    if languages.len() != programs.len() {
        let detail = format!("`solutions` has {} languages and {} programs", languages.len(), programs.len());
        return Err(Skip("unequal-solution-lists", detail));
    }
    let mut found: BTreeMap<i64, usize> = BTreeMap::new();
    let mut solutions = Vec::new();
    for (language, program) in languages.into_iter().zip(programs) {
        let code = program.unwrap_or_default();
        if code.trim().is_empty() {
            continue;
        }
        *found.entry(language).or_default() += 1;
        if language == PYTHON3 {
            solutions.push(Solution { language: Language::Python3, code });
        }
    }
    if solutions.is_empty() {
        let found: Vec<String> =
            found.iter().map(|(language, count)| format!("{count} in {}", language_word(*language))).collect();
        let found = if found.is_empty() { "no solution".to_owned() } else { found.join(", ") };
        return Err(Skip("no-python3-solution", format!("found {found}")));
    }
    Ok(solutions)
}

fn language_word(language: i64) -> String {
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
    let part = |field: &str| match row.field("time_limit", field) {
        None => Ok(0),
        Some(array) if array.is_null(row.index) => Ok(0),
        Some(array) => match array.as_string_opt::<i32>() {
            None => Ok(integer_at(&array, row.index)),
            Some(texts) => match texts.value(row.index).trim() {
                "" => Ok(0),
                text => text.parse::<i64>().map_err(|_| {
                    Skip("malformed-time-limit", format!("`time_limit.{field}` is `{text}`, expected an integer"))
                }),
            },
        },
    };
    let (seconds, nanos) = (part("seconds")?, part("nanos")?);
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u64::try_from(nanos)) else {
        return Err(Skip("malformed-time-limit", format!("the time limit {seconds} s {nanos} ns is negative")));
    };
    let limit_ms = seconds.saturating_mul(1000).saturating_add(nanos.div_ceil(1_000_000));
    Ok((limit_ms > 0).then_some(limit_ms))
}

impl Row<'_> {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(name).filter(|column| !column.is_null(self.index))
    }

    fn text(&self, name: &str) -> Option<&str> {
        Some(self.column(name)?.as_string_opt::<i32>()?.value(self.index))
    }

    /// The integer; 0 where it is missing, as the dataset itself writes it.
    fn integer(&self, name: &str) -> i64 {
        self.column(name).map_or(0, |column| integer_at(column, self.index))
    }

    /// A field of a struct column; `None` where the row's struct is null.
    fn field(&self, column: &str, field: &str) -> Option<ArrayRef> {
        self.column(column)?.as_struct_opt()?.column_by_name(field).cloned()
    }

    /// The row's list in a field of a struct column.
    fn list_in(&self, column: &str, field: &str) -> Option<ArrayRef> {
        let lists = self.field(column, field)?;
        let lists = lists.as_list_opt::<i32>()?;
        lists.is_valid(self.index).then(|| lists.value(self.index))
    }

    /// Tags without the empty ones.
    fn tags(&self) -> Vec<String> {
        let list = self.column("cf_tags").and_then(|column| Some(column.as_list_opt::<i32>()?.value(self.index)));
        let tags = list.map(|list| texts(&list)).unwrap_or_default().into_iter().flatten();
        tags.filter(|tag| !tag.trim().is_empty()).collect()
    }
}

fn texts(list: &ArrayRef) -> Vec<Option<String>> {
    let Some(list) = list.as_string_opt::<i32>() else { return Vec::new() };
    list.iter().map(|text| text.map(str::to_owned)).collect()
}

fn integers(list: &ArrayRef) -> Vec<i64> {
    (0..list.len()).map(|index| integer_at(list, index)).collect()
}

/// The integer at `index` of an array of any integer type; 0 for null.
fn integer_at(array: &ArrayRef, index: usize) -> i64 {
    if array.is_null(index) {
        return 0;
    }
    match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(index).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(index).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(index).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(index),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(index).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(index).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(index).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(index).try_into().unwrap_or(i64::MAX),
        _ => 0,
    }
}

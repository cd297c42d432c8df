//! The APPS loader: reads the JSON lines of `codeparrot/apps`.
//!
//! A row without solutions is a problem with tests alone, which is what an evaluation set is made of. Every solution
//! counts as Python 3, because the dataset does not tell; running them does.

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::records::{self, Place, RecordReader, RowLoader};
use hilora_dataset_formats::skip::Skip;
use hilora_dataset_formats::{function_calls, input_output};
use hilora_plugin_sdk::loader::{DatasetInfo, DatasetLoader, LoadError, LoadedRow, SourceFile, no_options};
use hilora_plugin_sdk::types::{Attribute, Problem, ProblemText};

/// The fields that are read: name, expected, required.
const FIELDS: [(&str, &str, bool); 7] = [
    ("problem_id", "number or string", true),
    ("question", "string", true),
    ("solutions", "string: JSON list of strings", false),
    ("input_output", "string: JSON object {inputs, outputs[, fn_name]}", true),
    ("difficulty", "string", false),
    ("url", "string", false),
    ("starter_code", "string", false),
];

/// The plugin.
pub struct Apps;

/// Makes problems of the dataset's rows.
pub struct Rows;

impl DatasetLoader for Apps {
    type Reader = RecordReader<Rows>;

    fn describe() -> DatasetInfo {
        DatasetInfo {
            source: "apps".to_owned(),
            licence: "MIT; the problems and solutions belong to their authors".to_owned(),
            columns: records::describe(&FIELDS),
        }
    }

    fn open(files: Vec<SourceFile>, options: &str) -> Result<Self::Reader, LoadError> {
        no_options(options)?;
        RecordReader::new(files, Rows)
    }
}

impl RowLoader for Rows {
    fn id(&self, row: &Fields<'_>, _: Place<'_>) -> Result<String, Skip> {
        Ok(format!("apps-{}", row.required_id("problem_id")?))
    }

    fn load(&self, id: String, row: &Fields<'_>) -> Result<LoadedRow, Skip> {
        let question = row.text("question")?.unwrap_or_default();
        if question.trim().is_empty() {
            return Err(Skip::new("empty-description", "`question` is empty"));
        }
        let starter_code = row.text("starter_code")?.unwrap_or_default();
        let tests = input_output::read_tests(row.document("input_output")?.as_deref(), &starter_code)?;
        let statement = function_calls::statement(question, tests.entry_point.as_deref(), &starter_code);
        let difficulty = row.text("difficulty")?.filter(|word| !word.trim().is_empty());
        let url = row.text("url")?.filter(|url| !url.trim().is_empty());
        Ok(LoadedRow::Problem(Problem {
            text: ProblemText {
                id,
                title: String::new(),
                statement,
                tags: Vec::new(),
                difficulty: difficulty.map(|word| word.into_owned()),
            },
            source: url.as_deref().map(site).unwrap_or_default().to_owned(),
            solutions: input_output::read_solutions(row.document("solutions")?.as_deref())?,
            incorrect_solutions: Vec::new(),
            tests: tests.cases,
            entry_point: tests.entry_point,
            test_code: None,
            checker: None,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: url
                .map(|url| Attribute { name: "url".to_owned(), value: url.into_owned() })
                .into_iter()
                .collect(),
        }))
    }
}

hilora_plugin_sdk::export_loader!(Apps);
hilora_plugin_sdk::manifest!("plugin.toml");

/// The site that an address is of: "codeforces" of `https://www.codeforces.com/problemset`.
fn site(url: &str) -> &str {
    let address = url.trim().split_once("://").map_or("", |(_, address)| address);
    let host = address.split(['/', '?', '#', ':']).next().unwrap_or_default();
    host.rsplit('.').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests;

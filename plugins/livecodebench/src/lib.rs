//! The LiveCodeBench loader: reads the JSON lines of `code_generation_lite`, public and private tests alike.
//!
//! Private tests may come as a Python pickle. It is read by a reader that knows one string and nothing else, so that no
//! file can make anything run. The dataset has no solutions.

mod pickle;
mod private_tests;
mod test_list;

use hilora_dataset_formats::function_calls;
use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::records::{self, Place, RecordReader, RowLoader};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{DatasetInfo, DatasetLoader, LoadError, LoadedRow, SourceFile, no_options};
use hilora_plugin_sdk::types::{Attribute, Problem, ProblemText};

use test_list::TestList;

/// The fields that are read: name, expected, required.
const FIELDS: [(&str, &str, bool); 11] = [
    ("question_id", "string", true),
    ("question_title", "string", false),
    ("question_content", "string", true),
    ("platform", "string", false),
    ("contest_id", "string", false),
    ("contest_date", "string: ISO 8601", false),
    ("starter_code", "string", false),
    ("difficulty", "string", false),
    ("public_test_cases", "string: JSON list of {input, output, testtype}", false),
    ("private_test_cases", "string: the same, or base64 of a zlib stream of a pickled string of the same", false),
    ("metadata", "string: JSON object {func_name}", false),
];

/// The plugin.
pub struct LiveCodeBench;

/// Makes problems of the dataset's rows.
pub struct Rows;

impl DatasetLoader for LiveCodeBench {
    type Reader = RecordReader<Rows>;

    fn describe() -> DatasetInfo {
        DatasetInfo {
            source: "livecodebench".to_owned(),
            licence: "CC; the problems belong to their authors".to_owned(),
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
        Ok(format!("livecodebench-{}", row.required_id("question_id")?))
    }

    fn load(&self, id: String, row: &Fields<'_>) -> Result<LoadedRow, Skip> {
        let content = row.text("question_content")?.unwrap_or_default();
        if content.trim().is_empty() {
            return Err(Skip::new("empty-description", "`question_content` is empty"));
        }
        let mut tests = TestList::default();
        if let Some(public) = row.document("public_test_cases")? {
            tests.add("public_test_cases", &public)?;
        }
        if let Some(private) = row.document("private_test_cases")? {
            private_tests::with_list(&private, |list| tests.add("private_test_cases", list))?;
        }
        let entry_point = entry_point(row, &tests)?;
        let starter_code = row.text("starter_code")?.unwrap_or_default();
        let statement = function_calls::statement(content, entry_point.as_deref(), &starter_code);
        let text = |name: &str| row.text(name).map(Option::unwrap_or_default);
        let difficulty = text("difficulty")?;
        let platform = text("platform")?;
        Ok(LoadedRow::Problem(Problem {
            text: ProblemText {
                id,
                title: text("question_title")?.into_owned(),
                statement,
                tags: Vec::new(),
                difficulty: (!difficulty.trim().is_empty()).then(|| difficulty.into_owned()),
            },
            source: platform.clone().into_owned(),
            solutions: Vec::new(),
            incorrect_solutions: Vec::new(),
            tests: tests.into_cases()?,
            entry_point,
            test_code: None,
            checker: None,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: attributes(row)?,
        }))
    }
}

hilora_plugin_sdk::export_loader!(LiveCodeBench);
hilora_plugin_sdk::manifest!("plugin.toml");

/// The function that functional tests call, from `metadata.func_name`.
fn entry_point(row: &Fields<'_>, tests: &TestList) -> Result<Option<String>, Skip> {
    if !tests.are_functional() {
        return Ok(None);
    }
    let missing = || Skip::new("missing-function-name", "the tests are functional, but `metadata.func_name` is empty");
    let metadata = row.document("metadata")?.ok_or_else(missing)?;
    let metadata = Json::parse_field("metadata", &metadata)?.fields("metadata")?;
    let name = metadata.get("func_name").ok_or_else(missing)?.text("metadata.func_name")?;
    match name.trim() {
        "" => Err(missing()),
        name => Ok(Some(name.to_owned())),
    }
}

/// What people want to know of a row and no model may see.
fn attributes(row: &Fields<'_>) -> Result<Vec<Attribute>, Skip> {
    let mut attributes = Vec::new();
    for (field, name) in [("contest_date", "contest-date"), ("platform", "platform"), ("contest_id", "contest-id")] {
        let Some(value) = row.get(field) else { continue };
        let value = value.text_or_number(field)?;
        if !value.trim().is_empty() {
            attributes.push(Attribute { name: name.to_owned(), value: value.into_owned() });
        }
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests;

//! A row's tests: lists of `{input, output, testtype}`, all of one type.

use hilora_dataset_formats::function_calls;
use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::types::TestCase;

/// How a test speaks to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TestType {
    /// Standard input and output.
    Stdin,
    /// A call: a JSON value a line, and the JSON value that it returns.
    Functional,
}

/// The tests so far.
#[derive(Debug, Default)]
pub(crate) struct TestList {
    cases: Vec<TestCase>,
    test_type: Option<TestType>,
}

impl TestList {
    /// Adds the tests of a JSON list; `field` names it in messages.
    pub(crate) fn add(&mut self, field: &str, list: &str) -> Result<(), Skip> {
        for (index, item) in Json::parse_field(field, list)?.items(field)?.into_iter().enumerate() {
            let place = format!("{field}[{index}]");
            let test = item.fields(&place)?;
            let test_type = test_type(&test, &place)?;
            if self.test_type.is_some_and(|before| before != test_type) {
                let detail = format!("`{place}` and the tests before it are of different types");
                return Err(Skip::new("mixed-test-types", detail));
            }
            self.test_type = Some(test_type);
            self.cases.push(test_case(&test, test_type, &place)?);
        }
        Ok(())
    }

    pub(crate) fn are_functional(&self) -> bool {
        self.test_type == Some(TestType::Functional)
    }

    /// The tests; a skip where there is none.
    pub(crate) fn into_cases(self) -> Result<Vec<TestCase>, Skip> {
        match self.cases.is_empty() {
            true => Err(Skip::new("no-tests", "public and private tests are empty")),
            false => Ok(self.cases),
        }
    }
}

fn test_type(test: &Fields<'_>, place: &str) -> Result<TestType, Skip> {
    let field = format!("{place}.testtype");
    let word = test.get("testtype").ok_or_else(|| Skip::missing_field(&field, "`stdin` or `functional`"))?;
    match &*word.text(&field)? {
        "stdin" => Ok(TestType::Stdin),
        "functional" => Ok(TestType::Functional),
        other => {
            let other = shown(other);
            Err(Skip::new("unknown-test-type", format!("`{field}`: expected `stdin` or `functional`, got `{other}`")))
        }
    }
}

fn test_case(test: &Fields<'_>, test_type: TestType, place: &str) -> Result<TestCase, Skip> {
    let text = |name: &str| {
        let field = format!("{place}.{name}");
        test.get(name).ok_or_else(|| Skip::new("null-test", format!("`{field}` is missing or null")))?.text(&field)
    };
    let (input, output) = (text("input")?, text("output")?);
    match test_type {
        TestType::Stdin => Ok(TestCase { input: input.into_owned(), expected: output.into_owned() }),
        TestType::Functional => Ok(TestCase {
            input: function_calls::parse_argument_lines(&input, &format!("{place}.input"))?,
            expected: Json::parse_field(&format!("{place}.output"), &output)?.compact(),
        }),
    }
}

//! The columns `solutions` and `input_output` that APPS brought up and TACO took over: JSON documents in strings.
//!
//! Either may be empty, null or the text `null`. Inputs and outputs are texts or lists of lines; with `fn_name` they
//! are the values of [`crate::function_calls`]. Nothing is run, and no number loses a digit.

use hilora_plugin_sdk::types::{Solution, TestCase};

use crate::function_calls;
use crate::json::{Json, is_missing};
use crate::skip::Skip;

/// The tests of one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Tests {
    /// In the dataset's order; at least one.
    pub cases: Vec<TestCase>,
    /// The function that they call; `None` for a whole program on standard input and output.
    pub entry_point: Option<String>,
}

/// Reads `solutions`: a JSON list of programs. None is an empty list, because a problem may have tests alone.
pub fn read_solutions(document: Option<&str>) -> Result<Vec<Solution>, Skip> {
    let Some(document) = document.filter(|document| !is_missing(document)) else { return Ok(Vec::new()) };
    let mut solutions = Vec::new();
    for (index, item) in Json::parse_field("solutions", document)?.items("solutions")?.into_iter().enumerate() {
        let code = item.text(&format!("solutions[{index}]"))?;
        if !code.trim().is_empty() {
            solutions.push(Solution::python3(code));
        }
    }
    Ok(solutions)
}

/// Reads `input_output`: `{inputs, outputs[, fn_name]}`. A row without any test is the skip `no-tests`. The starter
/// code tells what the function returns, where it says so.
pub fn read_tests(document: Option<&str>, starter_code: &str) -> Result<Tests, Skip> {
    let Some(document) = document.filter(|document| !is_missing(document)) else {
        return Err(Skip::new("no-tests", "`input_output` is empty"));
    };
    let fields = Json::parse_field("input_output", document)?.fields("input_output")?;
    let list = |name: &str| match fields.get(name) {
        Some(list) => list.items(&format!("input_output.{name}")),
        None => Ok(Vec::new()),
    };
    let (inputs, outputs) = (list("inputs")?, list("outputs")?);
    if inputs.len() != outputs.len() {
        let detail = format!("`input_output` has {} inputs and {} outputs", inputs.len(), outputs.len());
        return Err(Skip::new("unequal-test-lists", detail));
    }
    if inputs.is_empty() {
        return Err(Skip::new("no-tests", "`input_output` has no inputs"));
    }
    let fn_name = fields.get("fn_name").map(|name| name.text("input_output.fn_name")).transpose()?;
    match fn_name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => {
            let cases = function_calls::test_cases(&inputs, &outputs, name, starter_code)?;
            Ok(Tests { cases, entry_point: Some(name.to_owned()) })
        }
        None => Ok(Tests { cases: stream_cases(&inputs, &outputs)?, entry_point: None }),
    }
}

/// Tests on standard input and output.
fn stream_cases(inputs: &[Json<'_>], outputs: &[Json<'_>]) -> Result<Vec<TestCase>, Skip> {
    let case = |(index, (input, output)): (usize, (&Json<'_>, &Json<'_>))| {
        Ok(TestCase {
            input: lines(*input, &format!("input_output.inputs[{index}]"))?,
            expected: lines(*output, &format!("input_output.outputs[{index}]"))?,
        })
    };
    inputs.iter().zip(outputs).enumerate().map(case).collect()
}

/// A text, or a list of lines as the text that they make. A number is its digits.
pub fn lines(value: Json<'_>, field: &str) -> Result<String, Skip> {
    if value.is_null() {
        return Err(Skip::new("null-test", format!("`{field}` is null")));
    }
    if !value.is_list() {
        return match value.is_text() || value.is_number() {
            true => value.text_or_number(field).map(std::borrow::Cow::into_owned),
            false => Err(Skip::wrong_type(field, "a string or a list of lines", value.kind())),
        };
    }
    let mut text = String::new();
    for (index, line) in value.items(field)?.into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&line.text_or_number(&format!("{field}[{index}]"))?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(document: &str) -> Result<Tests, Skip> {
        read_tests(Some(document), "")
    }

    fn pairs(document: &str) -> Vec<(String, String)> {
        let tests = tests(document).expect("it has tests");
        tests.cases.into_iter().map(|case| (case.input, case.expected)).collect()
    }

    fn pair(input: &str, expected: &str) -> (String, String) {
        (input.to_owned(), expected.to_owned())
    }

    #[test]
    fn solutions_may_be_missing_in_every_way() {
        for missing in [None, Some(""), Some(" \n"), Some("null"), Some("[]"), Some(r#"["", " "]"#)] {
            assert_eq!(read_solutions(missing), Ok(vec![]), "{missing:?}");
        }
        let solutions = read_solutions(Some(r#"["print(1)\n", "print(2)"]"#)).expect("two programs");
        let code: Vec<&str> = solutions.iter().map(|solution| solution.code.as_str()).collect();
        assert_eq!(code, ["print(1)\n", "print(2)"]);
    }

    #[test]
    fn solutions_of_another_shape_are_named() {
        for (document, reason, detail) in [
            ("{}", "wrong-type", "`solutions`: expected a list, got an object"),
            ("[1]", "wrong-type", "`solutions[0]`: expected a string, got a number"),
            ("['a']", "malformed-json", "`solutions` is not JSON: expected value at column 2"),
        ] {
            assert_eq!(read_solutions(Some(document)), Err(Skip::new(reason, detail)));
        }
    }

    #[test]
    fn inputs_and_outputs_are_texts_or_lists_of_lines() {
        let digits = "7".repeat(9131);
        let document = format!(r#"{{"inputs": ["1\n2\n", ["3", "4"], 5], "outputs": ["3\n", ["7"], {digits}]}}"#);
        assert_eq!(pairs(&document), [pair("1\n2\n", "3\n"), pair("3\n4", "7"), pair("5", &digits)]);
        assert_eq!(tests(&document).expect("it has tests").entry_point, None);
        assert_eq!(pairs(r#"{"inputs": [""], "outputs": ["1"], "fn_name": null}"#), [pair("", "1")]);
    }

    #[test]
    fn a_function_name_makes_function_calls() {
        let found = tests(r#"{"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]}"#).expect("it has tests");
        assert_eq!(found.entry_point.as_deref(), Some("add"));
        assert_eq!((found.cases[0].input.as_str(), found.cases[0].expected.as_str()), ("1\n2", "3"));
    }

    #[test]
    fn tests_that_cannot_be_used_are_named() {
        for missing in [None, Some(""), Some("null"), Some("{}"), Some(r#"{"inputs": [], "outputs": []}"#)] {
            assert_eq!(read_tests(missing, "").expect_err("no tests").reason, "no-tests", "{missing:?}");
        }
        for (document, reason, detail) in [
            ("[]", "wrong-type", "`input_output`: expected an object, got a list"),
            (r#"{"inputs": ["1"], "outputs": []}"#, "unequal-test-lists", "`input_output` has 1 inputs and 0 outputs"),
            (r#"{"inputs": ["1"], "outputs": [null]}"#, "null-test", "`input_output.outputs[0]` is null"),
            (
                r#"{"inputs": [{}], "outputs": ["1"]}"#,
                "wrong-type",
                "`input_output.inputs[0]`: expected a string or a list of lines, got an object",
            ),
            (
                r#"{"inputs": [["1", []]], "outputs": ["1"]}"#,
                "wrong-type",
                "`input_output.inputs[0][1]`: expected a string or a number, got a list",
            ),
            (
                r#"{"inputs": ["1"], "outputs": ["1"], "fn_name": 3}"#,
                "wrong-type",
                "`input_output.fn_name`: expected a string, got a number",
            ),
            (r#"{"inputs": [NaN"#, "malformed-json", "`input_output` is not JSON: expected value at column 13"),
        ] {
            assert_eq!(tests(document), Err(Skip::new(reason, detail)), "{document}");
        }
    }
}

//! Tests that call a function: one JSON value a line, one line an argument, and one JSON value that the call returns.
//!
//! Datasets disagree on whether an expected output stands in a list of its own. The rule, for each problem as a whole:
//! outputs are unwrapped where every one of them is a list of exactly one item, unless the starter code says that the
//! function returns a list or a tuple. A function without an annotation that always returns a list of one item is
//! misread by this rule; nothing in such a row could tell.

use std::borrow::Cow;

use hilora_plugin_sdk::types::{TestCase, language};

use crate::json::Json;
use crate::skip::Skip;

/// The test cases of the function `name`: each input is the list of its arguments.
pub fn test_cases(
    inputs: &[Json<'_>],
    outputs: &[Json<'_>],
    name: &str,
    starter_code: &str,
) -> Result<Vec<TestCase>, Skip> {
    let outputs = unwrapped(outputs, name, starter_code)?;
    let case = |(index, (input, output)): (usize, (&Json<'_>, Json<'_>))| {
        let arguments = input.items(&format!("inputs[{index}]"))?;
        Ok(TestCase { input: argument_lines(&arguments), expected: output.compact() })
    };
    inputs.iter().zip(outputs).enumerate().map(case).collect()
}

/// One compact JSON value a line.
pub fn argument_lines(arguments: &[Json<'_>]) -> String {
    arguments.iter().map(|argument| argument.compact()).collect::<Vec<_>>().join("\n")
}

/// Reads text that already has one JSON value a line, checks each and makes it compact. Blank lines are none.
pub fn parse_argument_lines(text: &str, field: &str) -> Result<String, Skip> {
    let mut arguments = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        arguments.push(Json::parse_field(field, line)?);
    }
    Ok(argument_lines(&arguments))
}

/// The statement of a problem in Python. Where its tests call a function it ends with the starter code, so that training
/// and evaluation show the same prompt. Blank code adds nothing.
pub fn statement(text: Cow<'_, str>, entry_point: Option<&str>, starter_code: &str) -> String {
    statement_in(language::PYTHON3, text, entry_point, starter_code)
}

/// The statement of a problem in this language.
pub fn statement_in(language: &str, text: Cow<'_, str>, entry_point: Option<&str>, starter_code: &str) -> String {
    if entry_point.is_none() || starter_code.trim().is_empty() {
        return text.into_owned();
    }
    // What opens a block of Python is not the name that its runner gives the language.
    let fence = if language == language::PYTHON3 { "python" } else { language };
    format!("{text}\n\nStarter code:\n```{fence}\n{}\n```\n", starter_code.trim_matches(['\n', '\r']))
}

/// The values that calls must return.
fn unwrapped<'a>(outputs: &[Json<'a>], name: &str, starter_code: &str) -> Result<Vec<Json<'a>>, Skip> {
    let mut only_items = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        if !output.is_list() {
            return Ok(outputs.to_vec());
        }
        match output.items(&format!("outputs[{index}]"))?[..] {
            [only] => only_items.push(only),
            _ => return Ok(outputs.to_vec()),
        }
    }
    match return_annotation(starter_code, name) {
        Some(annotation) if is_sequence(annotation) => Ok(outputs.to_vec()),
        _ => Ok(only_items),
    }
}

/// What stands between `->` and the colon of the function's definition.
fn return_annotation<'a>(starter_code: &'a str, name: &str) -> Option<&'a str> {
    let definitions = starter_code.match_indices("def ").map(|(at, word)| starter_code[at + word.len()..].trim_start());
    let after_name = |rest: &'a str| rest.strip_prefix(name).map(str::trim_start).filter(|rest| rest.starts_with('('));
    let rest = definitions.filter_map(after_name).next()?;
    let mut depth = 0_usize;
    let close = rest.find(|c: char| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    let annotation = rest[close + 1..].trim_start().strip_prefix("->")?;
    Some(annotation.split([':', '\n']).next().unwrap_or_default().trim())
}

/// Whether an annotation is a list or a tuple, as Python and its `typing` spell them, also where it may be `None`.
fn is_sequence(annotation: &str) -> bool {
    let annotation = annotation.trim_matches(['"', '\'']);
    let annotation = annotation.strip_prefix("typing.").unwrap_or(annotation);
    let annotation = annotation.strip_prefix("Optional[").unwrap_or(annotation);
    let word = annotation.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    matches!(word, "list" | "List" | "tuple" | "Tuple" | "Sequence" | "Iterable")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(outputs: &str, starter_code: &str) -> Vec<String> {
        let outputs = Json::parse(outputs).expect("it is JSON").items("outputs").expect("a list");
        let inputs = vec![Json::parse("[[1, 2], \"a b\"]").expect("it is JSON"); outputs.len()];
        let cases = test_cases(&inputs, &outputs, "f", starter_code).expect("they are calls");
        assert!(cases.iter().all(|case| case.input == "[1,2]\n\"a b\""));
        cases.into_iter().map(|case| case.expected).collect()
    }

    #[test]
    fn outputs_are_unwrapped_for_a_problem_as_a_whole() {
        assert_eq!(expected("[[1], [true]]", ""), ["1", "true"]);
        assert_eq!(expected("[[[1, 2]], [[]]]", ""), ["[1,2]", "[]"]);
        assert_eq!(expected("[[1], [1, 2]]", ""), ["[1]", "[1,2]"]);
        assert_eq!(expected("[1, [2]]", ""), ["1", "[2]"]);
        assert_eq!(expected("[[], []]", ""), ["[]", "[]"]);
    }

    #[test]
    fn a_return_annotation_that_is_a_list_keeps_the_list() {
        for starter in [
            "class Solution:\n    def f(self, a: Dict[str, List[int]], b=(1, 2)) -> List[int]:\n        ",
            "def f(a,\n      b) -> list:\n",
            "def g() -> int:\n    pass\ndef f (a) -> 'tuple[int]':",
            "def f(a) -> Optional[List[int]]:",
        ] {
            assert_eq!(expected("[[1], [2]]", starter), ["[1]", "[2]"], "{starter}");
        }
        for starter in
            ["def f(a: List[int]) -> int:", "def f(a):", "def ff(a) -> List[int]:", "def f(", "f(a) -> List[int]"]
        {
            assert_eq!(expected("[[1], [2]]", starter), ["1", "2"], "{starter}");
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "8".repeat(9131);
        assert_eq!(expected(&format!("[[{digits}]]"), ""), [digits]);
    }

    #[test]
    fn an_input_that_is_no_argument_list_is_named() {
        let input = Json::parse("\"abc\"").expect("it is JSON");
        let error = test_cases(&[input], &[input], "f", "").expect_err("a string");
        assert_eq!(error, Skip::new("wrong-type", "`inputs[0]`: expected a list, got a string"));
    }

    #[test]
    fn argument_lines_are_checked_and_compacted() {
        assert_eq!(parse_argument_lines("[1, 2]\n\n \"a b\" \n", "input").as_deref(), Ok("[1,2]\n\"a b\""));
        let error = parse_argument_lines("[1, 2]\n[", "input").expect_err("it is cut off");
        assert_eq!(error, Skip::new("malformed-json", "`input` is not JSON: EOF while parsing a list at column 1"));
    }

    #[test]
    fn starter_code_ends_the_statement_of_calls() {
        let of_calls = |starter_code| statement("Add.".into(), Some("f"), starter_code);
        assert_eq!(of_calls("\ndef f(a):\n    "), "Add.\n\nStarter code:\n```python\ndef f(a):\n    \n```\n");
        assert_eq!(of_calls(" \n"), "Add.");
        assert_eq!(statement("Add.".into(), None, "def f(a):"), "Add.", "a program has no starter code to fill in");
    }
}

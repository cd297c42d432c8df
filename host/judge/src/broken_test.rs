//! A broken test: one that calls a function with what is no JSON, or expects what is none. No program can pass it, so what
//! comes of it is the problem's error and says nothing of a program.

use std::fmt;

use super::json_value::is_json_value;
use hilora_contract::dataset::TestCase;

/// A test that nothing can pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenTest {
    /// Its number, from 1.
    test: usize,
    part: Part,
}

/// The part of a test that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A line of the input, from 1.
    Input(usize),
    Output,
}

impl BrokenTest {
    /// The first broken one of these tests; none where they run whole programs, whose input and output are any text.
    pub fn among(entry_point: Option<&str>, tests: &[TestCase]) -> Option<Self> {
        entry_point?;
        tests.iter().enumerate().find_map(|(index, test)| Self::of(index, test))
    }

    /// Whether a test of a function is broken; its index is from 0.
    pub(super) fn of(index: usize, test: &TestCase) -> Option<Self> {
        let arguments = test.input.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let broken =
            arguments.filter(|(_, line)| !is_json_value(line.as_bytes())).map(|(line, _)| Part::Input(line + 1));
        let part = broken.chain((!is_json_value(test.output.as_bytes())).then_some(Part::Output)).next()?;
        Some(Self { test: index + 1, part })
    }
}

impl fmt::Display for BrokenTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, part } = self;
        match part {
            Part::Input(line) => {
                write!(f, "test {test} calls a function, and line {line} of its input is no JSON value")
            }
            Part::Output => write!(f, "test {test} calls a function, and its output is no JSON value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_of_functions_must_be_json() {
        let test = |input: &str, output: &str| TestCase { input: input.to_owned(), output: output.to_owned() };
        for (input, output, told) in [
            ("1\n\n[2, \"x\"]\n", "NaN", None),
            ("", "null", None),
            ("1\nx y", "3", Some("test 2 calls a function, and line 2 of its input is no JSON value")),
            ("1", "None", Some("test 2 calls a function, and its output is no JSON value")),
            ("1", "", Some("test 2 calls a function, and its output is no JSON value")),
            ("[1", "1", Some("test 2 calls a function, and line 1 of its input is no JSON value")),
        ] {
            let tests = [test("1", "1"), test(input, output)];
            let found = BrokenTest::among(Some("f"), &tests).map(|broken| broken.to_string());
            assert_eq!(found.as_deref(), told, "{input:?} {output:?}");
            assert_eq!(BrokenTest::among(None, &tests), None);
        }
    }
}

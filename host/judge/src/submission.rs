//! A submission: a program and what it must do. It shares its tests with every other program that is run on them.

use std::sync::Arc;

use super::checker::Checker;
use hilora_contract::dataset::TestCase;
use hilora_contract::plugin::RunLimits;

/// A program and what it must do.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What reports call it.
    pub id: String,
    /// The program.
    pub code: String,
    /// Every test must pass. Without a test nothing is accepted.
    pub tests: Arc<[TestCase]>,
    /// The index of the first test that is run; those before it are passed over.
    pub first_test: usize,
    /// The function that the tests call, or the method of a class `Solution`; `None` for a whole program.
    pub entry_point: Option<String>,
    /// When an output is a right answer. What a called function returns is compared as a JSON value instead.
    pub checker: Checker,
    /// The limits of each run.
    pub limits: RunLimits,
}

impl Submission {
    /// The tests that are run.
    pub fn tests_to_run(&self) -> &[TestCase] {
        self.tests.get(self.first_test..).unwrap_or_default()
    }
}

/// The program with the code that its problem puts behind it.
pub fn tested_code(code: &str, test_code: Option<&str>) -> String {
    match test_code {
        // A program may end without a line end, or in a comment.
        Some(test_code) => format!("{code}\n\n{test_code}"),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::tested_code;

    #[test]
    fn test_code_stands_on_lines_of_its_own() {
        assert_eq!(tested_code("x = 1  # one", Some("y = 2\n")), "x = 1  # one\n\ny = 2\n");
        assert_eq!(tested_code("x = 1", None), "x = 1");
    }
}

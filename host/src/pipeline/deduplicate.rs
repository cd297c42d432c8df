//! Exact duplicates: one problem under two names is one problem.
//!
//! Two problems are the same where their normalised statements are equal, or where a program that passed all tests of
//! one is, normalised, also a program of the other: what one program solves twice is one task. Near duplicates are
//! not looked for here.

use std::collections::HashMap;

use super::fate::Skip;
use super::verify::VerifiedProblem;
use crate::artifact::ContentHash;

/// A statement without differences of case and white space.
pub(super) fn normalized_statement(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A program without blank lines, whole-line comments and white space at line ends. It serves as a key only: a
/// comment sign at the start of a line inside a string is taken for a comment.
pub(super) fn normalized_code(code: &str) -> String {
    let lines = code.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Remembers what came before; the first of several duplicates is kept.
#[derive(Default)]
pub(super) struct Deduplicator {
    statements: HashMap<ContentHash, String>,
    programs: HashMap<ContentHash, String>,
}

impl Deduplicator {
    /// Why the problem is a duplicate; else it is remembered.
    pub(super) fn check(&mut self, problem: &VerifiedProblem) -> Result<(), Skip> {
        let statement = ContentHash::of(normalized_statement(&problem.text.statement).as_bytes());
        if let Some(first) = self.statements.get(&statement) {
            return Err(Skip::new("duplicate-statement", format!("the statement is that of `{first}`")));
        }
        let programs: Vec<ContentHash> =
            problem.solutions.iter().map(|code| ContentHash::of(normalized_code(code).as_bytes())).collect();
        if let Some(first) = programs.iter().find_map(|program| self.programs.get(program)) {
            return Err(Skip::new("duplicate-solution", format!("a program that passed also solves `{first}`")));
        }
        let id = &problem.text.id;
        self.statements.insert(statement, id.clone());
        self.programs.extend(programs.into_iter().map(|program| (program, id.clone())));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::verified;
    use super::*;

    #[test]
    fn white_space_case_and_comments_make_no_difference() {
        assert_eq!(normalized_statement(" Add\n two\tNumbers. "), "add two numbers.");
        assert_eq!(normalized_code("# by me\nx = 1  \r\n\n  # so\nif x:\n    y()\n"), "x = 1\nif x:\n    y()");
        assert_ne!(normalized_code("if x:\n    y()"), normalized_code("if x:\ny()"));
    }

    #[test]
    fn one_problem_under_two_names_is_one_problem() {
        let mut seen = Deduplicator::default();
        assert_eq!(seen.check(&verified("a", "Add two numbers.", &["print(1)", "print(2)"])), Ok(()));
        let statement = seen.check(&verified("b", "ADD two\nnumbers.", &["print(3)"]));
        assert_eq!(statement.map_err(|skip| skip.reason), Err("duplicate-statement"));
        let solution = seen.check(&verified("c", "Sum up.", &["print(4)", "print(2)  \n"]));
        assert_eq!(solution, Err(Skip::new("duplicate-solution", "a program that passed also solves `a`")));
        assert_eq!(seen.check(&verified("d", "Sum up.", &["print(4)"])), Ok(()), "a duplicate leaves no trace");
    }
}

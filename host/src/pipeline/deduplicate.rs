//! Duplicates: one problem under two names is one problem.
//!
//! Two problems are the same where their normalised statements are equal, where a program that passed all tests of one
//! is, normalised, also a program of the other (what one program solves twice is one task), or where their statements
//! resemble each other (see `fingerprint`). The first in the dataset's order is kept.
//!
//! Problems whose programs resemble each other, though their statements do not, are kept and grouped: they stay on one
//! side of the split. Short programs are not grouped, because they resemble each other by nature.

use std::collections::HashMap;

use super::entry::{Decision, Entry};
use super::fate::Skip;
use super::fingerprint::NearIndex;
use super::manifest::Duplicates;
use crate::artifact::ContentHash;

/// With fewer shingles, a program says little of its task and is not compared.
pub(super) const PROGRAM_SHINGLES_MIN: usize = 50;

/// A statement without differences of case and white space.
pub(super) fn normalized_statement(statement: &str) -> String {
    let mut normalized = String::with_capacity(statement.len());
    for word in statement.split_whitespace() {
        if !normalized.is_empty() {
            normalized.push(' ');
        }
        if word.is_ascii() {
            normalized.extend(word.chars().map(|c| c.to_ascii_lowercase()));
        } else {
            normalized.push_str(&word.to_lowercase());
        }
    }
    normalized
}

/// A program without blank lines, whole-line comments and white space at line ends. It serves as a key only: a
/// comment sign at the start of a line inside a string is taken for a comment.
pub(super) fn normalized_code(code: &str) -> String {
    let lines = code.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Decides against duplicates and groups what resembles each other. Entries are in the dataset's order.
pub(super) fn deduplicate(entries: &mut [Entry]) -> Duplicates {
    let mut counts = Duplicates::default();
    let mut decisions: Vec<Decision> = (0..entries.len()).map(|group| Decision::Kept { group }).collect();
    let mut statements: HashMap<ContentHash, usize> = HashMap::new();
    let mut programs: HashMap<ContentHash, usize> = HashMap::new();
    let mut near_statements = NearIndex::default();
    let mut near_programs = NearIndex::default();
    let mut groups = Groups((0..entries.len()).collect());
    for (index, entry) in entries.iter().enumerate() {
        if let Some(&first) = statements.get(&entry.statement) {
            counts.exact_statements += 1;
            let detail = format!("the statement is that of `{}`", entries[first].id);
            decisions[index] = Decision::Skipped(Skip::new("duplicate-statement", detail));
            continue;
        }
        if let Some(&first) = entry.programs.iter().find_map(|program| programs.get(program)) {
            counts.exact_solutions += 1;
            let detail = format!("a program that passed also solves `{}`", entries[first].id);
            decisions[index] = Decision::Skipped(Skip::new("duplicate-solution", detail));
            continue;
        }
        if let Some(&first) = near_statements.near(&entry.shingles, &entry.bands).first() {
            counts.near_statements += 1;
            let detail = format!("the statement resembles that of `{}`", entries[first].id);
            decisions[index] = Decision::Skipped(Skip::new("near-duplicate-statement", detail));
            continue;
        }
        statements.insert(entry.statement, index);
        programs.extend(entry.programs.iter().map(|program| (*program, index)));
        near_statements.add(index, &entry.shingles, &entry.bands);
        if let Some((shingles, bands)) = &entry.program {
            for (other, program) in near_programs.candidates(bands) {
                // Programs made from one template resemble each other by thousands; one comparison joins a group.
                if groups.first(other) != groups.first(index) && program.near(shingles) {
                    groups.join(index, other);
                }
            }
            near_programs.add(index, shingles, bands);
        }
    }
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for (index, decision) in decisions.iter_mut().enumerate() {
        if let Decision::Kept { group } = decision {
            *group = groups.first(index);
            *sizes.entry(*group).or_default() += 1;
        }
    }
    let several = sizes.values().filter(|size| **size > 1);
    (counts.near_program_groups, counts.problems_in_groups) = (several.clone().count(), several.sum());
    for (entry, decision) in entries.iter_mut().zip(decisions) {
        entry.decision = decision;
    }
    counts
}

/// Groups of indices, each named by its first member.
struct Groups(Vec<usize>);

impl Groups {
    fn first(&mut self, index: usize) -> usize {
        let mut first = index;
        while self.0[first] != first {
            self.0[first] = self.0[self.0[first]];
            first = self.0[first];
        }
        first
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::entry;
    use super::*;

    fn reason(entry: &Entry) -> Option<(&str, &str)> {
        match &entry.decision {
            Decision::Skipped(skip) => Some((skip.reason, &skip.detail)),
            _ => None,
        }
    }

    #[test]
    fn white_space_case_and_comments_make_no_difference() {
        assert_eq!(normalized_statement(" Add\n two\tNumbers. É "), "add two numbers. é");
        assert_eq!(normalized_code("# by me\nx = 1  \r\n\n  # so\nif x:\n    y()\n"), "x = 1\nif x:\n    y()");
        assert_ne!(normalized_code("if x:\n    y()"), normalized_code("if x:\ny()"));
    }

    #[test]
    fn one_problem_under_two_names_is_one_problem() {
        let mut entries = [
            entry("a", "Add two numbers.", &["print(1)", "print(2)"]),
            entry("b", "ADD two\nnumbers.", &["print(3)"]),
            entry("c", "Sum up.", &["print(4)", "print(2)  \n"]),
            entry("d", "Sum up.", &["print(4)"]),
        ];
        let counts = deduplicate(&mut entries);
        assert_eq!(reason(&entries[1]), Some(("duplicate-statement", "the statement is that of `a`")));
        assert_eq!(reason(&entries[2]), Some(("duplicate-solution", "a program that passed also solves `a`")));
        assert_eq!(reason(&entries[3]), None, "a duplicate leaves no trace");
        assert_eq!((counts.exact_statements, counts.exact_solutions, counts.near_statements), (1, 1, 0));
    }

    #[test]
    fn a_statement_with_one_other_word_is_the_same_problem() {
        let words: Vec<String> = (0..60).map(|i| format!("word{i}")).collect();
        let mut other = words.clone();
        other[59] = "else".to_owned();
        let mut entries = [entry("a", &words.join(" "), &["print(1)"]), entry("b", &other.join(" "), &["print(2)"])];
        assert_eq!(deduplicate(&mut entries).near_statements, 1);
        assert_eq!(reason(&entries[1]), Some(("near-duplicate-statement", "the statement resembles that of `a`")));
    }

    #[test]
    fn long_programs_that_resemble_each_other_are_grouped() {
        let program = |last: &str| {
            let lines: Vec<String> = (0..40).map(|i| format!("value_{i} = input_{i} + {i}")).collect();
            format!("{}\nprint({last})", lines.join("\n"))
        };
        let mut entries = [
            entry("a", "One thing.", &[&program("1")]),
            entry("b", "Quite another.", &["print(5)"]),
            entry("c", "A third of all.", &[&program("2")]),
        ];
        let counts = deduplicate(&mut entries);
        assert_eq!((counts.near_program_groups, counts.problems_in_groups), (1, 2));
        let groups: Vec<&Decision> = entries.iter().map(|entry| &entry.decision).collect();
        let kept = |group| Decision::Kept { group };
        assert_eq!(groups, [&kept(0), &kept(1), &kept(0)]);
    }
}

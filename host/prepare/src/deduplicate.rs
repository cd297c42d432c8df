//! Duplicates: one problem under two names is one problem.
//!
//! Two problems are the same where their normalised statements are equal, where a program that passed all tests of one
//! is, normalised, also a program of the other (what one program solves twice is one task), or where their statements
//! resemble each other (see `fingerprint`). The first in the dataset's order is kept.
//!
//! Problems whose programs resemble each other, though their statements do not, are kept and grouped: they stay on one
//! side of the split. Short programs are not grouped, because they resemble each other by nature.

use std::collections::HashMap;

use super::entry::{Decision, Entries, Entry};
use super::error::PrepareError;
use super::fate::Skip;
use super::manifest::Duplicates;
use super::near_index::NearIndex;
use super::words_file::{Comparison, WordsFile};
use hilora_contract::artifact::ContentHash;

/// Decides against duplicates and groups what resembles each other. Entries are in the dataset's order.
pub(super) fn deduplicate(entries: &mut Entries) -> Result<Duplicates, PrepareError> {
    let Entries { rows: entries, words } = entries;
    let mut counts = Duplicates::default();
    let duplicates = duplicates(entries, words, &mut counts)?;
    for (entry, duplicate) in entries.iter_mut().zip(duplicates) {
        if let Some(skip) = duplicate {
            entry.decision = Decision::Skipped(skip);
        }
    }
    group(entries, words, &mut counts)?;
    Ok(counts)
}

/// For each entry, of which earlier one it is a duplicate, in words.
fn duplicates(
    entries: &[Entry],
    words: &WordsFile,
    counts: &mut Duplicates,
) -> Result<Vec<Option<Skip>>, PrepareError> {
    let mut statements: HashMap<ContentHash, usize> = HashMap::new();
    let mut programs: HashMap<ContentHash, usize> = HashMap::new();
    let mut near_statements = NearIndex::with_capacity(entries.len());
    let mut duplicates = vec![None; entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        if let Some(&first) = statements.get(&entry.statement) {
            counts.exact_statements += 1;
            let detail = format!("the statement is that of `{}`", entries[first].id);
            duplicates[index] = Some(Skip::new("duplicate-statement", detail));
            continue;
        }
        if let Some(&first) = entry.programs.iter().find_map(|program| programs.get(program)) {
            counts.exact_solutions += 1;
            let detail = format!("a program that passed also solves `{}`", entries[first].id);
            duplicates[index] = Some(Skip::new("duplicate-solution", detail));
            continue;
        }
        let candidates = near_statements.candidates(&entry.text.bands).into_iter();
        let alike = candidates.map(|other| (other, entries[other].text.words));
        if let Some(first) = Comparison::of(entry.text.words, words).first_near(alike)? {
            counts.near_statements += 1;
            let detail = format!("the statement resembles that of `{}`", entries[first].id);
            duplicates[index] = Some(Skip::new("near-duplicate-statement", detail));
            continue;
        }
        statements.insert(entry.statement, index);
        programs.extend(entry.programs.iter().map(|program| (*program, index)));
        near_statements.add(index, &entry.text.bands);
    }
    Ok(duplicates)
}

/// Gives one group to the kept entries whose programs resemble each other.
fn group(entries: &mut [Entry], words: &WordsFile, counts: &mut Duplicates) -> Result<(), PrepareError> {
    let compared = |entry: &Entry| match entry.decision {
        Decision::Kept { .. } => entry.program,
        _ => None,
    };
    let mut near_programs = NearIndex::with_capacity(entries.iter().filter_map(compared).count());
    let mut groups = Groups((0..entries.len()).collect());
    for (index, entry) in entries.iter().enumerate() {
        let Some(program) = compared(entry) else { continue };
        let mut comparison = Comparison::of(program.words, words);
        for other in near_programs.candidates(&program.bands) {
            // Programs made from one template resemble each other by thousands; one comparison joins a group.
            let Some(found) = entries[other].program else { continue };
            if groups.first(other) != groups.first(index) && comparison.near(found.words)? {
                groups.join(index, other);
            }
        }
        near_programs.add(index, &program.bands);
    }
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for (index, entry) in entries.iter_mut().enumerate() {
        if let Decision::Kept { group } = &mut entry.decision {
            *group = groups.first(index);
            *sizes.entry(*group).or_default() += 1;
        }
    }
    let several = sizes.values().filter(|size| **size > 1);
    (counts.near_program_groups, counts.problems_in_groups) = (several.clone().count(), several.sum());
    Ok(())
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
    use super::super::fakes::entries;
    use super::*;

    fn reason(entry: &Entry) -> Option<(&str, &str)> {
        match &entry.decision {
            Decision::Skipped(skip) => Some((skip.reason, &skip.detail)),
            _ => None,
        }
    }

    #[test]
    fn one_problem_under_two_names_is_one_problem() -> Result<(), PrepareError> {
        let mut entries = entries(&[
            ("a", "Add two numbers.", &["print(1)", "print(2)"]),
            ("b", "ADD two\nnumbers.", &["print(3)"]),
            ("c", "Sum up.", &["print(4)", "print(2)  \n"]),
            ("d", "Sum up.", &["print(4)"]),
        ])?;
        let counts = deduplicate(&mut entries)?;
        let entries = entries.rows;
        assert_eq!(reason(&entries[1]), Some(("duplicate-statement", "the statement is that of `a`")));
        assert_eq!(reason(&entries[2]), Some(("duplicate-solution", "a program that passed also solves `a`")));
        assert_eq!(reason(&entries[3]), None, "a duplicate leaves no trace");
        assert_eq!((counts.exact_statements, counts.exact_solutions, counts.near_statements), (1, 1, 0));
        Ok(())
    }

    #[test]
    fn a_statement_with_one_other_word_is_the_same_problem() -> Result<(), PrepareError> {
        let words: Vec<String> = (0..60).map(|i| format!("word{i}")).collect();
        let mut other = words.clone();
        other[59] = "else".to_owned();
        let mut entries = entries(&[("a", &words.join(" "), &["print(1)"]), ("b", &other.join(" "), &["print(2)"])])?;
        assert_eq!(deduplicate(&mut entries)?.near_statements, 1);
        assert_eq!(reason(&entries.rows[1]), Some(("near-duplicate-statement", "the statement resembles that of `a`")));
        Ok(())
    }

    #[test]
    fn long_programs_that_resemble_each_other_are_grouped() -> Result<(), PrepareError> {
        let program = |last: &str| {
            let lines: Vec<String> = (0..40).map(|i| format!("value_{i} = input_{i} + {i}")).collect();
            format!("{}\nprint({last})", lines.join("\n"))
        };
        let mut entries = entries(&[
            ("a", "One thing.", &[&program("1")]),
            ("b", "Quite another.", &["print(5)"]),
            ("c", "A third of all.", &[&program("2")]),
        ])?;
        let counts = deduplicate(&mut entries)?;
        assert_eq!((counts.near_program_groups, counts.problems_in_groups), (1, 2));
        let groups: Vec<&Decision> = entries.rows.iter().map(|entry| &entry.decision).collect();
        let kept = |group| Decision::Kept { group };
        assert_eq!(groups, [&kept(0), &kept(1), &kept(0)]);
        Ok(())
    }
}

//! Duplicates: one problem under two names is one problem, and one question is one group.
//!
//! Two rows ask the same where what they ask is equal but for case and white space, or where it resembles each other
//! (see `fingerprint`) without the data set's boilerplate. Two conversations ask the same, too, where they begin with the
//! same question. What asks the same stays on one side of the split.
//!
//! Two problems that ask the same are one problem, and so are two of which a program that passed all tests of one is,
//! normalised, also a program of the other (what one program solves twice is one task). Another answer to a question, or
//! the same under another policy, is another lesson: conversations and policy examples are duplicates only where their
//! answers are equal or resemble each other, too. The first in the dataset's order is kept.
//!
//! Rows whose programs resemble each other, though they ask different things, are kept and grouped. Short programs are
//! not grouped, because they resemble each other by nature.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::boilerplate::boilerplate_min;
use super::entry::{Decision, Entries, Entry};
use super::error::PrepareError;
use super::fate::Skip;
use super::fingerprint::{Bands, mixed_bands};
use super::manifest::Duplicates;
use super::near_index::NearIndex;
use super::words_file::{Comparison, WordsFile};
use hilora_contract::artifact::ContentHash;

/// Decides against duplicates and groups what resembles each other. Entries are in the dataset's order.
pub(super) fn deduplicate(entries: &mut Entries) -> Result<Duplicates, PrepareError> {
    let Entries { rows: entries, words, .. } = entries;
    let mut counts = Duplicates::default();
    let mut groups = Groups((0..entries.len()).collect());
    let duplicates = duplicates(entries, words, &mut groups, &mut counts)?;
    for (entry, duplicate) in entries.iter_mut().zip(duplicates) {
        if let Some(skip) = duplicate {
            entry.decision = Decision::Skipped(skip);
        }
    }
    group_openings(entries, &mut groups);
    (counts.question_groups, _) = groups.several(entries);
    group_programs(entries, words, &mut groups, &mut counts)?;
    (_, counts.problems_in_groups) = groups.several(entries);
    for (index, entry) in entries.iter_mut().enumerate() {
        if let Decision::Kept { group } = &mut entry.decision {
            *group = groups.first(index);
        }
    }
    Ok(counts)
}

/// What was seen of the rows before.
struct Seen {
    /// The first row that asks it.
    statements: HashMap<ContentHash, usize>,
    programs: HashMap<ContentHash, usize>,
    /// Rows by what they ask, one for each statement.
    near_statements: NearIndex,
    /// The first row that answers it so.
    answers: HashMap<(ContentHash, ContentHash, Option<ContentHash>), usize>,
    /// Rows by their answers, together with the question that they answer.
    near_answers: NearIndex,
}

/// For each entry, of which earlier one it is a duplicate, in words. What asks the same is joined in `groups`.
fn duplicates(
    entries: &[Entry],
    words: &WordsFile,
    groups: &mut Groups,
    counts: &mut Duplicates,
) -> Result<Vec<Option<Skip>>, PrepareError> {
    let mut seen = Seen {
        statements: HashMap::new(),
        programs: HashMap::new(),
        near_statements: NearIndex::with_capacity(entries.len()),
        answers: HashMap::new(),
        near_answers: NearIndex::with_capacity(0),
    };
    // For each entry the first one that it was found to ask the same as, or itself.
    let mut questions: Vec<usize> = (0..entries.len()).collect();
    let mut duplicates = vec![None; entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        let same = seen.statements.get(&entry.statement).copied();
        let near = match same {
            Some(_) => None,
            None => near_question(entries, words, &seen.near_statements, groups, index)?,
        };
        let found = same.or(near);
        if let Some(first) = found {
            groups.join(first, index);
            questions[index] = questions[first];
        }
        duplicates[index] = match &entry.answer {
            None => duplicate_problem(entries, &seen, counts, index, same, near),
            Some(_) => duplicate_lesson(entries, words, &seen, counts, index, questions[index])?,
        };
        if duplicates[index].is_some() {
            continue;
        }
        seen.programs.extend(entry.programs.iter().map(|program| (*program, index)));
        if let Some(answer) = &entry.answer {
            seen.answers.insert((entry.statement, answer.hash, entry.policy), index);
            seen.near_answers.add(index, &under(&answer.text.bands, questions[index]));
        }
        if same.is_none() {
            seen.statements.insert(entry.statement, index);
            if entry.own.words.hashes() > 0 {
                seen.near_statements.add(index, &entry.own.bands);
            }
        }
    }
    Ok(duplicates)
}

/// An answer's keys to a question.
fn under(bands: &Bands, question: usize) -> Bands {
    mixed_bands(bands, question as u32)
}

/// The first earlier entry that asks what resembles this; all that do are joined with it.
fn near_question(
    entries: &[Entry],
    words: &WordsFile,
    index_of: &NearIndex,
    groups: &mut Groups,
    index: usize,
) -> Result<Option<usize>, PrepareError> {
    let own = &entries[index].own;
    let mut first = None;
    // A text without a word resembles nothing: all such would be one.
    if own.words.hashes() == 0 {
        return Ok(None);
    }
    let mut comparison = Comparison::of(own.words, words);
    for other in index_of.candidates(&own.bands) {
        let joined = first.is_some_and(|first| groups.first(first) == groups.first(other));
        if !joined && comparison.near(entries[other].own.words)? {
            first.get_or_insert(other);
            groups.join(other, index);
        }
    }
    Ok(first)
}

fn duplicate_problem(
    entries: &[Entry],
    seen: &Seen,
    counts: &mut Duplicates,
    index: usize,
    same: Option<usize>,
    near: Option<usize>,
) -> Option<Skip> {
    if let Some(first) = same.filter(|first| entries[*first].answer.is_none()) {
        counts.exact_statements += 1;
        let detail = format!("the statement is that of `{}`", entries[first].id);
        return Some(Skip::new("duplicate-statement", detail));
    }
    if let Some(&first) = entries[index].programs.iter().find_map(|program| seen.programs.get(program)) {
        counts.exact_solutions += 1;
        let detail = format!("a program that passed also solves `{}`", entries[first].id);
        return Some(Skip::new("duplicate-solution", detail));
    }
    let first = near.filter(|first| entries[*first].answer.is_none())?;
    counts.near_statements += 1;
    let detail = format!("the statement resembles that of `{}`", entries[first].id);
    Some(Skip::new("near-duplicate-statement", detail))
}

fn duplicate_lesson(
    entries: &[Entry],
    words: &WordsFile,
    seen: &Seen,
    counts: &mut Duplicates,
    index: usize,
    question: usize,
) -> Result<Option<Skip>, PrepareError> {
    let Entry { statement, policy, answer: Some(answer), .. } = &entries[index] else { return Ok(None) };
    if let Some(&first) = seen.answers.get(&(*statement, answer.hash, *policy)) {
        counts.exact_statements += 1;
        let detail = format!("question and answer are those of `{}`", entries[first].id);
        return Ok(Some(Skip::new("duplicate-statement", detail)));
    }
    if answer.text.words.hashes() == 0 {
        return Ok(None);
    }
    let candidates = seen.near_answers.candidates(&under(&answer.text.bands, question)).into_iter();
    let alike = candidates.filter_map(|other| {
        let Entry { answer: Some(found), policy: under, .. } = &entries[other] else { return None };
        (under == policy).then_some((other, found.text.words))
    });
    let Some(first) = Comparison::of(answer.text.words, words).first_near(alike)? else { return Ok(None) };
    counts.near_statements += 1;
    let detail = format!("question and answer resemble those of `{}`", entries[first].id);
    Ok(Some(Skip::new("near-duplicate-statement", detail)))
}

/// Joins conversations that begin with the same question, unless so many different ones do that it is boilerplate.
fn group_openings(entries: &[Entry], groups: &mut Groups) {
    let mut openings: HashMap<ContentHash, (usize, HashSet<ContentHash>)> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(opening) = entry.opening {
            openings.entry(opening).or_insert_with(|| (index, HashSet::new())).1.insert(entry.statement);
        }
    }
    let questions: HashSet<ContentHash> = entries.iter().map(|entry| entry.statement).collect();
    let boilerplate_min = boilerplate_min(questions.len()) as usize;
    for (index, entry) in entries.iter().enumerate() {
        let Some((first, questions)) = entry.opening.and_then(|opening| openings.get(&opening)) else { continue };
        if questions.len() < boilerplate_min {
            groups.join(*first, index);
        }
    }
}

/// Joins the kept entries whose programs resemble each other.
fn group_programs(
    entries: &[Entry],
    words: &WordsFile,
    groups: &mut Groups,
    counts: &mut Duplicates,
) -> Result<(), PrepareError> {
    let compared = |entry: &Entry| match entry.decision {
        Decision::Kept { .. } => entry.program,
        _ => None,
    };
    let mut near_programs = NearIndex::with_capacity(entries.iter().filter_map(compared).count());
    let mut joined = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(program) = compared(entry) else { continue };
        let mut comparison = Comparison::of(program.words, words);
        for other in near_programs.candidates(&program.bands) {
            // Programs made from one template resemble each other by thousands; one comparison joins a group.
            let Some(found) = entries[other].program else { continue };
            if groups.first(other) != groups.first(index) && comparison.near(found.words)? {
                groups.join(index, other);
                joined.push(index);
            }
        }
        near_programs.add(index, &program.bands);
    }
    counts.near_program_groups = joined.iter().map(|index| groups.first(*index)).collect::<BTreeSet<_>>().len();
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

    /// Groups of which several entries are kept, and how many entries those are.
    fn several(&mut self, entries: &[Entry]) -> (usize, usize) {
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if matches!(entry.decision, Decision::Kept { .. }) {
                *sizes.entry(self.first(index)).or_default() += 1;
            }
        }
        let several = sizes.values().filter(|size| **size > 1);
        (several.clone().count(), several.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{conversations, entries, policy_examples};
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

    fn words(from: usize, count: usize) -> String {
        (from..from + count).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    /// What became of the rows: a group for each, or the reason why it is left out.
    fn fates(mut entries: Entries) -> Result<Vec<Result<usize, &'static str>>, PrepareError> {
        entries.find_boilerplate()?;
        deduplicate(&mut entries)?;
        let fate = |entry: Entry| match entry.decision {
            Decision::Kept { group } => Ok(group),
            Decision::Skipped(skip) => Err(skip.reason),
            decision => panic!("{decision:?}"),
        };
        Ok(entries.rows.into_iter().map(fate).collect())
    }

    #[test]
    fn one_question_is_one_group_however_short() -> Result<(), PrepareError> {
        let long = words(0, 60);
        let fates = fates(conversations(&[
            &["Who wrote Faust?", "Goethe."],
            &["who  wrote Faust", "Johann Wolfgang von Goethe did, over sixty years."],
            &["Who wrote Faust?", "goethe"],
            &["Who wrote Emma?", "Goethe."],
            &[&long, &words(500, 40)],
            &[&format!("{long} please"), &words(700, 40)],
            &[&format!("{long} please"), &format!("{} more", words(500, 40))],
            &["Who wrote Faust?", "Goethe.", "And when was it printed?", "In 1808."],
            &["?", "!"],
            &["...", "!"],
        ])?)?;
        let near = Err("near-duplicate-statement");
        let expected = [Ok(0), Ok(0), near, Ok(3), Ok(4), Ok(4), near, Ok(0), Ok(8), Ok(9)];
        assert_eq!(fates, expected);
        Ok(())
    }

    #[test]
    fn a_template_makes_no_strangers_one_question() -> Result<(), PrepareError> {
        let template = words(0, 150);
        let asked: Vec<[String; 2]> = (1..=10)
            .map(|i| [format!("{template} {} {template}", words(1000 * i, 3)), format!("It is {i} of ten.")])
            .collect();
        let mut rows: Vec<Vec<&str>> = asked.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        // The same question without the template, with another answer.
        rows.push(vec!["w7000 w7001 w7002", "Another answer."]);
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        let fates = fates(conversations(&rows)?)?;
        let expected: Vec<Result<usize, &str>> = (0..10).chain([6]).map(Ok).collect();
        assert_eq!(fates, expected);
        Ok(())
    }

    #[test]
    fn a_greeting_of_many_conversations_is_no_question() -> Result<(), PrepareError> {
        let rows: Vec<[String; 4]> = (0..12)
            .map(|i| ["Can you help me?".to_owned(), "Sure.".to_owned(), words(100 * i, 9), format!("Answer {i}.")])
            .collect();
        let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        assert_eq!(fates(conversations(&rows)?)?, (0..12).map(Ok).collect::<Vec<_>>());
        assert_eq!(fates(conversations(&rows[..2])?)?, [Ok(0), Ok(0)]);
        Ok(())
    }

    #[test]
    fn an_instruction_is_a_duplicate_only_under_its_policy() -> Result<(), PrepareError> {
        let fates = fates(policy_examples(&[
            ["Cancel my order.", "Orders may be cancelled.", "It is done."],
            ["Cancel my order.", "Orders may never be cancelled.", "It is done."],
            ["Cancel my  ORDER.", "orders may be cancelled.", "It is done."],
            ["Cancel my order.", "Orders may be cancelled.", "Yes, the money comes back within days."],
        ])?)?;
        assert_eq!(fates, [Ok(0), Ok(0), Err("duplicate-statement"), Ok(0)]);
        Ok(())
    }

    #[test]
    fn conversations_with_the_same_long_program_are_grouped() -> Result<(), PrepareError> {
        let code = (0..40).map(|i| format!("value_{i} = input_{i} + {i}\n")).collect::<String>();
        let fates = fates(conversations(&[
            &["Write one thing.", &format!("Here:\n```python\n{code}```")],
            &["How do I do another?", &format!("So:\n```\nprint()\n```\nor\n```\n{code}print()\n```")],
            &["What is a third?", "Nothing."],
        ])?)?;
        assert_eq!(fates, [Ok(0), Ok(0), Ok(2)]);
        Ok(())
    }
}

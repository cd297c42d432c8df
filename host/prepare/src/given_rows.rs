//! Rows that were prepared elsewhere, held against the problems that a model is measured on, by the same rule as rows that
//! are prepared here.

use std::collections::{BTreeMap, BTreeSet};

use hilora_contract::dataset::{Conversation, EvaluationProblem, Example, Lesson, PolicyExample, ProblemText};

use super::classify::ChosenDomain;
use super::decontaminate::decontaminate;
use super::entry::{Decision, Entries};
use super::error::PrepareError;
use super::evaluation_set::{EvaluationSet, Measured};
use super::fate::Side;
use super::manifest::DecontaminatedSet;
use super::material::{Kind, Material, Solved};
use super::phase_file::PhaseFolder;

/// Rows that are made ready to be compared at once.
const ROWS_PER_CHUNK: usize = 1024;

/// A row to learn from that shares too much with a problem that the model is measured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContaminatedRow {
    /// The row's index, from 0.
    pub row: usize,
    /// What it shares, and with which problem.
    pub reason: String,
}

/// What rows to learn from share with the problems of a published benchmark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedProblems {
    /// Each problem that a row shares too much with, by its id, with the first such row and what the two share.
    pub problems: BTreeMap<String, String>,
    /// Other rows that share a run of 10 words with a problem.
    pub rows_with_10_words: u64,
    /// Other rows that share a run of 8 words with a problem.
    pub rows_with_8_words: u64,
}

/// How often all rows are held against the problems that were not found yet.
const WHOLE_PASSES_MAX: usize = 4;

/// The rows that `prepare` would have left out for these problems, in their order.
///
/// Errors: only those of the file that the words are compared in.
pub fn contaminated_rows(
    lessons: &[Lesson],
    problems: &[EvaluationProblem],
) -> Result<Vec<ContaminatedRow>, PrepareError> {
    let lessons: Vec<&Lesson> = lessons.iter().collect();
    // Rows and problems were made together, so that a template of the rows may stand in the problems, too.
    let (found, _) = compare(&lessons, problems, "the held-out problems", true)?;
    Ok(found.into_iter().map(|(row, _, reason)| ContaminatedRow { row, reason }).collect())
}

/// The problems of a published benchmark for which `prepare` would have left rows out, had `data.decontaminate` named it.
///
/// Errors: only those of the file that the words are compared in.
pub fn shared_problems(
    lessons: &[Lesson],
    name: &str,
    problems: &[EvaluationProblem],
) -> Result<SharedProblems, PrepareError> {
    let mut shared = SharedProblems::default();
    let mut rows: Vec<(usize, &Lesson)> = lessons.iter().enumerate().collect();
    let mut left: Vec<EvaluationProblem> = problems.to_vec();
    for pass in 0.. {
        if rows.is_empty() || left.is_empty() {
            break;
        }
        let compared: Vec<&Lesson> = rows.iter().map(|(_, lesson)| *lesson).collect();
        let (found, report) = compare(&compared, &left, name, false)?;
        if pass == 0 {
            shared.rows_with_10_words = report.kept_with_10_words as u64;
            shared.rows_with_8_words = report.kept_with_8_words as u64;
        }
        if found.is_empty() {
            break;
        }
        // Of each row the first problem was told. What else the same rows hold is looked for without it; what stands in
        // many rows is known by all of them, so that these are given up only if some row holds a good many problems.
        let mut holders = BTreeSet::new();
        for (row, problem, reason) in found {
            holders.insert(row);
            shared.problems.entry(problem).or_insert_with(|| format!("row {}: {reason}", rows[row].0));
        }
        if pass + 1 >= WHOLE_PASSES_MAX {
            rows = holders.into_iter().map(|row| rows[row]).collect();
        }
        left.retain(|problem| !shared.problems.contains_key(&problem.text.id));
    }
    Ok(shared)
}

/// The row, by its place, the problem and the reason.
type Found = (usize, String, String);

/// The rows that share too much with a problem, and the report on all.
fn compare(
    lessons: &[&Lesson],
    problems: &[EvaluationProblem],
    set: &str,
    are_made_together: bool,
) -> Result<(Vec<Found>, DecontaminatedSet), PrepareError> {
    let mut entries = Entries::create(&PhaseFolder::new(None)?)?;
    for (chunk, lessons) in lessons.chunks(ROWS_PER_CHUNK).enumerate() {
        let rows: Vec<Material> =
            (chunk * ROWS_PER_CHUNK..).zip(lessons).map(|(row, lesson)| material_of(row as u64, lesson)).collect();
        let domain = |lesson: &Lesson| ChosenDomain { domain: lesson.domain().clone(), tied_with: Vec::new() };
        entries.enter(&rows)?;
        entries.give_domains(lessons.iter().copied().map(domain).collect());
    }
    for entry in &mut entries.rows {
        entry.decision = Decision::Accepted(Side::Train);
    }
    let measured = problems
        .iter()
        .map(|problem| Measured::new(problem.text.id.clone(), &problem.text.statement, &mut entries.words))
        .collect();
    entries.words.flush()?;
    let boilerplate = entries.find_boilerplate()?;
    let report = DecontaminatedSet::named(set);
    let set = EvaluationSet::new(report, measured, are_made_together.then_some(&boilerplate), &mut entries.words)?;
    let report = decontaminate(&mut entries, vec![set], DecontaminatedSet::named("none"), boilerplate, false)?;
    let found = entries.rows.into_iter().filter_map(|entry| match entry.decision {
        Decision::Contaminated(contamination) => {
            let row = entry.row as usize;
            let material = material_of(entry.row, lessons[row]);
            let reason = contamination.skip(&material.asked()).detail;
            Some((row, contamination.problem, reason))
        }
        Decision::Kept { .. } | Decision::Accepted(_) | Decision::Skipped(_) => None,
    });
    let of_set = report.sets.into_iter().next().unwrap_or_else(|| DecontaminatedSet::named("none"));
    Ok((found.collect(), of_set))
}

/// A prepared row as it stood before it was prepared, as far as it is compared.
fn material_of(row: u64, lesson: &Lesson) -> Material {
    let (id, tags) = (format!("row {row}"), Vec::new());
    match lesson.clone() {
        Lesson::Solved(Example { problem, solution, difficulty, .. }) => {
            let text = ProblemText { id, title: String::new(), statement: problem, tags, difficulty };
            let solved = Solved { solutions: vec![solution], ..Solved::default() };
            Material { row, source: 0, text, kind: Kind::Solved(Box::new(solved)) }
        }
        Lesson::Conversation(lesson) => {
            let (messages, tools, difficulty) = (lesson.messages, lesson.tools, lesson.difficulty);
            Material::conversation(row, Conversation { id, messages, tools, tags, difficulty })
        }
        Lesson::Policy(lesson) => {
            let (instruction, policy, difficulty) = (lesson.instruction, lesson.policy, lesson.difficulty);
            let (actions, outputs) = (lesson.actions, lesson.outputs);
            Material::policy(row, PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty })
        }
    }
}

#[cfg(test)]
mod tests {
    use hilora_contract::dataset::{AnswerForm, Domain, ProblemChecker};

    use super::*;

    fn words(from: usize, count: usize) -> String {
        (from..from + count).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    fn example(problem: String) -> Lesson {
        let (reasoning, solution) = (None, "print(1)".to_owned());
        Lesson::Solved(Example { problem, reasoning, solution, domain: Domain("python".to_owned()), difficulty: None })
    }

    fn problem(id: &str, statement: String) -> EvaluationProblem {
        EvaluationProblem {
            text: ProblemText {
                id: id.to_owned(),
                title: String::new(),
                statement,
                tags: Vec::new(),
                difficulty: None,
            },
            domain: Domain("python".to_owned()),
            tests: Vec::new().into(),
            entry_point: None,
            test_code: None,
            checker: ProblemChecker::default(),
            answer_form: AnswerForm::Program,
            time_limit_ms: None,
            memory_limit_bytes: None,
            reference_fuel: None,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn every_problem_that_a_row_holds_is_found() -> Result<(), PrepareError> {
        // The second row holds all problems but the last, one after another.
        let problems: Vec<_> = (0..9).map(|n| problem(&format!("p-{n}"), words(1000 * n, 40))).collect();
        let all: Vec<String> = (0..8).map(|n| words(1000 * n, 40)).collect();
        let tens = format!("{} {}", words(20_000, 30), words(8000, 10));
        let rows = [example(words(30_000, 30)), example(all.join(" ")), example(tens)];
        let shared = shared_problems(&rows, "published", &problems)?;
        assert_eq!(
            shared.problems.keys().map(String::as_str).collect::<Vec<_>>(),
            ["p-0", "p-1", "p-2", "p-3", "p-4", "p-5", "p-6", "p-7"]
        );
        assert!(shared.problems["p-5"].starts_with("row 1: "), "{}", shared.problems["p-5"]);
        assert_eq!((shared.rows_with_10_words, shared.rows_with_8_words), (1, 1));
        assert_eq!(shared_problems(&rows, "published", &[])?, SharedProblems::default());
        Ok(())
    }

    #[test]
    fn finds_rows_that_hold_a_measured_problem() -> Result<(), PrepareError> {
        let rows = [example(words(500, 30)), example(format!("{} {}", words(600, 30), words(0, 13)))];
        let problem = problem("p-0", words(0, 40));
        let found = contaminated_rows(&rows, &[problem])?;
        assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [1]);
        assert!(found[0].reason.contains("13 words") && found[0].reason.contains("p-0"), "{}", found[0].reason);
        assert_eq!(contaminated_rows(&rows, &[])?, []);
        Ok(())
    }
}

//! Rows that were prepared elsewhere, held against the problems that a model is measured on, by the same rule as rows that
//! are prepared here.

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

/// The rows that `prepare` would have left out for these problems, in their order.
///
/// Errors: only those of the file that the words are compared in.
pub fn contaminated_rows(
    lessons: &[Lesson],
    problems: &[EvaluationProblem],
) -> Result<Vec<ContaminatedRow>, PrepareError> {
    let mut entries = Entries::create(&PhaseFolder::new(None)?)?;
    for (chunk, lessons) in lessons.chunks(ROWS_PER_CHUNK).enumerate() {
        let rows: Vec<Material> =
            (chunk * ROWS_PER_CHUNK..).zip(lessons).map(|(row, lesson)| material_of(row as u64, lesson)).collect();
        let domain = |lesson: &Lesson| ChosenDomain { domain: lesson.domain().clone(), tied_with: Vec::new() };
        entries.enter(&rows)?;
        entries.give_domains(lessons.iter().map(domain).collect());
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
    // Rows and problems were made together, so that a template of the rows may stand in the problems, too.
    let report = DecontaminatedSet::named("the held-out problems");
    let set = EvaluationSet::new(report, measured, Some(&boilerplate), &mut entries.words)?;
    decontaminate(&mut entries, vec![set], DecontaminatedSet::named("none"), boilerplate, false)?;
    let found = entries.rows.into_iter().filter_map(|entry| match entry.decision {
        Decision::Contaminated(contamination) => {
            let row = entry.row as usize;
            let material = material_of(entry.row, &lessons[row]);
            Some(ContaminatedRow { row, reason: contamination.skip(&material.asked()).detail })
        }
        Decision::Kept { .. } | Decision::Accepted(_) | Decision::Skipped(_) => None,
    });
    Ok(found.collect())
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

    #[test]
    fn finds_rows_that_hold_a_measured_problem() -> Result<(), PrepareError> {
        let rows = [example(words(500, 30)), example(format!("{} {}", words(600, 30), words(0, 13)))];
        let text = ProblemText {
            id: "p-0".to_owned(),
            title: String::new(),
            statement: words(0, 40),
            tags: Vec::new(),
            difficulty: None,
        };
        let problem = EvaluationProblem {
            text,
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
        };
        let found = contaminated_rows(&rows, &[problem])?;
        assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [1]);
        assert!(found[0].reason.contains("13 words") && found[0].reason.contains("p-0"), "{}", found[0].reason);
        assert_eq!(contaminated_rows(&rows, &[])?, []);
        Ok(())
    }
}

//! Judging: which answers are right, and why the others are errors. A program that answers the same problem twice is
//! judged once; verdicts repeat exactly, so the second run could only say the same.

use std::collections::BTreeMap;

use super::EvaluatorError;
use hilora_contract::dataset::EvaluationProblem;
use hilora_judge::{Checker, Judge, Judgement, StopAt, Submission, Verdict, calibrated, run_limits};

/// Programs that one call hands to the judge: enough to keep its workers busy, few enough to hold their tests.
const PROGRAMS_PER_CALL: usize = 512;

/// A program that claims to solve a problem.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) problem: &'a EvaluationProblem,
    pub(super) code: &'a str,
}

/// What was found of an answer.
#[derive(Debug, Clone)]
pub(super) struct JudgedAnswer {
    pub(super) verdict: Verdict,
    /// The cause, where the answer is an error.
    pub(super) error: Option<String>,
}

/// Judges each answer by its problem's tests, up to the first that fails. Results are in the answers' order; `on_done`
/// hears how many more are judged.
pub(super) fn judge_answers(
    judge: &Judge,
    answers: &[Answer<'_>],
    on_done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<JudgedAnswer>, EvaluatorError> {
    let mut number_of_program: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut programs = Vec::new();
    let mut program_of_answer = Vec::with_capacity(answers.len());
    for answer in answers {
        let program = *number_of_program.entry((&answer.problem.text.id, answer.code)).or_insert_with(|| {
            programs.push(*answer);
            programs.len() - 1
        });
        program_of_answer.push(program);
    }
    on_done((answers.len() - programs.len()) as u64);
    let mut judged = Vec::with_capacity(programs.len());
    for part in programs.chunks(PROGRAMS_PER_CALL) {
        let submissions: Vec<Submission> = part.iter().map(submission).collect();
        for judgement in judge.judge_all(&submissions, StopAt::FirstFailure, &|_| on_done(1))? {
            judged.push(judged_answer(&judgement)?);
        }
    }
    if judged.len() != programs.len() {
        let what = "judgements".to_owned();
        return Err(EvaluatorError::Count { what, expected: programs.len(), got: judged.len() });
    }
    Ok(program_of_answer.into_iter().map(|program| judged[program].clone()).collect())
}

fn submission(answer: &Answer<'_>) -> Submission {
    let problem = answer.problem;
    Submission {
        id: problem.text.id.clone(),
        code: answer.code.to_owned(),
        tests: problem.tests.clone(),
        entry_point: problem.entry_point.clone(),
        checker: Checker::Lines,
        limits: calibrated(run_limits(problem.time_limit_ms, problem.memory_limit_bytes), problem.reference_fuel),
    }
}

fn judged_answer(judgement: &Judgement) -> Result<JudgedAnswer, EvaluatorError> {
    let verdict = judgement.verdict;
    // The test that failed is the last that ran.
    let detail = judgement.tests.last().map(|test| test.detail.clone()).unwrap_or_default();
    let error = match verdict {
        Verdict::InternalError => return Err(EvaluatorError::JudgeFailed { id: judgement.id.clone(), detail }),
        // An exception's message varies with the program; its type is what can be counted.
        Verdict::RuntimeError | Verdict::Unsupported => Some(match detail.split(':').next().unwrap_or_default() {
            "" => verdict.to_string(),
            cause => cause.to_owned(),
        }),
        Verdict::Accepted | Verdict::WrongAnswer | Verdict::TimeLimit | Verdict::MemoryLimit | Verdict::OutputLimit => {
            None
        }
    };
    Ok(JudgedAnswer { verdict, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{WORK_FUEL, doubling_problem, fake_judge};

    #[test]
    fn a_program_may_use_three_times_the_fuel_of_its_problems_reference_solution() -> Result<(), EvaluatorError> {
        for (reference_fuel, verdict) in [
            (None, Verdict::TimeLimit),
            (Some(WORK_FUEL / 3 - 1), Verdict::TimeLimit),
            (Some(WORK_FUEL / 3 + 1), Verdict::Accepted),
        ] {
            let problem = EvaluationProblem { time_limit_ms: Some(1_000), reference_fuel, ..doubling_problem("p") };
            let judged = judge_answers(&fake_judge(), &[Answer { problem: &problem, code: "work" }], &|_| {})?;
            assert_eq!(judged[0].verdict, verdict, "{reference_fuel:?}");
        }
        Ok(())
    }
}

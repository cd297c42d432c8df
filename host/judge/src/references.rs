//! Reference solutions: what a solution that is known to be right uses, measured before any program is judged by it.
//! Programs that share a reference solution and its tests share the measurement.

use std::collections::HashMap;

use super::error::BatchError;
use super::judge::StopAt;
use super::judged_program::Finding;
use super::recording_judge::{Asked, RecordingJudge};
use super::verdict::Verdict;
use hilora_contract::artifact::ContentHash;

/// What became of a reference solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// It passes, and uses so much fuel on its costliest test.
    Passes(u64),
    /// It does not pass: the verdict, and the test, from 1.
    Fails(Verdict, usize),
    /// Nothing is known of it, because the machine failed: the test, from 1, and how its run ended.
    Unknown(usize, String),
}

impl Reference {
    fn of(finding: &Finding) -> Self {
        let test = finding.tests.len();
        match finding.verdict {
            Verdict::Accepted => Self::Passes(finding.tests.iter().map(|test| test.fuel).max().unwrap_or(0)),
            Verdict::InternalError => {
                Self::Unknown(test, finding.tests.last().map(|test| test.detail.clone()).unwrap_or_default())
            }
            verdict => Self::Fails(verdict, test),
        }
    }
}

/// What is known of reference solutions, by the question about them.
#[derive(Default)]
pub(super) struct References {
    known: HashMap<ContentHash, Reference>,
}

impl References {
    /// What is known; `None` before it was measured.
    pub(super) fn find(&self, question: ContentHash) -> Option<&Reference> {
        self.known.get(&question)
    }

    /// Measures those of a round that are not known; false if it was stopped. `on_done` is told how many programs of the
    /// round have a measurement.
    pub(super) fn measure(
        &mut self,
        judge: &mut RecordingJudge<'_>,
        round: Vec<Asked>,
        is_stopped: &dyn Fn() -> bool,
        on_done: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, BatchError> {
        let programs = round.len() as u64;
        let mut unknown: Vec<Asked> = Vec::new();
        for asked in round {
            let question = asked.question;
            if self.known.contains_key(&question) || unknown.iter().any(|other| other.question == question) {
                continue;
            }
            match judge.take(question)? {
                Some(finding) => drop(self.known.insert(question, Reference::of(&finding))),
                None => unknown.push(asked),
            }
        }
        let questions: Vec<ContentHash> = unknown.iter().map(|asked| asked.question).collect();
        let before = programs - questions.len() as u64;
        on_done(before);
        let judged = judge.ask(unknown, StopAt::FirstFailure, is_stopped, &|done| on_done(before + done))?;
        for (question, judgement) in questions.into_iter().zip(judged) {
            let Some(judgement) = judgement else { return Ok(false) };
            self.known.insert(question, Reference::of(&Finding::of(&judgement)));
        }
        Ok(true)
    }
}

//! A judge that records: what it finds is entered in a record as soon as it is found, and what an earlier call has found
//! is not asked again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::BatchError;
use super::judge::{Judge, Judgement, StopAt};
use super::judged_program::Finding;
use super::judgement_record::{JudgementRecord, RecordError};
use super::submission::Submission;
use hilora_contract::artifact::ContentHash;

/// A submission, and the hash of what is asked about it.
pub(super) struct Asked {
    pub(super) submission: Submission,
    pub(super) question: ContentHash,
}

/// A judge and its record, if it has one.
pub(super) struct RecordingJudge<'a> {
    pub(super) judge: &'a Judge,
    pub(super) record: Option<JudgementRecord>,
}

impl RecordingJudge<'_> {
    /// What an earlier call has found. It answers this question once: a program that stands in a batch twice is run twice.
    pub(super) fn take(&mut self, question: ContentHash) -> Result<Option<Finding>, BatchError> {
        Ok(self.record.as_mut().map(|record| record.take(question)).transpose()?.flatten())
    }

    /// Judges what was asked until `is_stopped` says so; what was not judged by then is `None`. `on_done` is told how many
    /// are judged. What is a fact about a program is durable when this returns.
    pub(super) fn ask(
        &self,
        asked: Vec<Asked>,
        stop_at: StopAt,
        is_stopped: &dyn Fn() -> bool,
        on_done: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Option<Judgement>>, BatchError> {
        let (submissions, questions): (Vec<Submission>, Vec<ContentHash>) =
            asked.into_iter().map(|asked| (asked.submission, asked.question)).unzip();
        let done = AtomicU64::new(0);
        let failure: Mutex<Option<RecordError>> = Mutex::new(None);
        let on_judged = |index: usize, judgement: &Judgement| {
            if let Some(record) = &self.record
                && judgement.is_settled()
                && let Err(error) = record.enter(questions[index], &Finding::of(judgement))
            {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            on_done(done.fetch_add(1, Ordering::Relaxed) + 1);
        };
        // Where nothing more can be recorded, nothing more is run.
        let has_failed = || failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let judged = self.judge.judge_until(&submissions, stop_at, &|| has_failed() || is_stopped(), &on_judged);
        if let Some(record) = &self.record {
            record.sync()?;
        }
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.into()),
            None => Ok(judged?),
        }
    }
}

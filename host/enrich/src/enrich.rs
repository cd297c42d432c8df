//! Enriching: a trace for every training row that has none, through the record of answers.
//!
//! Rows whose `reasoning` is filled and rows that are no solved problems keep their bytes. The file appears only once
//! every call is answered; it is made of the training rows, the record and the tests alone, so a run that was killed
//! and gone on with writes the bytes of one that was not.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::config::EnrichConfig;
use super::error::EnrichError;
use super::hidden_tests::HiddenTests;
use super::record::{TraceRecord, TracedAnswer};
use super::request::TraceRequest;
use super::screening::screen;
use hilora_contract::artifact::{AtomicFile, ContentHash, Line, Lines};
use hilora_contract::dataset::{Example, Lesson};
use hilora_endpoint::{Call, CallEnd, Caller, Demand, Endpoint};

/// An endpoint that has refused this many requests of a run and answered none is asked no more.
const REFUSALS_MAX: usize = 8;

/// The files of one enrichment.
pub struct EnrichFiles<'a> {
    /// The training rows.
    pub train: &'a Path,
    /// The tests of the training problems.
    pub tests: &'a Path,
    /// The record of answers.
    pub record: &'a Path,
    /// The training rows with their traces.
    pub output: &'a Path,
}

/// How far the calls are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnrichProgress {
    /// Calls that were answered in this run.
    pub answered: u64,
    /// Calls that this run has to make.
    pub calls: u64,
    /// Tokens of both kinds that this run's answers cost.
    pub tokens: u64,
    /// What they cost, if a price is known.
    pub cost: Option<f64>,
}

/// What an enrichment found and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EnrichReport {
    /// Rows of the training file.
    pub rows: usize,
    /// Rows that are no solved problems, left alone.
    pub other_rows: usize,
    /// Rows that had a reasoning, left alone.
    pub had_reasoning: usize,
    /// Rows whose answer is recorded and is a trace.
    pub accepted: usize,
    /// Rows whose answer is recorded and is none, by reason.
    pub rejected: BTreeMap<&'static str, usize>,
    /// Different requests whose answers were recorded before this run.
    pub answers_reused: usize,
    /// Different requests that this run had to ask, or would have.
    pub calls: usize,
    /// How many of them were answered.
    pub calls_answered: usize,
    /// Tokens of this run's prompts.
    pub prompt_tokens: u64,
    /// Tokens of this run's answers.
    pub completion_tokens: u64,
    /// What this run's tokens cost, if a price is known.
    pub cost: Option<f64>,
    /// Whether every request is answered and the file is written.
    pub finished: bool,
}

/// One line of the training file.
struct Row {
    line: Line,
    /// The example and its request's key, if a trace is wanted.
    wanted: Option<(Example, ContentHash)>,
}

/// What would be done: nothing is asked and nothing is written.
pub fn plan(config: &EnrichConfig, files: &EnrichFiles<'_>) -> Result<EnrichReport, EnrichError> {
    let record = TraceRecord::read(files.record)?;
    Ok(survey(config, files, &record)?.report)
}

/// Asks for what the record does not know, judges every answer and writes the enriched rows. It ends early, and
/// unfinished, once `stop` says so; calls that are open then are waited for, but not for long, and recorded.
pub fn enrich(
    config: &EnrichConfig,
    files: &EnrichFiles<'_>,
    stop: &dyn Fn() -> bool,
    on_progress: &dyn Fn(EnrichProgress),
) -> Result<EnrichReport, EnrichError> {
    let mut record = TraceRecord::open(files.record)?;
    let Survey { rows, tests, mut report } = survey(config, files, &record)?;
    let requests = unanswered(&rows, &record);
    if !requests.is_empty() {
        let mut calls =
            Calls { config, requests: &requests, stop, on_progress, record: &mut record, report: &mut report };
        calls.make()?;
        report.cost = config.cost(report.prompt_tokens, report.completion_tokens);
    }
    if report.calls_answered < report.calls {
        return Ok(report);
    }
    write_rows(&rows, &record, &tests, files, &mut report)?;
    report.finished = true;
    Ok(report)
}

/// What is known before anything is asked.
struct Survey {
    rows: Vec<Row>,
    tests: HiddenTests,
    report: EnrichReport,
}

/// Reads the files, counts what is to do, and fails before anything is paid for if a row's tests are not known.
fn survey(config: &EnrichConfig, files: &EnrichFiles<'_>, record: &TraceRecord) -> Result<Survey, EnrichError> {
    let (rows, mut report) = read_rows(config, files.train)?;
    let tests = HiddenTests::open(files.tests)?;
    let unknown = |row: &&Row| row.wanted.as_ref().is_some_and(|(example, _)| !tests.knows(&example.problem));
    if let Some(row) = rows.iter().find(unknown) {
        return Err(no_tests(files, row));
    }
    let wanted: HashSet<&ContentHash> = rows.iter().filter_map(|row| Some(&row.wanted.as_ref()?.1)).collect();
    report.calls = unanswered(&rows, record).len();
    report.answers_reused = wanted.len() - report.calls;
    Ok(Survey { rows, tests, report })
}

fn no_tests(files: &EnrichFiles<'_>, row: &Row) -> EnrichError {
    EnrichError::NoTests { tests: files.tests.to_owned(), train: files.train.to_owned(), line: row.line.number }
}

/// The training file's rows, counted by kind.
fn read_rows(config: &EnrichConfig, path: &Path) -> Result<(Vec<Row>, EnrichReport), EnrichError> {
    let mut report = EnrichReport::default();
    let mut rows = Vec::new();
    for line in Lines::open(path)? {
        let line = line?;
        let lesson: Lesson = line.read(path)?;
        let wanted = match lesson {
            Lesson::Conversation(_) | Lesson::Policy(_) => {
                report.other_rows += 1;
                None
            }
            Lesson::Solved(example) if example.has_reasoning() => {
                report.had_reasoning += 1;
                None
            }
            Lesson::Solved(example) => {
                let key = TraceRequest::of(&example, config).key;
                Some((example, key))
            }
        };
        rows.push(Row { line, wanted });
    }
    report.rows = rows.len();
    Ok((rows, report))
}

/// The rows whose requests the record does not know, one for each request.
fn unanswered<'a>(rows: &'a [Row], record: &TraceRecord) -> Vec<&'a Example> {
    let mut seen = HashSet::new();
    rows.iter()
        .filter_map(|row| row.wanted.as_ref())
        .filter(|(_, key)| record.get(key).is_none() && seen.insert(*key))
        .map(|(example, _)| example)
        .collect()
}

/// The calls of one run.
struct Calls<'a> {
    config: &'a EnrichConfig,
    requests: &'a [&'a Example],
    stop: &'a dyn Fn() -> bool,
    on_progress: &'a dyn Fn(EnrichProgress),
    record: &'a mut TraceRecord,
    report: &'a mut EnrichReport,
}

/// How far they are.
struct Making<'a, 'b> {
    calls: &'b mut Calls<'a>,
    next: usize,
    is_stopped: bool,
    failure: Option<EnrichError>,
    refusals: Refusals,
}

impl<'a> Calls<'a> {
    /// Makes them, no more at once than the config allows, and records each answer.
    fn make(&mut self) -> Result<(), EnrichError> {
        let endpoint = Endpoint::new(self.config.endpoint()?)?;
        let concurrency = self.config.concurrency;
        self.tell();
        let refusals = Refusals::default();
        let mut making = Making { calls: self, next: 0, is_stopped: false, failure: None, refusals };
        endpoint.make_calls(concurrency, &mut making)?;
        let Making { is_stopped, failure, mut refusals, .. } = making;
        // The few that were left of an earlier run may all be such rows.
        if failure.is_none() && !is_stopped && self.report.answers_reused > 0 {
            self.keep(std::mem::take(&mut refusals.answers))?;
        }
        let refused = if refusals.answers.is_empty() { None } else { refusals.first };
        failure.or(refused).map_or(Ok(()), Err)
    }

    fn keep(&mut self, answers: Vec<TracedAnswer>) -> Result<(), EnrichError> {
        if answers.is_empty() {
            return Ok(());
        }
        self.report.calls_answered += answers.len();
        // A server may claim any number.
        for answer in &answers {
            self.report.prompt_tokens = self.report.prompt_tokens.saturating_add(answer.prompt_tokens);
            self.report.completion_tokens = self.report.completion_tokens.saturating_add(answer.completion_tokens);
        }
        self.record.append(answers)?;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        let EnrichReport { prompt_tokens, completion_tokens, .. } = *self.report;
        (self.on_progress)(EnrichProgress {
            answered: self.report.calls_answered as u64,
            calls: self.report.calls as u64,
            tokens: prompt_tokens.saturating_add(completion_tokens),
            cost: self.config.cost(prompt_tokens, completion_tokens),
        });
    }
}

impl Caller for Making<'_, '_> {
    fn next_call(&mut self) -> Option<Call> {
        let example = self.calls.requests.get(self.next)?;
        let TraceRequest { key, body } = TraceRequest::of(example, self.calls.config);
        self.next += 1;
        Some(Call { number: self.next - 1, key, body, demand: Demand::Readable })
    }

    fn take(&mut self, ended: Vec<(Call, CallEnd)>) {
        let mut answers = Vec::new();
        for (Call { key, .. }, end) in ended {
            match end {
                CallEnd::Answered(answer) => answers.push(TracedAnswer::new(key, answer)),
                CallEnd::Refused { answer, error } => self.refusals.add(TracedAnswer::new(key, answer), error.into()),
                CallEnd::Stopped => {}
                CallEnd::Failed(error) => drop(self.failure.get_or_insert(error.into())),
            }
        }
        // One answer of this run shows that requests are served, so what was refused is about its row. Answers of
        // earlier runs do not: the endpoint may be another.
        if !answers.is_empty() || self.calls.report.calls_answered > 0 {
            answers.append(&mut self.refusals.answers);
        } else if self.refusals.answers.len() >= REFUSALS_MAX {
            self.failure = self.failure.take().or(self.refusals.first.take());
        }
        if let Err(error) = self.calls.keep(answers) {
            self.failure.get_or_insert(error);
        }
    }

    fn stops(&mut self) -> bool {
        self.is_stopped = self.is_stopped || self.failure.is_some() || (self.calls.stop)();
        self.is_stopped
    }
}

/// Requests that the endpoint refused while it has not answered any in this run.
#[derive(Default)]
struct Refusals {
    answers: Vec<TracedAnswer>,
    /// The first one as an error.
    first: Option<EnrichError>,
}

impl Refusals {
    fn add(&mut self, answer: TracedAnswer, error: EnrichError) {
        self.answers.push(answer);
        self.first.get_or_insert(error);
    }
}

/// Writes the rows, with the traces that were accepted.
fn write_rows(
    rows: &[Row],
    record: &TraceRecord,
    tests: &HiddenTests,
    files: &EnrichFiles<'_>,
    report: &mut EnrichReport,
) -> Result<(), EnrichError> {
    let mut file = AtomicFile::create(files.output)?;
    for row in rows {
        let answered = row.wanted.as_ref().and_then(|(example, key)| Some((example, record.get(key)?)));
        let trace = match answered {
            None => None,
            Some((example, answer)) => {
                let unknown = || no_tests(files, row);
                screen(answer, example, || tests.of(&example.problem)?.ok_or_else(unknown))?
                    .inspect(|_| report.accepted += 1)
                    .map_err(|rejection| *report.rejected.entry(rejection.reason()).or_default() += 1)
                    .ok()
                    .map(|trace| Example { reasoning: Some(trace), ..example.clone() })
            }
        };
        match trace {
            Some(example) => {
                let line = serde_json::to_vec(&example).expect("plain structs with text keys always serialize");
                file.append(&line)?;
            }
            None => file.append(row.line.text.as_bytes())?,
        }
        file.append(b"\n")?;
    }
    Ok(file.commit()?)
}

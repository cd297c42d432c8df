//! Enriching: a trace for every training row that has none, through the record of answers.
//!
//! Rows whose `reasoning` is filled and rows that are no solved problems keep their bytes. The file appears only once
//! every call is answered; it is made of the training rows, the record and the tests alone, so a run that was killed
//! and gone on with writes the bytes of one that was not.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::config::EnrichConfig;
use super::error::EnrichError;
use super::hidden_tests::HiddenTests;
use super::record::{TraceRecord, TracedAnswer};
use super::request::TraceRequest;
use super::screening::screen;
use hilora_contract::artifact::{AtomicFile, ContentHash, Line, Lines};
use hilora_contract::dataset::{Example, Lesson};
use hilora_endpoint::{CallEnd, Endpoint, EndpointError};

/// An endpoint that has refused this many requests of a run and answered none is asked no more.
const REFUSALS_MAX: usize = 8;
/// How often the run looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(50);
/// How long calls that are open when the run stops are waited for: they are paid for, but a service manager kills what
/// has not stopped after a while.
const STOP_GRACE: Duration = Duration::from_secs(4);

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
        let calls = Calls { config, requests: &requests, stop, on_progress };
        calls.make(&mut record, &mut report)?;
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
}

impl Calls<'_> {
    /// Makes them, no more at once than the config allows, and records each answer.
    fn make(&self, record: &mut TraceRecord, report: &mut EnrichReport) -> Result<(), EnrichError> {
        let endpoint = Arc::new(Endpoint::new(self.config.endpoint()?)?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| EndpointError::Client(error.to_string()))?;
        runtime.block_on(self.make_all(&endpoint, record, report))
    }

    async fn make_all(
        &self,
        endpoint: &Arc<Endpoint>,
        record: &mut TraceRecord,
        report: &mut EnrichReport,
    ) -> Result<(), EnrichError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut waiting = self.requests.iter();
        let mut open: JoinSet<(ContentHash, CallEnd)> = JoinSet::new();
        let mut stopped_at = None;
        let mut failure = None;
        let mut refusals = Refusals::default();
        self.tell(report);
        loop {
            if failure.is_some() || (self.stop)() {
                stopping.store(true, Ordering::SeqCst);
            }
            if stopping.load(Ordering::SeqCst) && stopped_at.get_or_insert_with(Instant::now).elapsed() > STOP_GRACE {
                // What is still open is not waited for; it is asked again the next time.
                open.abort_all();
                break;
            }
            while !stopping.load(Ordering::SeqCst) && open.len() < self.config.concurrency {
                let Some(example) = waiting.next() else { break };
                let request = TraceRequest::of(example, self.config);
                let (endpoint, stopping) = (endpoint.clone(), stopping.clone());
                open.spawn(async move { (request.key, endpoint.ask(&request.key, &request.body, &stopping).await) });
            }
            if open.is_empty() {
                break;
            }
            let Ok(mut ended) = tokio::time::timeout(STOP_POLL, open.join_next()).await else { continue };
            let mut answers = Vec::new();
            // Whatever else has ended by now shares one write.
            while let Some(end) = ended {
                match end {
                    Ok((key, CallEnd::Answered(answer))) => answers.push(TracedAnswer::new(key, answer)),
                    Ok((key, CallEnd::Refused { answer, error })) => {
                        refusals.add(TracedAnswer::new(key, answer), error.into());
                    }
                    Ok((_, CallEnd::Stopped)) => {}
                    Ok((_, CallEnd::Failed(error))) => drop(failure.get_or_insert(error.into())),
                    Err(error) => drop(failure.get_or_insert(EnrichError::LostCall(error.to_string()))),
                }
                ended = open.try_join_next();
            }
            // One answer of this run shows that requests are served, so what was refused is about its row. Answers of
            // earlier runs do not: the endpoint may be another.
            if !answers.is_empty() || report.calls_answered > 0 {
                answers.append(&mut refusals.answers);
            } else if refusals.answers.len() >= REFUSALS_MAX {
                failure = failure.or(refusals.first.take());
            }
            self.record(answers, record, report)?;
        }
        // The few that were left of an earlier run may all be such rows.
        let all_asked = failure.is_none() && !stopping.load(Ordering::SeqCst);
        if all_asked && report.answers_reused > 0 {
            self.record(std::mem::take(&mut refusals.answers), record, report)?;
        }
        let refused = if refusals.answers.is_empty() { None } else { refusals.first };
        failure.or(refused).map_or(Ok(()), Err)
    }

    fn record(
        &self,
        answers: Vec<TracedAnswer>,
        record: &mut TraceRecord,
        report: &mut EnrichReport,
    ) -> Result<(), EnrichError> {
        if answers.is_empty() {
            return Ok(());
        }
        report.calls_answered += answers.len();
        // A server may claim any number.
        for answer in &answers {
            report.prompt_tokens = report.prompt_tokens.saturating_add(answer.prompt_tokens);
            report.completion_tokens = report.completion_tokens.saturating_add(answer.completion_tokens);
        }
        record.append(answers)?;
        self.tell(report);
        Ok(())
    }

    fn tell(&self, report: &EnrichReport) {
        (self.on_progress)(EnrichProgress {
            answered: report.calls_answered as u64,
            calls: report.calls as u64,
            tokens: report.prompt_tokens.saturating_add(report.completion_tokens),
            cost: self.config.cost(report.prompt_tokens, report.completion_tokens),
        });
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

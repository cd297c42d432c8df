//! Enriching: a trace for every training row that has none, through the ledger.
//!
//! Rows whose `reasoning` is filled and rows that are no solved problems keep their bytes. The file appears only once
//! every call is answered; it is made of the training rows, the ledger and the tests alone, so a run that was killed
//! and gone on with writes the bytes of one that was not.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use super::endpoint::{CallEnd, Endpoint};
use super::request::TraceRequest;
use super::screening::screen;
use super::{EnrichConfig, HiddenTests, TraceLedger, TracedAnswer, TracesError};
use hilora_contract::artifact::{AtomicFile, ContentHash, FileError};
use hilora_contract::dataset::{Example, Lesson};

/// An endpoint that has refused so many requests of a run and answered none is asked no more.
const REFUSALS_MAX: usize = 8;
/// How often the run looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// The files of one enrichment.
pub struct EnrichFiles<'a> {
    /// The training rows.
    pub train: &'a Path,
    /// The tests of the training problems.
    pub tests: &'a Path,
    /// The ledger of answers.
    pub ledger: &'a Path,
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
    /// What they cost, where a price is known.
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
    /// What this run's tokens cost, where a price is known.
    pub cost: Option<f64>,
    /// Whether every request is answered and the file is written.
    pub finished: bool,
}

/// One line of the training file.
struct Row {
    line: String,
    /// The example and its request's key, where a trace is wanted.
    wanted: Option<(Example, ContentHash)>,
}

/// What would be done: nothing is asked and nothing is written.
pub fn plan(config: &EnrichConfig, files: &EnrichFiles<'_>) -> Result<EnrichReport, TracesError> {
    let ledger = TraceLedger::read(files.ledger)?;
    Ok(survey(config, files, &ledger)?.report)
}

/// Asks for what the ledger does not know, judges every answer and writes the enriched rows. It ends early, and
/// unfinished, once `stop` says so; calls that are open then are waited for and recorded.
pub fn enrich(
    config: &EnrichConfig,
    files: &EnrichFiles<'_>,
    stop: &dyn Fn() -> bool,
    on_progress: &dyn Fn(EnrichProgress),
) -> Result<EnrichReport, TracesError> {
    let mut ledger = TraceLedger::open(files.ledger)?;
    let Survey { rows, tests, mut report } = survey(config, files, &ledger)?;
    let requests = unanswered(&rows, &ledger);
    if !requests.is_empty() {
        let calls = Calls { config, requests: &requests, stop, on_progress };
        calls.make(&mut ledger, &mut report)?;
        report.cost = config.cost(report.prompt_tokens, report.completion_tokens);
    }
    if report.calls_answered < report.calls {
        return Ok(report);
    }
    write_rows(&rows, &ledger, &tests, files.output, &mut report)?;
    report.finished = true;
    Ok(report)
}

/// What is known before anything is asked.
struct Survey {
    rows: Vec<Row>,
    tests: HiddenTests,
    report: EnrichReport,
}

/// Reads the files, counts what is to do, and fails before anything is paid for where a row's tests are not known.
fn survey(config: &EnrichConfig, files: &EnrichFiles<'_>, ledger: &TraceLedger) -> Result<Survey, TracesError> {
    let (rows, mut report) = read_rows(config, files.train)?;
    let tests = HiddenTests::open(files.tests)?;
    let unknown = |row: &Row| row.wanted.as_ref().is_some_and(|(example, _)| !tests.knows(&example.problem));
    if let Some(row) = rows.iter().position(unknown) {
        return Err(TracesError::NoTests { path: files.tests.to_owned(), row });
    }
    let wanted: HashSet<&ContentHash> = rows.iter().filter_map(|row| Some(&row.wanted.as_ref()?.1)).collect();
    report.calls = unanswered(&rows, ledger).len();
    report.answers_reused = wanted.len() - report.calls;
    Ok(Survey { rows, tests, report })
}

/// The training file's rows, counted by kind.
fn read_rows(config: &EnrichConfig, path: &Path) -> Result<(Vec<Row>, EnrichReport), TracesError> {
    let text = std::fs::read_to_string(path).map_err(|error| FileError::reading(path, error))?;
    let mut report = EnrichReport::default();
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lesson: Lesson = serde_json::from_str(line).map_err(|error| TracesError::BadLine {
            path: path.to_owned(),
            line: index + 1,
            expected: "a lesson",
            got: error.to_string(),
        })?;
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
        rows.push(Row { line: line.to_owned(), wanted });
    }
    report.rows = rows.len();
    Ok((rows, report))
}

/// The rows whose requests the ledger does not know, one for each request.
fn unanswered<'a>(rows: &'a [Row], ledger: &TraceLedger) -> Vec<&'a Example> {
    let mut seen = HashSet::new();
    rows.iter()
        .filter_map(|row| row.wanted.as_ref())
        .filter(|(_, key)| ledger.get(key).is_none() && seen.insert(*key))
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
    fn make(&self, ledger: &mut TraceLedger, report: &mut EnrichReport) -> Result<(), TracesError> {
        let endpoint = Arc::new(Endpoint::new(self.config)?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| TracesError::Client(error.to_string()))?;
        runtime.block_on(self.make_all(&endpoint, ledger, report))
    }

    async fn make_all(
        &self,
        endpoint: &Arc<Endpoint>,
        ledger: &mut TraceLedger,
        report: &mut EnrichReport,
    ) -> Result<(), TracesError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut waiting = self.requests.iter();
        let mut open: JoinSet<CallEnd> = JoinSet::new();
        let mut failure = None;
        let mut refusals = Refusals::default();
        self.tell(report);
        loop {
            if failure.is_some() || (self.stop)() {
                stopping.store(true, Ordering::SeqCst);
            }
            while !stopping.load(Ordering::SeqCst) && open.len() < self.config.concurrency {
                let Some(example) = waiting.next() else { break };
                let request = TraceRequest::of(example, self.config);
                let (endpoint, stopping) = (endpoint.clone(), stopping.clone());
                open.spawn(async move { endpoint.ask(&request, &stopping).await });
            }
            if open.is_empty() {
                break;
            }
            let Ok(mut ended) = tokio::time::timeout(STOP_POLL, open.join_next()).await else { continue };
            let mut answers = Vec::new();
            // Whatever else has ended by now shares one write.
            while let Some(end) = ended {
                match end {
                    Ok(CallEnd::Answered(answer)) => answers.push(answer),
                    Ok(CallEnd::Refused { answer, error }) => refusals.add(answer, error),
                    Ok(CallEnd::Stopped) => {}
                    Ok(CallEnd::Failed(error)) => drop(failure.get_or_insert(error)),
                    Err(error) => drop(failure.get_or_insert(TracesError::LostCall(error.to_string()))),
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
            self.record(answers, ledger, report)?;
        }
        // The few that were left of an earlier run may all be such rows.
        let all_asked = failure.is_none() && !stopping.load(Ordering::SeqCst);
        if all_asked && report.answers_reused > 0 {
            self.record(std::mem::take(&mut refusals.answers), ledger, report)?;
        }
        let refused = if refusals.answers.is_empty() { None } else { refusals.first };
        failure.or(refused).map_or(Ok(()), Err)
    }

    fn record(
        &self,
        answers: Vec<TracedAnswer>,
        ledger: &mut TraceLedger,
        report: &mut EnrichReport,
    ) -> Result<(), TracesError> {
        if answers.is_empty() {
            return Ok(());
        }
        report.calls_answered += answers.len();
        // A server may claim any number.
        for answer in &answers {
            report.prompt_tokens = report.prompt_tokens.saturating_add(answer.prompt_tokens);
            report.completion_tokens = report.completion_tokens.saturating_add(answer.completion_tokens);
        }
        ledger.record(answers)?;
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
    first: Option<TracesError>,
}

impl Refusals {
    fn add(&mut self, answer: TracedAnswer, error: TracesError) {
        self.answers.push(answer);
        self.first.get_or_insert(error);
    }
}

/// Writes the rows, with the traces that were accepted.
fn write_rows(
    rows: &[Row],
    ledger: &TraceLedger,
    tests: &HiddenTests,
    output: &Path,
    report: &mut EnrichReport,
) -> Result<(), TracesError> {
    let mut file = AtomicFile::create(output)?;
    for (index, row) in rows.iter().enumerate() {
        let answered = row.wanted.as_ref().and_then(|(example, key)| Some((example, ledger.get(key)?)));
        let trace = match answered {
            None => None,
            Some((example, answer)) => {
                let unknown = || TracesError::NoTests { path: tests.path().to_owned(), row: index };
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
            None => file.append(row.line.as_bytes())?,
        }
        file.append(b"\n")?;
    }
    Ok(file.commit()?)
}

//! A batch: a file of programs in, a file of judgements out, in the order of the programs.
//!
//! Everything that can be refused is refused before anything runs. Then the reference solutions are measured, each once,
//! and then every program is run on each of its tests. Programs are in memory by rounds. What was judged is entered in a
//! record beside the output, so that a batch that was killed or stopped repeats none of it; the output appears under its
//! name when all judgements are there, and the record goes.
//!
//! A program whose reference solution does not pass is not judged and says so in its line; the others are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checker::Checker;
use super::error::BatchError;
use super::failed_program::FailedProgram;
use super::judge::{Judge, JudgeError, Judgement, StopAt, UNDECIDED_MAX};
use super::judged_program::JudgedProgram;
use super::judgement_record::{JudgementRecord, Question};
use super::limits::{calibrated, reference_limits};
use super::program::{Program, ProgramError};
use super::receipt::Receipt;
use super::recording_judge::{Asked, RecordingJudge};
use super::references::{Reference, References};
use super::replay::{Difference, difference, left_over};
use super::verdict::Verdict;
use hilora_contract::artifact::{ContentHash, JsonLines, JsonRow, Output};
use hilora_contract::fault::Blame;
use hilora_contract::plugin::{RunLimits, RunnerInfo};

/// Programs that are in memory at once, with their tests.
const PROGRAMS_PER_ROUND: usize = 256;

/// How many programs that failed are told at the end, the first of them; all stand in the output.
const FAILURES_TOLD_MAX: usize = 5;

/// What the record's name adds to that of the output.
const RECORD_SUFFIX: &str = ".judged";

impl JsonRow for Program {
    const EXPECTED: &'static str = "a program with its tests";
    const HINT: Option<&'static str> =
        Some("a line has id, code and tests, each with input and output; see `hilora-host judge --help`");
}

impl JsonRow for JudgedProgram {
    const EXPECTED: &'static str = "a judgement with its receipt";
    const HINT: Option<&'static str> = Some("`hilora-host judge --output FILE` writes them");
}

/// The files of a batch. `-` is standard input or standard output.
#[derive(Debug, Clone, Copy)]
pub struct BatchFiles<'a> {
    /// Programs with their tests, one JSON object a line.
    pub programs: &'a Path,
    /// Where the judgements go; without it they are only counted or compared.
    pub output: Option<&'a Path>,
    /// Judgements to hold against these.
    pub replay: Option<&'a Path>,
    /// The components that judge, over which nothing is written either.
    pub components: &'a [PathBuf],
}

/// How a batch is judged.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// The checker of programs that name none and call no function.
    pub checker: Checker,
    /// Whether no clock of the machine decides.
    pub reproducible: bool,
    /// The hash of the program that judges: what another one has recorded is asked again.
    pub made_by: ContentHash,
}

/// Who is told how far a batch is. Each method is called by the thread that did the work.
pub trait BatchObserver: Sync {
    /// The reference solutions of so many programs are going to be measured.
    fn measuring(&self, _programs: u64) {}

    /// They are, of so many programs in all.
    fn measured(&self, _done: u64) {}

    /// So many programs are going to be judged, of which an earlier call has recorded some.
    fn judging(&self, _programs: u64) {}

    /// So many are judged in all.
    fn judged(&self, _done: u64) {}
}

/// Tells nobody.
impl BatchObserver for () {}

/// What is told at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The programs in all.
    pub programs: u64,
    /// How many of them got which verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// The first few that failed, each with its first failed test.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedProgram>,
    /// The programs that were not judged because of their reference solutions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// The programs that were judged otherwise before, if there are judgements to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<Vec<Difference>>,
}

/// A program that was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The program's.
    pub id: String,
    /// Why.
    pub why: String,
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchEnd {
    /// Every program is judged, and the output is written.
    Judged(Summary),
    /// It was stopped on request. What was judged is in the record, if there is one.
    Interrupted {
        /// Programs that are judged.
        judged: u64,
        /// The programs in all.
        programs: u64,
        /// Where that is kept.
        record: Option<PathBuf>,
    },
}

/// A program of a round on its way to its line.
enum Entry {
    /// An earlier call has judged it.
    Known(JudgedProgram),
    /// It runs.
    Runs(Receipt),
    /// Its reference solution does not pass.
    Refused(JudgedProgram, Refusal),
    /// Nothing is known of its reference solution.
    Unmeasured(BatchError),
}

/// A program that can be judged, and its checker.
struct Checked {
    program: Program,
    checker: Checker,
}

/// A batch that can be judged: every line was checked.
pub struct Batch<'a> {
    judge: RecordingJudge<'a>,
    options: BatchOptions,
    runner: ContentHash,
    info: RunnerInfo,
    rows: JsonLines<Program>,
    programs: u64,
    /// Programs that have a reference solution.
    with_reference: u64,
    references: References,
    replay: Option<JsonLines<JudgedProgram>>,
    output: Option<Output>,
}

impl<'a> Batch<'a> {
    /// Reads and checks every line of the files, and makes sure that the output can be written. Nothing runs yet.
    pub fn open(judge: &'a Judge, files: BatchFiles<'_>, options: BatchOptions) -> Result<Self, BatchError> {
        let runner = judge.runner();
        let components = files.components.iter().map(PathBuf::as_path);
        let inputs: Vec<&Path> = [files.programs].into_iter().chain(files.replay).chain(components).collect();
        let output = files.output.map(|path| Output::create(path, &inputs)).transpose()?;
        let mut batch = Self {
            judge: RecordingJudge { judge, record: None },
            options,
            runner: runner.identity().content,
            info: judge.runner_info()?.clone(),
            rows: JsonLines::open_to_read_again(files.programs)?,
            programs: 0,
            with_reference: 0,
            references: References::default(),
            replay: None,
            output,
        };
        while let Some(Checked { program, .. }) = batch.next_program()? {
            batch.programs += 1;
            batch.with_reference += u64::from(program.reference.is_some());
        }
        if let Some(path) = files.replay {
            let mut rows = JsonLines::<JudgedProgram>::open_to_read_again(path)?;
            rows.by_ref().try_for_each(|row| row.map(drop))?;
            rows.rewind()?;
            batch.replay = Some(rows);
        }
        // What standard output was given cannot be taken back, so a record would be of no use to it.
        if let Some(path) = files.output.filter(|_| batch.output.as_ref().is_some_and(|output| !output.is_standard())) {
            let mut record = OsString::from(path);
            record.push(RECORD_SUFFIX);
            batch.judge.record = Some(JudgementRecord::open(Path::new(&record), batch.options.made_by)?);
        }
        Ok(batch)
    }

    /// How many answers an earlier call that did not come to its end has left.
    pub fn found(&self) -> u64 {
        self.judge.record.as_ref().map_or(0, JudgementRecord::found)
    }

    /// Judges all programs, until `is_stopped` says so: it is asked many times a second by the calling thread.
    pub fn run(mut self, is_stopped: &dyn Fn() -> bool, observer: &dyn BatchObserver) -> Result<BatchEnd, BatchError> {
        if self.with_reference > 0 && !self.measure(is_stopped, observer)? {
            return Ok(self.interrupted(0));
        }
        observer.judging(self.programs);
        self.rows.rewind()?;
        let mut account = Account::default();
        loop {
            let round = self.round()?;
            if round.is_empty() {
                break;
            }
            let (entries, asked) = self.entries(&round)?;
            let before = account.done + (entries.len() - asked.len()) as u64;
            observer.judged(before);
            let judged = match is_stopped() {
                true => vec![None; asked.len()],
                false => self.judge.ask(asked, StopAt::End, is_stopped, &|done| observer.judged(before + done))?,
            };
            let judged_to_end = judged.iter().flatten().count();
            if judged_to_end < judged.len() {
                return Ok(self.interrupted(before + judged_to_end as u64));
            }
            self.enter(entries, judged.into_iter().flatten(), &mut account)?;
        }
        self.finish(account)
    }

    /// Measures the reference solutions; false if it was stopped.
    fn measure(&mut self, is_stopped: &dyn Fn() -> bool, observer: &dyn BatchObserver) -> Result<bool, BatchError> {
        observer.measuring(self.with_reference);
        self.rows.rewind()?;
        let mut done = 0;
        loop {
            let round = self.round()?;
            if round.is_empty() {
                return Ok(true);
            }
            let asked: Vec<Asked> = round.iter().filter_map(|checked| self.reference(checked)).collect();
            let count = asked.len() as u64;
            let on_done = |more| observer.measured(done + more);
            if is_stopped() || !self.references.measure(&mut self.judge, asked, is_stopped, &on_done)? {
                return Ok(false);
            }
            done += count;
        }
    }

    /// The next program, checked.
    fn next_program(&mut self) -> Result<Option<Checked>, BatchError> {
        let Some(row) = self.rows.next().transpose()? else { return Ok(None) };
        let program = row.value;
        let checker = match (program.check(&self.info), &program.checker) {
            (Err(error), _) => Err(error),
            // What a called function returns is compared as a JSON value.
            (Ok(()), None) if program.entry_point.is_some() => Ok(Checker::default()),
            (Ok(()), None) => Ok(self.options.checker.clone()),
            (Ok(()), Some(named)) => match self.judge.judge.checker(&program.id, named) {
                Ok(checker) => Ok(checker),
                Err(JudgeError::UnknownChecker { submission: id, checker }) => {
                    Err(ProgramError::UnknownChecker { id, checker })
                }
                Err(error) => return Err(error.into()),
            },
        };
        let path = self.rows.name();
        let wrong = |error| BatchError::Program { path: path.to_owned(), line: row.line, error };
        Ok(Some(Checked { program, checker: checker.map_err(wrong)? }))
    }

    fn round(&mut self) -> Result<Vec<Checked>, BatchError> {
        let mut round = Vec::new();
        while round.len() < PROGRAMS_PER_ROUND {
            let Some(program) = self.next_program()? else { break };
            round.push(program);
        }
        Ok(round)
    }

    /// What is asked about some code on a program's tests, with its receipt.
    fn asked(&self, checked: &Checked, code: &str, limits: RunLimits, question: Question) -> (Asked, Receipt) {
        let submission = checked.program.submission(code, checked.checker.clone(), limits);
        let receipt = Receipt::of(&submission, self.runner);
        let question = question.about(&receipt);
        // What was found without the outputs does not answer one who asks for them, nor the other way round.
        let question = match self.judge.judge.tells_expected() {
            true => question,
            false => ContentHash::of_parts([&b"without outputs"[..], question.as_bytes()]),
        };
        (Asked { submission, question }, receipt)
    }

    /// What is asked about a program's reference solution.
    fn reference(&self, checked: &Checked) -> Option<Asked> {
        // By fuel alone, whatever else is asked: what it uses decides about others.
        let limits = reference_limits(checked.program.limits(true));
        let code = checked.program.reference.as_ref()?;
        Some(self.asked(checked, code, limits, Question::Measure).0)
    }

    /// What becomes of each program of a round, and what has to be run for it.
    fn entries(&mut self, round: &[Checked]) -> Result<(Vec<Entry>, Vec<Asked>), BatchError> {
        let mut entries = Vec::with_capacity(round.len());
        let mut to_run = Vec::new();
        let question = if self.replay.is_some() { Question::Replay } else { Question::Judge };
        for checked in round {
            let program = &checked.program;
            let reference = self.reference(checked).and_then(|asked| self.references.find(asked.question).cloned());
            let fuel = match &reference {
                Some(Reference::Passes(fuel)) => Some(*fuel),
                Some(Reference::Fails(..) | Reference::Unknown(..)) | None => None,
            };
            let limits = calibrated(program.limits(self.options.reproducible), fuel);
            let (asked, receipt) = self.asked(checked, &program.code, limits, question);
            let id = program.id.clone();
            entries.push(match reference {
                Some(Reference::Fails(verdict, test)) => {
                    let why =
                        format!("the reference solution of `{id}` is {verdict} at test {test}, expected accepted");
                    Entry::Refused(JudgedProgram::refused(id.clone(), why.clone(), receipt), Refusal { id, why })
                }
                Some(Reference::Unknown(test, detail)) => Entry::Unmeasured(BatchError::Reference { id, test, detail }),
                Some(Reference::Passes(_)) | None => match self.judge.take(asked.question)? {
                    Some(finding) => Entry::Known(JudgedProgram::found(id, finding, receipt)),
                    None => {
                        to_run.push(asked);
                        Entry::Runs(receipt)
                    }
                },
            });
        }
        Ok((entries, to_run))
    }

    /// Enters a round: into the output, beside what was judged before, and in the account.
    fn enter(
        &mut self,
        entries: Vec<Entry>,
        mut judged: impl Iterator<Item = Judgement>,
        account: &mut Account,
    ) -> Result<(), BatchError> {
        for entry in entries {
            account.done += 1;
            let program = match entry {
                Entry::Known(program) => program,
                Entry::Runs(receipt) => match judged.next() {
                    Some(judgement) => {
                        account.count_undecided(&judgement);
                        JudgedProgram::of(judgement, receipt)
                    }
                    None => continue,
                },
                Entry::Refused(program, refusal) => {
                    account.refused.push(refusal);
                    program
                }
                Entry::Unmeasured(error) => {
                    account.unmeasured.get_or_insert(error);
                    continue;
                }
            };
            if let Some(verdict) = program.verdict {
                *account.verdicts.entry(verdict).or_default() += 1;
                if account.failures.len() < FAILURES_TOLD_MAX {
                    account.failures.extend(FailedProgram::of(&program));
                }
            }
            if let Some(replay) = &mut self.replay {
                let before = replay.next().transpose()?.map(|row| row.value);
                account.differences.extend(difference(before.as_ref(), &program));
            }
            if let Some(output) = &mut self.output {
                output.append(&program.line())?;
            }
        }
        Ok(())
    }

    /// Makes the output visible. If nothing is known of a program because the machine failed on its reference solution, or
    /// of more than a handful, the output would not be whole, and what was judged remains in the record.
    fn finish(mut self, mut account: Account) -> Result<BatchEnd, BatchError> {
        if let Some(error) = account.unmeasured {
            return Err(error);
        }
        if let Some(first) = account.first_undecided.filter(|_| account.undecided > UNDECIDED_MAX) {
            let (id, failed, detail) = first;
            let is_kept = self.judge.record.is_some();
            return Err(BatchError::NotJudged { programs: account.undecided, id, detail, failed, is_kept });
        }
        for left in self.replay.iter_mut().flatten() {
            account.differences.push(left_over(&left?.value));
        }
        if let Some(output) = self.output {
            output.commit()?;
        }
        if let Some(record) = self.judge.record {
            record.remove()?;
        }
        Ok(BatchEnd::Judged(Summary {
            programs: account.done,
            verdicts: account.verdicts,
            failures: account.failures,
            refused: account.refused,
            differences: self.replay.is_some().then_some(account.differences),
        }))
    }

    fn interrupted(self, judged: u64) -> BatchEnd {
        let record = self.judge.record.as_ref().map(|record| record.path().to_owned());
        BatchEnd::Interrupted { judged, programs: self.programs, record }
    }
}

/// What was found so far.
#[derive(Default)]
struct Account {
    done: u64,
    verdicts: BTreeMap<Verdict, u64>,
    failures: Vec<FailedProgram>,
    refused: Vec<Refusal>,
    differences: Vec<Difference>,
    /// The first program whose reference solution the machine failed on.
    unmeasured: Option<BatchError>,
    /// Programs of which a test was not judged.
    undecided: usize,
    /// The first of them, who failed, and how.
    first_undecided: Option<(String, Blame, String)>,
}

impl Account {
    fn count_undecided(&mut self, judgement: &Judgement) {
        if let Some((failed, detail)) = judgement.undecided() {
            self.undecided += 1;
            self.first_undecided.get_or_insert_with(|| (judgement.id.clone(), failed, detail.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fakes::FakeRunner;
    use hilora_contract::fault::Fault;
    use serde_json::{Value, json};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(programs: &[Value]) -> Self {
            let folder = Self(tempfile::tempdir().expect("a folder"));
            let lines: String = programs.iter().map(|program| format!("{program}\n")).collect();
            fs::write(folder.path("in.jsonl"), lines).expect("it can be written");
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Judges with this runner; the batch ends, or it fails.
        fn judge(&self, runner: &Arc<FakeRunner>, is_stopped: &dyn Fn() -> bool) -> Result<BatchEnd, BatchError> {
            self.batch(runner, None, is_stopped)
        }

        fn batch(
            &self,
            runner: &Arc<FakeRunner>,
            replay: Option<&str>,
            is_stopped: &dyn Fn() -> bool,
        ) -> Result<BatchEnd, BatchError> {
            self.checked_batch(runner, replay, Checker::default(), is_stopped)
        }

        fn checked_batch(
            &self,
            runner: &Arc<FakeRunner>,
            replay: Option<&str>,
            checker: Checker,
            is_stopped: &dyn Fn() -> bool,
        ) -> Result<BatchEnd, BatchError> {
            let judge = Judge::new(runner.clone(), 2);
            let replay = replay.map(|name| self.path(name));
            let (programs, output) = (self.path("in.jsonl"), self.path("out.jsonl"));
            let replay = replay.as_deref();
            let files = BatchFiles { programs: &programs, output: Some(&output), replay, components: &[] };
            let options = BatchOptions { checker, reproducible: false, made_by: ContentHash::of(b"this program") };
            Batch::open(&judge, files, options)?.run(is_stopped, &())
        }

        fn output(&self) -> String {
            fs::read_to_string(self.path("out.jsonl")).unwrap_or_default()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).expect("it is there");
            let mut names: Vec<String> =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    fn program(id: &str, code: &str) -> Value {
        json!({ "id": id, "code": code, "tests": [{ "input": id, "output": id }] })
    }

    fn never() -> bool {
        false
    }

    fn summary(end: BatchEnd) -> Summary {
        match end {
            BatchEnd::Judged(summary) => summary,
            BatchEnd::Interrupted { judged, programs, .. } => panic!("interrupted after {judged} of {programs}"),
        }
    }

    #[test]
    fn a_batch_that_ends_anywhere_goes_on_where_it_ended() -> Result<(), BatchError> {
        let mut programs: Vec<Value> = (0..12).map(|i| program(&format!("p{i}"), "echo")).collect();
        programs[4]["code"] = json!("fail");
        programs[7]["reference"] = json!("spend 7");
        programs[9]["reference"] = json!("spend 9");
        let whole = Folder::with(&programs);
        summary(whole.judge(&Arc::new(FakeRunner::new()), &never)?);
        for runs in 0..14 {
            let folder = Folder::with(&programs);
            let broken = Arc::new(FakeRunner::broken_after(runs));
            let error = folder.judge(&broken, &never).expect_err("the runner breaks");
            assert!(matches!(error, BatchError::Judge(_)), "{error}");
            let left: &[&str] = if runs == 0 { &["in.jsonl"] } else { &["in.jsonl", "out.jsonl.judged"] };
            assert_eq!(folder.names(), left, "after {runs} runs");
            let sound = Arc::new(FakeRunner::new());
            summary(folder.judge(&sound, &never)?);
            let mut ran = [broken.ran(), sound.ran()].concat();
            assert_eq!(ran.len(), 14, "after {runs} runs");
            ran.sort();
            ran.dedup();
            assert_eq!(ran.len(), 14, "nothing ran twice");
            assert_eq!((folder.output(), folder.names()), (whole.output(), whole.names()));
        }
        Ok(())
    }

    #[test]
    fn the_first_that_failed_are_told_at_the_end() -> Result<(), BatchError> {
        let mut programs: Vec<Value> = (0..9).map(|i| program(&format!("p{i}"), "echo")).collect();
        programs[1]["code"] = json!("fail");
        for wrong in &mut programs[2..] {
            wrong["tests"] = json!([{ "input": "1", "output": "1" }, { "input": "1\n2", "output": "1\n3" }]);
        }
        let folder = Folder::with(&programs);
        let failures = summary(folder.judge(&Arc::new(FakeRunner::new()), &never)?).failures;
        let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), FAILURES_TOLD_MAX);
        assert_eq!(told[0], "`p1`, test 1: runtime-error: ValueError: no");
        let place = "(line 2, column 1)";
        let second = format!("`p2`, test 2: wrong-answer\n    expected: 3 {place}\n    came:     2 {place}");
        assert_eq!(told[1], second);
        let line: Value = serde_json::from_str(folder.output().lines().nth(2).unwrap_or_default()).expect("a line");
        assert_eq!(line["tests"][1]["mismatch"]["actual"]["from"], "2");
        assert_eq!(line["tests"][0].get("mismatch"), None);
        Ok(())
    }

    #[test]
    fn a_stopped_batch_keeps_what_is_judged() -> Result<(), BatchError> {
        let mut programs = [program("a", "echo"), program("b", "wait"), program("c", "echo"), program("d", "echo")];
        let folder = Folder::with(&programs);
        let (runner, begun) = (Arc::new(FakeRunner::new()), Instant::now());
        let end = folder.judge(&runner, &|| begun.elapsed() > Duration::from_millis(100))?;
        let record = Some(folder.path("out.jsonl.judged"));
        assert_eq!(end, BatchEnd::Interrupted { judged: 3, programs: 4, record });
        assert!(!folder.path("out.jsonl").exists());

        programs[1]["code"] = json!("fail");
        let lines: String = programs.iter().map(|program| format!("{program}\n")).collect();
        fs::write(folder.path("in.jsonl"), lines).expect("it can be written");
        let runner = Arc::new(FakeRunner::new());
        summary(folder.judge(&runner, &never)?);
        assert_eq!(runner.ran(), [("fail".to_owned(), "b".to_owned())]);

        // A request that comes before anything was begun is heard, too.
        let folder = Folder::with(&programs);
        let end = folder.judge(&runner, &|| true)?;
        assert_eq!(
            end,
            BatchEnd::Interrupted { judged: 0, programs: 4, record: Some(folder.path("out.jsonl.judged")) }
        );
        assert_eq!(folder.names(), ["in.jsonl"]);
        Ok(())
    }

    #[test]
    fn a_wrong_reference_refuses_its_program_and_no_other() -> Result<(), BatchError> {
        let mut programs: Vec<Value> = (0..4).map(|i| program(&format!("p{i}"), "echo")).collect();
        programs[1]["reference"] = json!("fail");
        programs[2]["reference"] = json!("spend 5");
        let folder = Folder::with(&programs);
        let summary = summary(folder.judge(&Arc::new(FakeRunner::new()), &never)?);
        let why = "the reference solution of `p1` is runtime-error at test 1, expected accepted".to_owned();
        assert_eq!(summary.refused, [Refusal { id: "p1".to_owned(), why: why.clone() }]);
        assert_eq!((summary.programs, summary.verdicts), (4, BTreeMap::from([(Verdict::Accepted, 3)])));
        let output = folder.output();
        let line: Value = serde_json::from_str(output.lines().nth(1).unwrap_or_default()).expect("a line");
        assert_eq!((&line["id"], &line["refused"], &line["tests"]), (&json!("p1"), &json!(why), &json!([])));
        assert_eq!(line.get("verdict"), None);
        assert_eq!(folder.names(), ["in.jsonl", "out.jsonl"]);
        Ok(())
    }

    #[test]
    fn a_reference_that_the_machine_failed_on_is_asked_again_and_nothing_else() -> Result<(), BatchError> {
        let mut programs: Vec<Value> = (0..4).map(|i| program(&format!("p{i}"), "echo")).collect();
        programs[1]["reference"] = json!("crash");
        let folder = Folder::with(&programs);
        let runner = Arc::new(FakeRunner::new());
        for ran in [4, 5] {
            let error = folder.judge(&runner, &never).expect_err("the machine failed");
            let expected = "cannot measure the reference solution of `p1`, test 1: the engine's process died: gone";
            assert_eq!((error.to_string().as_str(), error.blame()), (expected, Blame::Machine));
            assert_eq!(runner.ran().len(), ran);
        }
        assert_eq!(folder.names(), ["in.jsonl", "out.jsonl.judged"]);
        Ok(())
    }

    #[test]
    fn programs_with_one_reference_share_its_measurement_and_equal_programs_run_each() -> Result<(), BatchError> {
        let programs = vec![
            json!({ "id": "p", "code": "echo", "tests": [{ "input": "1", "output": "1" }], "reference": "spend 5" });
            5
        ];
        let folder = Folder::with(&programs);
        let runner = Arc::new(FakeRunner::new());
        summary(folder.judge(&runner, &never)?);
        let count = |code: &str| runner.ran().iter().filter(|(ran, _)| ran == code).count();
        assert_eq!((count("spend 5"), count("echo")), (1, 5));
        Ok(())
    }

    #[test]
    fn a_handful_that_was_not_judged_is_told_and_more_is_an_error() -> Result<(), BatchError> {
        let programs: Vec<Value> = (0..=UNDECIDED_MAX).map(|i| program(&format!("p{i}"), "crash")).collect();
        let folder = Folder::with(&programs[1..]);
        let summary = summary(folder.judge(&Arc::new(FakeRunner::new()), &never)?);
        assert_eq!(summary.verdicts, BTreeMap::from([(Verdict::InternalError, UNDECIDED_MAX as u64)]));
        let folder = Folder::with(&programs);
        let error = folder.judge(&Arc::new(FakeRunner::new()), &never).expect_err("one more");
        let expected = "6 programs could not be judged; the first, `p0`: the engine's process died: gone";
        assert_eq!((error.to_string().as_str(), error.blame()), (expected, Blame::Machine));
        assert_eq!(folder.names(), ["in.jsonl"], "no output, and nothing that is worth keeping");
        Ok(())
    }

    #[test]
    fn what_is_not_settled_is_judged_again() -> Result<(), BatchError> {
        let programs = ["echo", "crash", "late", "broken"].map(|code| program(code, code));
        let folder = Folder::with(&programs);
        for code in ["echo", "crash", "late"] {
            let runner = Arc::new(FakeRunner::new());
            folder.judge(&runner, &never).expect_err("the last one breaks it");
            let asked_again = runner.ran().iter().any(|(ran, _)| ran == code);
            assert!(asked_again || code != "echo", "the first time everything runs");
        }
        let runner = Arc::new(FakeRunner::new());
        folder.judge(&runner, &never).expect_err("the last one breaks it");
        let mut ran: Vec<String> = runner.ran().into_iter().map(|(code, _)| code).collect();
        ran.sort();
        assert_eq!(ran, ["broken", "crash", "late"]);
        Ok(())
    }

    #[test]
    fn a_replay_runs_everything_and_names_what_differs() -> Result<(), BatchError> {
        let programs = [program("a", "echo"), program("b", "fail")];
        let folder = Folder::with(&programs);
        summary(folder.judge(&Arc::new(FakeRunner::new()), &never)?);
        let before = folder.output();
        fs::write(folder.path("before.jsonl"), &before).expect("it can be written");
        // What a batch has left does not stand for a second run.
        folder.judge(&Arc::new(FakeRunner::broken_after(1)), &never).expect_err("it breaks");
        let runner = Arc::new(FakeRunner::new());
        let same = summary(folder.batch(&runner, Some("before.jsonl"), &never)?);
        assert_eq!((same.differences, runner.ran().len()), (Some(Vec::new()), 2));

        let changed = before.replace("\"fuel\":1,", "\"fuel\":2,") + before.lines().next().unwrap_or_default() + "\n";
        fs::write(folder.path("before.jsonl"), changed).expect("it can be written");
        let differences = summary(folder.batch(&runner, Some("before.jsonl"), &never)?).differences.unwrap_or_default();
        let ids: Vec<&str> = differences.iter().map(|difference| difference.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "a"]);
        assert!(differences[0].what.contains("fuel 2") && differences[0].what.contains("fuel 1"), "{differences:?}");
        assert_eq!(differences[2].what, "it is not among the programs");
        Ok(())
    }

    #[test]
    fn an_output_that_would_replace_an_input_is_refused_before_anything_runs() -> Result<(), BatchError> {
        let folder = Folder::with(&[program("a", "echo")]);
        fs::hard_link(folder.path("in.jsonl"), folder.path("out.jsonl")).expect("a second name");
        let runner = Arc::new(FakeRunner::new());
        let error = folder.judge(&runner, &never).expect_err("it reads that file");
        assert!(error.to_string().contains("it is the same file as the input"), "{error}");
        assert_eq!((error.blame(), runner.ran().len()), (Blame::User, 0));
        assert_eq!(folder.names(), ["in.jsonl", "out.jsonl"]);
        Ok(())
    }

    #[test]
    fn the_batchs_checker_is_that_of_programs_that_name_none() -> Result<(), Box<dyn std::error::Error>> {
        let program = |id: &str, checker: Option<&str>| {
            let mut program = json!({"id": id, "code": "echo", "tests": [{"input": "1.00001", "output": "1"}]});
            if let Some(checker) = checker {
                program["checker"] = json!(checker);
            }
            program
        };
        let folder = Folder::with(&[program("its own", Some("lines")), program("none", None)]);
        let float: hilora_contract::dataset::ProblemChecker =
            serde_json::from_str(r#"{"name": "float", "absolute_tolerance": 1e-3}"#)?;
        let checker = Checker::of(&float, &|_: &str| Ok(None))?.ok_or("it is built in")?;
        let judge = |checker| folder.checked_batch(&Arc::new(FakeRunner::new()), None, checker, &never);
        let verdicts = |end: BatchEnd| match end {
            BatchEnd::Judged(summary) => summary.verdicts,
            BatchEnd::Interrupted { .. } => BTreeMap::new(),
        };
        let found = verdicts(judge(checker)?);
        assert_eq!(found, BTreeMap::from([(Verdict::Accepted, 1), (Verdict::WrongAnswer, 1)]));
        let output = folder.output();
        let receipts: Vec<&str> = output.lines().filter(|line| line.contains("absolute_tolerance")).collect();
        assert!(receipts.len() == 1 && receipts[0].contains(r#""id":"none""#), "{output}");
        assert_eq!(verdicts(judge(Checker::default())?), BTreeMap::from([(Verdict::WrongAnswer, 2)]));
        Ok(())
    }

    #[test]
    fn a_wrong_line_is_told_before_anything_runs() {
        let mut wrong = program("b", "echo");
        wrong["checker"] = json!("guess");
        let folder = Folder::with(&[program("a", "echo"), wrong]);
        let runner = Arc::new(FakeRunner::new());
        let error = folder.judge(&runner, &never).expect_err("there is no such checker");
        let expected = format!(
            "{}, line 2: `b` names the checker `guess`, which does not exist",
            folder.path("in.jsonl").display()
        );
        assert_eq!((error.to_string(), error.blame(), error.hints().len()), (expected, Blame::User, 1));
        assert_eq!((folder.names(), runner.ran().len()), (vec!["in.jsonl".to_owned()], 0));
    }

    #[test]
    fn a_test_that_no_program_can_pass_is_the_files_error() {
        let mut broken = program("b", "echo");
        broken["entry_point"] = json!("f");
        broken["tests"] = json!([{"input": "1", "output": "1"}, {"input": "1", "output": "None"}]);
        let folder = Folder::with(&[program("1", "echo"), broken]);
        let runner = Arc::new(FakeRunner::new());
        let error = folder.judge(&runner, &never).expect_err("the test is broken");
        let expected = format!(
            "{}, line 2: `b` has a broken test: test 2 calls a function, and its output is no JSON value",
            folder.path("in.jsonl").display()
        );
        assert_eq!((error.to_string(), error.blame(), error.hints().len()), (expected, Blame::User, 1));
        assert_eq!(runner.ran().len(), 0);
    }

    #[test]
    fn nothing_is_written_over_what_judges() -> Result<(), Box<dyn std::error::Error>> {
        let folder = Folder::with(&[program("1", "echo")]);
        let runner = folder.path("runner.wasm");
        fs::write(&runner, b"a component")?;
        let files = BatchFiles {
            programs: &folder.path("in.jsonl"),
            output: Some(&runner),
            replay: None,
            components: std::slice::from_ref(&runner),
        };
        let made_by = ContentHash::of(b"this program");
        let options = BatchOptions { checker: Checker::default(), reproducible: false, made_by };
        let judge = Judge::new(Arc::new(FakeRunner::new()), 1);
        let error = Batch::open(&judge, files, options).err().ok_or("it is refused")?;
        assert!(matches!(error, BatchError::Output(hilora_contract::artifact::OutputError::IsInput { .. })), "{error}");
        assert_eq!(fs::read(&runner)?, b"a component");
        Ok(())
    }
}

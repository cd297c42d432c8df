//! `hilora-host judge --programs IN.jsonl --output OUT.jsonl`: every program on every of its tests, in the order of the
//! file. The whole file is checked before anything runs; the judgements appear under their name only when all are there.
//!
//! Each judgement carries a receipt: the hashes of the code, the tests and the runner, and the limits. With `--replay`
//! the programs run again, and what is no measurement of time must come out bit for bit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::BadInput;
use super::job::available_cores;
use super::judge_worker::worker_pool;
use super::{Console, ExitStatus};
use hilora_contract::artifact::{AtomicFile, ContentHash};
use hilora_contract::dataset::{Language, TestCase};
use hilora_contract::plugin::{PluginError, RunLimits};
use hilora_judge::{
    Checker, Judge, Judgement, MEMORY_BYTES_BOUNDS, StopAt, Submission, TIME_LIMIT_MS_BOUNDS, TestReport, Verdict,
    calibrated, can_call, reference_limits, run_limits,
};
use hilora_run::metrics::Stage;
use hilora_wasm::{HostOptions, PluginHost};

/// Programs that are in memory at once, with their tests.
const PROGRAMS_PER_ROUND: usize = 256;

/// Which programs to judge.
#[derive(Debug, clap::Args)]
pub(super) struct BatchArguments {
    /// Programs with their tests, one JSON object a line: id, code, tests of input and output; and where wanted language,
    /// entry_point, time_limit_ms (500 to 20000), memory_bytes_max (67108864 to 1073741824), checker (lines, tokens,
    /// float or a plugin's name), reference (a solution that is known to be right: the program may use three times its
    /// fuel, where that is more)
    #[arg(long, value_name = "FILE")]
    programs: PathBuf,
    /// Where the judgements go, one JSON object a line, in the order of the programs
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    output: Option<PathBuf>,
    /// Judgements to hold against this run's (exit code 3 where they differ)
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Let no clock of the machine decide: only fuel, memory and output have limits
    #[arg(long)]
    reproducible: bool,
    /// The solution runner
    #[arg(long, value_name = "FILE", default_value = "plugins/python-runner.wasm")]
    runner: PathBuf,
    /// Programs that run at once [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

/// One line of the programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    id: String,
    code: String,
    tests: Vec<TestCase>,
    language: Option<Language>,
    entry_point: Option<String>,
    time_limit_ms: Option<u64>,
    memory_bytes_max: Option<u64>,
    checker: Option<String>,
    reference: Option<String>,
}

/// One line of the judgements.
#[derive(Debug, Serialize, Deserialize)]
struct JudgedProgram {
    id: String,
    verdict: Verdict,
    tests: Vec<JudgedTest>,
    receipt: Receipt,
}

/// What happened on one test.
#[derive(Debug, Serialize, Deserialize)]
struct JudgedTest {
    verdict: Verdict,
    exit_code: Option<u8>,
    exception: Option<String>,
    fuel: u64,
    cpu_ms: f64,
    wall_ms: f64,
    memory_bytes: u64,
    stdout_bytes: u64,
    /// The exception with its message, the missing module, the limit or the checker's reason.
    detail: String,
}

/// What a judgement was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Receipt {
    /// The hash of the code.
    code: ContentHash,
    /// The hash of every test's input and output.
    tests: ContentHash,
    /// What the tests call, where they call a function.
    entry_point: Option<String>,
    /// The checker, as the program names it, or the hash of the plugin.
    checker: String,
    /// The hash of the runner's component.
    runner: ContentHash,
    limits: RunLimits,
}

/// What is told at the end.
#[derive(Debug, Serialize)]
struct Summary {
    programs: u64,
    verdicts: BTreeMap<Verdict, u64>,
    /// With `--replay`: the programs that were judged otherwise, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<Difference>>,
}

/// A program that was judged otherwise before.
#[derive(Debug, Serialize)]
struct Difference {
    id: String,
    what: String,
}

impl BatchArguments {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let host = PluginHost::new(&HostOptions::default())?;
        let runner = worker_pool(&host, &self.runner)?;
        let (language, runner_hash) = (runner.describe()?.language, runner.identity().content);
        let mut checkers = Checkers { host, plugins: BTreeMap::new() };
        let (mut programs, mut references) = (0, 0);
        for program in Rows::<Program>::open(&self.programs)? {
            let (line, program) = program?;
            check(&program, language)
                .and_then(|()| checkers.find(&program))
                .with_context(|| format!("{}, line {line}", self.programs.display()))?;
            programs += 1;
            references += u64::from(program.reference.is_some());
        }
        let mut replayed = self.replay.as_deref().map(Rows::<JudgedProgram>::open).transpose()?;
        let judge = Judge::new(runner, self.workers.map_or_else(available_cores, usize::from));
        let progress = console.progress();
        let measured = (references > 0).then(|| progress.stage("measure", references, "reference solutions"));
        let bar = progress.stage("judge", programs, "programs");
        let failed = |path: &Path| format!("cannot write {}", path.display());
        let output = self.output.as_deref().map(|path| AtomicFile::create(path).with_context(|| failed(path)));
        let mut output = output.transpose()?;
        let mut summary = Summary { programs: 0, verdicts: BTreeMap::new(), differences: None };
        let mut differences = Vec::new();
        let mut rest = Rows::<Program>::open(&self.programs)?;
        loop {
            let round = rest.by_ref().take(PROGRAMS_PER_ROUND).map(|program| program.map(|(_, program)| program));
            let round: Vec<Program> = round.collect::<Result<_>>()?;
            if round.is_empty() {
                break;
            }
            let measured_before = measured.as_ref().map_or(0, Stage::position);
            let on_measured = |done| measured.iter().for_each(|bar| bar.set_position(measured_before + done));
            let references = references_fuel(&judge, &mut checkers, &round, &on_measured)?;
            let mut submissions = Vec::with_capacity(round.len());
            for (program, fuel) in round.into_iter().zip(references) {
                let limits = calibrated(program.limits(self.reproducible), fuel);
                submissions.push(checkers.submission(program, limits)?);
            }
            let done_before = summary.programs;
            let judgements =
                judge.judge_all(&submissions, StopAt::End, &|done| bar.set_position(done_before + done))?;
            summary.programs += judgements.len() as u64;
            for (submission, judgement) in submissions.iter().zip(judgements) {
                *summary.verdicts.entry(judgement.verdict).or_default() += 1;
                let judged = JudgedProgram::of(judgement, Receipt::of(submission, runner_hash));
                if let Some(replayed) = &mut replayed {
                    let before = replayed.next().transpose()?.map(|(_, before)| before);
                    differences.extend(difference(before.as_ref(), &judged));
                }
                if let (Some(file), Some(path)) = (&mut output, &self.output) {
                    let mut line = serde_json::to_vec(&judged)?;
                    line.push(b'\n');
                    file.write_all(&line).with_context(|| failed(path))?;
                }
            }
        }
        if let Some(rest) = replayed.as_mut().and_then(Iterator::next) {
            differences.push(Difference { id: rest?.1.id, what: "it is not among the programs".to_owned() });
        }
        measured.into_iter().for_each(Stage::finish);
        bar.finish();
        if let (Some(file), Some(path)) = (output, &self.output) {
            file.commit().with_context(|| failed(path))?;
        }
        let status = if differences.is_empty() { ExitStatus::Done } else { ExitStatus::GateRefused };
        summary.differences = self.replay.is_some().then_some(differences);
        console.result(&summary, &summary.text(self.output.as_deref()))?;
        Ok(status)
    }
}

/// Runs the reference solutions of a round: for each program the fuel that its reference used on its costliest test.
/// `on_done` is told how many are done.
fn references_fuel(
    judge: &Judge,
    checkers: &mut Checkers,
    round: &[Program],
    on_done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Option<u64>>> {
    let with_reference = round.iter().enumerate().filter(|(_, program)| program.reference.is_some());
    let places: Vec<usize> = with_reference.map(|(place, _)| place).collect();
    let mut submissions = Vec::with_capacity(places.len());
    for &place in &places {
        let mut program = round[place].clone();
        // By fuel alone, whatever else is asked: what it uses decides of others.
        let limits = reference_limits(program.limits(true));
        program.code = program.reference.take().unwrap_or_default();
        submissions.push(checkers.submission(program, limits)?);
    }
    let mut fuel = vec![None; round.len()];
    for (place, judgement) in places.into_iter().zip(judge.judge_all(&submissions, StopAt::FirstFailure, on_done)?) {
        if !judgement.is_accepted() {
            return Err(refused_reference(&judgement));
        }
        fuel[place] = judgement.tests.iter().map(|test| test.fuel).max();
    }
    Ok(fuel)
}

/// Why a reference solution measures nothing: it is wrong, or the judge itself failed on it.
fn refused_reference(judgement: &Judgement) -> anyhow::Error {
    let (id, verdict, test) = (&judgement.id, judgement.verdict, judgement.tests.len());
    if verdict == Verdict::InternalError {
        let what = format!("the reference solution of `{id}`, test {test}");
        let message = judgement.tests.last().map(|test| test.detail.clone()).unwrap_or_default();
        return PluginError::Engine { what, message }.into();
    }
    let message = format!("the reference solution of `{id}` is {verdict} at test {test}, expected accepted");
    BadInput::with_hint(message, "leave `reference` out, or mend the tests").into()
}

/// How a judgement differs from the one that was made before; times are measurements and may.
fn difference(before: Option<&JudgedProgram>, now: &JudgedProgram) -> Option<Difference> {
    let what = match before {
        None => "it was not judged before".to_owned(),
        Some(before) if before.id != now.id => format!("in its place `{}` was judged before", before.id),
        Some(before) if before.receipt != now.receipt => {
            format!("it was judged from something else: {:?}, now {:?}", before.receipt, now.receipt)
        }
        Some(before) if before.verdict != now.verdict => format!("{} before, {} now", before.verdict, now.verdict),
        Some(before) => {
            let facts = |test: &JudgedTest| {
                let JudgedTest { verdict, exit_code, exception, fuel, memory_bytes, stdout_bytes, .. } = test;
                format!(
                    "{verdict}, exit code {exit_code:?}, exception {exception:?}, fuel {fuel}, memory {memory_bytes}, \
                     {stdout_bytes} bytes of output"
                )
            };
            let mut tests = before.tests.iter().map(facts).zip(now.tests.iter().map(facts)).enumerate();
            let (index, (before, now)) = tests.find(|(_, (before, now))| before != now)?;
            format!("test {}: {before} before; {now} now", index + 1)
        }
    };
    Some(Difference { id: now.id.clone(), what })
}

impl Summary {
    fn text(&self, output: Option<&Path>) -> String {
        let place = output.map(|path| format!(", in {}", path.display())).unwrap_or_default();
        let mut text = format!("{} programs judged{place}", self.programs);
        for (verdict, count) in &self.verdicts {
            text.push_str(&format!("\n  {count:>6}  {verdict}"));
        }
        match self.differences.as_deref() {
            None => {}
            Some([]) => text.push_str("\nevery judgement is the one that was made before"),
            Some(differences) => {
                for Difference { id, what } in differences {
                    text.push_str(&format!("\n`{id}`: {what}"));
                }
            }
        }
        text
    }
}

/// The rows of a file with their lines, from 1. Blank lines are passed over.
struct Rows<R> {
    path: PathBuf,
    lines: std::iter::Enumerate<std::io::Lines<BufReader<File>>>,
    row: PhantomData<R>,
}

impl<R> Rows<R> {
    fn open(path: &Path) -> Result<Self> {
        let file =
            File::open(path).map_err(|error| BadInput::new(format!("cannot read {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), lines: BufReader::new(file).lines().enumerate(), row: PhantomData })
    }
}

/// What a row is, in words.
trait Row: DeserializeOwned {
    const EXPECTED: &'static str;
    const HINT: &'static str;
}

impl Row for Program {
    const EXPECTED: &'static str = "a program with its tests";
    const HINT: &'static str =
        "a line has id, code and tests, each with input and output; see `hilora-host judge --help`";
}

impl Row for JudgedProgram {
    const EXPECTED: &'static str = "a judgement with its receipt";
    const HINT: &'static str = "`hilora-host judge --output FILE` writes them";
}

impl<R: Row> Iterator for Rows<R> {
    type Item = Result<(usize, R)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, text) = self.lines.find(|(_, text)| !text.as_ref().is_ok_and(|text| text.trim().is_empty()))?;
        let line = index + 1;
        let wrong = |got: String| {
            let message = format!("{}, line {line}: expected {}, got {got}", self.path.display(), R::EXPECTED);
            BadInput::with_hint(message, R::HINT)
        };
        let row = text
            .map_err(|error| wrong(error.to_string()))
            .and_then(|text| serde_json::from_str(&text).map_err(|error| wrong(error.to_string())));
        Some(row.map(|row| (line, row)).map_err(Into::into))
    }
}

/// Refuses what this runner cannot judge.
fn check(program: &Program, language: Language) -> Result<()> {
    let id = &program.id;
    if let Some(wanted) = program.language.filter(|wanted| *wanted != language) {
        let hint = "`--runner FILE` names a runner of another language";
        return Err(BadInput::with_hint(format!("`{id}` is in {wanted}, but the runner runs {language}"), hint).into());
    }
    if program.tests.is_empty() {
        return Err(BadInput::new(format!("`{id}` has no tests, expected at least one")).into());
    }
    for (field, value, bounds) in [
        ("time_limit_ms", program.time_limit_ms, TIME_LIMIT_MS_BOUNDS),
        ("memory_bytes_max", program.memory_bytes_max, MEMORY_BYTES_BOUNDS),
    ] {
        if let Some(value) = value.filter(|value| !bounds.contains(value)) {
            let (least, most) = (bounds.start(), bounds.end());
            let message = format!("`{id}` has the {field} {value}, expected {least} to {most}");
            let hint = format!("leave `{field}` out for the usual limit");
            return Err(BadInput::with_hint(message, hint).into());
        }
    }
    if let Some(entry_point) = &program.entry_point {
        if !can_call(language, entry_point) {
            let message =
                format!("`{id}` has the entry point `{entry_point}`, expected a function's name in {language}");
            return Err(BadInput::new(message).into());
        }
        if let Some(checker) = &program.checker {
            let message = format!("`{id}` has an entry point and the checker `{checker}`");
            let hint = "what a called function returns is compared as a JSON value; leave `checker` out";
            return Err(BadInput::with_hint(message, hint).into());
        }
    }
    Ok(())
}

impl Program {
    fn limits(&self, reproducible: bool) -> RunLimits {
        RunLimits { reproducible, ..run_limits(self.time_limit_ms, self.memory_bytes_max) }
    }
}

/// The checkers that programs name.
struct Checkers {
    host: PluginHost,
    plugins: BTreeMap<String, Checker>,
}

impl Checkers {
    /// The program's checker: a built-in one, else the shipped plugin of that name.
    fn find(&mut self, program: &Program) -> Result<Checker> {
        let Some(name) = &program.checker else { return Ok(Checker::Lines) };
        if let Some(checker) = Checker::built_in(name) {
            return Ok(checker);
        }
        if let Some(checker) = self.plugins.get(name) {
            return Ok(checker.clone());
        }
        let path = PathBuf::from(format!("plugins/{name}.wasm"));
        if name.contains(['/', '\\']) || !path.is_file() {
            let message = format!("`{}` has the checker `{name}`, which is none", program.id);
            let hint = "expected `lines`, `tokens`, `float`, or the name of an output checker under plugins/";
            return Err(BadInput::with_hint(message, hint).into());
        }
        let checker = Checker::Plugin(self.host.checker(&path)?.into());
        self.plugins.insert(name.clone(), checker.clone());
        Ok(checker)
    }

    fn submission(&mut self, program: Program, limits: RunLimits) -> Result<Submission> {
        let checker = self.find(&program)?;
        let Program { id, code, tests, entry_point, .. } = program;
        Ok(Submission { id, code, tests, entry_point, checker, limits })
    }
}

impl Receipt {
    fn of(submission: &Submission, runner: ContentHash) -> Self {
        let parts = submission.tests.iter().flat_map(|test| [test.input.as_bytes(), test.output.as_bytes()]);
        Self {
            code: ContentHash::of(submission.code.as_bytes()),
            tests: ContentHash::of_parts(parts),
            entry_point: submission.entry_point.clone(),
            checker: match &submission.checker {
                Checker::Plugin(checker) => checker.identity().content.to_string(),
                built_in => format!("{built_in:?}"),
            },
            runner,
            limits: submission.limits,
        }
    }
}

impl JudgedProgram {
    fn of(judgement: Judgement, receipt: Receipt) -> Self {
        let Judgement { id, verdict, tests } = judgement;
        Self { id, verdict, tests: tests.into_iter().map(JudgedTest::of).collect(), receipt }
    }
}

impl JudgedTest {
    fn of(report: TestReport) -> Self {
        Self {
            verdict: report.verdict,
            exit_code: report.exit_code,
            exception: report.exception,
            fuel: report.fuel,
            cpu_ms: report.cpu_time_us as f64 / 1e3,
            wall_ms: report.wall_time_us as f64 / 1e3,
            memory_bytes: report.memory_bytes,
            stdout_bytes: report.stdout_bytes,
            detail: report.detail,
        }
    }
}

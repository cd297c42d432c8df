//! `cargo xtask verdicts`: the judge over real programs whose verdicts by CPython are known.
//!
//! The programs are not ours, so the repository holds their identifiers, hashes and verdicts alone
//! (`tests/data/verdicts.tsv`). The task says where the judge differs from the table, where it differs from CPython and
//! why, and, with `--reruns`, which verdict changes when the machine is busy.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::announce;
use crate::build::build_host;
use crate::program::{run, target_folder};

/// The committed verdicts.
const TABLE: &str = "tests/data/verdicts.tsv";
const HEADER: &str = "# id, first of the code's SHA-256, checker, tests, verdicts, why (cargo xtask verdicts --update)";
/// The most that the judge takes; CPython's slowest test needs 9.5 s.
const TIME_LIMIT_MS: u64 = 20_000;
/// CPython was stopped after ten seconds.
const CPYTHON_LIMIT_MS: u64 = 10_000;
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Tests that take CPython less are run again and again.
const SHORT_SECONDS: f64 = 0.1;
/// A test that takes less processor time says more of start-up than of fuel.
const LONG_MS: f64 = 25.0;
const HASH_CHARACTERS: usize = 16;
/// Programs that print a set of strings in its order. That follows the hash seed, which CPython draws at each start and
/// the runner when it is built: nobody has a verdict for them.
const UNSETTLED: [&str; 1] = ["taco/test_0391"];

#[derive(Debug, Args)]
pub(crate) struct VerdictsArguments {
    /// A folder with verified.jsonl and other.jsonl: programs, tests and what CPython made of them
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
    /// Write the table anew
    #[arg(long)]
    update: bool,
    /// Judge the short tests so many times with one, two and four workers per core (10 take two minutes)
    #[arg(long, value_name = "N", default_value_t = 0)]
    reruns: u32,
}

/// A program as the files have it.
#[derive(Debug, Deserialize)]
struct Known {
    id: String,
    code: String,
    tests: Vec<KnownTest>,
}

#[derive(Debug, Deserialize)]
struct KnownTest {
    input: String,
    output: String,
    /// In verified.jsonl: how the real judge compared.
    r#match: Option<String>,
    native_seconds: Option<f64>,
    /// In other.jsonl: what CPython did.
    verdict: Option<String>,
}

/// A line for `hilora-host judge`.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    id: String,
    code: &'a str,
    tests: Vec<AskedTest<'a>>,
    checker: &'static str,
    time_limit_ms: u64,
    memory_bytes_max: u64,
    #[serde(skip)]
    cpython: Vec<Option<&'a str>>,
}

#[derive(Debug, Serialize)]
struct AskedTest<'a> {
    input: &'a str,
    output: &'a str,
}

/// A line of its answer.
#[derive(Debug, Deserialize)]
struct Judged {
    id: String,
    tests: Vec<JudgedTest>,
    receipt: Receipt,
}

#[derive(Debug, Deserialize)]
struct JudgedTest {
    verdict: String,
    exception: Option<String>,
    detail: String,
    fuel: u64,
    cpu_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Receipt {
    code: String,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
struct Limits {
    fuel: u64,
}

pub(crate) fn run_task(repository: &Path, arguments: &VerdictsArguments) -> Result<u8> {
    let verified = known(&arguments.programs.join("verified.jsonl"))?;
    let other = known(&arguments.programs.join("other.jsonl"))?;
    let work = target_folder(repository).join("verdicts");
    fs::create_dir_all(&work)?;
    let judge = Judge { program: target_folder(repository).join("release/hilora-host"), work };
    build_host(repository)?;

    if arguments.reruns > 0 {
        return rerun(
            &judge,
            &asked(&verified, |test| test.native_seconds.is_some_and(|s| s < SHORT_SECONDS)),
            arguments,
        );
    }
    let out = &mut io::stdout().lock();
    announce("judging programs that CPython passes, and programs that it does not");
    let mut all = asked(&verified, |_| true);
    all.extend(asked(&other, |_| true));
    all.retain(|asked| !UNSETTLED.contains(&asked.id.as_str()));
    let judged = judge.judge(&all, None)?;
    let mut differences = 0;
    let mut accepted = 0;
    for (asked, judged) in all.iter().zip(&judged) {
        for (number, (test, cpython)) in judged.tests.iter().zip(&asked.cpython).enumerate() {
            let expected = cpython.map_or(Some("accepted"), cpythons_verdict);
            accepted += u32::from(test.verdict == "accepted");
            if let Some(expected) = expected
                && expected != test.verdict
            {
                differences += 1;
                let cpython = cpython.unwrap_or("it passes");
                writeln!(out, "{} test {number}: {} ({}); CPython: {cpython}", judged.id, test.verdict, test.detail)?;
            }
        }
    }
    let tests: usize = judged.iter().map(|program| program.tests.len()).sum();
    writeln!(
        out,
        "{tests} tests of {} programs, {accepted} accepted, {differences} otherwise than CPython",
        judged.len()
    )?;
    fuel_against_time(out, &all, &judged)?;
    let table = table(&all, &judged);
    let path = repository.join(TABLE);
    if arguments.update {
        fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(0);
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let changed: Vec<_> = committed.lines().zip(table.lines()).filter(|(old, new)| old != new).collect();
    for (old, new) in &changed {
        writeln!(out, "- {old}\n+ {new}")?;
    }
    let same = changed.is_empty() && committed.lines().count() == table.lines().count();
    writeln!(out, "{}", if same { "every verdict is the table's" } else { "the table says otherwise" })?;
    Ok(u8::from(!same))
}

fn known(path: &Path) -> Result<Vec<Known>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The programs' tests that `wanted` picks; where a program's tests are compared in two ways, it is asked about twice.
fn asked(programs: &[Known], wanted: impl Fn(&KnownTest) -> bool) -> Vec<Asked<'_>> {
    let mut asked = Vec::new();
    for program in programs {
        let mut by_checker: BTreeMap<&'static str, Vec<&KnownTest>> = BTreeMap::new();
        for test in program.tests.iter().filter(|test| wanted(test)) {
            // Answers that differ in case alone were right for one real judge; no checker of ours says so.
            let checker = match test.r#match.as_deref() {
                Some("float") => "float",
                Some("tokens" | "case") => "tokens",
                _ => "lines",
            };
            by_checker.entry(checker).or_default().push(test);
        }
        let several = by_checker.len() > 1;
        for (checker, tests) in by_checker {
            asked.push(Asked {
                id: if several { format!("{}#{checker}", program.id) } else { program.id.clone() },
                code: &program.code,
                checker,
                time_limit_ms: if tests[0].verdict.is_some() { CPYTHON_LIMIT_MS } else { TIME_LIMIT_MS },
                memory_bytes_max: MEMORY_BYTES_MAX,
                cpython: tests.iter().map(|test| test.verdict.as_deref()).collect(),
                tests: tests.iter().map(|test| AskedTest { input: &test.input, output: &test.output }).collect(),
            });
        }
    }
    asked
}

/// How well fuel measures time: what `FUEL_PER_SECOND` was chosen by.
fn fuel_against_time(out: &mut impl Write, asked: &[Asked<'_>], judged: &[Judged]) -> io::Result<()> {
    let mut seconds = Vec::new();
    let mut units_per_nanosecond = Vec::new();
    for (asked, judged) in asked.iter().zip(judged) {
        let fuel_per_second = judged.receipt.limits.fuel as f64 / (asked.time_limit_ms as f64 / 1e3);
        for test in judged.tests.iter().filter(|test| test.verdict == "accepted") {
            seconds.push(test.fuel as f64 / fuel_per_second);
            if test.cpu_ms > LONG_MS {
                units_per_nanosecond.push(test.fuel as f64 / (test.cpu_ms * 1e6));
            }
        }
    }
    let beyond = |limit: f64| seconds.iter().filter(|seconds| **seconds > limit).count();
    writeln!(
        out,
        "fuel: of {} accepted tests {} need more than a second of it, {} more than two, {} more than three",
        seconds.len(),
        beyond(1.0),
        beyond(2.0),
        beyond(3.0)
    )?;
    units_per_nanosecond.sort_by(f64::total_cmp);
    if let [least, .., most] = units_per_nanosecond[..] {
        writeln!(
            out,
            "fuel: {least:.1} to {most:.1} units per nanosecond of the sandbox, median {:.1}, in {} tests above {LONG_MS} ms",
            units_per_nanosecond[units_per_nanosecond.len() / 2],
            units_per_nanosecond.len()
        )?;
    }
    Ok(())
}

/// The judge's word for what CPython did, where there is one.
fn cpythons_verdict(verdict: &str) -> Option<&'static str> {
    Some(match verdict {
        "exact" => "accepted",
        // By lines, what agrees only by tokens or as decimals is wrong.
        "diff" | "tokens" | "float" => "wrong-answer",
        "timeout" => "time-limit",
        error if error.starts_with("error:ModuleNotFoundError") => "unsupported",
        error if error.starts_with("error:") => "runtime-error",
        _ => return None,
    })
}

struct Judge {
    program: PathBuf,
    work: PathBuf,
}

impl Judge {
    /// Judges, where `workers` is none by fuel alone, so that nothing about the machine counts.
    fn judge(&self, programs: &[Asked<'_>], workers: Option<usize>) -> Result<Vec<Judged>> {
        let mut lines = Vec::new();
        for program in programs {
            serde_json::to_writer(&mut lines, program)?;
            lines.push(b'\n');
        }
        let (input, output) = (self.work.join("programs.jsonl"), self.work.join("judgements.jsonl"));
        fs::write(&input, lines)?;
        let mut command = Command::new(&self.program);
        command.args(["judge", "--programs"]).arg(&input).arg("--output").arg(&output);
        match workers {
            Some(workers) => command.args(["--workers", &workers.to_string()]),
            None => command.arg("--reproducible"),
        };
        run(&mut command)?;
        let judged = fs::read_to_string(&output)?;
        let judged: Vec<Judged> = judged.lines().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<_>>()?;
        ensure!(judged.len() == programs.len(), "{} programs asked, {} judged", programs.len(), judged.len());
        Ok(judged)
    }
}

fn table(asked: &[Asked<'_>], judged: &[Judged]) -> String {
    let mut text = format!("{HEADER}\n");
    for (asked, judged) in asked.iter().zip(judged) {
        let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut why: BTreeMap<&str, u32> = BTreeMap::new();
        for test in &judged.tests {
            *verdicts.entry(&test.verdict).or_default() += 1;
            let cause = match test.verdict.as_str() {
                "unsupported" => Some(test.detail.as_str()),
                "runtime-error" => Some(test.exception.as_deref().unwrap_or("an exit code")),
                _ => None,
            };
            if let Some(cause) = cause {
                *why.entry(cause).or_default() += 1;
            }
        }
        let verdicts: Vec<String> = verdicts.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
        let why: Vec<&str> = why.keys().copied().collect();
        let hash = judged.receipt.code.chars().take(HASH_CHARACTERS).collect::<String>();
        let (id, checker, tests) = (&judged.id, asked.checker, judged.tests.len());
        text.push_str(&format!("{id}\t{hash}\t{checker}\t{tests}\t{}\t{}\n", verdicts.join(", "), why.join(", ")));
    }
    text
}

/// The same tests again and again, on more and more workers: every verdict must stay.
fn rerun(judge: &Judge, programs: &[Asked<'_>], arguments: &VerdictsArguments) -> Result<u8> {
    let verdicts = |judged: &[Judged]| -> Vec<(String, Vec<String>)> {
        let of = |program: &Judged| program.tests.iter().map(|test| test.verdict.clone()).collect();
        judged.iter().map(|program| (program.id.clone(), of(program))).collect()
    };
    let out = &mut io::stdout().lock();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let first = verdicts(&judge.judge(programs, Some(cores))?);
    let tests: usize = first.iter().map(|(_, tests)| tests.len()).sum();
    let (mut changes, mut judgements) = (0, 0);
    for workers in [cores, 2 * cores, 4 * cores] {
        for round in 1..=arguments.reruns {
            let again = verdicts(&judge.judge(programs, Some(workers))?);
            judgements += tests;
            for ((id, before), (_, after)) in first.iter().zip(&again).filter(|(before, after)| before != after) {
                changes += before.iter().zip(after).filter(|(before, after)| before != after).count();
                writeln!(out, "{id}: {before:?}, then {after:?} with {workers} workers in round {round}")?;
            }
        }
        writeln!(
            out,
            "{workers} workers: {} reruns of {tests} tests, {changes} verdicts changed so far",
            arguments.reruns
        )?;
    }
    if judgements == 0 {
        bail!("no test is short enough");
    }
    Ok(u8::from(changes > 0))
}
